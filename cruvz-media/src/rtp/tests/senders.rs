//! Packets of FFmpeg and GStreamer become the frames that they were made of.

use super::*;

fn adler32(bytes: &[u8]) -> u32 {
    let step = |(a, b): (u32, u32), byte: &u8| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    };
    let (a, b) = bytes.iter().fold((1, 0), step);
    b << 16 | a
}

#[test]
fn frames_are_those_that_ffprobe_reads_in_the_file_that_was_sent() {
    for fixture in FIXTURES {
        let (events, counters) = depacketize(fixture.codec, &fixture.packets());
        // The timestamps begin anywhere, the file where its first line says.
        let frames = frames(&events);
        let first = fixture.frames.split(' ').next().unwrap().parse::<i32>().unwrap();
        let lines: Vec<_> = frames
            .iter()
            .map(|(timestamp, keyframe, payload)| {
                let pts = first + timestamp.wrapping_sub(frames[0].0) as i32;
                let key = if *keyframe { 'K' } else { '-' };
                format!("{pts} {key} {} {:08x}", payload.len(), adler32(payload))
            })
            .collect();
        assert_eq!(lines, fixture.frames.lines().collect::<Vec<_>>(), "{}", fixture.name);
        assert_eq!((counters.frames, counters.dropped()), (lines.len() as u64, 0), "{}", fixture.name);
    }
}

#[test]
fn parameters_come_once_before_the_first_frame_and_say_what_the_file_says() {
    for fixture in FIXTURES {
        let (events, _) = depacketize(fixture.codec, &fixture.packets());
        let params: Vec<_> = events.iter().filter(|event| matches!(event, Event::Params(_))).collect();
        assert_eq!(params, [&events[0]], "{}", fixture.name);
        let params = fixture.params();
        assert_eq!(codec::parse(fixture.codec, params.config.clone()).unwrap().rfc6381, params.rfc6381);
        match params.video() {
            Some(video) => assert_eq!((video.width, video.height), (96, 64), "{}", fixture.name),
            None => assert_eq!(params.audio().unwrap().channels, 2),
        }
    }
}

#[test]
fn what_sdp_told_is_not_repeated_and_works_without_parameter_sets_in_band() {
    for fixture in [Fixture::of(Codec::H264), Fixture::of(Codec::H265), Fixture::of(Codec::Opus)] {
        let (expected, _) = depacketize(fixture.codec, &fixture.packets());
        let mut depacketizer = Depacketizer::with_params(fixture.params(), Limits::default()).unwrap();
        let mut events = Vec::new();
        for packet in fixture.packets().iter().filter(|packet| !has_sets(fixture.codec, packet)) {
            depacketizer.push(packet, false, &mut events);
        }
        assert_eq!(events, expected[1..], "{}", fixture.name);
    }
}
