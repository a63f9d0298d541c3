//! SRTP and SRTCP: nothing is opened that the key's owner did not seal, and what he sealed is opened once.
#![no_main]

use std::collections::HashSet;

use bytes::BytesMut;
use cruvz_core::protocol::webrtc::srtp::{Inbound, MasterKey, Outbound, Profile};
use cruvz_fuzz::records;
use libfuzzer_sys::fuzz_target;

fn master(profile: Profile) -> MasterKey {
    let (key, salt): (&[u8], &[u8]) = match profile {
        Profile::AeadAes256Gcm => (&[7; 32], &[8; 12]),
        Profile::AeadAes128Gcm => (&[7; 16], &[8; 12]),
        _ => (&[7; 16], &[8; 14]),
    };
    MasterKey::new(profile, key, salt).expect("as long as it should be")
}

fuzz_target!(|data: &[u8]| {
    let [choice, rest @ ..] = data else { return };
    let profiles = [Profile::AeadAes128Gcm, Profile::AeadAes256Gcm, Profile::Aes128CmSha1_80];
    let master = master(profiles[usize::from(*choice) % 3]);
    let (mut outbound, mut inbound) = (Outbound::new(&master), Inbound::new(master, 8));
    let (mut opened, mut highest) = (HashSet::new(), 0_u64);
    for (kind, bytes) in records(rest).take(100) {
        let mut packet = BytesMut::from(bytes);
        match kind % 4 {
            0 => assert!(inbound.open_rtp(&mut packet).is_err()),
            1 => assert!(inbound.open_rtcp(&mut packet).is_err()),
            // A packet of one source, a little before or after the last one, whole or with a byte changed.
            2 => {
                let [step, flip, at, payload @ ..] = bytes else { continue };
                let index = (highest + u64::from(*step)).saturating_sub(64);
                let mut header = [0x80, 96, 0, 0, 1, 2, 3, 4, 0, 0, 0, 9];
                header[2..4].copy_from_slice(&(index as u16).to_be_bytes());
                let mut out = Vec::new();
                outbound.seal_rtp(index, &header, &[payload], &mut out);
                let place = usize::from(*at) % out.len();
                out[place] ^= flip;
                let result = inbound.open_rtp(&mut BytesMut::from(&out[..]));
                let expected = *flip == 0 && !opened.contains(&index);
                assert_eq!(result.ok(), expected.then_some(index));
                if expected {
                    opened.insert(index);
                    highest = highest.max(index);
                }
            }
            _ => {
                let [flip, at, compound @ ..] = bytes else { continue };
                if compound.len() < 8 || compound[0] >> 6 != 2 {
                    continue;
                }
                let mut out = Vec::new();
                outbound.seal_rtcp(compound, &mut out);
                let mut packet = BytesMut::from(&out[..]);
                let place = usize::from(*at) % out.len();
                packet[place] ^= flip;
                let result = inbound.open_rtcp(&mut packet);
                assert!(*flip == 0 || result.is_err());
                assert!(result.is_err() || packet == compound);
            }
        }
    }
});
