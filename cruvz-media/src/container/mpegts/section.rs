//! Sections, the parts of tables (ISO/IEC 13818-1 §2.4.4), gathered from packets and checked.

/// Bytes before what section_length counts.
const HEADER_BYTES: usize = 3;
/// Bytes of the checksum at the end of a section.
pub(super) const CRC_BYTES: usize = 4;

/// Gathers the sections of one stream.
#[derive(Debug, Default)]
pub(super) struct Sections {
    /// The section under way, without those before it.
    buffer: Vec<u8>,
    /// Whether `buffer` is the beginning of a section.
    open: bool,
}

impl Sections {
    /// Forgets the section under way, and says whether there was one.
    pub(super) fn lose(&mut self) -> bool {
        self.buffer.clear();
        std::mem::take(&mut self.open)
    }

    /// Takes the payload of a packet and gives each section that is whole to `take`, unchecked. Says whether all was well.
    pub(super) fn push(&mut self, start: bool, payload: &[u8], mut take: impl FnMut(&[u8])) -> bool {
        if !start {
            self.extend(payload, &mut take);
            return true;
        }
        // pointer_field: bytes of the section before.
        let Some((pointer, payload)) = payload.split_first() else { return !self.lose() };
        let Some((before, after)) = payload.split_at_checked(usize::from(*pointer)) else {
            self.lose();
            return false;
        };
        self.extend(before, &mut take);
        let whole = !self.lose();
        self.open = true;
        self.extend(after, &mut take);
        whole
    }

    fn extend(&mut self, bytes: &[u8], take: &mut impl FnMut(&[u8])) {
        if !self.open {
            return;
        }
        self.buffer.extend_from_slice(bytes);
        let mut at = 0;
        loop {
            let rest = &self.buffer[at..];
            // table_id 0xFF: stuffing up to the end of the packet.
            if rest.first().is_none_or(|table| *table == 0xFF) {
                self.lose();
                return;
            }
            let whole = length(rest).and_then(|length| rest.get(..length));
            let Some(section) = whole else { break };
            take(section);
            at += section.len();
        }
        self.buffer.drain(..at);
    }
}

/// Bytes of the whole section whose first bytes these are, at most 4,098.
fn length(section: &[u8]) -> Option<usize> {
    let header = section.first_chunk::<HEADER_BYTES>()?;
    Some(HEADER_BYTES + usize::from(u16::from_be_bytes([header[1] & 0x0F, header[2]])))
}

/// The checksum of annex A: polynomial 0x04C11DB7, most significant bit first; over a section with its own it is 0.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let mut value = (index as u32) << 24;
            let mut bit = 0;
            while bit < 8 {
                value = (value << 1) ^ if value >> 31 == 1 { 0x04C1_1DB7 } else { 0 };
                bit += 1;
            }
            table[index] = value;
            index += 1;
        }
        table
    };
    bytes.iter().fold(u32::MAX, |crc, byte| (crc << 8) ^ TABLE[usize::from((crc >> 24) as u8 ^ byte)])
}
