//! What every store must do, whatever it keeps files on.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

use bytes::Bytes;
use cruvz_core::{
    ErrorKind,
    store::{Disk, Memory, SegmentStore, Stored},
};
use tempfile::TempDir;

/// The suite. `store` is empty.
async fn conforms(store: &dyn SegmentStore) {
    kept_and_read(store).await;
    listed(store).await;
    deleted(store).await;
    refused(store).await;
}

async fn kept_and_read(store: &dyn SegmentStore) {
    let key = "live/a~b_c.d/1763800000123-1a2b3c4d/main/init-0-00000000.mp4";
    assert_eq!(store.get(key, None).await.unwrap_err().kind(), ErrorKind::NotFound);
    store.put(key, Bytes::from_static(b"first")).await.unwrap();
    store.put(key, Bytes::from_static(b"0123456789")).await.unwrap();
    assert_eq!(store.get(key, None).await.unwrap(), "0123456789");
    for (range, expected) in [(0..4, "0123"), (3..5, "34"), (8..100, "89"), (10..12, ""), (4..4, "")] {
        assert_eq!(store.get(key, Some(range.clone())).await.unwrap(), expected, "{range:?}");
    }
    store.put("live/empty", Bytes::new()).await.unwrap();
    assert_eq!(store.get("live/empty", None).await.unwrap(), "");
    let large = Bytes::from(vec![7; 3 << 20]);
    store.put("live/large", large.clone()).await.unwrap();
    assert!(store.get("live/large", None).await.unwrap() == large);
    store.delete("live/empty").await.unwrap();
    store.delete("live/large").await.unwrap();
}

async fn listed(store: &dyn SegmentStore) {
    for key in ["tv/one/2", "tv/one/10/x", "tv/two/1", "tvx/one/1"] {
        store.put(key, Bytes::from(key.to_owned())).await.unwrap();
    }
    let stored = |key: &str| Stored { key: key.to_owned(), bytes: key.len() as u64 };
    assert_eq!(store.list("tv").await.unwrap(), ["tv/one/10/x", "tv/one/2", "tv/two/1"].map(stored));
    assert_eq!(store.list("tv/one/10").await.unwrap(), ["tv/one/10/x"].map(stored));
    assert_eq!(store.list("nowhere").await.unwrap(), []);
    assert_eq!(store.list("").await.unwrap().len(), 5);
    assert_eq!(store.folders("").await.unwrap(), ["live", "tv", "tvx"]);
    assert_eq!(store.folders("tv").await.unwrap(), ["one", "two"]);
    assert_eq!(store.folders("tv/one").await.unwrap(), ["10"]);
    assert_eq!(store.folders("tv/two").await.unwrap(), Vec::<String>::new());
    assert_eq!(store.folders("nowhere").await.unwrap(), Vec::<String>::new());
}

async fn deleted(store: &dyn SegmentStore) {
    store.delete("tv/one/2").await.unwrap();
    store.delete("tv/one/2").await.unwrap();
    store.delete("nowhere/at/all").await.unwrap();
    assert_eq!(store.get("tv/one/2", None).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.list("tv/one").await.unwrap().len(), 1);
}

async fn refused(store: &dyn SegmentStore) {
    let long = "x".repeat(600);
    for key in [
        "",
        "/etc/passwd",
        "a/../b",
        "..",
        "a//b",
        "a/",
        "a b",
        "a\\b",
        "a%2fb",
        ".lock",
        "a/.b",
        "ä",
        "a\0",
        &long,
    ] {
        assert_eq!(store.get(key, None).await.unwrap_err().kind(), ErrorKind::InvalidArgument, "{key:?}");
        let put = store.put(key, Bytes::new()).await;
        assert_eq!(put.unwrap_err().kind(), ErrorKind::InvalidArgument, "{key:?}");
        assert_eq!(store.delete(key).await.unwrap_err().kind(), ErrorKind::InvalidArgument, "{key:?}");
        if !key.is_empty() {
            assert_eq!(store.list(key).await.unwrap_err().kind(), ErrorKind::InvalidArgument, "{key:?}");
            assert_eq!(store.folders(key).await.unwrap_err().kind(), ErrorKind::InvalidArgument, "{key:?}");
        }
    }
}

#[tokio::test]
async fn memory() {
    conforms(&Memory::default()).await;
}

#[tokio::test]
async fn local_disk() {
    let folder = TempDir::new().unwrap();
    conforms(&Disk::new(folder.path())).await;
}
