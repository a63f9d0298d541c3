//! AMF0: whatever decodes, encodes to what decodes to the same.
#![no_main]

use bytes::BytesMut;
use cruvz_media::amf0::{Limits, Value, decode, encode};
use libfuzzer_sys::fuzz_target;

fn encoded(values: &[Value]) -> BytesMut {
    let mut out = BytesMut::new();
    encode(values, &mut out);
    out
}

fuzz_target!(|data: &[u8]| {
    let Ok(values) = decode(data, &Limits::default()) else { return };
    let first = encoded(&values);
    // Numbers may be NaN, so it is the bytes that are compared.
    let limits = Limits { total_bytes: first.len(), ..Limits::default() };
    let again = decode(&first, &limits).expect("what we encode, we decode");
    assert_eq!(first, encoded(&again));
});
