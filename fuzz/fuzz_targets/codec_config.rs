//! The decoder configuration records of every codec, chosen by the first byte. A record in our own form stays as it is.
#![no_main]

use bytes::Bytes;
use cruvz_media::{Codec, codec};
use libfuzzer_sys::fuzz_target;

/// The order is that of the seeds: append only.
const CODECS: [Codec; 12] = [
    Codec::H264,
    Codec::H265,
    Codec::Av1,
    Codec::Vp9,
    Codec::Vp8,
    Codec::Aac,
    Codec::Opus,
    Codec::Flac,
    Codec::Mp3,
    Codec::Ac3,
    Codec::Eac3,
    Codec::ScriptData,
];

fuzz_target!(|data: &[u8]| {
    let [which, record @ ..] = data else { return };
    let codec = CODECS[usize::from(*which) % CODECS.len()];
    let Ok(params) = codec::parse(codec, Bytes::copy_from_slice(record)) else { return };
    assert_eq!(params.codec, codec);
    assert!(params.config.len() <= codec::MAX_CONFIG_BYTES);
    assert!(params.video().is_none_or(|video| video.frame_rate.is_none_or(|(num, den)| num > 0 && den > 0)));
    if codec == Codec::Mp3 {
        // Has no record: each frame says all.
        assert!(params.config.is_empty());
        return;
    }
    let mut again = codec::parse(codec, params.config.clone()).expect("our own form is accepted");
    if again != params {
        // A dec3 cannot name the half rates that the frame does, which it was made of.
        again = codec::complete(again, &Bytes::copy_from_slice(record)).expect("the frame was understood before");
    }
    assert_eq!(params, again);
});
