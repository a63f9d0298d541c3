//! Sample descriptions (stsd): which codec, and the record its decoder needs.

use bytes::{Buf, Bytes};

use super::{
    Error,
    boxes::{self, FourCc},
};
use crate::{AudioFormat, Codec, CodecParams, Format, VideoFormat, codec};

/// Bytes of a VisualSampleEntry before its boxes (ISO/IEC 14496-12 §12.1.3).
const VISUAL_BYTES: u64 = 78;
/// Bytes of an AudioSampleEntry before its boxes (§12.2.3).
const AUDIO_BYTES: u64 = 28;

/// What a track's frames are.
#[derive(Clone, Debug)]
pub(super) struct Description {
    pub(super) params: CodecParams,
    /// Bytes of each NAL unit's length in the file; 4 for codecs without NAL units.
    pub(super) nal_length_bytes: u8,
}

/// The description of a track's samples, or `None` for a codec that is not known. `track` names it in errors.
pub(super) fn parse(stsd: &Bytes, track: u32) -> Result<Option<Description>, Error> {
    let mut stsd = stsd.clone();
    boxes::take(&mut stsd, 8)?; // version, flags, count
    let Some(first) = boxes::children(stsd).next() else { return Err(Error::Missing("sample description")) };
    let (name, body) = first?;
    let description = match &name.0 {
        b"avc1" | b"avc3" => visual(body, Codec::H264, b"avcC", track)?,
        b"hvc1" | b"hev1" => visual(body, Codec::H265, b"hvcC", track)?,
        b"av01" => visual(body, Codec::Av1, b"av1C", track)?,
        b"vp08" => visual(body, Codec::Vp8, b"vpcC", track)?,
        b"vp09" => visual(body, Codec::Vp9, b"vpcC", track)?,
        b"mp4a" | b".mp3" | b"Opus" | b"fLaC" | b"ac-3" | b"ec-3" => return audio(name, body, track),
        _ => return Ok(None),
    };
    Ok(Some(description))
}

fn visual(mut body: Bytes, codec: Codec, record: &[u8; 4], track: u32) -> Result<Description, Error> {
    let mut head = boxes::take(&mut body, VISUAL_BYTES)?;
    head.advance(24);
    let (width, height) = (head.get_u16(), head.get_u16());
    let config = boxes::require(&body, record, "decoder configuration")?;
    let nal_length_bytes = match codec {
        Codec::H264 => config.get(4),
        Codec::H265 => config.get(21),
        _ => None,
    }
    .map_or(4, |byte| (byte & 3) + 1);
    let stated = VideoFormat { width: width.into(), height: height.into(), ..VideoFormat::default() };
    let mut params = codec::parse(codec, config).map_err(|source| Error::Codec { track, source })?;
    if let Format::Video(video) = &mut params.format
        && (video.width, video.height) == (0, 0)
    {
        (video.width, video.height) = (stated.width, stated.height);
    }
    Ok(Description { params, nal_length_bytes })
}

fn audio(name: FourCc, mut body: Bytes, track: u32) -> Result<Option<Description>, Error> {
    let mut head = boxes::take(&mut body, AUDIO_BYTES)?;
    head.advance(8);
    let version = head.get_u16();
    head.advance(6);
    let channels = head.get_u16();
    head.advance(6);
    let rate_hz = head.get_u32() >> 16;
    let stated = AudioFormat { sample_rate_hz: rate_hz, channels: channels as u8, samples_per_frame: None };
    let config = |name, what| {
        boxes::require(&body, name, what).or_else(|error| quicktime_box(&body, version, name).ok_or(error))
    };
    let (codec, config) = match &name.0 {
        b"mp4a" => match elementary_stream(config(b"esds", "elementary stream descriptor (esds)")?)? {
            Some(found) => found,
            None => return Ok(None),
        },
        b"Opus" => (Codec::Opus, config(b"dOps", "Opus header (dOps)")?),
        b"fLaC" => (Codec::Flac, config(b"dfLa", "FLAC header (dfLa)")?),
        b"ac-3" => (Codec::Ac3, config(b"dac3", "AC-3 header (dac3)")?),
        b"ec-3" => (Codec::Eac3, config(b"dec3", "E-AC-3 header (dec3)")?),
        _ => (Codec::Mp3, Bytes::new()),
    };
    let mut params = match codec {
        Codec::Mp3 => mp3(stated),
        codec => codec::parse(codec, config).map_err(|source| Error::Codec { track, source })?,
    };
    if let Format::Audio(audio) = &mut params.format
        && audio.sample_rate_hz == 0
    {
        audio.sample_rate_hz = stated.sample_rate_hz;
    }
    Ok(Some(Description { params, nal_length_bytes: 4 }))
}

/// MP3 has no record: this is what is known until a frame was seen.
fn mp3(stated: AudioFormat) -> CodecParams {
    let (config, format) = (Bytes::new(), Format::Audio(stated));
    CodecParams { codec: Codec::Mp3, config, format, rfc6381: "mp4a.40.34".to_owned() }
}

/// A box where QuickTime has it: behind the fields of its version 1 or 2 sound descriptions, perhaps in a `wave`.
fn quicktime_box(body: &Bytes, version: u16, name: &[u8; 4]) -> Option<Bytes> {
    let further = match version {
        1 => 16,
        2 => 36,
        _ => 0,
    };
    let body = body.get(further..).map(|rest| body.slice_ref(rest))?;
    let direct = boxes::find(&body, name).ok().flatten();
    direct.or_else(|| boxes::find(&boxes::find(&body, b"wave").ok()??, name).ok()?)
}

/// The codec and record of an `esds` (ISO/IEC 14496-1 §7.2.6); `None` for one that is not known.
fn elementary_stream(mut esds: Bytes) -> Result<Option<(Codec, Bytes)>, Error> {
    boxes::version_and_flags(&mut esds)?;
    let mut stream = descriptor(&mut esds, 3)?;
    stream.try_get_u16()?;
    let flags = stream.try_get_u8()?;
    if flags & 0x80 != 0 {
        stream.try_get_u16()?; // depends on another stream
    }
    if flags & 0x40 != 0 {
        let url_bytes = stream.try_get_u8()?;
        boxes::take(&mut stream, url_bytes.into())?;
    }
    if flags & 0x20 != 0 {
        stream.try_get_u16()?; // clock reference
    }
    let mut decoder = descriptor(&mut stream, 4)?;
    let object_type = decoder.try_get_u8()?;
    boxes::take(&mut decoder, 12)?;
    Ok(match object_type {
        // MPEG-4 AAC and the three profiles of MPEG-2's.
        0x40 | 0x66..=0x68 => Some((Codec::Aac, descriptor(&mut decoder, 5)?)),
        0x69 | 0x6b => Some((Codec::Mp3, Bytes::new())),
        _ => None,
    })
}

/// The body of the next descriptor called `tag`; its length comes seven bits at a time (§8.3.3).
fn descriptor(data: &mut Bytes, tag: u8) -> Result<Bytes, Error> {
    loop {
        let found = data.try_get_u8()?;
        let mut length = 0_u64;
        for _ in 0..4 {
            let byte = data.try_get_u8()?;
            length = length << 7 | u64::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                break;
            }
        }
        let body = boxes::take(data, length)?;
        if found == tag {
            return Ok(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stereo AAC of 48 kHz.
    const AAC: [u8; 2] = [0x11, 0x90];

    fn boxed(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
        [&(8 + body.len() as u32).to_be_bytes()[..], name, body].concat()
    }

    /// An `stsd` of one sound description with that version, fields of it, and boxes.
    fn sound(name: &[u8; 4], version: u8, fields: usize, boxes: &[u8]) -> Bytes {
        let mut entry = vec![0; 28];
        (entry[9], entry[17]) = (version, 1);
        entry[24..26].copy_from_slice(&22_050_u16.to_be_bytes());
        entry.extend(vec![0; fields]);
        entry.extend_from_slice(boxes);
        [&[0, 0, 0, 0, 0, 0, 0, 1][..], &boxed(name, &entry)].concat().into()
    }

    /// An `esds` with these stream flags and what follows from them, and the record of `object_type`.
    fn esds(flags: &[u8], object_type: u8, record: &[u8]) -> Vec<u8> {
        let specific = [&[5, record.len() as u8], record].concat();
        let decoder = [&[object_type][..], &[0; 12], &specific].concat();
        let stream = [&[0, 1][..], flags, &[4, 0x80, decoder.len() as u8], &decoder].concat();
        boxed(b"esds", &[&[0, 0, 0, 0, 3, 0x80, 0x80, 0x80, stream.len() as u8][..], &stream].concat())
    }

    fn codec_of(stsd: &Bytes) -> Option<Codec> {
        parse(stsd, 1).unwrap().map(|description| description.params.codec)
    }

    #[test]
    fn elementary_streams_may_depend_have_a_url_and_a_clock() {
        for flags in [
            &[0][..],
            &[0x80, 0, 7],
            &[0x40, 3, b'u', b'r', b'l'],
            &[0x20, 0, 9],
            &[0xe0, 0, 7, 1, b'u', 0, 9],
        ] {
            let found = codec_of(&sound(b"mp4a", 0, 0, &esds(flags, 0x40, &AAC)));
            assert_eq!(found, Some(Codec::Aac), "{flags:02x?}");
        }
    }

    #[test]
    fn object_types_tell_the_codec() {
        let of = |object_type| codec_of(&sound(b"mp4a", 0, 0, &esds(&[0], object_type, &AAC)));
        assert_eq!([0x66, 0x67, 0x68].map(of), [Some(Codec::Aac); 3]);
        assert_eq!([0x69, 0x6b].map(of), [Some(Codec::Mp3); 2]);
        assert_eq!(of(0xdd), None, "Vorbis");
    }

    #[test]
    fn quicktime_puts_the_record_behind_more_fields_and_in_a_wave() {
        let esds = esds(&[0], 0x40, &AAC);
        for (version, fields) in [(1, 16), (2, 36)] {
            for boxes in [esds.clone(), boxed(b"wave", &[boxed(b"frma", b"mp4a"), esds.clone()].concat())] {
                assert_eq!(codec_of(&sound(b"mp4a", version, fields, &boxes)), Some(Codec::Aac), "{version}");
            }
        }
        assert!(matches!(parse(&sound(b"mp4a", 1, 16, &[]), 1), Err(Error::Missing(_))));
    }

    #[test]
    fn mp3_is_described_by_its_entry() {
        let description = parse(&sound(b".mp3", 0, 0, &[]), 1).unwrap().unwrap();
        let audio = description.params.audio().unwrap();
        assert_eq!((audio.sample_rate_hz, audio.channels), (22_050, 1));
    }

    #[test]
    fn a_rate_that_the_record_leaves_open_is_that_of_the_entry() {
        for (dec3, rate_hz) in [([6, 0, 0xe0, 4, 0], 22_050), ([6, 0, 0x20, 4, 0], 48_000)] {
            let description = parse(&sound(b"ec-3", 0, 0, &boxed(b"dec3", &dec3)), 1).unwrap().unwrap();
            assert_eq!(description.params.audio().unwrap().sample_rate_hz, rate_hz);
        }
    }

    #[test]
    fn unknown_codecs_are_no_error_and_broken_records_are() {
        assert_eq!(codec_of(&sound(b"alac", 0, 0, &[])), None);
        let refused = parse(&sound(b"mp4a", 0, 0, &esds(&[0], 0x40, &[])), 9).unwrap_err();
        assert!(refused.to_string().starts_with("track 9: "), "{refused}");
        assert!(matches!(parse(&Bytes::from_static(&[0; 8]), 1), Err(Error::Missing(_))));
        assert!(matches!(parse(&Bytes::from_static(&[0; 7]), 1), Err(Error::Truncated { .. })));
    }
}
