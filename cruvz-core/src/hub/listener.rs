//! Those who are told, without waiting, that something has grown.

use std::sync::Weak;

use parking_lot::Mutex;

/// Somebody to be told that a stream or one of its logs has grown or ended.
pub(crate) trait Listener: Send + Sync {
    fn changed(&self);
}

/// Listeners, as long as they live.
#[derive(Default)]
pub(super) struct Listeners(Mutex<Vec<Weak<dyn Listener>>>);

impl std::fmt::Debug for Listeners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Listeners({})", self.0.lock().len())
    }
}

impl Listeners {
    pub(super) fn add(&self, listener: Weak<dyn Listener>) {
        self.0.lock().push(listener);
    }

    /// Tells everybody, outside of the lock: a listener may look at what has grown.
    pub(super) fn tell(&self) {
        let mut gone = false;
        let listeners: Vec<_> = self.0.lock().clone();
        for listener in listeners {
            match listener.upgrade() {
                Some(listener) => listener.changed(),
                None => gone = true,
            }
        }
        if gone {
            self.0.lock().retain(|listener| listener.strong_count() > 0);
        }
    }
}
