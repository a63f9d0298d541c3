//! RTMP URLs as users and redirecting servers write them.
#![no_main]

use cruvz_core::protocol::rtmp::Url;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(url) = text.parse::<Url>() else { return };
    assert!(!url.host().is_empty() && !url.name().is_empty());
    let _ = (url.port(), url.is_tls(), url.user_info(), url.app());
    assert!(url.tc_url().starts_with("rtmp"));
    // What is shown does not depend on the secret.
    if let Some(other) = url.user_info().and_then(|secret| cruvz_fuzz::with_another(text, secret)) {
        let other = other.parse::<Url>().expect("the same with another secret");
        assert_eq!(format!("{url:?}"), format!("{other:?}"));
    }
});
