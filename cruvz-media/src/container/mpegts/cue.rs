//! SCTE 35 sections: their splice times are on the sender's clock, so they are kept relative to the frame that has them.

use bytes::Bytes;

use super::section::{CRC_BYTES, crc32};

/// What a splice_info_section begins with.
const TABLE: u8 = 0xFC;
/// Bytes up to the end of pts_adjustment (SCTE 35 §9.6).
const FIXED_BYTES: usize = 9;

/// `section` with its splice times moved by `ticks`: pts_adjustment, which is there for that, is added to each of them and
/// never encrypted. `None` when it is no splice_info_section or its checksum is wrong.
pub(super) fn moved(section: &[u8], ticks: i64) -> Option<Bytes> {
    if section.len() < FIXED_BYTES + CRC_BYTES || section[0] != TABLE || crc32(section) != 0 {
        return None;
    }
    let mut section = section.to_vec();
    // 33 bits behind encrypted_packet and encryption_algorithm.
    let low = u32::from_be_bytes([section[5], section[6], section[7], section[8]]);
    let adjustment = i64::from(section[4] & 1) << 32 | i64::from(low);
    let adjustment = adjustment.wrapping_add(ticks).rem_euclid(1 << 33);
    section[4] = section[4] & 0xFE | (adjustment >> 32) as u8;
    section[5..9].copy_from_slice(&(adjustment as u32).to_be_bytes());
    let end = section.len() - CRC_BYTES;
    let crc = crc32(&section[..end]);
    section[end..].copy_from_slice(&crc.to_be_bytes());
    Some(section.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// splice_null, of a specification's example, with the checksum it has there.
    const SPLICE_NULL: &[u8] = b"\xfc\x30\x11\0\0\0\0\0\0\0\xff\xff\xff\0\0\0\x4f\x25\x33\x96";

    #[test]
    fn there_and_back_is_the_same() {
        for ticks in [0, 1, -1, 90_000, 1 << 32, (1 << 33) - 1, i64::MAX, i64::MIN + 1] {
            let there = moved(SPLICE_NULL, ticks).unwrap();
            assert_eq!(crc32(&there), 0);
            assert_eq!(moved(&there, -ticks).unwrap(), SPLICE_NULL, "{ticks}");
        }
        assert_eq!(moved(SPLICE_NULL, -1).unwrap()[4..9], [1, 0xFF, 0xFF, 0xFF, 0xFF], "33 bits wrap");
    }

    #[test]
    fn what_is_no_splice_section_is_refused() {
        assert_eq!(moved(b"", 0), None);
        assert_eq!(moved(&SPLICE_NULL[..12], 0), None);
        let mut damaged = SPLICE_NULL.to_vec();
        damaged[6] ^= 1;
        assert_eq!(moved(&damaged, 0), None, "checksum");
    }
}
