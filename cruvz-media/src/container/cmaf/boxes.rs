//! Writing of boxes: a length, a four-character code, and a body that may hold more boxes.

use bytes::BufMut;

/// Appends a box of `kind` whose body `body` writes; its length is filled in afterwards.
pub(in crate::container) fn put_box(out: &mut Vec<u8>, kind: &[u8; 4], body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.put_u32(0);
    out.put_slice(kind);
    body(out);
    // Nothing written here comes near 4 GiB: heads only, and configuration records of at most 64 KiB.
    let len = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&len.to_be_bytes());
}

/// Appends a full box: one with a version and 24 bits of flags before its body (ISO/IEC 14496-12 §4.2.2).
pub(in crate::container) fn put_full_box(
    out: &mut Vec<u8>,
    kind: &[u8; 4],
    version: u8,
    flags: u32,
    body: impl FnOnce(&mut Vec<u8>),
) {
    put_box(out, kind, |out| {
        out.put_u32(u32::from(version) << 24 | flags);
        body(out);
    });
}
