use bytes::Bytes;
use cruvz_media::{AudioFormat, Codec, CodecParams, Format, TrackId, VideoFormat};

use super::{description::Description, *};
use crate::protocol::webrtc::{Credentials, DtlsRole, Fingerprint};

mod broken;
mod play;
mod publish;

/// An offer that a program wrote, from `tests/fixtures/webrtc`.
macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/webrtc/", $name, ".sdp"))
    };
}
use fixture;

/// All that is kept for as long as an answer is asked for.
struct Side {
    credentials: Credentials,
    fingerprint: Fingerprint,
    candidates: Vec<Candidate>,
}

impl Side {
    fn new() -> Self {
        let candidate = |transport, address: &str| Candidate { transport, address: address.parse().unwrap() };
        Self {
            credentials: Credentials {
                ufrag: "ourufrag".to_owned(),
                pwd: "ourpasswordof24letters00".to_owned(),
            },
            fingerprint: Fingerprint::parse(&format!("sha-256 {}", ["AB"; 32].join(":"))).unwrap(),
            candidates: vec![
                candidate(CandidateTransport::TcpPassive, "192.0.2.1:8189"),
                candidate(CandidateTransport::Udp, "192.0.2.1:8189"),
                candidate(CandidateTransport::Udp, "[2001:db8::1]:8189"),
            ],
        }
    }

    fn local(&self) -> Local<'_> {
        Local {
            credentials: &self.credentials,
            fingerprint: &self.fingerprint,
            candidates: &self.candidates,
            session_id: u64::MAX,
        }
    }

    fn play<'a>(&'a self, tracks: &'a [PlayTrack<'a>]) -> PlayWish<'a> {
        PlayWish { local: self.local(), tracks, msid: "cruvz", cname: "cruvz", feedback: true }
    }
}

/// The lines of an answer that begin with `start`.
fn lines<'a>(text: &'a str, start: &str) -> Vec<&'a str> {
    text.split("\r\n").filter(|line| line.starts_with(start)).collect()
}

/// The section of an answer with this mid.
fn section<'a>(text: &'a str, mid: &str) -> &'a str {
    let wanted = format!("a=mid:{mid}\r\n");
    text.split("\r\nm=").find(|section| section.contains(&wanted)).unwrap()
}

fn params(codec: Codec, rfc6381: &str) -> CodecParams {
    let format = match codec {
        Codec::Opus => {
            Format::Audio(AudioFormat { sample_rate_hz: 48_000, channels: 2, samples_per_frame: None })
        }
        _ => Format::Video(VideoFormat::default()),
    };
    CodecParams { codec, config: Bytes::new(), format, rfc6381: rfc6381.to_owned() }
}

/// Video of this kind, and audio in Opus.
fn stream(codec: Codec, rfc6381: &str) -> [CodecParams; 2] {
    [params(codec, rfc6381), params(Codec::Opus, "opus")]
}

fn tracks(stream: &[CodecParams]) -> Vec<PlayTrack<'_>> {
    let numbered = (1..).zip(stream);
    numbered
        .map(|(id, params)| PlayTrack { id: TrackId(id), params, ssrc: 1_000 + id, rtx_ssrc: 2_000 + id })
        .collect()
}

/// What somebody gets who plays `stream` with `offer`.
fn play(offer: &str, stream: &[CodecParams]) -> Result<(String, Negotiated), Refusal> {
    let side = Side::new();
    Offer::parse(offer)?.answer_play(&side.play(&tracks(stream)))
}

const ALL: [Codec; 6] = [Codec::Opus, Codec::H264, Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::H265];

/// What somebody gets who publishes with `offer`.
fn publish(offer: &str, prefer: Option<Codec>, max_layers: usize) -> Result<(String, Negotiated), Refusal> {
    let side = Side::new();
    Offer::parse(offer)?.answer_publish(&PublishWish {
        local: side.local(),
        codecs: &ALL,
        prefer,
        max_layers,
    })
}
