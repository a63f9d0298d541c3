//! What is looked at in the frames themselves: NAL units in both forms, parameter sets, user data, ADTS.
#![no_main]

use bytes::Bytes;
use cruvz_media::codec::{aac, h264, h265, nal};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [which, data @ ..] = data else { return };
    match which % 4 {
        0 => {
            let units = nal::nal_units(data).count();
            assert!(units <= data.len() / 4 + 1);
            let _ = (h264::is_keyframe(data), h265::is_keyframe(data));
            let _ = h264::user_data_unregistered(data).count() + h265::user_data_unregistered(data).count();
            let _ = nal::to_annex_b(data);
            for from in 1..=4 {
                if let Ok(four) = nal::to_four_byte_lengths(Bytes::copy_from_slice(data), from) {
                    assert!(four.len() <= data.len() * 4 + 4);
                }
            }
        }
        1 => {
            let _ = nal::annex_b_units(data).count();
            if let Ok(payload) = nal::from_annex_b(data) {
                let back = nal::to_annex_b(&payload).expect("our own form is accepted");
                assert_eq!(
                    nal::annex_b_units(data).collect::<Vec<_>>(),
                    nal::annex_b_units(&back).collect::<Vec<_>>()
                );
            }
        }
        2 => {
            let _ = (h264::Sps::parse(data), h265::Sps::parse(data));
        }
        _ => {
            let _ = aac::AdtsHeader::parse(data);
            if let Ok(config) = aac::AudioSpecificConfig::parse(data) {
                let _ = (config.to_bytes(), config.audio_format(), config.rfc6381());
            }
        }
    }
});
