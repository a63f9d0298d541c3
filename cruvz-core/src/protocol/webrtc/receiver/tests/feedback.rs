//! What publishers of other makes than browsers are told.

use cruvz_media::rtp::Header;
use rtcp::Packet as Control;

use super::link::*;
use super::*;
use crate::protocol::webrtc::sdp::Feedback;

fn receiver(change: impl FnOnce(&mut Media)) -> Receiver {
    let mut video = media().remove(1);
    change(&mut video);
    Receiver::new(START, &[video], Config::default())
}

fn header(seq: u16, timestamp: u32) -> Header {
    Header { marker: true, payload_type: 96, seq, timestamp, ssrc: VIDEO }
}

/// Every datagram that is due at `now`.
fn datagrams(receiver: &mut Receiver, now: Duration) -> Vec<Vec<u8>> {
    receiver.handle_timeout(now);
    std::iter::from_fn(|| receiver.poll_rtcp(now)).collect()
}

fn controls(datagram: &[u8]) -> Vec<Control<'_>> {
    rtcp::packets(datagram).map(Result::unwrap).collect()
}

#[test]
fn who_did_not_agree_to_reduced_rtcp_gets_compound_packets_only() {
    let mut receiver = receiver(|video| video.reduced_size = false);
    receiver.rtp(START, packet(header(0, 0), b"first", 1));
    receiver.rtp(START, packet(header(9, 0), b"tenth", 2));
    let mut seen = 0;
    for at in 0..1_100 {
        for datagram in datagrams(&mut receiver, START + at * MS) {
            let packets = controls(&datagram);
            assert!(matches!(packets[0], Control::ReceiverReport(_)), "{packets:?}");
            assert!(matches!(packets[1], Control::SourceDescription(_)), "{packets:?}");
            seen += 1;
        }
    }
    assert!(seen >= 4, "NACKs, feedback, a request for a keyframe and a report, not {seen}");
}

#[test]
fn who_knows_fir_only_is_asked_by_fir_with_rising_numbers() {
    let mut receiver = receiver(|video| (video.feedback.pli, video.reduced_size) = (false, true));
    let mut numbers = Vec::new();
    for at in 0..2_000 {
        if at % 100 == 0 {
            receiver.rtp(START + at * MS, packet(header(at as u16 / 100, at * 90), b"\x10\x11\0\0delta", 1));
        }
        for datagram in datagrams(&mut receiver, START + at * MS) {
            for packet in controls(&datagram) {
                assert!(!matches!(packet, Control::Pli(_)));
                if let Control::Fir(fir) = packet {
                    numbers.extend(fir.requests());
                }
            }
        }
    }
    assert_eq!(numbers, [(VIDEO, 1_u8), (VIDEO, 2)]);
}

#[test]
fn who_knows_neither_is_not_asked() {
    let mut receiver = receiver(|video| (video.feedback.pli, video.feedback.fir) = (false, false));
    receiver.rtp(START, packet(header(0, 0), b"\x10\x11\0\0delta", 1));
    receiver.request_keyframe();
    for at in 0..1_900 {
        for datagram in datagrams(&mut receiver, START + at * MS) {
            assert!(
                !controls(&datagram).iter().any(|packet| matches!(packet, Control::Pli(_) | Control::Fir(_)))
            );
        }
    }
    assert_eq!(receiver.stats().keyframe_requests, 0);
}

#[test]
fn who_cannot_find_out_what_the_network_carries_is_told() {
    let remb = Feedback { transport_cc: false, remb: true, ..media()[1].feedback };
    let mut receiver = receiver(|video| video.feedback = remb);
    let mut told = Vec::new();
    for at in 0..3_100_u32 {
        receiver.rtp(START + at * MS, packet(header(at as u16, at * 90), &[1; 1_000], 1));
        for datagram in datagrams(&mut receiver, START + at * MS) {
            for packet in controls(&datagram) {
                assert!(!matches!(packet, Control::TransportFeedback(_)));
                if let Control::Remb(remb) = packet {
                    assert_eq!(remb.ssrcs().collect::<Vec<u32>>(), vec![VIDEO]);
                    told.push(remb.bitrate_bps);
                }
            }
        }
    }
    // 8 Mbit/s came, so that 12 Mbit/s are allowed.
    assert_eq!(told.len(), 3);
    assert!((11_900_000..12_100_000).contains(told.last().unwrap()), "{told:?}");
}
