//! As much of WebSocket (RFC 6455) as a stream of binary messages needs: server frames out, and what a client sends back.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};

const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PONG: u8 = 0x8a;
/// The longest payload of a control frame (§5.5), and all that a client's data is kept of.
const CONTROL_BYTES: usize = 125;
/// "Going away" (§7.4.1): what a viewer is told at the end of a stream.
const GOING_AWAY: u16 = 1001;

/// Appends the header of a binary message of `bytes` bytes (§5.2).
pub(crate) fn put_binary_header(bytes: usize, out: &mut BytesMut) {
    out.put_u8(BINARY);
    match bytes {
        0..=125 => out.put_u8(bytes as u8),
        126..=0xffff => {
            out.put_u8(126);
            out.put_u16(bytes as u16);
        }
        _ => {
            out.put_u8(127);
            out.put_u64(bytes as u64);
        }
    }
}

/// A binary message.
pub(crate) fn binary_message(content: &[u8]) -> Bytes {
    let mut message = BytesMut::with_capacity(content.len() + 10);
    put_binary_header(content.len(), &mut message);
    message.put_slice(content);
    message.freeze()
}

/// The frame that ends a connection, with `reason` cut to what fits.
pub(crate) fn close_frame(reason: &str) -> Bytes {
    let mut cut = reason.len().min(CONTROL_BYTES - 2);
    while !reason.is_char_boundary(cut) {
        cut -= 1;
    }
    let mut out = BytesMut::with_capacity(4 + cut);
    out.put_u8(CLOSE);
    out.put_u8(cut as u8 + 2);
    out.put_u16(GOING_AWAY);
    out.put_slice(&reason.as_bytes()[..cut]);
    out.freeze()
}

/// Reads what a client sends: pings are answered, data is passed over, a close ends it.
#[derive(Debug, Default)]
pub(crate) struct ClientFrames {
    /// The frame's first bytes: 2, a length of up to 8, a mask of 4.
    header: Vec<u8>,
    payload: Vec<u8>,
    /// Payload bytes of the frame still to come, once its header is complete.
    left: Option<u64>,
}

impl ClientFrames {
    /// Takes bytes off the wire; answers go into `out`.
    ///
    /// # Errors
    /// Why the connection is over.
    pub(crate) fn receive(&mut self, mut bytes: &[u8], out: &mut VecDeque<Bytes>) -> Result<(), String> {
        loop {
            let left = match self.left {
                Some(left) => left,
                None => {
                    let Some(left) = self.read_header(&mut bytes)? else { return Ok(()) };
                    self.left = Some(left);
                    left
                }
            };
            let now = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            if self.is_control() {
                self.payload.extend_from_slice(&bytes[..now]);
            }
            bytes = &bytes[now..];
            self.left = Some(left - now as u64);
            if left > now as u64 {
                return Ok(());
            }
            self.finish(out)?;
        }
    }

    fn is_control(&self) -> bool {
        self.header.first().is_some_and(|first| first & 8 != 0)
    }

    /// The payload's length once the header is whole.
    fn read_header(&mut self, bytes: &mut &[u8]) -> Result<Option<u64>, String> {
        loop {
            if let [_, second, rest @ ..] = &self.header[..] {
                let extended = match second & 0x7f {
                    126 => 2,
                    127 => 8,
                    _ => 0,
                };
                if second & 0x80 == 0 {
                    return Err("client frame without a mask (RFC 6455 §5.1)".to_owned());
                }
                if self.is_control() && extended > 0 {
                    return Err("control frame of more than 125 bytes (RFC 6455 §5.5)".to_owned());
                }
                if rest.len() == extended + 4 {
                    let long =
                        rest[..extended].iter().fold(0u64, |length, byte| length << 8 | u64::from(*byte));
                    return Ok(Some(if extended > 0 { long } else { u64::from(second & 0x7f) }));
                }
            }
            let Some((byte, rest)) = bytes.split_first() else { return Ok(None) };
            self.header.push(*byte);
            *bytes = rest;
        }
    }

    fn finish(&mut self, out: &mut VecDeque<Bytes>) -> Result<(), String> {
        let mask = &self.header[self.header.len() - 4..];
        for (byte, mask) in self.payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= mask;
        }
        let opcode = self.header[0] & 0x0f;
        if opcode == 8 {
            return Err("viewer left".to_owned());
        }
        if opcode == 9 {
            let mut pong = vec![PONG, self.payload.len() as u8];
            pong.extend_from_slice(&self.payload);
            // One answer is enough for pings that come faster than they can be answered (§5.5.3).
            if out.len() < 8 {
                out.push_back(pong.into());
            }
        }
        *self = Self::default();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x80 | opcode, 0x80 | payload.len() as u8, 1, 2, 3, 4];
        frame.extend(payload.iter().zip([1, 2, 3, 4].iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    #[test]
    fn a_ping_is_answered_however_it_is_split() {
        let bytes = [masked(2, b"data"), masked(9, b"hello")].concat();
        for cut in 0..bytes.len() {
            let (mut frames, mut out) = (ClientFrames::default(), VecDeque::new());
            frames.receive(&bytes[..cut], &mut out).unwrap();
            frames.receive(&bytes[cut..], &mut out).unwrap();
            assert_eq!(out, [Bytes::from_static(b"\x8a\x05hello")]);
        }
    }

    #[test]
    fn a_close_ends_it_and_an_unmasked_frame_is_an_error() {
        let mut out = VecDeque::new();
        assert!(ClientFrames::default().receive(&masked(8, b""), &mut out).is_err());
        assert!(ClientFrames::default().receive(&[0x82, 0x01, 0xff], &mut out).is_err());
    }

    #[test]
    fn a_reason_is_cut_at_a_character() {
        let frame = close_frame(&"ä".repeat(100));
        assert!(frame.len() <= 127);
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic_and_hold_little(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20)) {
            let (mut frames, mut out) = (ClientFrames::default(), VecDeque::new());
            for chunk in chunks {
                if frames.receive(&chunk, &mut out).is_err() {
                    break;
                }
                prop_assert!(frames.payload.len() <= CONTROL_BYTES && frames.header.len() <= 14);
            }
        }
    }
}
