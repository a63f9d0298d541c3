//! What a publisher is told: reports, requests, arrival times.

use std::time::Duration;

use super::Receiver;
use crate::protocol::webrtc::rtcp::write;

/// Our canonical name. It says nothing, as it should (RFC 8834 §4.9).
const CNAME: &str = "cruvz";
/// Packets asked for in one datagram: 256 bytes in the worst case.
const MAX_NACKS: usize = 64;
/// With more than this before it, transport-wide feedback, of up to 1,000 bytes, goes into a datagram of its own.
const ROOM_BEFORE_ARRIVALS: usize = 160;

impl Receiver {
    /// The next datagram of RTCP for the publisher, to be encrypted. To be called until there is none: after each batch of
    /// datagrams that came in (not after each packet: one that was merely overtaken in its batch would be asked for), and
    /// at each timeout.
    pub fn poll_rtcp(&mut self, now: Duration) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        if self.report_at <= now {
            self.report_at = now.saturating_add(self.config.report_interval);
            self.write_report(now, &mut out);
        }
        let report_bytes = out.len();
        self.write_keyframe_requests(now, &mut out);
        self.write_nacks(now, &mut out);
        if out.len() <= ROOM_BEFORE_ARRIVALS {
            self.write_arrivals(now, &mut out);
        }
        if out.is_empty() {
            return None;
        }
        if report_bytes == 0 && !self.reduced_size {
            // A compound packet begins with a report and names its source (RFC 3550 §6.1).
            let mut compound = Vec::with_capacity(out.len() + 32);
            write::receiver_report(&mut compound, self.ssrc, &[]);
            write::cname(&mut compound, self.ssrc, CNAME);
            compound.append(&mut out);
            return Some(compound);
        }
        Some(out)
    }

    fn write_report(&mut self, now: Duration, out: &mut Vec<u8>) {
        let reports: Vec<_> = self.sources.iter_mut().filter_map(|source| source.report(now)).collect();
        write::receiver_report(out, self.ssrc, &reports);
        write::cname(out, self.ssrc, CNAME);
        let worst = reports.iter().map(|report| report.fraction_lost).max().unwrap_or(0);
        self.stats.fraction_lost = worst;
        if let Some(bitrate) = &mut self.bitrate {
            let ssrcs: Vec<u32> = reports.iter().map(|report| report.ssrc).collect();
            let estimate_bps = bitrate.estimate(now, worst);
            self.stats.estimate_bps = Some(estimate_bps);
            write::remb(out, self.ssrc, estimate_bps, &ssrcs);
        }
    }

    fn write_keyframe_requests(&mut self, now: Duration, out: &mut Vec<u8>) {
        for source in &mut self.sources {
            let feedback = self.lines[source.line].feedback;
            if !(feedback.pli || feedback.fir) || !source.take_keyframe_request(now, &self.config) {
                continue;
            }
            if feedback.pli {
                write::pli(out, self.ssrc, source.ssrc);
            } else {
                write::fir(out, self.ssrc, source.ssrc, source.keyframes.requests as u8);
            }
        }
    }

    fn write_nacks(&mut self, now: Duration, out: &mut Vec<u8>) {
        let mut room = MAX_NACKS;
        for source in &mut self.sources {
            let mut lost = Vec::new();
            source.nacks(now, &self.rtt, &self.config, room, &mut lost);
            if !lost.is_empty() {
                room -= lost.len();
                write::nack(out, self.ssrc, source.ssrc, &lost);
            }
        }
    }

    fn write_arrivals(&mut self, now: Duration, out: &mut Vec<u8>) {
        let Some((_, arrivals)) = &mut self.arrivals else { return };
        // Which of its sources is named does not matter.
        let names = (self.ssrc, self.sources.first().map_or(0, |source| source.ssrc));
        arrivals.feedback(now, |number, base, arrivals| {
            write::transport_feedback(out, names, number, base, arrivals)
        });
    }
}
