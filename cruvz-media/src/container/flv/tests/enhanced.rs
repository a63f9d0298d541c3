//! The extended headers of Enhanced RTMP.

use super::*;
use crate::{Codec, Timescale, TrackKind};

/// `count` bytes of track, after its 24-bit size.
fn sized(track: &[u8]) -> Vec<u8> {
    [&(track.len() as u32).to_be_bytes()[1..], track].concat()
}

#[test]
fn extended_avc_is_the_same_track_as_legacy_avc() {
    let mut demuxer = Demuxer::default();
    video(&mut demuxer, 0, body(&[b"\x90avc1", AVCC]));
    assert_eq!(video(&mut demuxer, 0, avc_config()), []);
    let timed = video(&mut demuxer, 40, body(&[b"\x91avc1\0\0\x28", b"\0\0\0\x01\x65"]));
    assert_eq!(frames(timed), [frame(TrackId::VIDEO, 40, 80, true, b"\0\0\0\x01\x65")]);
    let untimed = video(&mut demuxer, 80, body(&[b"\xa3avc1", b"\0\0\0\x01\x41"]));
    assert_eq!(frames(untimed), [frame(TrackId::VIDEO, 80, 80, false, b"\0\0\0\x01\x41")]);
    assert_eq!(video(&mut demuxer, 0, body(&[b"\x92avc1"])), [Event::SequenceEnd(TrackId::VIDEO)]);
}

#[test]
fn extended_aac_is_the_same_track_as_legacy_aac() {
    let mut demuxer = Demuxer::default();
    audio(&mut demuxer, 0, body(&[b"\x90mp4a", AAC_48K]));
    assert_eq!(audio(&mut demuxer, 0, aac_config()), []);
    let events = audio(&mut demuxer, 21, body(&[b"\x91mp4a", b"raw"]));
    assert_eq!(frames(events), [frame(TrackId::AUDIO, 21, 21, true, b"raw")]);
    assert_eq!(audio(&mut demuxer, 0, body(&[b"\x92mp4a"])), [Event::SequenceEnd(TrackId::AUDIO)]);
}

#[test]
fn nanoseconds_refine_the_time_and_the_track_says_so_once() {
    let mut demuxer = configured();
    // ModEx of 3 bytes: 500,000 ns; then CodedFrames with a composition time.
    let events =
        video(&mut demuxer, 40, body(&[b"\xa7\x02\x07\xa1\x20\x01", b"avc1\0\0\x28", b"\0\0\0\x01\x41"]));
    let nanos = Timescale::new(1_000_000_000).unwrap();
    assert_eq!(tracks(&events).unwrap().by_id(TrackId::VIDEO).unwrap().timescale, nanos);
    let frames = frames(events);
    assert_eq!((frames[0].dts.as_micros(), frames[0].pts.as_micros()), (40_500, 80_500));
    assert_eq!(frames[0].dts.timescale(), nanos);

    let plain = video(&mut demuxer, 80, body(&[b"\x27\x01\0\0\0\0\0\0\x01\x41"]));
    assert_eq!(tracks(&plain), None);
    assert_eq!(super::frames(plain)[0].dts.as_micros(), 80_000);
}

#[test]
fn unknown_extensions_are_passed_over_by_their_size() {
    let mut demuxer = configured();
    let long = [&[0xffu8][..], &300u16.to_be_bytes(), &[0x55; 301], b"\x51"].concat();
    for extension in [&b"\x00\x55\x51"[..], b"\x01\x55\x55\x57\x00\x55\xe1", &long] {
        let tag = body(&[b"\xa7", extension, b"avc1\0\0\0", b"\0\0\0\x01\x41"]);
        assert_eq!(
            frames(video(&mut demuxer, 40, tag)),
            [frame(TrackId::VIDEO, 40, 40, false, b"\0\0\0\x01\x41")]
        );
    }
    // A size of 256 needs the long form: 0xff alone announces it.
    let tag = body(&[b"\x97", b"\xff\0\xff", &[0; 256], b"\x51", b"Opus"]);
    assert_eq!(audio(&mut demuxer, 0, tag), []);
    for broken in [&b"\xa7"[..], b"\xa7\xff\0", b"\xa7\x09\0\0", b"\xa7\x00\0"] {
        assert_eq!(feed(&mut demuxer, TagKind::Video, 0, body(&[broken])), Err(Error::Truncated("ModEx")));
    }
    let short = feed(&mut demuxer, TagKind::Video, 0, body(&[b"\xa7\x01\0\0\x01avc1"]));
    assert_eq!(short, Err(Error::Truncated("nanosecond offset")));
}

#[test]
fn one_track_messages_name_their_track() {
    let mut demuxer = configured();
    let events = video(&mut demuxer, 0, body(&[b"\x96\x00avc1\x02", AVCC]));
    assert_eq!(tracks(&events).unwrap().by_id(TrackId(0x102)).unwrap().params.codec, Codec::H264);
    let events = video(&mut demuxer, 40, body(&[b"\xa6\x01avc1\x02\0\0\x28", b"\0\0\0\x01\x41"]));
    assert_eq!(frames(events), [frame(TrackId(0x102), 40, 80, false, b"\0\0\0\x01\x41")]);
    // Track 0 is the one outside multitrack.
    let events = audio(&mut demuxer, 40, body(&[b"\x95\x01mp4a\x00", b"raw"]));
    assert_eq!(frames(events), [frame(TrackId::AUDIO, 40, 40, true, b"raw")]);
}

#[test]
fn many_tracks_share_a_message() {
    let mut demuxer = Demuxer::default();
    let tracks = |track: &[u8]| [&b"\0"[..], &sized(track), b"\x07", &sized(track)].concat();
    let events = audio(&mut demuxer, 0, body(&[b"\x95\x10mp4a", &tracks(AAC_48K)]));
    let ids: Vec<_> = super::tracks(&events).unwrap().iter().map(|track| track.id).collect();
    assert_eq!(ids, [TrackId::AUDIO, TrackId(0x207)]);
    let events = audio(&mut demuxer, 21, body(&[b"\x95\x11mp4a", &tracks(b"raw")]));
    assert_eq!(
        frames(events),
        [frame(TrackId::AUDIO, 21, 21, true, b"raw"), frame(TrackId(0x207), 21, 21, true, b"raw")]
    );
}

#[test]
fn a_codec_that_is_not_supported_costs_the_other_tracks_nothing() {
    let mut demuxer = Demuxer::default();
    let message = body(&[
        b"\x95\x20",
        b"mp4a\x00",
        &sized(AAC_48K),
        b"wma2\x01",
        &sized(b"xx"),
        b"mp4a\x02",
        &sized(AAC_48K),
    ]);
    let error = demuxer.tag(TagKind::Audio, 0, message).unwrap_err();
    assert_eq!(error.to_string(), "unsupported codec: FourCC 'wma2'");
    let ids: Vec<_> = demuxer.tracks().iter().map(|track| track.id).collect();
    assert_eq!(ids, [TrackId::AUDIO, TrackId(0x202)]);
}

#[test]
fn broken_multitrack_messages_are_refused() {
    let mut demuxer = configured();
    let mut refuse = |body: &[u8]| demuxer.tag(TagKind::Video, 0, Bytes::copy_from_slice(body)).unwrap_err();
    assert_eq!(refuse(b"\x96"), Error::Truncated("multitrack type"));
    assert_eq!(refuse(b"\x96\x31avc1\0"), Error::Multitrack(0x31));
    assert_eq!(refuse(b"\x96\x06avc1\0"), Error::Multitrack(0x06), "multitrack in multitrack");
    assert_eq!(refuse(b"\x96\x07avc1\0"), Error::Multitrack(0x07), "ModEx in multitrack");
    assert_eq!(refuse(b"\x96\x01avc1"), Error::Truncated("track id"));
    assert_eq!(refuse(b"\x96\x11avc1\0\0\0"), Error::Truncated("track size"));
    assert_eq!(refuse(b"\x96\x11avc1\0\0\0\x09x"), Error::Truncated("track"));
    assert_eq!(refuse(b"\x96\x21avc1\0\0\0\0av"), Error::Truncated("composition time"));
    let endless = [&b"\x96\x12avc1"[..], &b"\0\0\0\0".repeat(257)].concat();
    assert_eq!(refuse(&endless), Error::Parts(256));
    assert_eq!(std::iter::from_fn(|| demuxer.next_event()).count(), 256);
}

#[test]
fn video_metadata_is_data_about_its_track() {
    let mut demuxer = configured();
    let color = b"\x02\0\x09colorInfo\x03\0\0\x09";
    // The frame type is no matter for metadata; some senders mark it as a command.
    for first in [b"\xd4", b"\x94"] {
        let events = video(&mut demuxer, 40, body(&[first, b"avc1", color]));
        assert_eq!(frames(events), [frame(TrackId::DATA, 40, 40, true, color)]);
    }
    let events = video(&mut demuxer, 40, body(&[b"\x96\x04avc1\x03", color]));
    assert_eq!(frames(events), [frame(track_id(TrackKind::Data, 3), 40, 40, true, color)]);
}

#[test]
fn fourccs_name_codecs_both_ways() {
    for fourcc in
        [b"mp4a", b"ac-3", b"av01", b"ec-3", b"fLaC", b"avc1", b"hvc1", b".mp3", b"Opus", b"vp08", b"vp09"]
    {
        let fourcc = FourCc(*fourcc);
        assert_eq!(FourCc::of(fourcc.codec().unwrap()), Some(fourcc));
    }
    assert_eq!(FourCc(*b"vvc1").codec(), None);
    assert_eq!(FourCc::of(Codec::ScriptData), None);
    assert_eq!(FourCc(*b"av01").to_number(), 1_635_135_537);
    assert_eq!(format!("{:?}", FourCc(*b"av01")), "FourCc(av01)");
}

#[test]
fn opus_without_a_header_is_stereo_unless_the_channels_are_stated() {
    let mut demuxer = Demuxer::default();
    let channels = |demuxer: &Demuxer| demuxer.tracks()[0].params.audio().unwrap().channels;
    audio(&mut demuxer, 0, body(&[b"\x90Opus"]));
    assert_eq!(channels(&demuxer), 2);
    audio(&mut demuxer, 0, body(&[b"\x94Opus\x01\x01\0\0\0\x04"]));
    assert_eq!(channels(&demuxer), 1);
    assert_eq!(audio(&mut demuxer, 0, body(&[b"\x90Opus"])), [], "the empty header again says nothing");
    assert_eq!(
        feed(&mut demuxer, TagKind::Audio, 0, body(&[b"\x94Opus\x01"])),
        Err(Error::Truncated("channel configuration"))
    );

    // A header that states the channels is believed.
    let mut demuxer = Demuxer::default();
    audio(&mut demuxer, 0, body(&[b"\x90Opus", OPUS_HEAD]));
    assert_eq!(audio(&mut demuxer, 0, body(&[b"\x94Opus\x01\x02\0\0\0\x03"])), []);
    assert_eq!(channels(&demuxer), 1);
}
