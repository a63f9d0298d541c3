//! The box structure (ISO/IEC 14496-12 §4.2): a size, a four-character code, a body.

use std::fmt;

use bytes::{Buf, Bytes};

use super::Error;

/// The four-character code that names a box.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FourCc(pub [u8; 4]);

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

impl fmt::Debug for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What stands before a box's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) name: FourCc,
    /// Bytes of the header itself: 8 or 16.
    pub(crate) header_bytes: u64,
    /// Bytes of the body.
    pub(crate) body_bytes: u64,
}

/// The longest a header can be.
pub(crate) const MAX_HEADER_BYTES: usize = 16;

impl Header {
    /// The header at the front of `data`, of a box that may not reach beyond `available` bytes from its start.
    pub(crate) fn parse(mut data: &[u8], available: u64) -> Result<Self, Error> {
        let size = data.try_get_u32()?;
        let mut name = FourCc([0; 4]);
        data.try_copy_to_slice(&mut name.0)?;
        let (header_bytes, total) = match size {
            0 => (8, available),
            1 => (16, data.try_get_u64()?),
            size => (8, size.into()),
        };
        match total.checked_sub(header_bytes) {
            Some(body_bytes) if total <= available => Ok(Self { name, header_bytes, body_bytes }),
            _ => Err(Error::BoxSize { name, bytes: total }),
        }
    }
}

/// The boxes that lie one after another in `data`. Fewer than 8 bytes at the end are padding.
pub(crate) fn children(mut data: Bytes) -> impl Iterator<Item = Result<(FourCc, Bytes), Error>> {
    std::iter::from_fn(move || {
        if data.len() < 8 {
            return None;
        }
        let child = Header::parse(&data, data.len() as u64).and_then(|header| {
            take(&mut data, header.header_bytes)?;
            Ok((header.name, take(&mut data, header.body_bytes)?))
        });
        if child.is_err() {
            data.clear();
        }
        Some(child)
    })
}

/// The first box called `name` in `data`.
pub(crate) fn find(data: &Bytes, name: &[u8; 4]) -> Result<Option<Bytes>, Error> {
    for child in children(data.clone()) {
        let (found, body) = child?;
        if found.0 == *name {
            return Ok(Some(body));
        }
    }
    Ok(None)
}

/// [`find`], where the box must be there; `what` names it in the error.
pub(crate) fn require(data: &Bytes, name: &[u8; 4], what: &'static str) -> Result<Bytes, Error> {
    find(data, name)?.ok_or(Error::Missing(what))
}

/// Cuts the first `count` bytes off `data`.
pub(crate) fn take(data: &mut Bytes, count: u64) -> Result<Bytes, Error> {
    match usize::try_from(count) {
        Ok(count) if count <= data.len() => Ok(data.split_to(count)),
        _ => Err(Error::Truncated { requested: count, available: data.len() as u64 }),
    }
}

/// The version and flags that open a full box (§4.2).
pub(crate) fn version_and_flags(data: &mut Bytes) -> Result<(u8, u32), Error> {
    let word = data.try_get_u32()?;
    Ok(((word >> 24) as u8, word & 0x00ff_ffff))
}

/// A field of 32 bits in version 0 of a box, of 64 in version 1.
pub(crate) fn sized(data: &mut Bytes, version: u8) -> Result<u64, Error> {
    Ok(if version == 0 { data.try_get_u32()?.into() } else { data.try_get_u64()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_of_zero_reaches_to_the_end_and_one_has_64_bits() {
        let header = Header::parse(b"\0\0\0\0mdat....", 500).unwrap();
        assert_eq!((header.header_bytes, header.body_bytes), (8, 492));
        let header = Header::parse(b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x20", 500).unwrap();
        assert_eq!((header.header_bytes, header.body_bytes), (16, 16));
    }

    #[test]
    fn impossible_sizes_are_named() {
        for size in [b"\0\0\0\x07fr\0e", b"\0\0\x01\0fr\0e"] {
            let error = Header::parse(size, 100).unwrap_err().to_string();
            assert!(error.starts_with("box fr\\x00e with an impossible size"), "{error}");
        }
        assert!(Header::parse(b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x0f", 100).is_err());
        assert!(Header::parse(b"\0\0\0", 100).is_err());
    }

    #[test]
    fn children_stop_at_the_first_broken_one() {
        let data = Bytes::from_static(b"\0\0\0\x08free\0\0\0\x09skip!\xff\xff\xff\xfffree\0\0\0\x08free");
        let names: Vec<_> =
            children(data).map(|child| child.ok().map(|(name, body)| (name, body.len()))).collect();
        assert_eq!(names, [Some((FourCc(*b"free"), 0)), Some((FourCc(*b"skip"), 1)), None]);
    }
}
