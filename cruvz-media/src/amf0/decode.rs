//! Bytes to values, within limits.

use super::{Object, Value, marker};

/// Nesting that is never exceeded, whatever [`Limits::depth`] says: each level costs stack.
const DEPTH_CEILING: usize = 64;

/// What a peer may make [`decode`] do. The defaults suit a command or metadata message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many objects and arrays may be inside each other, at most 64. Default 16; real commands need 3.
    pub depth: usize,
    /// How many values there may be in all, nested ones counted. Default 4,096. Each costs up to about 100 bytes.
    pub values: usize,
    /// How long one string or name may be, in bytes. Default 262,144.
    pub string_bytes: usize,
    /// How long the input may be, in bytes. Default 1,048,576.
    pub total_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 16, values: 4_096, string_bytes: 1 << 18, total_bytes: 1 << 20 }
    }
}

/// Why bytes are not AMF0 that we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes end inside a value.
    #[error("AMF0 input ends inside a value: {wanted} bytes wanted, {left} left")]
    Truncated {
        /// Bytes that the value needs next.
        wanted: usize,
        /// Bytes that are there.
        left: usize,
    },
    /// Objects and arrays are nested deeper than [`Limits::depth`].
    #[error("AMF0 nested deeper than {0}")]
    TooDeep(usize),
    /// There are more values than [`Limits::values`].
    #[error("more than {0} AMF0 values")]
    TooManyValues(usize),
    /// A string is longer than [`Limits::string_bytes`].
    #[error("AMF0 string of {bytes} bytes, limit {limit}")]
    StringTooLong {
        /// Its declared length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The input is longer than [`Limits::total_bytes`].
    #[error("AMF0 input of {bytes} bytes, limit {limit}")]
    InputTooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// An object-end marker where a value belongs.
    #[error("AMF0 object end outside an object")]
    UnexpectedObjectEnd,
    /// A marker that the specification reserves without a form: movie clip (0x04) or record set (0x0e).
    #[error("AMF0 marker {0:#04x} is reserved")]
    Reserved(u8),
    /// The switch to AMF3 (0x11), which we do not speak.
    #[error("AMF3 inside AMF0 is not supported")]
    Amf3,
    /// A marker that the specification does not know.
    #[error("unknown AMF0 marker {0:#04x}")]
    UnknownMarker(u8),
}

/// All values of `bytes`, which must hold whole values and nothing else.
///
/// # Errors
/// The first thing that is wrong or over a limit; see [`Error`].
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Vec<Value>, Error> {
    Decoder::new(bytes, limits).collect()
}

/// The consecutive values of a message, one at a time. After an error there are no more.
///
/// ```
/// use cruvz_media::amf0::{Decoder, Limits, Value};
/// let mut values = Decoder::new(b"\x02\x00\x04play\x05", &Limits::default());
/// assert_eq!(values.next(), Some(Ok(Value::from("play"))));
/// assert_eq!(values.rest(), b"\x05");
/// ```
#[derive(Debug)]
pub struct Decoder<'a> {
    rest: &'a [u8],
    limits: Limits,
    values_left: usize,
    done: bool,
}

impl<'a> Decoder<'a> {
    /// A decoder of `bytes`.
    pub fn new(bytes: &'a [u8], limits: &Limits) -> Self {
        let depth = limits.depth.min(DEPTH_CEILING);
        Self { rest: bytes, limits: Limits { depth, ..*limits }, values_left: limits.values, done: false }
    }

    /// The bytes after the last value that was read.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn take(&mut self, wanted: usize) -> Result<&'a [u8], Error> {
        let left = self.rest.len();
        let (taken, rest) = self.rest.split_at_checked(wanted).ok_or(Error::Truncated { wanted, left })?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let left = self.rest.len();
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Error::Truncated { wanted: N, left })?;
        self.rest = rest;
        Ok(*taken)
    }

    fn number(&mut self) -> Result<f64, Error> {
        self.array().map(f64::from_be_bytes)
    }

    fn short_text(&mut self) -> Result<String, Error> {
        let bytes = u16::from_be_bytes(self.array()?);
        self.text(bytes.into())
    }

    fn long_text(&mut self) -> Result<String, Error> {
        let bytes = u32::from_be_bytes(self.array()?);
        self.text(usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    fn text(&mut self, bytes: usize) -> Result<String, Error> {
        let limit = self.limits.string_bytes;
        if bytes > limit {
            return Err(Error::StringTooLong { bytes, limit });
        }
        self.take(bytes).map(|text| String::from_utf8_lossy(text).into_owned())
    }

    /// One value, `depth` objects or arrays deep.
    fn value(&mut self, depth: usize) -> Result<Value, Error> {
        self.values_left = self.values_left.checked_sub(1).ok_or(Error::TooManyValues(self.limits.values))?;
        let [marker] = self.array()?;
        Ok(match marker {
            marker::NUMBER => Value::Number(self.number()?),
            marker::BOOLEAN => Value::Boolean(self.array()? != [0]),
            marker::STRING => Value::String(self.short_text()?),
            marker::OBJECT => Value::Object(self.object(depth, false)?),
            marker::NULL => Value::Null,
            marker::UNDEFINED => Value::Undefined,
            marker::REFERENCE => Value::Reference(u16::from_be_bytes(self.array()?)),
            marker::ECMA_ARRAY => {
                let _count: [u8; 4] = self.array()?;
                Value::EcmaArray(self.object(depth, true)?)
            }
            marker::OBJECT_END => return Err(Error::UnexpectedObjectEnd),
            marker::STRICT_ARRAY => Value::StrictArray(self.strict_array(depth)?),
            marker::DATE => Value::Date { unix_ms: self.number()?, zone: i16::from_be_bytes(self.array()?) },
            marker::LONG_STRING => Value::String(self.long_text()?),
            marker::UNSUPPORTED => Value::Unsupported,
            marker::XML_DOCUMENT => Value::XmlDocument(self.long_text()?),
            marker::TYPED_OBJECT => {
                Value::TypedObject { class: self.short_text()?, object: self.object(depth, false)? }
            }
            marker::AVMPLUS => return Err(Error::Amf3),
            marker::MOVIE_CLIP | marker::RECORD_SET => return Err(Error::Reserved(marker)),
            unknown => return Err(Error::UnknownMarker(unknown)),
        })
    }

    fn deeper(&self, depth: usize) -> Result<usize, Error> {
        if depth >= self.limits.depth { Err(Error::TooDeep(self.limits.depth)) } else { Ok(depth + 1) }
    }

    /// Properties up to the object end. `open_ended`: the input's end is taken for the missing end, as several
    /// encoders end the associative array of `onMetaData` with the tag.
    fn object(&mut self, depth: usize, open_ended: bool) -> Result<Object, Error> {
        let depth = self.deeper(depth)?;
        let mut object = Object::new();
        loop {
            if let [0, 0, marker::OBJECT_END, rest @ ..] = self.rest {
                self.rest = rest;
                return Ok(object);
            }
            if open_ended && self.rest.is_empty() {
                return Ok(object);
            }
            let name = self.short_text()?;
            object.push(name, self.value(depth)?);
        }
    }

    /// As many values as declared. The count alone reserves nothing.
    fn strict_array(&mut self, depth: usize) -> Result<Vec<Value>, Error> {
        let depth = self.deeper(depth)?;
        let count = u32::from_be_bytes(self.array()?);
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(self.value(depth)?);
        }
        Ok(values)
    }
}

impl Iterator for Decoder<'_> {
    type Item = Result<Value, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done || self.rest.is_empty() {
            return None;
        }
        let (bytes, limit) = (self.rest.len(), self.limits.total_bytes);
        let value = if bytes > limit { Err(Error::InputTooLong { bytes, limit }) } else { self.value(0) };
        self.done = value.is_err();
        Some(value)
    }
}
