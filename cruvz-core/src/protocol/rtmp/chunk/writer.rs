//! Messages to chunks.

use bytes::{BufMut, BytesMut};

use super::{EXTENDED, MAX_MESSAGE_BYTES, MessageHeader};
use crate::protocol::rtmp::Error;

/// The basic header's three forms reach this far (§5.3.1.1).
const CSIDS: std::ops::RangeInclusive<u32> = 2..=65_599;

/// Appends one message to `out`: a type 0 chunk and as many type 3 chunks as it needs.
///
/// The payload is `parts` one after the other. Nothing depends on earlier messages, so the bytes may be made once
/// and sent to every peer that was told `chunk_size`, at any message boundary. The price is at most 8 bytes per
/// message against the shortest header. A timestamp of 0xFFFFFF or more stands in every chunk, as §5.3.1.3 asks.
///
/// # Errors
/// [`Error::MessageTooLong`] beyond 16 MiB - 1, [`Error::ChunkStreamId`] outside 2..=65,599 and
/// [`Error::ChunkSize`] for 0; `out` is then as before.
pub fn write_message(
    out: &mut BytesMut,
    header: &MessageHeader,
    parts: &[&[u8]],
    chunk_size: u32,
) -> Result<(), Error> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    if length > MAX_MESSAGE_BYTES {
        return Err(Error::MessageTooLong { bytes: length, limit: MAX_MESSAGE_BYTES });
    }
    if !CSIDS.contains(&header.csid) {
        return Err(Error::ChunkStreamId(header.csid));
    }
    if chunk_size == 0 {
        return Err(Error::ChunkSize(chunk_size));
    }
    out.reserve(encoded_len(header, length, chunk_size));
    put_first_header(out, header, length);
    let mut room = chunk_size as usize;
    for part in parts {
        let mut rest = *part;
        while !rest.is_empty() {
            if room == 0 {
                put_next_header(out, header);
                room = chunk_size as usize;
            }
            let (now, later) = rest.split_at(room.min(rest.len()));
            out.extend_from_slice(now);
            room -= now.len();
            rest = later;
        }
    }
    Ok(())
}

/// How many bytes [`write_message`] appends for a payload of `length` bytes.
pub const fn encoded_len(header: &MessageHeader, length: usize, chunk_size: u32) -> usize {
    let basic = match header.csid {
        0..64 => 1,
        64..320 => 2,
        _ => 3,
    };
    let extended = if header.timestamp_ms >= EXTENDED { 4 } else { 0 };
    let chunk_size = if chunk_size == 0 { 1 } else { chunk_size as usize };
    let more_chunks = length.div_ceil(chunk_size).saturating_sub(1);
    basic + 11 + extended + length + more_chunks * (basic + extended)
}

fn put_first_header(out: &mut BytesMut, header: &MessageHeader, length: usize) {
    put_basic_header(out, 0, header.csid);
    out.put_uint(header.timestamp_ms.min(EXTENDED).into(), 3);
    out.put_uint(length as u64, 3);
    out.put_u8(header.kind);
    out.put_u32_le(header.stream_id);
    put_extended_timestamp(out, header);
}

fn put_next_header(out: &mut BytesMut, header: &MessageHeader) {
    put_basic_header(out, 3, header.csid);
    put_extended_timestamp(out, header);
}

fn put_extended_timestamp(out: &mut BytesMut, header: &MessageHeader) {
    if header.timestamp_ms >= EXTENDED {
        out.put_u32(header.timestamp_ms);
    }
}

/// Format in the top two bits, then the chunk stream id: itself, or 0 and one byte, or 1 and two bytes, low first.
fn put_basic_header(out: &mut BytesMut, format: u8, csid: u32) {
    let beyond = csid.saturating_sub(64).to_le_bytes();
    match csid {
        0..64 => out.put_u8(format << 6 | csid as u8),
        64..320 => out.put_slice(&[format << 6, beyond[0]]),
        _ => out.put_slice(&[format << 6 | 1, beyond[0], beyond[1]]),
    }
}
