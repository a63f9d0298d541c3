//! LATM in LOAS, the other way of AAC in MPEG-TS (ISO/IEC 14496-3 §1.7): elements with their own lengths, the configuration
//! in band, and nothing on a byte boundary.

use bytes::Bytes;

use super::{Error, aac::AudioSpecificConfig, bits::BitReader};

/// Bytes before the element: the sync word and its length.
pub const HEADER_BYTES: usize = 3;

/// Bytes of the whole LOAS frame at the front of `bytes`, its header included.
///
/// # Errors
/// [`Error::Invalid`] without the sync word, [`Error::Truncated`] below 3 bytes.
pub fn frame_bytes(bytes: &[u8]) -> Result<usize, Error> {
    let mut bits = BitReader::new(bytes);
    let sync = bits.read(11)?;
    if sync != 0x2B7 {
        return Err(Error::Invalid { field: "LOAS sync word", value: sync.into() });
    }
    Ok(HEADER_BYTES + usize::try_from(bits.read(13)?).expect("13 bits"))
}

/// Reads the elements of one stream, of which only some bring the configuration.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    mux: Option<StreamMux>,
}

/// StreamMuxConfig, as far as it is supported: one program of one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct StreamMux {
    config: AudioSpecificConfig,
    record: Bytes,
    /// Access units in each element.
    access_units: u32,
}

impl Reader {
    /// The AudioSpecificConfig as last read, as a record and taken apart.
    pub fn config(&self) -> Option<(&Bytes, &AudioSpecificConfig)> {
        self.mux.as_ref().map(|mux| (&mux.record, &mux.config))
    }

    /// The access units of `frame`, a whole LOAS frame.
    ///
    /// # Errors
    /// [`Error::Missing`] before the first configuration; [`Error::Unsupported`] for several programs or layers and for
    /// codings other than AAC's usual one; [`Error::Truncated`] and [`Error::Invalid`] when it is broken.
    pub fn read(&mut self, frame: &[u8]) -> Result<Vec<Bytes>, Error> {
        let element = frame.get(HEADER_BYTES..).ok_or(Error::Truncated { bytes: frame.len() })?;
        let mut bits = BitReader::new(element);
        let is_same = bits.flag()?; // useSameStreamMux
        if !is_same {
            // A broken one must not leave the one before in force.
            self.mux = None;
            self.mux = Some(StreamMux::read(element, &mut bits)?);
        }
        let mux = self.mux.as_ref().ok_or(Error::Missing("LATM configuration"))?;
        (0..mux.access_units).map(|_| read_access_unit(&mut bits)).collect()
    }
}

/// PayloadLengthInfo and PayloadMux (§1.7.3.1).
fn read_access_unit(bits: &mut BitReader<'_>) -> Result<Bytes, Error> {
    let mut bytes = 0;
    loop {
        let part = bits.byte(8)?;
        bytes += usize::from(part);
        if part < 255 {
            break;
        }
    }
    copy_bits(bits, 8 * bytes)
}

/// The next `count` bits, filled up to whole bytes.
fn copy_bits(bits: &mut BitReader<'_>, count: usize) -> Result<Bytes, Error> {
    if count > bits.left() {
        // Says so, and how long it was.
        bits.skip(count)?;
    }
    let mut copy = Vec::with_capacity(count.div_ceil(8));
    for _ in 0..count / 8 {
        copy.push(bits.byte(8)?);
    }
    let rest = count % 8;
    if rest > 0 {
        copy.push(bits.byte(rest)? << (8 - rest));
    }
    Ok(copy.into())
}

impl StreamMux {
    /// StreamMuxConfig (§1.7.3.1, table 1.42) in `element`, from where `bits` is.
    fn read(element: &[u8], bits: &mut BitReader<'_>) -> Result<Self, Error> {
        let refuse = |field, value: u32| Error::Unsupported { field, value: value.into() };
        let version = bits.read(1)?;
        if version == 1 && bits.flag()? {
            return Err(refuse("audioMuxVersionA", 1));
        }
        if version == 1 {
            read_value(bits)?; // taraBufferFullness
        }
        if !bits.flag()? {
            return Err(refuse("allStreamsSameTimeFraming", 0));
        }
        let access_units = bits.read(6)? + 1;
        for field in [("numProgram", 4), ("numLayer", 3)] {
            let value = bits.read(field.1)?;
            if value > 0 {
                return Err(refuse(field.0, value));
            }
        }
        let (record, config) = if version == 1 {
            let count = usize::try_from(read_value(bits)?).unwrap_or(usize::MAX);
            let record = copy_bits(bits, count)?;
            let config = AudioSpecificConfig::parse(&record)?;
            (record, config)
        } else {
            let start = bits.position();
            let config = AudioSpecificConfig::read(bits)?;
            let mut again = BitReader::new(element);
            again.skip(start)?;
            (copy_bits(&mut again, bits.position() - start)?, config)
        };
        let frame_length_type = bits.read(3)?;
        if frame_length_type > 0 {
            return Err(refuse("frameLengthType", frame_length_type));
        }
        bits.skip(8)?; // latmBufferFullness
        // Behind the access units: not looked for.
        if bits.flag()? {
            skip_other_data(bits, version)?;
        }
        if bits.flag()? {
            bits.skip(8)?; // crcCheckSum
        }
        Ok(Self { config, record, access_units })
    }
}

/// otherDataLenBits.
fn skip_other_data(bits: &mut BitReader<'_>, version: u32) -> Result<(), Error> {
    if version == 1 {
        return read_value(bits).map(drop);
    }
    while bits.flag()? {
        bits.skip(8)?;
    }
    bits.skip(8)
}

/// LatmGetValue (§1.7.3.1, table 1.43).
fn read_value(bits: &mut BitReader<'_>) -> Result<u32, Error> {
    let bytes = bits.read(2)? + 1;
    bits.read(8 * usize::try_from(bytes).expect("at most 4"))
}

/// A LOAS frame of version 0 with one access unit, and with `config` where there is one: for tests of what reads them.
#[cfg(test)]
pub(crate) fn frame(config: Option<&AudioSpecificConfig>, access_unit: &[u8]) -> Vec<u8> {
    let mut bits = super::bits::BitWriter::default();
    bits.write(1, u32::from(config.is_none()));
    if let Some(config) = config {
        bits.write(1 + 1 + 6 + 4 + 3, 0b010_0000_0000_0000);
        let record = config.to_bytes().unwrap();
        // 16 bits of AAC-LC: type, rate, channels, three flags.
        bits.write(16, u32::from(u16::from_be_bytes([record[0], record[1]])));
        bits.write(3 + 8 + 1 + 1, 0xFF << 2);
    }
    let mut rest = access_unit.len();
    while rest >= 255 {
        bits.write(8, 255);
        rest -= 255;
    }
    bits.write(8, u32::try_from(rest).unwrap());
    access_unit.iter().for_each(|byte| bits.write(8, (*byte).into()));
    let element = bits.into_bytes();
    let header = 0x2B7 << 13 | u32::try_from(element.len()).unwrap();
    [&header.to_be_bytes()[1..], &element].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn aac_lc() -> AudioSpecificConfig {
        AudioSpecificConfig::parse(&[0x11, 0x90]).unwrap()
    }

    #[test]
    fn access_units_come_out_of_their_frames() {
        let mut reader = Reader::default();
        let unit: Vec<u8> = (0..=255).cycle().take(600).collect();
        let first = frame(Some(&aac_lc()), &unit);
        assert_eq!(frame_bytes(&first), Ok(first.len()));
        assert_eq!(reader.read(&first).unwrap(), [&unit]);
        assert_eq!(reader.config(), Some((&Bytes::from_static(&[0x11, 0x90]), &aac_lc())));
        assert_eq!(reader.read(&frame(None, &unit[..7])).unwrap(), [&unit[..7]]);
    }

    #[test]
    fn what_is_not_supported_is_told() {
        let mut reader = Reader::default();
        assert_eq!(reader.read(&frame(None, &[1])), Err(Error::Missing("LATM configuration")));
        assert_eq!(
            frame_bytes(&[0xFF, 0xF1, 0]),
            Err(Error::Invalid { field: "LOAS sync word", value: 0x7FF })
        );
        // allStreamsSameTimeFraming 0; two programs.
        for (element, field) in [(0b0000_0000, "allStreamsSameTimeFraming"), (0b0010_0000, "numProgram")] {
            let broken = [0x56, 0xE0, 3, element, 0b0000_1000, 0];
            let error = reader.read(&broken).unwrap_err();
            assert!(matches!(error, Error::Unsupported { field: named, .. } if named == field), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes: Vec<u8>) {
            let mut reader = Reader::default();
            let _ = reader.read(&bytes);
            let _ = frame_bytes(&bytes);
        }
    }
}
