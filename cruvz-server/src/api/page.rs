//! Lists, a page at a time.

use std::fmt::Display;

use axum::Json;
use serde::{Deserialize, Serialize};

/// Items in one answer unless the client says otherwise, and at most.
const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1_000;

/// Which part of a list is asked for: `?limit=100&after=…`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageQuery<K> {
    limit: Option<usize>,
    after: Option<K>,
}

/// A part of a list.
#[derive(Debug, Serialize)]
pub(crate) struct Page<T> {
    items: Vec<T>,
    /// What to give as `after` for the next part; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl<K: PartialOrd> PageQuery<K> {
    /// For a list that has parameters of its own.
    pub(crate) const fn new(limit: Option<usize>, after: Option<K>) -> Self {
        Self { limit, after }
    }

    /// The part of `all`, which is in the order of `key`, made into what is shown by `show`.
    pub(crate) fn of<A, T>(self, all: Vec<A>, key: impl Fn(&A) -> K, show: impl Fn(A) -> T) -> Json<Page<T>>
    where
        K: Display,
    {
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
        let mut rest = all
            .into_iter()
            .skip_while(|item| self.after.as_ref().is_some_and(|after| key(item) <= *after))
            .peekable();
        let (mut items, mut last) = (Vec::new(), None);
        while items.len() < limit
            && let Some(item) = rest.next()
        {
            last = Some(key(&item).to_string());
            items.push(show(item));
        }
        Json(Page { items, next: last.filter(|_| rest.peek().is_some()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_join_to_the_whole_list() {
        let mut after = None;
        let mut seen = Vec::new();
        loop {
            let query = PageQuery { limit: Some(3), after };
            let Json(page) = query.of((1..=8u64).collect(), |item| *item, |item| item);
            assert!(page.items.len() <= 3);
            seen.extend(page.items);
            after = page.next.map(|next| next.parse().unwrap());
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, (1..=8).collect::<Vec<_>>());
    }
}
