//! Control packets (§3.2), all but what is inside a handshake.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::packet::{HEADER_LEN, PacketError, SocketId, encode_header};
use super::seq::Seq;

/// The most entries that a loss list may have, 4 or 8 bytes each. A datagram of 1,500 bytes has no room for more.
pub const MAX_LOSSES: usize = 368;

/// The control types (§3.2, table 1).
mod kind {
    pub(super) const HANDSHAKE: u16 = 0;
    pub(super) const KEEP_ALIVE: u16 = 1;
    pub(super) const ACK: u16 = 2;
    pub(super) const NAK: u16 = 3;
    pub(super) const CONGESTION_WARNING: u16 = 4;
    pub(super) const SHUTDOWN: u16 = 5;
    pub(super) const ACK_ACK: u16 = 6;
    pub(super) const DROP_REQUEST: u16 = 7;
    pub(super) const PEER_ERROR: u16 = 8;
    pub(super) const USER_DEFINED: u16 = 0x7fff;
}

/// Subtypes of a user-defined packet: the extension types of a handshake.
mod subtype {
    pub(super) const KEY_MATERIAL_REQUEST: u16 = 3;
    pub(super) const KEY_MATERIAL_RESPONSE: u16 = 4;
}

/// A control packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlPacket {
    /// Microseconds since the sender's connection began; wraps after 71 minutes.
    pub timestamp_us: u32,
    /// The receiver's socket id.
    pub destination: SocketId,
    /// What it says.
    pub body: Control,
}

/// What a control packet says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Control {
    /// A handshake, not read here.
    Handshake(Bytes),
    /// Still here.
    KeepAlive,
    /// What has come.
    Ack(Ack),
    /// What is missing, oldest first as a rule.
    Nak(Vec<SeqRange>),
    /// The link is about to be congested. Nothing sends or heeds it.
    CongestionWarning,
    /// The end.
    Shutdown,
    /// An answer to the [`Ack`] of the same number.
    AckAck {
        /// That number.
        number: u32,
    },
    /// The sender has given up on these packets, and none of them will come again.
    DropRequest {
        /// The number of the message they belong to; 0 if there is none.
        message: u32,
        /// The packets.
        range: SeqRange,
    },
    /// The peer failed to take what was sent; in file mode only.
    PeerError {
        /// Its code.
        code: u32,
    },
    /// New keys of the sender.
    KeyMaterialRequest(Bytes),
    /// The same bytes as an answer that they were taken, or 4 bytes that say why not.
    KeyMaterialResponse(Bytes),
    /// Anything else. It is passed over.
    Unknown {
        /// The control type.
        kind: u16,
        /// The reserved half of the first word.
        subtype: u16,
        /// The second word.
        info: u32,
        /// The bytes behind the header.
        body: Bytes,
    },
}

/// An acknowledgement (§3.2.4): every packet before `next` has come or is given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The number that the [`Control::AckAck`] repeats. 0 for a light one, which wants no answer.
    pub number: u32,
    /// The first packet that has not come.
    pub next: Seq,
    /// What else it says.
    pub body: AckBody,
}

/// The three sizes of acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckBody {
    /// No more, sent between two full ones when much arrives.
    Light,
    /// With round trip and room.
    Small {
        /// The round-trip time.
        rtt: Duration,
        /// Its mean deviation.
        rtt_variance: Duration,
        /// Packets that the receiver's buffer has room for.
        available_packets: u32,
    },
    /// With rates too, sent every 10 ms.
    Full {
        /// The round-trip time.
        rtt: Duration,
        /// Its mean deviation.
        rtt_variance: Duration,
        /// Packets that the receiver's buffer has room for.
        available_packets: u32,
        /// Packets per second that arrive.
        packet_rate: u32,
        /// Packets per second that the link could carry, as the receiver estimates.
        link_capacity: u32,
        /// Bytes per second that arrive.
        byte_rate: u32,
    },
}

/// Packets from `first` to `last`, both included; `last` is not before `first`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeqRange {
    /// The first.
    pub first: Seq,
    /// The last.
    pub last: Seq,
}

impl SeqRange {
    /// One packet.
    pub const fn one(seq: Seq) -> Self {
        Self { first: seq, last: seq }
    }

    /// The packets from `first` to `last`; `None` if `last` is before `first`.
    pub const fn new(first: Seq, last: Seq) -> Option<Self> {
        if last.is_before(first) { None } else { Some(Self { first, last }) }
    }

    /// How many packets, 1 to 2^30. A peer may claim any number: clamp it before walking through.
    pub const fn count(self) -> u32 {
        self.last.distance_from(self.first).unsigned_abs() + 1
    }

    /// Bytes that it takes in a loss list.
    pub fn encoded_len(self) -> usize {
        if self.first == self.last { 4 } else { 8 }
    }
}

impl ControlPacket {
    /// Reads a body, given the words of the header.
    pub(super) fn parse(words: [u32; 4], body: Bytes) -> Result<Self, PacketError> {
        let [first, info, timestamp_us, destination] = words;
        let (kind, subtype) = ((first >> 16 & 0x7fff) as u16, first as u16);
        let body = match (kind, subtype) {
            (kind::HANDSHAKE, _) => Control::Handshake(body),
            (kind::KEEP_ALIVE, _) => Control::KeepAlive,
            (kind::ACK, _) => Control::Ack(Ack::parse(info, &body)?),
            (kind::NAK, _) => Control::Nak(parse_losses(&body)?),
            (kind::CONGESTION_WARNING, _) => Control::CongestionWarning,
            (kind::SHUTDOWN, _) => Control::Shutdown,
            (kind::ACK_ACK, _) => Control::AckAck { number: info },
            (kind::DROP_REQUEST, _) => Control::DropRequest { message: info, range: parse_drop(&body)? },
            (kind::PEER_ERROR, _) => Control::PeerError { code: info },
            (kind::USER_DEFINED, subtype::KEY_MATERIAL_REQUEST) => Control::KeyMaterialRequest(body),
            (kind::USER_DEFINED, subtype::KEY_MATERIAL_RESPONSE) => Control::KeyMaterialResponse(body),
            _ => Control::Unknown { kind, subtype, info, body },
        };
        Ok(Self { timestamp_us, destination: SocketId(destination), body })
    }

    /// The bytes of the packet.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(HEADER_LEN + 64);
        self.write(&mut out);
        out.freeze()
    }

    /// Appends the bytes of the packet.
    pub fn write(&self, out: &mut impl BufMut) {
        let (kind, subtype, info) = self.body.head();
        let first = 1 << 31 | u32::from(kind) << 16 | u32::from(subtype);
        out.put_slice(&encode_header([first, info, self.timestamp_us, self.destination.0]));
        match &self.body {
            Control::Handshake(body)
            | Control::KeyMaterialRequest(body)
            | Control::KeyMaterialResponse(body)
            | Control::Unknown { body, .. } => out.put_slice(body),
            Control::Ack(ack) => ack.write(out),
            Control::Nak(losses) => losses.iter().take(MAX_LOSSES).for_each(|range| write_loss(*range, out)),
            Control::DropRequest { range, .. } => {
                out.put_u32(range.first.value());
                out.put_u32(range.last.value());
            }
            // Nothing to say, but libsrt puts a word of padding here, as it cannot send an empty body.
            Control::KeepAlive
            | Control::CongestionWarning
            | Control::Shutdown
            | Control::AckAck { .. }
            | Control::PeerError { .. } => out.put_u32(0),
        }
    }
}

impl Control {
    /// Type, subtype and the second word.
    const fn head(&self) -> (u16, u16, u32) {
        match self {
            Self::Handshake(_) => (kind::HANDSHAKE, 0, 0),
            Self::KeepAlive => (kind::KEEP_ALIVE, 0, 0),
            Self::Ack(ack) => (kind::ACK, 0, ack.number),
            Self::Nak(_) => (kind::NAK, 0, 0),
            Self::CongestionWarning => (kind::CONGESTION_WARNING, 0, 0),
            Self::Shutdown => (kind::SHUTDOWN, 0, 0),
            Self::AckAck { number } => (kind::ACK_ACK, 0, *number),
            Self::DropRequest { message, .. } => (kind::DROP_REQUEST, 0, *message),
            Self::PeerError { code } => (kind::PEER_ERROR, 0, *code),
            Self::KeyMaterialRequest(_) => (kind::USER_DEFINED, subtype::KEY_MATERIAL_REQUEST, 0),
            Self::KeyMaterialResponse(_) => (kind::USER_DEFINED, subtype::KEY_MATERIAL_RESPONSE, 0),
            Self::Unknown { kind, subtype, info, .. } => (*kind, *subtype, *info),
        }
    }
}

impl Ack {
    fn parse(number: u32, mut body: &[u8]) -> Result<Self, PacketError> {
        let bytes = body.len();
        let mut word = || body.try_get_u32().ok();
        let next = Seq::new(word().ok_or(PacketError::ControlBody { kind: kind::ACK, bytes })?);
        let mut small = || {
            let rtt = Duration::from_micros(word()?.into());
            let rtt_variance = Duration::from_micros(word()?.into());
            Some((rtt, rtt_variance, word()?))
        };
        let Some((rtt, rtt_variance, available_packets)) = small() else {
            return Ok(Self { number, next, body: AckBody::Light });
        };
        let rates = (word(), word(), word());
        let body = match rates {
            // libsrt before 1.0.2 leaves the last one out.
            (Some(packet_rate), Some(link_capacity), byte_rate) => AckBody::Full {
                rtt,
                rtt_variance,
                available_packets,
                packet_rate,
                link_capacity,
                byte_rate: byte_rate.unwrap_or(0),
            },
            _ => AckBody::Small { rtt, rtt_variance, available_packets },
        };
        Ok(Self { number, next, body })
    }

    fn write(&self, out: &mut impl BufMut) {
        out.put_u32(self.next.value());
        let (rtt, rtt_variance, available_packets, rates) = match self.body {
            AckBody::Light => return,
            AckBody::Small { rtt, rtt_variance, available_packets } => {
                (rtt, rtt_variance, available_packets, None)
            }
            AckBody::Full { rtt, rtt_variance, available_packets, packet_rate, link_capacity, byte_rate } => {
                (rtt, rtt_variance, available_packets, Some([packet_rate, link_capacity, byte_rate]))
            }
        };
        out.put_u32(micros(rtt));
        out.put_u32(micros(rtt_variance));
        out.put_u32(available_packets);
        rates.into_iter().flatten().for_each(|rate| out.put_u32(rate));
    }
}

/// Whole microseconds, as many as 32 bits hold.
fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

/// The top bit of a loss list's word: a range begins, and the next word is its end (§3.2.5, appendix A).
const RANGE: u32 = 1 << 31;

fn write_loss(range: SeqRange, out: &mut impl BufMut) {
    if range.first == range.last {
        out.put_u32(range.first.value());
    } else {
        out.put_u32(range.first.value() | RANGE);
        out.put_u32(range.last.value());
    }
}

fn parse_losses(mut body: &[u8]) -> Result<Vec<SeqRange>, PacketError> {
    let bytes = body.len();
    let mut losses = Vec::with_capacity((bytes / 4).min(MAX_LOSSES));
    while let Ok(word) = body.try_get_u32() {
        if losses.len() == MAX_LOSSES {
            return Err(PacketError::TooManyLosses(bytes));
        }
        let first = Seq::new(word);
        let last = match word & RANGE {
            0 => Some(first),
            _ => body.try_get_u32().ok().map(Seq::new),
        };
        let range = last.and_then(|last| SeqRange::new(first, last)).ok_or(PacketError::Range(first))?;
        losses.push(range);
    }
    if losses.is_empty() {
        return Err(PacketError::ControlBody { kind: kind::NAK, bytes });
    }
    Ok(losses)
}

fn parse_drop(mut body: &[u8]) -> Result<SeqRange, PacketError> {
    let short = PacketError::ControlBody { kind: kind::DROP_REQUEST, bytes: body.len() };
    let mut word = || body.try_get_u32().map(Seq::new).map_err(|_| short);
    let (first, last) = (word()?, word()?);
    SeqRange::new(first, last).ok_or(PacketError::Range(first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::srt::Packet;

    fn packet(body: Control) -> Packet {
        Packet::Control(ControlPacket { timestamp_us: 7, destination: SocketId(9), body })
    }

    /// A control packet as bytes: the first word, the second, and the body.
    fn datagram(first: u32, info: u32, body: &[u32]) -> Bytes {
        [first, info, 7, 9].iter().chain(body).flat_map(|word| word.to_be_bytes()).collect()
    }

    fn both_ways(body: Control, first: u32, info: u32, words: &[u32]) {
        let wire = datagram(first, info, words);
        assert_eq!(packet(body.clone()).to_bytes(), wire);
        assert_eq!(Packet::parse(wire), Ok(packet(body)));
    }

    #[test]
    fn each_type_has_its_place_in_the_header() {
        both_ways(Control::Handshake(Bytes::from_static(b"1234")), 0x8000_0000, 0, &[0x3132_3334]);
        both_ways(Control::KeepAlive, 0x8001_0000, 0, &[0]);
        both_ways(Control::CongestionWarning, 0x8004_0000, 0, &[0]);
        both_ways(Control::Shutdown, 0x8005_0000, 0, &[0]);
        both_ways(Control::AckAck { number: 5 }, 0x8006_0000, 5, &[0]);
        both_ways(Control::PeerError { code: 4000 }, 0x8008_0000, 4000, &[0]);
        both_ways(Control::KeyMaterialRequest(Bytes::from_static(b"1234")), 0xffff_0003, 0, &[0x3132_3334]);
        both_ways(Control::KeyMaterialResponse(Bytes::from_static(b"1234")), 0xffff_0004, 0, &[0x3132_3334]);
        let range = SeqRange::new(Seq::new(0x7fff_ffff), Seq::new(1)).unwrap();
        both_ways(Control::DropRequest { message: 3, range }, 0x8007_0000, 3, &[0x7fff_ffff, 1]);
        let unknown =
            Control::Unknown { kind: 9, subtype: 2, info: 1, body: Bytes::from_static(&[0, 0, 0, 8]) };
        both_ways(unknown, 0x8009_0002, 1, &[8]);
    }

    #[test]
    fn an_acknowledgement_has_three_sizes() {
        let ms = Duration::from_millis;
        let ack = |body| Control::Ack(Ack { number: 4, next: Seq::new(100), body });
        both_ways(ack(AckBody::Light), 0x8002_0000, 4, &[100]);
        let small = AckBody::Small { rtt: ms(20), rtt_variance: ms(2), available_packets: 8_192 };
        both_ways(ack(small), 0x8002_0000, 4, &[100, 20_000, 2_000, 8_192]);
        let full = |byte_rate| AckBody::Full {
            rtt: ms(20),
            rtt_variance: ms(2),
            available_packets: 8_192,
            packet_rate: 190,
            link_capacity: 1_000,
            byte_rate,
        };
        let words = [100, 20_000, 2_000, 8_192, 190, 1_000, 250_000];
        both_ways(ack(full(250_000)), 0x8002_0000, 4, &words);
        assert_eq!(Packet::parse(datagram(0x8002_0000, 4, &words[..6])), Ok(packet(ack(full(0)))));
        let empty = Packet::parse(datagram(0x8002_0000, 4, &[])).unwrap_err();
        assert_eq!(empty.to_string(), "control packet of type 2 with a body of 0 bytes");
    }

    #[test]
    fn a_round_trip_too_long_for_the_wire_is_cut() {
        assert_eq!(micros(Duration::MAX), u32::MAX);
    }

    #[test]
    fn a_loss_list_has_single_numbers_and_ranges() {
        let losses = vec![
            SeqRange::one(Seq::new(5)),
            SeqRange::new(Seq::new(0x7fff_fffe), Seq::new(2)).unwrap(),
            SeqRange::one(Seq::new(9)),
        ];
        assert_eq!(losses.iter().map(|range| range.count()).collect::<Vec<_>>(), [1, 5, 1]);
        assert_eq!(losses.iter().map(|range| range.encoded_len()).sum::<usize>(), 16);
        both_ways(Control::Nak(losses), 0x8003_0000, 0, &[5, 0xffff_fffe, 2, 9]);
    }

    #[test]
    fn a_range_must_end_and_not_before_it_begins() {
        let nak = |words: &[u32]| Packet::parse(datagram(0x8003_0000, 0, words)).unwrap_err();
        assert_eq!(nak(&[0x8000_0005]), PacketError::Range(Seq::new(5)));
        assert_eq!(nak(&[0x8000_0005, 4]), PacketError::Range(Seq::new(5)));
        assert_eq!(nak(&[]), PacketError::ControlBody { kind: 3, bytes: 0 });
        let drop = |words: &[u32]| Packet::parse(datagram(0x8007_0000, 0, words)).unwrap_err();
        assert_eq!(drop(&[2, 1]), PacketError::Range(Seq::new(2)));
        assert_eq!(drop(&[2]), PacketError::ControlBody { kind: 7, bytes: 4 });
        assert_eq!(SeqRange::new(Seq::new(0), Seq::new((1 << 30) - 1)).map(SeqRange::count), Some(1 << 30));
    }

    #[test]
    fn a_loss_list_is_bounded() {
        let most = vec![1; MAX_LOSSES];
        assert!(Packet::parse(datagram(0x8003_0000, 0, &most)).is_ok());
        let more = vec![1; MAX_LOSSES + 1];
        let error = Packet::parse(datagram(0x8003_0000, 0, &more)).unwrap_err();
        assert_eq!(error.to_string(), "loss list of 1476 bytes");
        let too_many = Control::Nak(vec![SeqRange::one(Seq::new(1)); MAX_LOSSES + 1]);
        assert_eq!(packet(too_many).to_bytes().len(), 16 + 4 * MAX_LOSSES);
    }
}
