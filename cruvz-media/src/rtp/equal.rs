//! Packets of one length. A send hands the kernel one buffer to cut into equal datagrams, of which only the last may be
//! shorter: a frame whose packets are not so costs every viewer further sends.

use super::Payload;

/// What a packet costs beside its payload, in bytes: headers and tag on the wire (56), and as much again for its handling.
const PACKET: usize = 120;
/// What another send costs.
const SEND: usize = 400;
/// The most that one packet can be padded by: a byte says how much (RFC 3550 §5.1).
pub(super) const MAX_PADDING: usize = 255;
/// Padding is at most this part of a frame: it uses what the viewer's way carries.
const PADDING_PART: usize = 10;
/// The last packet of a frame is padded as well, for sound to go behind it, up to this part.
const LAST_PART: usize = 16;
/// Frames of more units than this are not looked at closely.
const MAX_UNITS: usize = 8;

/// A unit of a frame, of which no packet carries another as well.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unit {
    /// What its pieces share.
    pub(super) body: usize,
    /// Bytes before the body where it goes whole.
    pub(super) whole_header: usize,
}

/// How long payloads of a frame of these units may best be, in bytes, so that they are equal and few. Units that do not fit
/// are cut into pieces, each of which has `header` bytes before it.
pub(super) fn payload_size(units: &[Unit], header: usize, limit: usize) -> usize {
    if units.len() > MAX_UNITS {
        return limit;
    }
    let sizes = units.iter().flat_map(|unit| {
        let fewest = unit.packets(limit, header);
        (fewest..fewest + 3).map(|packets| match packets {
            1 => unit.whole(),
            _ => unit.body.div_ceil(packets) + header,
        })
    });
    let fitting = sizes.filter(|size| (header + 1..=limit).contains(size));
    fitting.min_by_key(|size| cost(units, header, *size)).unwrap_or(limit)
}

impl Unit {
    const fn whole(self) -> usize {
        self.whole_header + self.body
    }

    /// How many payloads of `size` it needs.
    const fn packets(self, size: usize, header: usize) -> usize {
        if self.whole() <= size { 1 } else { self.body.div_ceil(size - header) }
    }
}

/// What the payloads of these units cost if they have `size`, or are padded to it as [`pad`] does.
fn cost(units: &[Unit], header: usize, size: usize) -> usize {
    let (mut packets, mut bytes, mut padding, mut sends, mut gap) = (0, 0, 0, 0, 0);
    for unit in units {
        // What the unit before lacks: what the last one lacks is no matter.
        (padding, gap) = (padding + gap, 0);
        let pieces = unit.packets(size, header);
        let length = if pieces == 1 { unit.whole() } else { unit.body + pieces * header };
        (packets, bytes) = (packets + pieces, bytes + length);
        match (pieces * size).saturating_sub(length) {
            lacking if lacking <= MAX_PADDING * pieces => gap = lacking,
            _ => sends += 1,
        }
    }
    let padding = if padding <= bytes / PADDING_PART { padding } else { SEND * (units.len() - 1) };
    bytes + packets * PACKET + padding + gap.min(bytes / LAST_PART) + sends * SEND
}

/// Pads the payloads of one frame to the length of the longest: all of them, or all but the last, or none, as it is worth it.
pub(super) fn pad(payloads: &mut [Payload]) {
    let longest = payloads.iter().map(|payload| payload.bytes.len()).max().unwrap_or(0);
    let total: usize = payloads.iter().map(|payload| payload.bytes.len()).sum();
    let gap = |payload: &Payload| longest - payload.bytes.len();
    let can = |payload: &Payload| gap(payload) <= MAX_PADDING;
    let Some((last, before)) = payloads.split_last() else { return };
    let missing: usize = before.iter().filter(|payload| can(payload)).map(gap).sum();
    let count = if can(last) && missing + gap(last) <= total / LAST_PART {
        before.len() + 1
    } else if missing <= total / PADDING_PART {
        before.len()
    } else {
        0
    };
    for payload in payloads[..count].iter_mut().filter(|payload| can(payload)) {
        payload.padding = gap(payload) as u8; // no more than MAX_PADDING
    }
}
