//! Transport packets, written (ISO/IEC 13818-1 §2.4.3.2).

use bytes::{BufMut, BytesMut};

use super::{PACKET_BYTES, packet::SYNC_BYTE};

/// Bytes behind the header of a packet.
const BODY_BYTES: usize = PACKET_BYTES - 4;

/// The last continuity counter of each stream. The first packet of a stream has 0.
#[derive(Clone, Debug, Default)]
pub(super) struct Continuity(Vec<(u16, u8)>);

impl Continuity {
    /// The counter of the packet before the next.
    pub(super) fn last(&self, pid: u16) -> u8 {
        self.0.iter().find(|(known, _)| *known == pid).map_or(15, |(_, counter)| *counter)
    }

    pub(super) fn set(&mut self, pid: u16, last: u8) {
        match self.0.iter_mut().find(|(known, _)| *known == pid) {
            Some((_, counter)) => *counter = last & 0x0F,
            None => self.0.push((pid, last & 0x0F)),
        }
    }

    fn next(&mut self, pid: u16) -> u8 {
        let next = self.last(pid).wrapping_add(1) & 0x0F;
        self.set(pid, next);
        next
    }
}

/// What an adaptation field says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Adaptation {
    pub(super) discontinuity: bool,
    pub(super) random_access: bool,
    /// A program clock reference, in ticks of 90 kHz.
    pub(super) clock: Option<i64>,
}

impl Adaptation {
    pub(super) const fn clock(ticks: i64) -> Self {
        Self { discontinuity: false, random_access: false, clock: Some(ticks) }
    }

    pub(super) const fn discontinuity() -> Self {
        Self { discontinuity: true, random_access: false, clock: None }
    }

    /// Bytes it takes; 0 where it says nothing.
    fn len(self) -> usize {
        match self.clock {
            Some(_) => 2 + 6,
            None if self.discontinuity || self.random_access => 2,
            None => 0,
        }
    }

    /// Writes it, filled up to `len` bytes.
    fn put(self, len: usize, out: &mut BytesMut) {
        let end = out.len() + len;
        out.put_u8((len - 1) as u8);
        if len > 1 {
            let flag = |is_set, bit| if is_set { bit } else { 0 };
            out.put_u8(
                flag(self.discontinuity, 0x80)
                    | flag(self.random_access, 0x40)
                    | flag(self.clock.is_some(), 0x10),
            );
        }
        if let Some(ticks) = self.clock {
            // 33 bits, 6 reserved ones, and 9 bits of 27 MHz, which are 0.
            let base = ticks.rem_euclid(1 << 33) as u64;
            out.put_uint(base << 15 | 0x3F << 9, 6);
        }
        out.put_bytes(0xFF, end - out.len());
    }
}

/// Writes `payload`, a PES packet, into packets of `pid`, the first of which has `first`.
pub(super) fn put_payload(
    pid: u16,
    payload: &[u8],
    first: Adaptation,
    continuity: &mut Continuity,
    out: &mut BytesMut,
) {
    let (mut rest, mut adaptation, mut start) = (payload, first, true);
    while !rest.is_empty() {
        // What does not fill a packet is filled up before it.
        let len = adaptation.len().max(BODY_BYTES.saturating_sub(rest.len()));
        let (now, later) = rest.split_at(rest.len().min(BODY_BYTES - len));
        put_header(pid, start, if len > 0 { 0x30 } else { 0x10 } | continuity.next(pid), out);
        if len > 0 {
            adaptation.put(len, out);
        }
        out.put_slice(now);
        (rest, adaptation, start) = (later, Adaptation::default(), false);
    }
}

/// Writes one section into packets of `pid`, the first of which has `first`.
pub(super) fn put_section(
    pid: u16,
    section: &[u8],
    first: Adaptation,
    continuity: &mut Continuity,
    out: &mut BytesMut,
) {
    let (mut rest, mut adaptation, mut start) = (section, first, true);
    while !rest.is_empty() {
        let len = adaptation.len();
        put_header(pid, start, if len > 0 { 0x30 } else { 0x10 } | continuity.next(pid), out);
        if len > 0 {
            adaptation.put(len, out);
        }
        if start {
            out.put_u8(0); // pointer_field
        }
        let room = BODY_BYTES - len - usize::from(start);
        let (now, later) = rest.split_at(rest.len().min(room));
        out.put_slice(now);
        out.put_bytes(0xFF, room - now.len());
        (rest, adaptation, start) = (later, Adaptation::default(), false);
    }
}

/// How many packets [`put_section`] makes.
pub(super) fn section_packets(section: &[u8], first: Adaptation) -> usize {
    (first.len() + 1 + section.len()).div_ceil(BODY_BYTES)
}

/// Writes a packet without payload, which repeats the counter of the one before.
pub(super) fn put_adaptation_only(pid: u16, last: u8, adaptation: Adaptation, out: &mut BytesMut) {
    put_header(pid, false, 0x20 | last & 0x0F, out);
    adaptation.put(BODY_BYTES, out);
}

fn put_header(pid: u16, start: bool, control: u8, out: &mut BytesMut) {
    out.put_u8(SYNC_BYTE);
    out.put_u16(u16::from(start) << 14 | pid);
    out.put_u8(control);
}
