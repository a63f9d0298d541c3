//! Renewal of keys between two sides, and key material that will not do.

use super::*;
use crate::protocol::srt::{Packet, Seq};

const REFRESH: KeyRefresh = KeyRefresh { packets: 20, announce_packets: 5 };
const RTT: Duration = Duration::from_millis(100);

fn sides(cipher: Cipher) -> (Crypto, Crypto) {
    let passphrase = Passphrase::new("correct horse").unwrap();
    let choice = CryptoChoice { cipher, length: KeyLength::Aes128 };
    let (ours, request) = Crypto::initiate(&passphrase, choice, REFRESH, Random::new([1; 32]));
    let theirs = Crypto::respond(&passphrase, &request, REFRESH, Random::new([2; 32])).unwrap();
    (ours, theirs)
}

/// Sends packet `seq` and returns the flag it bore.
fn send(from: &mut Crypto, to: &Crypto, seq: u32) -> KeyFlag {
    let mut datagram = Vec::new();
    from.seal(DataHeader { seq: Seq::new(seq), ..DataHeader::default() }, b"seven times 188", &mut datagram);
    let Ok(Packet::Data(packet)) = Packet::parse(datagram.into()) else { panic!("no data packet") };
    assert_eq!(to.open(&packet.header, packet.payload).unwrap(), b"seven times 188"[..]);
    packet.header.key
}

#[test]
fn a_key_is_announced_confirmed_and_then_used() {
    for cipher in [Cipher::Ctr, Cipher::Gcm] {
        let (mut ours, mut theirs) = sides(cipher);
        let mut now = Duration::ZERO;
        let mut flags = Vec::new();
        for seq in 0..60 {
            flags.push(send(&mut ours, &theirs, seq));
            now += Duration::from_millis(1);
            if let Some(request) = ours.poll_key_material(now, RTT) {
                let answer = theirs.receive_request(&request);
                ours.receive_response(&answer);
            }
        }
        assert_eq!(flags[..20], [KeyFlag::Even; 20]);
        assert_eq!(flags[20..40], [KeyFlag::Odd; 20]);
        assert_eq!(flags[40..], [KeyFlag::Even; 20]);
        // The other direction has its own keys and goes on with the first.
        assert_eq!(send(&mut theirs, &ours, 0), KeyFlag::Even);
    }
}

#[test]
fn a_key_that_is_not_confirmed_is_announced_again_and_not_used() {
    let (mut ours, mut theirs) = sides(Cipher::Ctr);
    let mut announced = Vec::new();
    for ms in 0..1_000 {
        assert_eq!(send(&mut ours, &theirs, ms), KeyFlag::Even);
        announced.extend(ours.poll_key_material(Duration::from_millis(ms.into()), RTT));
    }
    assert_eq!(announced.len(), 7);
    assert!(announced.iter().all(|message| *message == announced[0]));
    let answer = theirs.receive_request(&announced[0]);
    ours.receive_response(&Bytes::from_static(b"something else"));
    assert_eq!(send(&mut ours, &theirs, 1_000), KeyFlag::Even);
    ours.receive_response(&answer);
    assert_eq!(send(&mut ours, &theirs, 1_001), KeyFlag::Odd);
    assert_eq!(ours.poll_key_material(Duration::from_secs(9), RTT), None);
}

#[test]
fn what_is_sent_again_does_not_wear_a_key() {
    let (mut ours, theirs) = sides(Cipher::Ctr);
    for _ in 0..100 {
        let header = DataHeader { retransmitted: true, ..DataHeader::default() };
        ours.seal(header, b"", &mut Vec::new());
    }
    assert_eq!(ours.poll_key_material(Duration::ZERO, RTT), None);
    assert_eq!(send(&mut ours, &theirs, 1), KeyFlag::Even);
}

#[test]
fn a_refused_key_is_given_up_for_another_period() {
    let (mut ours, theirs) = sides(Cipher::Ctr);
    let announces = |ours: &mut Crypto, theirs: &Crypto| {
        (0..17)
            .filter(|seq| {
                send(ours, theirs, *seq);
                ours.poll_key_material(Duration::ZERO, RTT).is_some()
            })
            .count()
    };
    assert_eq!(announces(&mut ours, &theirs), 1);
    ours.receive_response(&Bytes::from_static(&[4, 0, 0, 0]));
    assert_eq!(announces(&mut ours, &theirs), 1);
}

#[test]
fn renewed_keys_keep_salt_cipher_and_passphrase() {
    let (mut ours, theirs) = sides(Cipher::Ctr);
    let passphrase = Passphrase::new("correct horse").unwrap();
    let request = |passphrase, cipher, length| {
        Crypto::initiate(passphrase, CryptoChoice { cipher, length }, REFRESH, Random::new([9; 32])).1
    };
    let other_salt = request(&passphrase, Cipher::Ctr, KeyLength::Aes128);
    let other_length = request(&passphrase, Cipher::Ctr, KeyLength::Aes256);
    let other_cipher = request(&passphrase, Cipher::Gcm, KeyLength::Aes128);
    let other_secret = request(&Passphrase::new("battery staple").unwrap(), Cipher::Ctr, KeyLength::Aes128);
    assert_eq!(ours.receive_request(&other_salt)[..], [4, 0, 0, 0]);
    assert_eq!(ours.receive_request(&other_secret)[..], [4, 0, 0, 0]);
    assert_eq!(ours.receive_request(&other_length)[..], [5, 0, 0, 0]);
    assert_eq!(ours.receive_request(&other_cipher)[..], [5, 0, 0, 0]);
    assert_eq!(ours.receive_request(&Bytes::from_static(b"junk"))[..], [4, 0, 0, 0]);
    // None of them has touched the keys.
    let (mut theirs, ours) = (theirs, ours);
    assert_eq!(send(&mut theirs, &ours, 3), KeyFlag::Even);
}

#[test]
fn gcm_finds_out_what_was_changed() {
    let (mut ours, theirs) = sides(Cipher::Gcm);
    let mut datagram = Vec::new();
    ours.seal(DataHeader { seq: Seq::new(8), ..DataHeader::default() }, b"text", &mut datagram);
    for place in 0..datagram.len() {
        let mut changed = datagram.clone();
        changed[place] ^= 0x10;
        let Ok(Packet::Data(packet)) = Packet::parse(changed.into()) else { continue };
        let opened = theirs.open(&packet.header, packet.payload);
        assert!(opened.is_err(), "byte {place}");
    }
    let header = DataHeader { key: KeyFlag::Even, ..DataHeader::default() };
    assert_eq!(theirs.open(&header, Bytes::from_static(&[0; 15])), Err(OpenError::Forged(0)));
    let odd = DataHeader { key: KeyFlag::Odd, ..DataHeader::default() };
    assert_eq!(theirs.open(&odd, Bytes::new()), Err(OpenError::NoKey(0)));
}

#[test]
fn settings_that_make_no_sense_are_brought_into_range() {
    let passphrase = Passphrase::new("correct horse").unwrap();
    let refresh = KeyRefresh { packets: 0, announce_packets: u32::MAX };
    let (mut ours, request) =
        Crypto::initiate(&passphrase, CryptoChoice::default(), refresh, Random::new([1; 32]));
    let mut theirs = Crypto::respond(&passphrase, &request, refresh, Random::new([2; 32])).unwrap();
    for seq in 0..10 {
        send(&mut ours, &theirs, seq);
        if let Some(request) = ours.poll_key_material(Duration::from_secs(seq.into()), RTT) {
            ours.receive_response(&theirs.receive_request(&request));
        }
    }
    assert_eq!(format!("{theirs:?}"), "Crypto { choice: CryptoChoice { cipher: Ctr, length: Aes128 }, .. }");
}
