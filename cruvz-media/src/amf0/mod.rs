//! AMF0, the value notation of RTMP commands and FLV script tags (Action Message Format 0, Adobe 2007).
//!
//! Bytes come from an RTMP message or a script tag's body; [`decode`] and [`Decoder`] turn them into [`Value`]s,
//! [`encode`] turns values into bytes. Objects keep the order of their properties and every property, known or not.
//!
//! Decoding takes [`Limits`]: depth, number of values and bytes are bounded whatever a peer declares, and no memory
//! is reserved for more than the bytes that are there. Nothing in here can panic on bytes from outside.
//!
//! Declared deviations: references ([`Value::Reference`]) are kept, not followed, for following them lets a small
//! message grow without bound; the switch to AMF3 (`avmplus`) is an error, for we answer `objectEncoding` 0.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub use decode::{Decoder, Error, Limits, decode};
pub use encode::encode;

/// The type markers of AMF0 §2.1.
mod marker {
    pub(super) const NUMBER: u8 = 0x00;
    pub(super) const BOOLEAN: u8 = 0x01;
    pub(super) const STRING: u8 = 0x02;
    pub(super) const OBJECT: u8 = 0x03;
    pub(super) const MOVIE_CLIP: u8 = 0x04;
    pub(super) const NULL: u8 = 0x05;
    pub(super) const UNDEFINED: u8 = 0x06;
    pub(super) const REFERENCE: u8 = 0x07;
    pub(super) const ECMA_ARRAY: u8 = 0x08;
    pub(super) const OBJECT_END: u8 = 0x09;
    pub(super) const STRICT_ARRAY: u8 = 0x0a;
    pub(super) const DATE: u8 = 0x0b;
    pub(super) const LONG_STRING: u8 = 0x0c;
    pub(super) const UNSUPPORTED: u8 = 0x0d;
    pub(super) const RECORD_SET: u8 = 0x0e;
    pub(super) const XML_DOCUMENT: u8 = 0x0f;
    pub(super) const TYPED_OBJECT: u8 = 0x10;
    pub(super) const AVMPLUS: u8 = 0x11;
}

/// One AMF0 value.
///
/// Text that is not UTF-8 is read with U+FFFD in place of what is wrong: some encoders send their local code page.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A double; AMF0 has no integer.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// Text, short or long: [`encode`] takes the long form (marker 0x0c) from 65,536 bytes on.
    String(String),
    /// An anonymous object.
    Object(Object),
    /// Nothing.
    Null,
    /// Nothing, as ECMAScript distinguishes it.
    Undefined,
    /// The complex value of this index in the same message, counted from 0 in order of appearance. Not followed.
    Reference(u16),
    /// An associative array; `onMetaData` comes as one. The count on the wire is a hint that is not kept.
    EcmaArray(Object),
    /// A dense array.
    StrictArray(Vec<Self>),
    /// A moment.
    Date {
        /// Milliseconds since 1970-01-01T00:00Z.
        unix_ms: f64,
        /// Reserved by the specification, which asks for 0; minutes from UTC in some encoders.
        zone: i16,
    },
    /// A value that its sender could not write.
    Unsupported,
    /// An XML document, as text.
    XmlDocument(String),
    /// An object of a registered class.
    TypedObject {
        /// The name of the class.
        class: String,
        /// Its properties.
        object: Object,
    },
}

impl Value {
    /// The text of a string or XML document.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) | Self::XmlDocument(text) => Some(text),
            _ => None,
        }
    }

    /// The number.
    pub const fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The number where it is a whole one that fits, as transaction and stream ids are.
    pub fn as_u32(&self) -> Option<u32> {
        let number = self.as_f64()?;
        // The cast saturates and takes NaN to 0, so that only exact values come back equal.
        let whole = number as u32;
        (f64::from(whole) == number).then_some(whole)
    }

    /// The truth value.
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Boolean(value) => Some(*value),
            _ => None,
        }
    }

    /// The properties of an object, an associative array or a typed object.
    pub const fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) | Self::EcmaArray(object) | Self::TypedObject { object, .. } => Some(object),
            _ => None,
        }
    }

    /// The elements of a strict array.
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::StrictArray(values) => Some(values),
            _ => None,
        }
    }

    /// Whether it is null or undefined.
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null | Self::Undefined)
    }

    /// The property `name`, where this is an object that has it.
    pub fn property(&self, name: &str) -> Option<&Self> {
        self.as_object()?.get(name)
    }
}

/// An object's properties in the order they were written. A name may occur twice; the first one is found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object(Vec<(String, Value)>);

impl Object {
    /// An object without properties.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The first property `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Sets the first property `name` to `value`, or adds it at the end.
    pub fn set(&mut self, name: impl Into<String> + AsRef<str>, value: impl Into<Value>) {
        match self.0.iter_mut().find(|(key, _)| key == name.as_ref()) {
            Some((_, old)) => *old = value.into(),
            None => self.0.push((name.into(), value.into())),
        }
    }

    /// This object with `name` set to `value`, for building one in an expression.
    #[must_use]
    pub fn with(mut self, name: impl Into<String> + AsRef<str>, value: impl Into<Value>) -> Self {
        self.set(name, value);
        self
    }

    /// Adds a property at the end, whether or not one of that name is there.
    pub(crate) fn push(&mut self, name: String, value: Value) {
        self.0.push((name, value));
    }

    /// Removes every property `name`; whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|(key, _)| key != name);
        self.0.len() < before
    }

    /// The properties in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// How many properties there are.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Into<String>, V: Into<Value>> FromIterator<(K, V)> for Object {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(properties: I) -> Self {
        Self(properties.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self::Number(number.into())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}

impl From<Vec<Self>> for Value {
    fn from(values: Vec<Self>) -> Self {
        Self::StrictArray(values)
    }
}
