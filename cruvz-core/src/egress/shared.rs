//! Values that those who want the same one share, and the last one takes along.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

/// See the module.
pub(crate) struct Shared<T>(Mutex<Vec<Weak<T>>>);

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Shared<T> {
    /// The value that `is_it` knows, made if nobody holds it.
    pub(crate) fn find_or_make(&self, is_it: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> Arc<T> {
        let mut values = self.0.lock();
        values.retain(|value| value.strong_count() > 0);
        if let Some(value) = values.iter().filter_map(Weak::upgrade).find(|value| is_it(value)) {
            return value;
        }
        let value = Arc::new(make());
        values.push(Arc::downgrade(&value));
        value
    }
}
