//! Stream names: what is accepted is safe in a path, a URL and a log line, and reads back as itself.
#![no_main]

use cruvz_core::StreamName;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(name) = text.parse::<StreamName>() else { return };
    assert_eq!(name.as_str(), text);
    assert_eq!(format!("{}/{}", name.app(), name.name()), text);
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#%&\\\"'<>:".contains(&byte)));
    assert!(!text.split('/').any(|segment| segment.starts_with('.')) && text.split('/').count() == 2);
});
