//! Values to bytes.

use bytes::{BufMut, BytesMut};

use super::{Object, Value, marker};

/// Appends `values` to `out`, one after the other.
pub fn encode<'a>(values: impl IntoIterator<Item = &'a Value>, out: &mut BytesMut) {
    for value in values {
        value.encode(out);
    }
}

impl Value {
    /// Appends this value to `out`.
    ///
    /// A property or class name of more than 65,535 bytes, for which AMF0 has no form, is cut at a character.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Number(number) => {
                out.put_u8(marker::NUMBER);
                out.put_f64(*number);
            }
            Self::Boolean(value) => out.put_slice(&[marker::BOOLEAN, u8::from(*value)]),
            Self::String(text) => put_string(text, out),
            Self::Object(object) => {
                out.put_u8(marker::OBJECT);
                put_properties(object, out);
            }
            Self::Null => out.put_u8(marker::NULL),
            Self::Undefined => out.put_u8(marker::UNDEFINED),
            Self::Reference(index) => {
                out.put_u8(marker::REFERENCE);
                out.put_u16(*index);
            }
            Self::EcmaArray(object) => {
                out.put_u8(marker::ECMA_ARRAY);
                put_u32_len(object.len(), out);
                put_properties(object, out);
            }
            Self::StrictArray(values) => {
                out.put_u8(marker::STRICT_ARRAY);
                put_u32_len(values.len(), out);
                encode(values, out);
            }
            Self::Date { unix_ms, zone } => {
                out.put_u8(marker::DATE);
                out.put_f64(*unix_ms);
                out.put_i16(*zone);
            }
            Self::Unsupported => out.put_u8(marker::UNSUPPORTED),
            Self::XmlDocument(text) => put_long(marker::XML_DOCUMENT, text, out),
            Self::TypedObject { class, object } => {
                out.put_u8(marker::TYPED_OBJECT);
                put_name(class, out);
                put_properties(object, out);
            }
        }
    }
}

fn put_string(text: &str, out: &mut BytesMut) {
    if text.len() > usize::from(u16::MAX) {
        return put_long(marker::LONG_STRING, text, out);
    }
    out.put_u8(marker::STRING);
    put_name(text, out);
}

fn put_long(marker: u8, text: &str, out: &mut BytesMut) {
    out.put_u8(marker);
    put_u32_len(text.len(), out);
    out.put_slice(text.as_bytes());
}

/// A name: text behind its length in 16 bits, without a marker.
fn put_name(name: &str, out: &mut BytesMut) {
    let name = &name[..name.floor_char_boundary(usize::from(u16::MAX))];
    out.put_u16(u16::try_from(name.len()).unwrap_or(u16::MAX));
    out.put_slice(name.as_bytes());
}

fn put_properties(object: &Object, out: &mut BytesMut) {
    for (name, value) in object.iter() {
        put_name(name, out);
        value.encode(out);
    }
    out.put_slice(&[0, 0, marker::OBJECT_END]);
}

fn put_u32_len(len: usize, out: &mut BytesMut) {
    out.put_u32(u32::try_from(len).unwrap_or(u32::MAX));
}
