//! One transport packet (ISO/IEC 13818-1 §2.4.3.2).

use super::PACKET_BYTES;

/// What each packet begins with.
pub(super) const SYNC_BYTE: u8 = 0x47;

/// A packet taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    pub(super) pid: u16,
    /// payload_unit_start_indicator: a PES packet, or a section behind a pointer, begins in it.
    pub(super) start: bool,
    pub(super) scrambled: bool,
    pub(super) continuity: u8,
    /// discontinuity_indicator: the continuity counter may be any.
    pub(super) discontinuity: bool,
    /// random_access_indicator: decoding can start at what begins in it.
    pub(super) random_access: bool,
    /// Empty where the packet has none, and its counter does not count.
    pub(super) payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a packet; `None` when it is marked as damaged or its adaptation field goes beyond it.
    pub(super) fn parse(bytes: &'a [u8; PACKET_BYTES]) -> Option<Self> {
        let &[sync, high, low, control, ref body @ ..] = bytes;
        let damaged = high & 0x80 != 0;
        if sync != SYNC_BYTE || damaged {
            return None;
        }
        let (adaptation, payload) = match control >> 4 & 3 {
            0b01 => (&[][..], &body[..]),
            0b10 => (&body[..], &[][..]),
            0b11 => {
                let length = usize::from(body[0]);
                // §2.4.3.5: 0 to 182 where payload follows.
                (&body[..], body.get(1 + length..).filter(|payload| !payload.is_empty())?)
            }
            // Reserved; decoders shall discard it.
            _ => return None,
        };
        // The length, then the flags, if the length is not zero.
        let flags = adaptation.get(1).filter(|_| adaptation[0] > 0).copied().unwrap_or(0);
        Some(Self {
            pid: u16::from_be_bytes([high & 0x1F, low]),
            start: high & 0x40 != 0,
            scrambled: control >> 6 != 0,
            continuity: control & 0x0F,
            discontinuity: flags & 0x80 != 0,
            random_access: flags & 0x40 != 0,
            payload,
        })
    }
}

/// How a packet follows the one before it in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// As it should.
    Next,
    /// It is the one before it again (§2.4.3.3).
    Duplicate,
    /// Something is missing before it, and whoever sent it says so.
    Announced,
    /// Something is missing before it.
    Lost,
}

/// The continuity of one stream.
#[derive(Clone, Debug)]
pub(super) struct Continuity {
    /// The counter and the payload of the last packet.
    last: Option<(u8, [u8; PACKET_BYTES], usize)>,
}

impl Continuity {
    pub(super) const fn new() -> Self {
        Self { last: None }
    }

    /// Takes the next packet of the stream. The counter counts those with payload.
    pub(super) fn order(&mut self, packet: &Packet<'_>) -> Order {
        if packet.payload.is_empty() {
            if !packet.discontinuity {
                return Order::Next;
            }
            // The next counter follows this one's (§2.4.3.5).
            self.last = Some((packet.continuity, [0; PACKET_BYTES], 0));
            return Order::Announced;
        }
        let order = match &self.last {
            None => Order::Next,
            Some((last, ..)) if packet.continuity == (last + 1) & 0x0F => Order::Next,
            Some(_) if packet.discontinuity => Order::Announced,
            Some((last, payload, length))
                if packet.continuity == *last && &payload[..*length] == packet.payload =>
            {
                Order::Duplicate
            }
            Some(_) => Order::Lost,
        };
        let mut payload = [0; PACKET_BYTES];
        payload[..packet.payload.len()].copy_from_slice(packet.payload);
        self.last = Some((packet.continuity, payload, packet.payload.len()));
        order
    }
}
