//! Datagrams of RTCP.
#![no_main]

use std::{collections::BTreeSet, time::Duration};

use cruvz_core::protocol::webrtc::rtcp::{self, MAX_FEEDBACK_BYTES, MAX_STATUSES, Packet, TransportFeedback, write};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|datagram: &[u8]| {
    for packet in rtcp::packets(datagram).filter_map(Result::ok) {
        let mut out = Vec::new();
        match packet {
            Packet::SenderReport(report) => {
                write::sender_report(&mut out, report.ssrc, &report.info, &report.reports().collect::<Vec<_>>());
            }
            Packet::ReceiverReport(report) => {
                write::receiver_report(&mut out, report.ssrc, &report.reports().collect::<Vec<_>>());
            }
            Packet::Goodbye(goodbye) => write::goodbye(&mut out, &goodbye.ssrcs().collect::<Vec<_>>()),
            Packet::Pli(pli) => write::pli(&mut out, pli.sender, pli.media),
            Packet::SourceDescription(source) => assert!(source.cnames().count() <= 31),
            Packet::Fir(fir) => assert!(fir.requests().len() <= datagram.len() / 8),
            Packet::Remb(remb) => assert!(remb.ssrcs().len() <= datagram.len() / 4),
            Packet::Nack(nack) => {
                let lost: Vec<u16> = nack.lost().collect();
                assert!(lost.len() <= datagram.len() / 4 * 17);
                write::nack(&mut out, nack.sender, nack.media, &lost);
                let Some(Ok(Packet::Nack(again))) = rtcp::packets(&out).next() else { panic!("no NACK") };
                assert_eq!(again.lost().collect::<BTreeSet<_>>(), lost.into_iter().collect());
                continue;
            }
            Packet::TransportFeedback(feedback) => {
                again(&feedback);
                continue;
            }
            _ => continue,
        }
        // What is written reads the same.
        if !out.is_empty() {
            assert_eq!(rtcp::packets(&out).next(), Some(Ok(packet)));
        }
    }
});

/// Feedback that is written from what was read says the same, however many packets it takes.
fn again(feedback: &TransportFeedback<'_>) {
    /// After this long the clock wraps.
    const WRAP_US: i64 = 64_000 << 24;
    let statuses: Vec<_> = feedback.statuses().collect();
    assert!(statuses.len() == usize::from(feedback.count) && feedback.count <= MAX_STATUSES);
    let base = u64::from(feedback.base);
    let arrival = |at: i64| Duration::from_micros(u64::try_from(at + 2 * WRAP_US).expect("less than a wrap below zero"));
    let arrivals: Vec<_> =
        (base..).zip(&statuses).filter_map(|(seq, (_, at))| Some((seq, arrival((*at)?)))).collect();
    let (mut next, mut left, mut seen) = (base, &arrivals[..], Vec::new());
    while !left.is_empty() {
        let mut out = Vec::new();
        let taken = write::transport_feedback(&mut out, (feedback.sender, feedback.media), 0, next, left);
        assert!(taken > 0 && out.len() <= MAX_FEEDBACK_BYTES);
        let Some(Ok(Packet::TransportFeedback(part))) = rtcp::packets(&out).next() else { panic!("no feedback") };
        seen.extend(part.statuses());
        next = left[taken - 1].0 + 1;
        left = &left[taken..];
    }
    let wrapped = |(seq, at): &(u16, Option<i64>)| (*seq, at.map(|at| at.rem_euclid(WRAP_US)));
    // What was lost behind the last arrival is for the next feedback to say.
    assert!(statuses[seen.len()..].iter().all(|(_, at)| at.is_none()));
    assert!(seen.iter().map(wrapped).eq(statuses.iter().take(seen.len()).map(wrapped)));
}
