//! Supplemental enhancement information: user_data_unregistered (payload type 5), the place where anyone may put
//! bytes of their own beside a picture (ISO/IEC 14496-10 §D.1.7, ISO/IEC 23008-2 §D.2.7: the same in both).

use bytes::Bytes;

use super::nal::{escape, unescape};

/// `payloadType` of user_data_unregistered.
const USER_DATA_UNREGISTERED: usize = 5;

/// The unregistered user data in one SEI unit, whose header is taken off. What breaks off is left out.
pub(super) fn user_data_unregistered(body: &[u8]) -> Vec<([u8; 16], Bytes)> {
    let rbsp = unescape(body);
    let mut rest = &rbsp[..];
    let mut found = Vec::new();
    while let Some((kind, message, after)) = split_message(rest) {
        if let (USER_DATA_UNREGISTERED, Some((uuid, bytes))) = (kind, message.split_first_chunk()) {
            found.push((*uuid, Bytes::copy_from_slice(bytes)));
        }
        rest = after;
    }
    found
}

/// Type, content, and what follows the message at the front of `rbsp`; `None` at the trailing bits or the end.
fn split_message(rbsp: &[u8]) -> Option<(usize, &[u8], &[u8])> {
    let (kind, rest) = split_number(rbsp)?;
    let (size, rest) = split_number(rest)?;
    let (message, rest) = rest.split_at_checked(size)?;
    Some((kind, message, rest))
}

/// A number written as bytes 0xFF and a last, smaller one, all added up.
fn split_number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let full = bytes.iter().take_while(|byte| **byte == 0xFF).count();
    let last = bytes.get(full)?;
    Some((255 * full + usize::from(*last), &bytes[full + 1..]))
}

/// An SEI unit of `header` that carries `data` under `uuid`.
pub(super) fn user_data_unregistered_nal(header: &[u8], uuid: [u8; 16], data: &[u8]) -> Bytes {
    let mut rbsp = header.to_vec();
    put_number(&mut rbsp, USER_DATA_UNREGISTERED);
    put_number(&mut rbsp, uuid.len() + data.len());
    rbsp.extend_from_slice(&uuid);
    rbsp.extend_from_slice(data);
    rbsp.push(0x80); // rbsp_trailing_bits
    escape(&rbsp).into()
}

fn put_number(rbsp: &mut Vec<u8>, number: usize) {
    rbsp.extend(std::iter::repeat_n(0xFF, number / 255));
    rbsp.push((number % 255) as u8);
}
