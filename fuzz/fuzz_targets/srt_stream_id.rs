//! SRT stream ids as people and their tools write them.
#![no_main]

use cruvz_core::protocol::Params;
use cruvz_core::protocol::srt::StreamId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(id) = StreamId::parse(text) else { return };
    let name = id.resource();
    assert!(text.len() <= 512 && !name.is_empty() && !name.contains('?'));
    assert!(!name.starts_with('/') && !name.ends_with('/'));
    assert!(id.params().len() <= Params::MAX);
    // What is shown does not depend on the secrets. Where nothing is decoded, one that occurs once can be exchanged.
    for (_, secret) in id.params().filter(|_| !text.contains(['%', '+'])) {
        if let Some(other) = cruvz_fuzz::with_another(text, secret) {
            let other = StreamId::parse(&other).expect("the same with another secret");
            assert_eq!(format!("{id:?}"), format!("{other:?}"));
        }
    }
});
