//! The vectors of the RFCs, and both directions against each other.

use bytes::BytesMut;
use proptest::prelude::*;

use super::cipher::Cipher;
use super::keys::{Purpose, SessionKeys};
use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

const PROFILES: [Profile; 3] = [Profile::AeadAes128Gcm, Profile::AeadAes256Gcm, Profile::Aes128CmSha1_80];

fn master(profile: Profile, seed: u8) -> MasterKey {
    let bytes: Vec<u8> = (0..46_u8).map(|at| at.wrapping_mul(7) ^ seed).collect();
    MasterKey::new(profile, &bytes[..profile.key_len()], &bytes[32..][..profile.salt_len()]).unwrap()
}

fn pair(profile: Profile) -> (Outbound, Inbound) {
    (Outbound::new(&master(profile, 1)), Inbound::new(master(profile, 1), 4))
}

/// A header with this sequence number and source, and one source or extension if the bits say so.
fn header(seq: u16, ssrc: u32, bits: u8) -> Vec<u8> {
    let mut header = vec![0x80 | bits, 96];
    header.extend_from_slice(&seq.to_be_bytes());
    header.extend_from_slice(&[1, 2, 3, 4]);
    header.extend_from_slice(&ssrc.to_be_bytes());
    header.extend_from_slice(&[9; 4][..usize::from(bits & 1) * 4]);
    if bits & 0x10 != 0 {
        header.extend_from_slice(&[0xBE, 0xDE, 0, 1, 0x10, 0xFF, 0, 0]);
    }
    header
}

fn sealed(outbound: &Outbound, index: u64, ssrc: u32) -> BytesMut {
    let mut out = Vec::new();
    outbound.seal_rtp(index, &header(index as u16, ssrc, 0), &[b"payload"], &mut out);
    BytesMut::from(&out[..])
}

fn sealed_rtcp(outbound: &mut Outbound, ssrc: u32) -> BytesMut {
    let mut compound = vec![0x80, 201, 0, 1];
    compound.extend_from_slice(&ssrc.to_be_bytes());
    let mut out = Vec::new();
    outbound.seal_rtcp(&compound, &mut out);
    BytesMut::from(&out[..])
}

#[test]
fn keys_are_derived_as_in_rfc_3711_b_3() {
    let master = MasterKey::new(
        Profile::Aes128CmSha1_80,
        &bytes("E1F97A0D3E018BE0D64FA32C06DE4139"),
        &bytes("0EC675AD498AFEEBB6960B3AABE6"),
    );
    let keys = master.unwrap().derive(Purpose::Rtp);
    assert_eq!(keys.key(), bytes("C61E7A93744F39EE10734AFE3FF7A087"));
    assert_eq!(keys.salt[..], bytes("30CBBC08863D8C85D49DB34A9AE1"));
    assert_eq!(keys.authentication[..], bytes("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
}

/// RFC 6188 §7.2. Its salt has 14 bytes where that of AES-GCM has 12, so that only what does not depend on the last two is
/// the same: this derives with the salt of 14.
#[test]
fn keys_of_256_bits_are_derived_as_in_rfc_6188() {
    let (key, salt) = (
        bytes("f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6"),
        bytes("3b04803de51ee7c96423ab5b78d2"),
    );
    let master = MasterKey::raw(Profile::AeadAes256Gcm, &key, &salt);
    let keys = master.derive(Purpose::Rtp);
    assert_eq!(keys.key(), bytes("5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4"));
    assert_eq!(keys.salt[..12], bytes("fa31791685ca444a9e07c6c64e93")[..12]);
    assert_eq!(keys.authentication[..], bytes("fd9c32d39ed5fbb5a9dc96b30818454d1313dc05"));
}

fn gcm(profile: Profile) -> Cipher {
    let key: Vec<u8> = (0..profile.key_len() as u8).collect();
    Cipher::new(&SessionKeys::raw(profile, &key, b"Quid pro quo"))
}

/// RFC 7714 §16.1 and §16.2.
#[test]
fn packets_are_sealed_as_in_rfc_7714() {
    let plain = bytes(
        "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573",
    );
    let vectors = [
        (
            Profile::AeadAes128Gcm,
            "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833\
             899d7f27beb16a9152cf765ee4390cce",
        ),
        (
            Profile::AeadAes256Gcm,
            "8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b\
             7aa3db36dfffd6b0f9bb7878d7a76c13",
        ),
    ];
    for (profile, expected) in vectors {
        let mut packet = plain.clone();
        gcm(profile).seal_rtp(0xF17B, &mut packet, 0, 12);
        assert_eq!(packet, bytes(expected));
        assert_eq!(gcm(profile).open_rtp(0xF17B, &mut packet, 12), Some(plain.len()));
        assert_eq!(packet[..plain.len()], plain);
    }
}

/// RFC 7714 §17.1 and §17.2.
#[test]
fn control_packets_are_sealed_as_in_rfc_7714() {
    let plain = bytes(
        "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef",
    );
    let vectors = [
        (
            Profile::AeadAes128Gcm,
            "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275b\
             c84aa45896cf4d2fc5abf87245d9eade800005d4",
        ),
        (
            Profile::AeadAes256Gcm,
            "81c8000d4d617273d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de0476f1b6fad\
             1d1eb30c4446839f57ff6f6cb26ac3be800005d4",
        ),
    ];
    for (profile, expected) in vectors {
        let mut packet = plain.clone();
        gcm(profile).seal_rtcp(0x5D4, &mut packet, 0);
        assert_eq!(packet, bytes(expected));
        assert_eq!(gcm(profile).rtcp_trailer(&packet), Some(0x8000_05D4));
        assert_eq!(gcm(profile).open_rtcp(0x5D4, &mut packet), Some(plain.len()));
        assert_eq!(packet[..plain.len()], plain);
    }
}

/// The packets that libsrtp's own driver checks itself with, under the master key of RFC 3711 B.3.
#[test]
fn counter_mode_is_that_of_libsrtp() {
    let master = MasterKey::new(
        Profile::Aes128CmSha1_80,
        &bytes("E1F97A0D3E018BE0D64FA32C06DE4139"),
        &bytes("0EC675AD498AFEEBB6960B3AABE6"),
    )
    .unwrap();
    let mut out = Vec::new();
    Outbound::new(&master).seal_rtp(0x1234, &bytes("800f1234decafbadcafebabe"), &[&[0xAB; 16]], &mut out);
    assert_eq!(out, bytes("800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb"));
    let mut packet = bytes("81c8000bcafebabeabababababababababababababababab");
    Cipher::new(&master.derive(Purpose::Rtcp)).seal_rtcp(1, &mut packet, 0);
    assert_eq!(packet, bytes("81c8000bcafebabe7128035be487b9bdbef89041f977a5a880000001993e08cd54d6c1230798"));
}

#[test]
fn what_dtls_exports_is_cut_in_the_right_places() {
    let exported: Vec<u8> = (0..56).collect();
    let keys = KeyingMaterial::new(Profile::AeadAes128Gcm, &exported).unwrap();
    let expected = |key: u8, salt: u8| {
        let (key, salt): (Vec<u8>, Vec<u8>) = ((key..key + 16).collect(), (salt..salt + 12).collect());
        MasterKey::new(Profile::AeadAes128Gcm, &key, &salt).unwrap()
    };
    for (ours, theirs) in [(&keys.client, expected(0, 32)), (&keys.server, expected(16, 44))] {
        let (ours, theirs) = (ours.derive(Purpose::Rtp), theirs.derive(Purpose::Rtp));
        assert_eq!((ours.key(), ours.salt), (theirs.key(), theirs.salt));
    }
    assert_eq!(PROFILES.map(Profile::keying_len), [56, 88, 60]);
    assert!(KeyingMaterial::new(Profile::Aes128CmSha1_80, &exported).is_none());
    assert!(MasterKey::new(Profile::Aes128CmSha1_80, &[0; 16], &[0; 12]).is_none());
    assert_eq!(format!("{keys:?}"), "KeyingMaterial(AeadAes128Gcm, ***)");
}

#[test]
fn what_is_sealed_is_opened() {
    for profile in PROFILES {
        let (mut outbound, mut inbound) = pair(profile);
        for (at, bits) in [0, 1, 0x10, 0x11].into_iter().enumerate() {
            let (header, mut out) = (header(at as u16, 7, bits), vec![1, 2, 3]);
            outbound.seal_rtp(at as u64, &header, &[b"some payload"], &mut out);
            assert_eq!(out[..3], [1, 2, 3]);
            assert_eq!(out[3..][..header.len()], header);
            assert_eq!(out.len(), 3 + header.len() + 12 + outbound.overhead());
            let mut packet = BytesMut::from(&out[3..]);
            assert_eq!(inbound.open_rtp(&mut packet), Ok(at as u64));
            assert_eq!(packet, [&header[..], b"some payload"].concat());
        }
        let mut packet = sealed_rtcp(&mut outbound, 7);
        assert_eq!(packet.len(), 8 + outbound.rtcp_overhead());
        inbound.open_rtcp(&mut packet).unwrap();
        assert_eq!(packet[..], [0x80, 201, 0, 1, 0, 0, 0, 7]);
        assert_eq!((outbound.profile(), format!("{inbound:?}")), (profile, format!("Inbound({profile:?})")));
    }
}

#[test]
fn a_packet_is_opened_once() {
    for profile in PROFILES {
        let (mut outbound, mut inbound) = pair(profile);
        let packet = sealed(&outbound, 5, 7);
        assert_eq!(inbound.open_rtp(&mut packet.clone()), Ok(5));
        assert_eq!(inbound.open_rtp(&mut packet.clone()), Err(OpenError::Replayed { ssrc: 7, seq: 5 }));
        let control = sealed_rtcp(&mut outbound, 7);
        inbound.open_rtcp(&mut control.clone()).unwrap();
        assert_eq!(inbound.open_rtcp(&mut control.clone()), Err(OpenError::Replayed { ssrc: 7, seq: 0 }));
        // Sources have their own numbers.
        assert_eq!(inbound.open_rtp(&mut sealed(&outbound, 5, 8)), Ok(5));
    }
}

#[test]
fn a_forged_packet_is_refused_and_changes_nothing() {
    for profile in PROFILES {
        let (mut outbound, mut inbound) = pair(profile);
        let packet = sealed(&outbound, 5, 7);
        for at in 0..packet.len() {
            let mut changed = packet.clone();
            changed[at] ^= 0x20;
            assert!(inbound.open_rtp(&mut changed).is_err(), "{profile:?}: byte {at}");
        }
        let control = sealed_rtcp(&mut outbound, 7);
        for at in 0..control.len() {
            let mut changed = control.clone();
            changed[at] ^= 0x20;
            assert!(inbound.open_rtcp(&mut changed).is_err(), "{profile:?}: byte {at}");
        }
        assert_eq!(inbound.open_rtp(&mut packet.clone()), Ok(5));
        inbound.open_rtcp(&mut control.clone()).unwrap();
        // Keys of another session.
        let other = sealed(&Outbound::new(&master(profile, 9)), 6, 7);
        assert_eq!(inbound.open_rtp(&mut other.clone()), Err(OpenError::Forged(7)));
    }
}

#[test]
fn sequence_numbers_may_begin_anew_any_number_of_times() {
    let (outbound, mut inbound) = pair(Profile::AeadAes128Gcm);
    let mut index = 65_000;
    while index < 5 * 65_536 {
        assert_eq!(inbound.open_rtp(&mut sealed(&outbound, index, 7)), Ok(index));
        // One of the round before may come late.
        let late = index - 100;
        assert_eq!(inbound.open_rtp(&mut sealed(&outbound, late, 7)), Ok(late));
        index += 30_001;
    }
}

#[test]
fn control_packets_in_the_clear_are_refused() {
    for profile in PROFILES {
        let (mut outbound, mut inbound) = pair(profile);
        let mut packet = sealed_rtcp(&mut outbound, 7);
        let trailer = packet.len() - if profile == Profile::Aes128CmSha1_80 { 14 } else { 4 };
        packet[trailer] &= 0x7F;
        assert_eq!(inbound.open_rtcp(&mut packet), Err(OpenError::Clear(7)));
    }
}

#[test]
fn sources_are_bounded() {
    let (mut outbound, mut inbound) = pair(Profile::AeadAes128Gcm);
    for ssrc in 0..4 {
        inbound.open_rtp(&mut sealed(&outbound, 1, ssrc)).unwrap();
        inbound.open_rtcp(&mut sealed_rtcp(&mut outbound, ssrc)).unwrap();
    }
    assert_eq!(inbound.open_rtp(&mut sealed(&outbound, 1, 4)), Err(OpenError::TooManySources(4)));
    let control = &mut sealed_rtcp(&mut outbound, 4);
    assert_eq!(inbound.open_rtcp(control), Err(OpenError::TooManySources(4)));
    assert_eq!(inbound.open_rtp(&mut sealed(&outbound, 2, 3)), Ok(2));
}

#[test]
fn what_is_too_short_is_malformed() {
    for profile in PROFILES {
        let (mut outbound, mut inbound) = pair(profile);
        let (packet, control) = (sealed(&outbound, 5, 7), sealed_rtcp(&mut outbound, 7));
        for length in 0..packet.len() {
            assert!(inbound.open_rtp(&mut BytesMut::from(&packet[..length])).is_err());
        }
        for length in 0..control.len() {
            assert!(inbound.open_rtcp(&mut BytesMut::from(&control[..length])).is_err());
        }
        // An extension that is longer than the packet.
        let mut long = BytesMut::from(&header(1, 7, 0x10)[..]);
        long[14] = 0xFF;
        assert_eq!(inbound.open_rtp(&mut long), Err(OpenError::Malformed(20)));
    }
}

#[test]
fn a_key_seals_so_many_control_packets_and_no_more() {
    let (mut outbound, mut inbound) = pair(Profile::AeadAes128Gcm);
    outbound.set_rtcp_index((1 << 31) - 1);
    inbound.open_rtcp(&mut sealed_rtcp(&mut outbound, 7)).unwrap();
    assert!(sealed_rtcp(&mut outbound, 7).is_empty());
}

#[test]
fn sealing_takes_no_memory_of_its_own() {
    for profile in PROFILES {
        let (outbound, _) = pair(profile);
        let mut out = Vec::with_capacity(10_000);
        let place = out.as_ptr();
        for index in 0..8 {
            outbound.seal_rtp(index, &header(index as u16, 7, 0), &[&[5; 1_200]], &mut out);
        }
        assert_eq!((out.as_ptr(), out.capacity()), (place, 10_000));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_opened_or_refused(packet in prop::collection::vec(any::<u8>(), 0..64), profile in 0..3_usize) {
        let (_, mut inbound) = pair(PROFILES[profile]);
        prop_assert!(inbound.open_rtp(&mut BytesMut::from(&packet[..])).is_err());
        prop_assert!(inbound.open_rtcp(&mut BytesMut::from(&packet[..])).is_err());
    }

    /// Whatever is lost, doubled or overtaken within the window, each packet comes out once, with its own index.
    #[test]
    fn a_bad_network_confuses_no_index(
        first in 0_u64..32_768,
        fates in prop::collection::vec((0..4_u8, 0_u64..60), 1..400),
    ) {
        let (outbound, mut inbound) = pair(Profile::AeadAes128Gcm);
        inbound.open_rtp(&mut sealed(&outbound, first, 7)).unwrap();
        let mut order = Vec::new();
        for (at, (fate, delay)) in fates.into_iter().enumerate() {
            let index = first + 1 + at as u64;
            let copies = match fate { 0 => 0, 1 => 2, _ => 1 };
            order.extend((0..copies).map(|copy| (index + delay * copy, index)));
        }
        order.sort_unstable();
        let mut came = std::collections::BTreeSet::new();
        for (_, index) in order {
            let opened = inbound.open_rtp(&mut sealed(&outbound, index, 7));
            if came.insert(index) {
                prop_assert_eq!(opened, Ok(index));
            } else {
                prop_assert_eq!(opened, Err(OpenError::Replayed { ssrc: 7, seq: index as u16 }));
            }
        }
    }
}
