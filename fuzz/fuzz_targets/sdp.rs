//! Offers of publishers and players, answers to counter-offers, and fragments.
#![no_main]

use std::sync::LazyLock;

use bytes::Bytes;
use cruvz_core::protocol::webrtc::sdp::{
    Candidate, CandidateTransport, CounterOffer, Fragment, Local, MAX_BYTES, MAX_SECTIONS, Negotiated, Offer, PlayTrack,
    PlayWish, PublishWish, Refusal,
};
use cruvz_core::protocol::webrtc::{Credentials, Fingerprint};
use cruvz_core::{AudioFormat, Codec, CodecParams, Format, TrackId, VideoFormat};
use libfuzzer_sys::fuzz_target;

static CREDENTIALS: LazyLock<Credentials> = LazyLock::new(|| Credentials::from_random([7; 24]));
static FINGERPRINT: LazyLock<Fingerprint> =
    LazyLock::new(|| Fingerprint::parse(&format!("sha-256 {}", ["AB"; 32].join(":"))).expect("well formed"));
static STREAM: LazyLock<[CodecParams; 2]> = LazyLock::new(|| {
    let audio = AudioFormat { sample_rate_hz: 48_000, channels: 2, samples_per_frame: None };
    let params = |codec, format, rfc6381: &str| CodecParams { codec, config: Bytes::new(), format, rfc6381: rfc6381.into() };
    [
        params(Codec::H264, Format::Video(VideoFormat::default()), "avc1.640028"),
        params(Codec::Opus, Format::Audio(audio), "opus"),
    ]
});
const CODECS: [Codec; 6] = [Codec::Opus, Codec::H264, Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::H265];

fuzz_target!(|text: &str| {
    let address = "192.0.2.1:8189".parse().expect("well formed");
    let local = Local {
        credentials: &CREDENTIALS,
        fingerprint: &FINGERPRINT,
        candidates: &[Candidate { transport: CandidateTransport::Udp, address }],
        session_id: 1,
    };
    let track = |id, params| PlayTrack { id: TrackId(id), params, ssrc: id, rtx_ssrc: 10 + id };
    let [video, audio] = &*STREAM;
    let tracks = [track(1, video), track(2, audio)];
    let play = PlayWish { local, tracks: &tracks, msid: "cruvz", cname: "cruvz", feedback: true };
    let publish = PublishWish { local, codecs: &CODECS, prefer: Some(Codec::H264), max_layers: 3 };

    let fragment = Fragment::parse(text);
    if let Ok(offer) = Offer::parse(text) {
        fragment.expect("less is read of a fragment than of an offer");
        check(text, offer.answer_play(&play), tracks.len());
        check(text, offer.answer_publish(&publish), tracks.len());
    }
    let counter = CounterOffer::new(&play, None).expect("all is there");
    if let Ok(negotiated) = counter.accept(text) {
        assert!((1..=tracks.len()).contains(&negotiated.media.len()));
        assert!(negotiated.media.iter().all(|media| media.sending.is_some()));
    }
});

/// An answer is SDP with as many sections, and as long as its offer allows.
fn check(text: &str, answer: Result<(String, Negotiated), Refusal>, most: usize) {
    let (answer, negotiated) = match answer {
        Ok(answer) => answer,
        Err(refusal) => return assert!(refusal.to_string().len() <= 2 * text.len() + 500),
    };
    assert!(answer.len() <= 2 * text.len() + 2_000 * MAX_SECTIONS);
    assert!(answer.ends_with("\r\n") && !answer.contains("\r\n\r\n"));
    if answer.len() <= MAX_BYTES {
        Offer::parse(&answer).expect("we read what we write");
    }
    let sections = |text: &str| text.lines().filter(|line| line.starts_with("m=")).count();
    assert_eq!(sections(&answer), sections(text));
    assert!((1..=most).contains(&negotiated.media.len()));
    for media in &negotiated.media {
        assert!(media.line < sections(text) && media.rtx != Some(media.payload_type));
        assert!(answer.contains(&format!("a=rtpmap:{} ", media.payload_type)));
    }
}
