use bytes::{BufMut, BytesMut};
use proptest::prelude::*;

use super::*;

fn bytes_of(values: &[Value]) -> BytesMut {
    let mut out = BytesMut::new();
    encode(values, &mut out);
    out
}

fn decode_all(bytes: &[u8]) -> Result<Vec<Value>, Error> {
    decode(bytes, &Limits::default())
}

#[test]
fn a_connect_command_reads_as_it_was_sent() {
    let connect = [
        Value::from("connect"),
        Value::from(1),
        Object::new()
            .with("app", "live")
            .with("flashVer", "FMLE/3.0 (compatible; FMSc/1.0)")
            .with("tcUrl", "rtmp://localhost/live")
            .with("fpad", false)
            .with("audioCodecs", 3575)
            .with("fourCcList", vec![Value::from("av01"), Value::from("hvc1")])
            .into(),
    ];
    let values = decode_all(&bytes_of(&connect)).unwrap();
    assert_eq!(values, connect);
    assert_eq!(values[0].as_str(), Some("connect"));
    assert_eq!(values[1].as_u32(), Some(1));
    assert_eq!(values[2].property("app").and_then(Value::as_str), Some("live"));
    assert_eq!(values[2].property("fpad").and_then(Value::as_bool), Some(false));
    assert_eq!(values[2].property("fourCcList").and_then(Value::as_array).unwrap().len(), 2);
    assert_eq!(values[2].property("missing"), None);
    let order: Vec<_> = values[2].as_object().unwrap().iter().map(|(name, _)| name).collect();
    assert_eq!(order, ["app", "flashVer", "tcUrl", "fpad", "audioCodecs", "fourCcList"]);
}

/// The bytes of AMF0 §2 for every marker, written by hand from the specification.
#[test]
fn every_marker_has_the_form_of_the_specification() {
    let cases: &[(&[u8], Value)] = &[
        (&[0x00, 0x40, 0x45, 0, 0, 0, 0, 0, 0], Value::Number(42.0)),
        (b"\x01\x01", Value::Boolean(true)),
        (b"\x02\x00\x02hi", Value::from("hi")),
        (b"\x03\x00\x01a\x05\x00\x00\x09", Object::new().with("a", Value::Null).into()),
        (b"\x05", Value::Null),
        (b"\x06", Value::Undefined),
        (b"\x07\x01\x02", Value::Reference(0x0102)),
        (
            b"\x08\x00\x00\x00\x01\x00\x01a\x01\x00\x00\x00\x09",
            Value::EcmaArray(Object::new().with("a", false)),
        ),
        (b"\x0a\x00\x00\x00\x02\x05\x06", vec![Value::Null, Value::Undefined].into()),
        (&[0x0b, 0x40, 0x45, 0, 0, 0, 0, 0, 0, 0xff, 0xc4], Value::Date { unix_ms: 42.0, zone: -60 }),
        (b"\x0d", Value::Unsupported),
        (b"\x0f\x00\x00\x00\x04<a/>", Value::XmlDocument("<a/>".into())),
        (
            b"\x10\x00\x01C\x00\x01a\x05\x00\x00\x09",
            Value::TypedObject { class: "C".into(), object: Object::new().with("a", Value::Null) },
        ),
    ];
    for (bytes, value) in cases {
        assert_eq!(decode_all(bytes).as_deref(), Ok(std::slice::from_ref(value)));
        assert_eq!(bytes_of(std::slice::from_ref(value)), *bytes);
    }
}

#[test]
fn strings_take_the_long_form_when_they_must() {
    let short = Value::from("x".repeat(0xffff));
    let long = Value::from("x".repeat(0x1_0000));
    assert_eq!(bytes_of(std::slice::from_ref(&short))[..3], [0x02, 0xff, 0xff]);
    assert_eq!(bytes_of(std::slice::from_ref(&long))[..5], [0x0c, 0, 1, 0, 0]);
    assert_eq!(decode_all(&bytes_of(&[short.clone(), long.clone()])), Ok(vec![short, long]));
}

#[test]
fn reserved_markers_and_amf3_are_named() {
    assert_eq!(decode_all(b"\x04"), Err(Error::Reserved(4)));
    assert_eq!(decode_all(b"\x0e"), Err(Error::Reserved(14)));
    assert_eq!(decode_all(b"\x09"), Err(Error::UnexpectedObjectEnd));
    assert_eq!(decode_all(b"\x11\x01"), Err(Error::Amf3));
    assert_eq!(decode_all(b"\x12"), Err(Error::UnknownMarker(0x12)));
    assert_eq!(Error::UnknownMarker(0x12).to_string(), "unknown AMF0 marker 0x12");
}

#[test]
fn a_metadata_array_without_its_end_is_taken_whole() {
    // A count of 9 for one property, and no end: both are seen in the wild.
    let bytes = b"\x08\x00\x00\x00\x09\x00\x05width\x00\x40\x45\x00\x00\x00\x00\x00\x00";
    let values = decode_all(bytes).unwrap();
    assert_eq!(values, [Value::EcmaArray(Object::new().with("width", 42))]);
    // The end of the input inside a property is still an error, and so is an object without its end.
    assert!(matches!(decode_all(&bytes[..10]), Err(Error::Truncated { .. })));
    assert!(matches!(decode_all(b"\x03\x00\x01a\x05"), Err(Error::Truncated { .. })));
}

#[test]
fn an_empty_name_is_a_property_like_any_other() {
    let object = Value::from(Object::new().with("", 1).with("b", 2));
    assert_eq!(decode_all(&bytes_of(std::slice::from_ref(&object))), Ok(vec![object]));
}

#[test]
fn text_in_a_local_code_page_does_not_lose_the_message() {
    let values = decode_all(b"\x02\x00\x03a\xc4\xe3\x05").unwrap();
    assert_eq!(values[0].as_str(), Some("a\u{fffd}\u{fffd}"));
    assert_eq!(values[1], Value::Null);
}

#[test]
fn a_name_that_has_no_form_is_cut_at_a_character() {
    let name = "é".repeat(0x8000);
    let bytes = bytes_of(&[Object::new().with(name, Value::Null).into()]);
    let values = decode_all(&bytes).unwrap();
    let (cut, value) = values[0].as_object().unwrap().iter().next().unwrap();
    assert_eq!((cut.len(), value), (0xfffe, &Value::Null));
}

#[test]
fn depth_is_limited_however_deep_the_bytes_go() {
    for (open, limit) in
        [(&b"\x03\x00\x00"[..], 16), (b"\x08\x00\x00\x00\x01\x00\x00", 16), (b"\x0a\x00\x00\x00\x01", 16)]
    {
        for depth in [10, 16, 17, 100, 10_000, 1_000_000] {
            let bytes: Vec<u8> = open.iter().copied().cycle().take(open.len() * depth).chain([5]).collect();
            let limits = Limits { total_bytes: usize::MAX, values: usize::MAX, ..Limits::default() };
            let too_deep = decode(&bytes, &limits) == Err(Error::TooDeep(limit));
            assert_eq!(too_deep, depth > limit, "{depth}");
        }
    }
    // The ceiling holds even where the configuration asks for more.
    let bytes = b"\x03\x00\x00".repeat(100_000);
    let limits = Limits { depth: usize::MAX, ..Limits::default() };
    assert_eq!(decode(&bytes, &limits), Err(Error::TooDeep(64)));
}

#[test]
fn counts_and_lengths_are_limited_before_anything_is_reserved() {
    assert_eq!(decode_all(&[5; 4_097]), Err(Error::TooManyValues(4_096)));
    assert_eq!(decode_all(&[5; 4_096]).map(|values| values.len()), Ok(4_096));
    assert_eq!(decode_all(b"\x0a\xff\xff\xff\xff\x05"), Err(Error::Truncated { wanted: 1, left: 0 }));
    assert_eq!(
        decode_all(b"\x0c\xff\xff\xff\xffx"),
        Err(Error::StringTooLong { bytes: 0xffff_ffff, limit: 1 << 18 })
    );
    let long = vec![5; (1 << 20) + 1];
    assert_eq!(decode_all(&long), Err(Error::InputTooLong { bytes: (1 << 20) + 1, limit: 1 << 20 }));
}

#[test]
fn a_decoder_stops_after_its_first_error() {
    let mut decoder = Decoder::new(b"\x05\x12\x05", &Limits::default());
    assert_eq!(decoder.next(), Some(Ok(Value::Null)));
    assert_eq!(decoder.rest(), b"\x12\x05");
    assert_eq!(decoder.next(), Some(Err(Error::UnknownMarker(0x12))));
    assert_eq!(decoder.next(), None);
}

#[test]
fn accessors_answer_only_for_their_kind() {
    assert_eq!(Value::from(1.5).as_u32(), None);
    assert_eq!(Value::from(-1).as_u32(), None);
    assert_eq!(Value::from(f64::NAN).as_u32(), None);
    assert_eq!(Value::from(7u32).as_u32(), Some(7));
    assert_eq!(Value::from(true).as_f64(), None);
    assert_eq!(Value::from(1).as_bool(), None);
    assert_eq!(Value::Null.as_str(), None);
    assert_eq!(Value::Null.as_array(), None);
    assert_eq!(Value::Null.property("a"), None);
    assert!(Value::Undefined.is_null() && Value::Null.is_null() && !Value::from(0).is_null());
}

#[test]
fn objects_are_edited_in_place() {
    let mut object: Object = [("a", 1), ("b", 2)].into_iter().collect();
    object.set("a", "one");
    object.set(String::from("c"), Value::Null);
    assert_eq!(object.get("a").and_then(Value::as_str), Some("one"));
    assert_eq!(object.len(), 3);
    assert!(object.remove("b") && !object.remove("b"));
    assert!(!object.is_empty() && Object::new().is_empty());
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        (-1e300..1e300).prop_map(Value::Number),
        any::<bool>().prop_map(Value::Boolean),
        ".{0,20}".prop_map(Value::String),
        Just(Value::Null),
        Just(Value::Undefined),
        any::<u16>().prop_map(Value::Reference),
        (-1e15..1e15, any::<i16>()).prop_map(|(unix_ms, zone)| Value::Date { unix_ms, zone }),
        Just(Value::Unsupported),
        ".{0,20}".prop_map(Value::XmlDocument),
    ];
    leaf.prop_recursive(8, 64, 6, |inner| {
        let object = prop::collection::vec((".{0,8}", inner.clone()), 0..6).prop_map(Object::from_iter);
        prop_oneof![
            object.clone().prop_map(Value::Object),
            object.clone().prop_map(Value::EcmaArray),
            prop::collection::vec(inner, 0..6).prop_map(Value::StrictArray),
            (".{0,8}", object).prop_map(|(class, object)| Value::TypedObject { class, object }),
        ]
    })
}

/// Bytes that are likelier than chance to be AMF0.
fn likely_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![4 => 0u8..0x12, 1 => any::<u8>()], 0..200)
}

proptest! {
    #[test]
    fn values_survive_the_wire(values in prop::collection::vec(value(), 0..4)) {
        prop_assert_eq!(decode_all(&bytes_of(&values)), Ok(values));
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop_oneof![likely_bytes(), prop::collection::vec(any::<u8>(), 0..200)]) {
        let _ = decode_all(&bytes);
    }

    #[test]
    fn what_was_read_is_written_so_that_it_reads_the_same(bytes in likely_bytes()) {
        if let Ok(values) = decode_all(&bytes) {
            let again = bytes_of(&values);
            // Compared as bytes, for a NaN differs from itself.
            prop_assert_eq!(bytes_of(&decode_all(&again).unwrap()), again);
        }
    }

    #[test]
    fn a_message_cut_short_is_an_error_or_a_shorter_message(values in prop::collection::vec(value(), 1..3), cut: prop::sample::Index) {
        let bytes = bytes_of(&values);
        let _ = decode_all(&bytes[..cut.index(bytes.len())]);
        let mut longer = bytes;
        longer.put_u8(marker::AVMPLUS);
        prop_assert_eq!(decode_all(&longer), Err(Error::Amf3));
    }
}
