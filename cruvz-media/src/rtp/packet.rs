//! RTP packets: the header (RFC 3550 §5.1) and its extensions (RFC 8285).

use bytes::{Buf, Bytes};

use super::Error;

/// The first byte of every packet has version 2 in its highest bits.
const VERSION: u8 = 2;
const PADDING: u8 = 0x20;
const EXTENSION: u8 = 0x10;
const MARKER: u8 = 0x80;
/// Bytes of a contributing source, and of the words that extensions are counted in.
const WORD: usize = 4;
/// Profiles of header extensions: one-byte and two-byte headers (RFC 8285 §4.2, §4.3; the latter's lowest bits are free).
const ONE_BYTE: u16 = 0xBEDE;
const TWO_BYTE: u16 = 0x1000;
const TWO_BYTE_MASK: u16 = 0xFFF0;

/// The fixed part of a packet's header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// For video the last packet of a frame, for audio the first after silence.
    pub marker: bool,
    /// What the payload is, as SDP agreed: 0 to 127.
    pub payload_type: u8,
    /// One more with each packet of its source.
    pub seq: u16,
    /// When the frame is shown, in ticks of [`super::clock_rate`] from a random start.
    pub timestamp: u32,
    /// The synchronization source: whose packet it is.
    pub ssrc: u32,
}

impl Header {
    /// Bytes of the fixed part.
    pub const BYTES: usize = 12;

    /// Reads the header of a packet, and how many bytes it has with its contributing sources and extensions: the payload
    /// begins there. SRTP leaves these bytes readable, so it works before a packet is decrypted.
    ///
    /// # Errors
    /// [`Error::Version`] when it is no RTP packet, [`Error::Truncated`] when the header ends early.
    pub fn parse(bytes: &[u8]) -> Result<(Self, usize), Error> {
        let truncated = Error::Truncated { bytes: bytes.len() };
        let mut fixed = bytes.get(..Self::BYTES).ok_or_else(|| truncated.clone())?;
        let [flags, kind] = [fixed.get_u8(), fixed.get_u8()];
        if flags >> 6 != VERSION {
            return Err(Error::Version(flags >> 6));
        }
        let header = Self {
            marker: kind & MARKER != 0,
            payload_type: kind & !MARKER,
            seq: fixed.get_u16(),
            timestamp: fixed.get_u32(),
            ssrc: fixed.get_u32(),
        };
        let mut size = Self::BYTES + WORD * usize::from(flags & 0xF);
        if flags & EXTENSION != 0 {
            let words = bytes.get(size + 2..size + WORD).map(|mut words| words.get_u16());
            size += WORD + WORD * usize::from(words.ok_or_else(|| truncated.clone())?);
        }
        if bytes.len() < size { Err(truncated) } else { Ok((header, size)) }
    }

    /// Appends the header with these extensions, ids 1 to 255 and up to 255 bytes each. They go behind one-byte headers
    /// where all have ids up to 14 and 1 to 16 bytes, else behind two-byte headers, which a peer must have agreed to.
    /// What does not fit either is left out: an id of 0 or more bytes.
    pub fn write(&self, extensions: &[(u8, &[u8])], out: &mut Vec<u8>) {
        let fits = |(id, data): &&(u8, &[u8])| *id > 0 && data.len() <= 255;
        let extensions = extensions.iter().filter(fits);
        let flags = VERSION << 6 | if extensions.clone().next().is_some() { EXTENSION } else { 0 };
        out.push(flags);
        out.push(self.payload_type & !MARKER | if self.marker { MARKER } else { 0 });
        out.extend_from_slice(&self.seq.to_be_bytes());
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.ssrc.to_be_bytes());
        if flags & EXTENSION != 0 {
            put_extensions(extensions, out);
        }
    }
}

fn put_extensions<'a>(extensions: impl Iterator<Item = &'a (u8, &'a [u8])> + Clone, out: &mut Vec<u8>) {
    let is_short = extensions.clone().all(|(id, data)| *id <= 14 && (1..=16).contains(&data.len()));
    out.extend_from_slice(&(if is_short { ONE_BYTE } else { TWO_BYTE }).to_be_bytes());
    let words_at = out.len();
    out.extend_from_slice(&[0, 0]);
    for (id, data) in extensions {
        // Both casts are of lengths that were checked: 1 to 16, and up to 255.
        if is_short {
            out.push(id << 4 | (data.len() - 1) as u8);
        } else {
            out.extend_from_slice(&[*id, data.len() as u8]);
        }
        out.extend_from_slice(data);
    }
    let used = out.len() - words_at - 2;
    out.resize(out.len() + used.next_multiple_of(WORD) - used, 0);
    // 255 extensions of 257 bytes have fewer words.
    let words = (used.div_ceil(WORD) as u16).to_be_bytes();
    out[words_at..words_at + 2].copy_from_slice(&words);
}

/// A packet taken apart; its parts share the datagram's memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// The fixed part of its header.
    pub header: Header,
    /// What it carries, without padding. Empty where there is nothing but padding, as bandwidth probes are.
    pub payload: Bytes,
    /// Bytes of padding that stood behind the payload.
    pub padding: u8,
    csrcs: Bytes,
    profile: u16,
    extensions: Bytes,
}

impl Packet {
    /// Reads a packet, decrypted if it came by SRTP.
    ///
    /// # Errors
    /// Those of [`Header::parse`], and [`Error::Padding`] when there is more of it than there are bytes.
    pub fn parse(bytes: Bytes) -> Result<Self, Error> {
        let (header, size) = Header::parse(&bytes)?;
        let mut payload = bytes.slice(size..);
        let mut padding = 0;
        if bytes[0] & PADDING != 0 {
            let left = payload.len();
            padding = payload.last().copied().unwrap_or(0);
            if padding == 0 || usize::from(padding) > left {
                return Err(Error::Padding { padding, left });
            }
            payload.truncate(left - usize::from(padding));
        }
        let csrcs_end = Header::BYTES + WORD * usize::from(bytes[0] & 0xF);
        let csrcs = bytes.slice(Header::BYTES..csrcs_end);
        let mut extensions = bytes.slice(csrcs_end..size);
        let profile = extensions.try_get_u16().unwrap_or(0);
        // The number of words, which is what is there.
        extensions.advance(extensions.len().min(2));
        Ok(Self { header, payload, padding, csrcs, profile, extensions })
    }

    /// A packet without contributing sources, extensions and padding.
    pub fn new(header: Header, payload: Bytes) -> Self {
        Self { header, payload, ..Self::default() }
    }

    /// The contributing sources, at most 15: whom a mixer put together.
    pub fn csrcs(&self) -> impl Iterator<Item = u32> {
        self.csrcs.chunks_exact(WORD).map(|mut csrc| csrc.get_u32())
    }

    /// The header extension named `id`, the first of several.
    pub fn extension(&self, id: u8) -> Option<&[u8]> {
        self.extensions().find(|(found, _)| *found == id).map(|(_, data)| data)
    }

    /// The header extensions with their ids, as far as they are whole. Those of other profiles than RFC 8285's are none.
    pub fn extensions(&self) -> Extensions<'_> {
        let form = match self.profile {
            ONE_BYTE => Some(Form::OneByte),
            profile if profile & TWO_BYTE_MASK == TWO_BYTE => Some(Form::TwoByte),
            _ => None,
        };
        Extensions {
            rest: if form.is_some() { &self.extensions } else { &[] },
            form: form.unwrap_or(Form::OneByte),
        }
    }
}

/// See [`Packet::extensions`].
#[derive(Clone, Debug)]
pub struct Extensions<'a> {
    rest: &'a [u8],
    form: Form,
}

#[derive(Clone, Copy, Debug)]
enum Form {
    OneByte,
    TwoByte,
}

impl<'a> Extensions<'a> {
    /// Id, length and what follows of the extension at the front of `rest`, which is no padding.
    fn split_head(&self) -> Option<(u8, usize, &'a [u8])> {
        match (self.form, self.rest) {
            // Id 15 ends them all, as does padding with a length (RFC 8285 §4.2).
            (Form::OneByte, [head, ..]) if matches!(head >> 4, 0 | 15) => None,
            (Form::OneByte, [head, rest @ ..]) => Some((*head >> 4, (*head & 0xF) as usize + 1, rest)),
            (Form::TwoByte, [id, length, rest @ ..]) => Some((*id, *length as usize, rest)),
            _ => None,
        }
    }
}

impl<'a> Iterator for Extensions<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while let [0, rest @ ..] = self.rest {
            self.rest = rest;
        }
        let found = self.split_head().and_then(|(id, length, rest)| {
            let (data, rest) = rest.split_at_checked(length)?;
            Some((id, data, rest))
        });
        self.rest = found.map_or(&[], |(_, _, rest)| rest);
        found.map(|(id, data, _)| (id, data))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Made by hand from RFC 3550 §5.1 and RFC 8285 §4.2: a contributing source, an audio level (id 1), a padding byte, a mid
    /// (id 4), and two bytes of padding behind the payload.
    const PACKET: [u8; 34] = [
        0xB1, 0xE0, 0x12, 0x34, 0, 0, 0x10, 0, 0xDE, 0xAD, 0xBE, 0xEF, 0, 0, 0, 7, 0xBE, 0xDE, 0, 2, 0x10,
        0x85, 0, 0x42, b'v', b'i', b'd', 0, 0xAA, 0xBB, 0xCC, 0xDD, 0, 2,
    ];

    fn packet(bytes: &[u8]) -> Result<Packet, Error> {
        Packet::parse(Bytes::copy_from_slice(bytes))
    }

    #[test]
    fn every_part_of_a_packet_is_where_the_standard_has_it() {
        let packet = packet(&PACKET).unwrap();
        let header =
            Header { marker: true, payload_type: 96, seq: 0x1234, timestamp: 0x1000, ssrc: 0xDEAD_BEEF };
        assert_eq!((packet.header, packet.padding), (header, 2));
        assert_eq!(Header::parse(&PACKET), Ok((header, 28)));
        assert_eq!(packet.csrcs().collect::<Vec<_>>(), [7]);
        assert_eq!(packet.payload, [0xAA, 0xBB, 0xCC, 0xDD][..]);
        assert_eq!(packet.extensions().collect::<Vec<_>>(), [(1, &[0x85][..]), (4, b"vid")]);
        assert_eq!((packet.extension(4), packet.extension(2)), (Some(&b"vid"[..]), None));
    }

    #[test]
    fn packets_that_lie_are_refused_with_the_reason() {
        assert_eq!(packet(&[]), Err(Error::Truncated { bytes: 0 }));
        assert_eq!(packet(&PACKET[..27]), Err(Error::Truncated { bytes: 27 }));
        assert_eq!(packet(&PACKET[..17]), Err(Error::Truncated { bytes: 17 }));
        let mut other = PACKET;
        other[0] = 0x71;
        assert_eq!(packet(&other), Err(Error::Version(1)));
        other = PACKET;
        other[33] = 7;
        assert_eq!(packet(&other), Err(Error::Padding { padding: 7, left: 6 }));
        other[33] = 0;
        assert_eq!(packet(&other), Err(Error::Padding { padding: 0, left: 6 }));
        other[33] = 6;
        assert_eq!(packet(&other).unwrap().payload, Bytes::new());
    }

    #[test]
    fn extensions_end_where_they_break_off() {
        let mut other = PACKET;
        other[23] = 0x4F; // 16 bytes of which four are there
        assert_eq!(packet(&other).unwrap().extensions().count(), 1);
        for end in [0xF0, 0x02] {
            other[20] = end; // the id that ends them, and padding that claims a length
            assert_eq!(packet(&other).unwrap().extensions().count(), 0);
        }
        let mut other = PACKET;
        other[16..18].copy_from_slice(&[0x10, 0x07]);
        other[20..28].copy_from_slice(&[0, 200, 2, 8, 9, 5, 0, 0]);
        assert_eq!(
            packet(&other).unwrap().extensions().collect::<Vec<_>>(),
            [(200, &[8, 9][..]), (5, &[])],
            "two-byte headers, the second without data"
        );
        other[16] = 0x20;
        assert_eq!(packet(&other).unwrap().extensions().count(), 0, "a profile of someone else");
    }

    #[test]
    fn what_fits_no_extension_is_left_out() {
        let mut bytes = Vec::new();
        Header::default().write(&[(0, &[1]), (3, &[0; 256])], &mut bytes);
        assert_eq!(bytes, [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes: Vec<u8>) {
            let _ = packet(&bytes).map(|packet| (packet.extensions().count(), packet.csrcs().count()));
        }

        #[test]
        fn what_is_written_is_read(
            marker: bool, payload_type in 0u8..128, seq: u16, timestamp: u32, ssrc: u32, payload: Vec<u8>,
            extensions in proptest::collection::vec((1u8.., proptest::collection::vec(any::<u8>(), 0..40)), 0..6),
            short: bool,
        ) {
            let header = Header { marker, payload_type, seq, timestamp, ssrc };
            let mut extensions = extensions;
            for (id, data) in extensions.iter_mut().filter(|_| short) {
                *id = *id % 14 + 1;
                data.truncate(15);
                data.push(0);
            }
            let list: Vec<_> = extensions.iter().map(|(id, data)| (*id, &data[..])).collect();
            let mut bytes = Vec::new();
            header.write(&list, &mut bytes);
            let size = bytes.len();
            bytes.extend_from_slice(&payload);
            prop_assert_eq!(Header::parse(&bytes), Ok((header, size)));
            let packet = Packet::parse(bytes.into()).unwrap();
            prop_assert_eq!(packet.extensions().collect::<Vec<_>>(), list);
            prop_assert_eq!((packet.header, &packet.payload[..]), (header, &payload[..]));
        }
    }
}
