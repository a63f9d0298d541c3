//! AC-3 and Enhanced AC-3: the records dac3 and dec3 (ETSI TS 102 366 annex F), and the same facts out of a syncframe's
//! header (§4.3, §E.1.2) for protocols that carry no record.

use bytes::Bytes;

use super::{
    Error,
    bits::{BitReader, BitWriter},
};
use crate::{AudioFormat, Codec, CodecParams, Format};

/// What each syncframe begins with.
const SYNC: [u8; 2] = [0x0B, 0x77];
/// Sampling frequencies by `fscod`; 3 is reserved in AC-3 and means half the rate in E-AC-3.
const SAMPLE_RATES_HZ: [u32; 3] = [48_000, 44_100, 32_000];
/// E-AC-3's `fscod` for half a rate.
const HALF_RATE: u8 = 3;
/// Full-range channels by `acmod`.
const CHANNELS: [u8; 8] = [2, 1, 2, 3, 3, 4, 4, 5];
/// Samples of an AC-3 syncframe: six blocks.
const AC3_SAMPLES: u32 = 1_536;
/// Samples of an audio block.
const BLOCK_SAMPLES: u32 = 256;

/// What AC-3's dac3 and its syncframe header have in common.
struct Ac3 {
    fscod: u8,
    bsid: u8,
    bsmod: u8,
    acmod: u8,
    lfe: bool,
    bit_rate_code: u8,
}

impl Ac3 {
    fn from_record(record: &[u8]) -> Result<Self, Error> {
        let mut bits = BitReader::new(record);
        Ok(Self {
            fscod: bits.byte(2)?,
            bsid: bits.byte(5)?,
            bsmod: bits.byte(3)?,
            acmod: bits.byte(3)?,
            lfe: bits.flag()?,
            bit_rate_code: {
                let code = bits.byte(5)?;
                bits.skip(5)?; // reserved
                code
            },
        })
    }

    /// `frame` begins with the sync word.
    fn from_syncframe(frame: &[u8]) -> Result<Self, Error> {
        let mut bits = BitReader::new(frame);
        bits.skip(16 + 16)?; // sync word, crc1
        let (fscod, frmsizecod) = (bits.byte(2)?, bits.byte(6)?);
        let (bsid, bsmod, acmod) = (bits.byte(5)?, bits.byte(3)?, bits.byte(3)?);
        if bsid > 8 {
            return Err(Error::Invalid { field: "AC-3 bsid", value: bsid.into() });
        }
        if acmod & 1 != 0 && acmod != 1 {
            bits.skip(2)?; // cmixlev
        }
        if acmod & 4 != 0 {
            bits.skip(2)?; // surmixlev
        }
        if acmod == 2 {
            bits.skip(2)?; // dsurmod
        }
        Ok(Self { fscod, bsid, bsmod, acmod, lfe: bits.flag()?, bit_rate_code: frmsizecod >> 1 })
    }

    fn record(&self) -> Bytes {
        let mut bits = BitWriter::default();
        bits.write(2, self.fscod.into());
        bits.write(5, self.bsid.into());
        bits.write(3, self.bsmod.into());
        bits.write(3, self.acmod.into());
        bits.write(1, self.lfe.into());
        bits.write(5, self.bit_rate_code.into());
        bits.write(5, 0);
        bits.into_bytes().into()
    }
}

fn sample_rate(fscod: u8) -> Result<u32, Error> {
    let rate = SAMPLE_RATES_HZ.get(usize::from(fscod)).copied();
    rate.ok_or(Error::Invalid { field: "AC-3 fscod", value: 3 })
}

fn channels(acmod: u8, lfe: bool) -> u8 {
    CHANNELS[usize::from(acmod & 7)] + u8::from(lfe)
}

/// What a dac3, or the syncframe at the front of an AC-3 packet, says of the media; the record in the result is a dac3.
pub(super) fn params(config: &Bytes) -> Result<CodecParams, Error> {
    // A dac3 has three bytes. No syncframe has so few.
    let is_frame = config.len() > 4 && config.starts_with(&SYNC);
    let facts = if is_frame { Ac3::from_syncframe(config)? } else { Ac3::from_record(config)? };
    let format = AudioFormat {
        sample_rate_hz: sample_rate(facts.fscod)?,
        channels: channels(facts.acmod, facts.lfe),
        samples_per_frame: Some(AC3_SAMPLES),
    };
    let config = if is_frame { facts.record() } else { config.clone() };
    Ok(CodecParams { codec: Codec::Ac3, config, format: Format::Audio(format), rfc6381: "ac-3".to_owned() })
}

/// The header of an E-AC-3 syncframe.
struct Eac3Frame {
    /// Whether it is an independent substream, not a part that adds channels to one.
    independent: bool,
    substream: u8,
    bytes: usize,
    fscod: u8,
    sample_rate_hz: u32,
    blocks: u32,
    acmod: u8,
    lfe: bool,
    bsid: u8,
}

impl Eac3Frame {
    fn parse(frame: &[u8]) -> Result<Self, Error> {
        let mut bits = BitReader::new(frame);
        let sync = bits.read(16)?;
        if sync != 0x0B77 {
            return Err(Error::Invalid { field: "E-AC-3 sync word", value: sync.into() });
        }
        let kind = bits.byte(2)?;
        let substream = bits.byte(3)?;
        let bytes = (bits.read(11)? as usize + 1) * 2;
        let fscod = bits.byte(2)?;
        // At half rates the next two bits name the whole one, and there are always six blocks.
        let code = bits.byte(2)?;
        let (sample_rate_hz, blocks) = match fscod {
            HALF_RATE => (sample_rate(code)? / 2, 6),
            _ => (sample_rate(fscod)?, [1, 2, 3, 6][usize::from(code)]),
        };
        let (acmod, lfe, bsid) = (bits.byte(3)?, bits.flag()?, bits.byte(5)?);
        if !(11..=16).contains(&bsid) {
            return Err(Error::Invalid { field: "E-AC-3 bsid", value: bsid.into() });
        }
        let independent = kind != 1;
        Ok(Self { independent, substream, bytes, fscod, sample_rate_hz, blocks, acmod, lfe, bsid })
    }

    /// A dec3 with this one independent substream. Parts that add channels to it are not told in its header.
    fn record(&self) -> Bytes {
        let samples = u64::from(self.blocks * BLOCK_SAMPLES);
        let kbps = self.bytes as u64 * 8 * u64::from(self.sample_rate_hz) / samples / 1_000;
        let mut bits = BitWriter::default();
        bits.write(13, u32::try_from(kbps).map_or(0x1FFF, |kbps| kbps.min(0x1FFF)));
        bits.write(3, 0); // num_ind_sub, less one
        bits.write(2, self.fscod.into());
        bits.write(5, self.bsid.into());
        bits.write(2, 0); // reserved, asvc
        bits.write(3, 0); // bsmod: main service, complete main
        bits.write(3, self.acmod.into());
        bits.write(1, self.lfe.into());
        bits.write(3 + 4 + 1, 0); // reserved, num_dep_sub, reserved
        bits.into_bytes().into()
    }
}

/// Channels that a dependent substream adds, by the bits of `chan_loc` from the highest (table F.6.1): Lc/Rc, Lrs/Rrs,
/// Cs, Ts, Lsd/Rsd, Lw/Rw, Lvh/Rvh, Cvh, LFE2.
const ADDED_CHANNELS: [u8; 9] = [2, 2, 1, 1, 2, 2, 2, 1, 1];

/// Channels of a dec3's first independent substream, with what its dependent ones add.
fn eac3_channels(record: &[u8]) -> Result<u8, Error> {
    let mut bits = BitReader::new(record);
    // data_rate, num_ind_sub, fscod, bsid, reserved, asvc, bsmod
    bits.skip(13 + 3 + 2 + 5 + 1 + 1 + 3)?;
    let mut channels = channels(bits.byte(3)?, bits.flag()?);
    bits.skip(3)?; // reserved
    if bits.read(4)? > 0 {
        for added in ADDED_CHANNELS {
            channels += if bits.flag()? { added } else { 0 };
        }
    }
    Ok(channels)
}

/// A dec3's sampling frequency; 0 at half rates, as it has no field that says which.
fn eac3_sample_rate(record: &[u8]) -> Result<u32, Error> {
    let mut bits = BitReader::new(record);
    bits.skip(13 + 3)?; // data_rate, num_ind_sub
    let fscod = bits.byte(2)?;
    if fscod == HALF_RATE { Ok(0) } else { sample_rate(fscod) }
}

/// What a dec3, or the first syncframe of an E-AC-3 packet, says of the media; the record in the result is a dec3.
pub(super) fn eac3_params(config: &Bytes) -> Result<CodecParams, Error> {
    let (config, sample_rate_hz) = match Eac3Frame::parse(config) {
        Ok(frame) => (frame.record(), frame.sample_rate_hz),
        Err(error) if config.starts_with(&SYNC) && config.len() > 10 => return Err(error),
        Err(_) => (config.clone(), eac3_sample_rate(config)?),
    };
    let channels = eac3_channels(&config)?;
    let format = AudioFormat { sample_rate_hz, channels, samples_per_frame: None };
    Ok(CodecParams { codec: Codec::Eac3, config, format: Format::Audio(format), rfc6381: "ec-3".to_owned() })
}

/// Bit rates of AC-3 by the upper five bits of `frmsizecod`, in kbit/s (ETSI TS 102 366 table 4.13).
const BIT_RATES_KBPS: [u32; 19] =
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];

/// What it takes to find the next syncframe of AC-3 or E-AC-3 in a byte stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncFrame {
    /// Bytes of the whole syncframe.
    pub bytes: usize,
    /// Samples per second.
    pub sample_rate_hz: u32,
    /// Samples in it.
    pub samples: u32,
    /// Whether an access unit begins with it: always in AC-3; in E-AC-3 with the first independent substream.
    pub begins_unit: bool,
}

impl SyncFrame {
    /// Reads the header at the front of a syncframe of either codec.
    ///
    /// # Errors
    /// [`Error::Truncated`] below 7 bytes, [`Error::Invalid`] without the sync word or with reserved values.
    pub fn parse(frame: &[u8]) -> Result<Self, Error> {
        let mut bits = BitReader::new(frame);
        let sync = bits.read(16)?;
        if sync != 0x0B77 {
            return Err(Error::Invalid { field: "AC-3 sync word", value: sync.into() });
        }
        bits.skip(24)?; // crc1, fscod, frmsizecod; in E-AC-3 what stands in their place
        if bits.byte(5)? > 10 {
            let frame = Eac3Frame::parse(frame)?;
            return Ok(Self {
                bytes: frame.bytes,
                sample_rate_hz: frame.sample_rate_hz,
                samples: frame.blocks * BLOCK_SAMPLES,
                begins_unit: frame.independent && frame.substream == 0,
            });
        }
        let fscod = frame[4] >> 6;
        let frmsizecod = frame[4] & 0x3F;
        let sample_rate_hz = sample_rate(fscod)?;
        let kbps = BIT_RATES_KBPS.get(usize::from(frmsizecod >> 1));
        let kbps =
            kbps.ok_or_else(|| Error::Invalid { field: "AC-3 frmsizecod", value: frmsizecod.into() })?;
        // In words of 16 bits; at 44.1 kHz every other frame has one more.
        let padding = u32::from(fscod == 1) * u32::from(frmsizecod & 1);
        let words = kbps * 1_000 / 16 * AC3_SAMPLES / sample_rate_hz + padding;
        Ok(Self { bytes: 2 * words as usize, sample_rate_hz, samples: AC3_SAMPLES, begins_unit: true })
    }
}

/// Samples in an E-AC-3 packet: of all the syncframes of its first independent substream. `None` when it does not begin
/// with one or they do not fill it.
pub fn eac3_samples(packet: &[u8]) -> Option<u32> {
    let mut rest = packet;
    let mut samples = 0u32;
    while !rest.is_empty() {
        let frame = Eac3Frame::parse(rest).ok()?;
        if frame.independent && frame.substream == 0 {
            samples = samples.checked_add(frame.blocks * BLOCK_SAMPLES)?;
        }
        rest = rest.get(frame.bytes..)?;
    }
    (samples > 0).then_some(samples)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::{self, hex};

    /// Syncframe heads of FFmpeg 9's `-c:a ac3` and `-c:a eac3`, 48 kHz stereo, in FLV, which has no record.
    const AC3_FRAME: &str = "0b77d112144043e106f4";
    const EAC3_FRAME: &str = "0b77017f3487c0002084";

    fn audio(codec: Codec, record: &str) -> AudioFormat {
        *codec::parse(codec, hex(record)).unwrap().audio().unwrap()
    }

    #[test]
    fn records_say_what_ffprobe_says() {
        // `-ac 6` in MP4: 5.1 at 48 kHz.
        let surround = AudioFormat { sample_rate_hz: 48_000, channels: 6, samples_per_frame: Some(1_536) };
        assert_eq!(audio(Codec::Ac3, "103de0"), surround);
        assert_eq!(audio(Codec::Eac3, "0e00200f00"), AudioFormat { samples_per_frame: None, ..surround });
        // The same with one dependent substream that adds Lrs/Rrs: 7.1.
        assert_eq!(audio(Codec::Eac3, "0e00200f0280").channels, 8);
        assert_eq!(codec::parse(Codec::Ac3, hex("103de0")).unwrap().rfc6381, "ac-3");
        assert_eq!(codec::parse(Codec::Eac3, hex("0e00200f00")).unwrap().rfc6381, "ec-3");
    }

    #[test]
    fn a_syncframe_gives_the_record_its_protocol_lacks() {
        let params = codec::parse(Codec::Ac3, hex(AC3_FRAME)).unwrap();
        let stereo = AudioFormat { sample_rate_hz: 48_000, channels: 2, samples_per_frame: Some(1_536) };
        assert_eq!(params.audio(), Some(&stereo));
        // 192 kbit/s, as the MP4 muxer writes it for this stream.
        assert_eq!(params.config, hex("101140"));
        let params = codec::parse(Codec::Eac3, hex(EAC3_FRAME)).unwrap();
        assert_eq!(params.audio(), Some(&AudioFormat { samples_per_frame: None, ..stereo }));
        assert_eq!(params.config, hex("0600200400"));
        assert_eq!(codec::parse(Codec::Eac3, params.config.clone()).unwrap(), params);
    }

    #[test]
    fn a_packet_counts_the_frames_of_its_first_substream() {
        let mut frame = hex(EAC3_FRAME).to_vec();
        frame.resize(768, 0);
        assert_eq!(eac3_samples(&frame), Some(1_536));
        let mut dependent = frame.clone();
        dependent[2] |= 0x40;
        assert_eq!(eac3_samples(&[&frame[..], &dependent, &frame].concat()), Some(3_072));
        assert_eq!(eac3_samples(&dependent), None);
        assert_eq!(eac3_samples(&frame[..700]), None);
        assert_eq!(eac3_samples(&[]), None);
    }

    #[test]
    fn half_rates_are_read_from_the_frame() {
        // fscod 3, fscod2 1: 22.05 kHz.
        let params = codec::parse(Codec::Eac3, hex("0b77017fd487c0002084")).unwrap();
        assert_eq!(params.audio().unwrap().sample_rate_hz, 22_050);
        // The record has no room for fscod2: it leaves the rate open until a frame says it.
        let frame = hex("0b77017fc487c0002084");
        let params = codec::parse(Codec::Eac3, frame.clone()).unwrap();
        assert_eq!(params.audio().unwrap().sample_rate_hz, 24_000);
        let open = codec::parse(Codec::Eac3, params.config.clone()).unwrap();
        assert_eq!(open.audio(), Some(&AudioFormat { sample_rate_hz: 0, ..*params.audio().unwrap() }));
        assert_eq!(codec::complete(open, &frame), Ok(params));
    }

    #[test]
    fn headers_that_lie_are_refused_with_the_reason() {
        let parse = |codec, record| codec::parse(codec, hex(record)).unwrap_err();
        assert_eq!(parse(Codec::Ac3, ""), Error::Truncated { bytes: 0 });
        assert_eq!(parse(Codec::Ac3, "103d"), Error::Truncated { bytes: 2 });
        assert_eq!(parse(Codec::Ac3, "d03de0"), Error::Invalid { field: "AC-3 fscod", value: 3 });
        assert_eq!(parse(Codec::Ac3, "0b77d11214804321"), Error::Invalid { field: "AC-3 bsid", value: 16 });
        assert_eq!(parse(Codec::Eac3, "0e00"), Error::Truncated { bytes: 2 });
        assert_eq!(
            parse(Codec::Eac3, "0b77017f340000002084ffff"),
            Error::Invalid { field: "E-AC-3 bsid", value: 0 }
        );
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes: Vec<u8>, sync: bool) {
            let bytes = if sync { [&SYNC[..], &bytes].concat() } else { bytes };
            let _ = eac3_samples(&bytes);
            let _ = codec::parse(Codec::Ac3, Bytes::from(bytes.clone()));
            let _ = codec::parse(Codec::Eac3, Bytes::from(bytes));
        }
    }
}
