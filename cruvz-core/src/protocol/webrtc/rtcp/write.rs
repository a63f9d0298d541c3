//! Writing RTCP: each function appends one packet. Called in a row they make a compound packet, which begins with a
//! report (RFC 3550 §6.1) unless the peer takes reduced-size RTCP (RFC 5506).

use std::time::Duration;

use super::{ReportBlock, SenderInfo, feedback::REMB, format, kind, report::CNAME, transport};

/// The most that the five bits of a header count: reports, sources.
pub const MAX_COUNT: usize = 31;

/// A sender report. Of `reports`, the first 31 are written.
pub fn sender_report(out: &mut Vec<u8>, ssrc: u32, info: &SenderInfo, reports: &[ReportBlock]) {
    let reports = &reports[..reports.len().min(MAX_COUNT)];
    packet(out, kind::SENDER_REPORT, reports.len(), |out| {
        out.extend(ssrc.to_be_bytes());
        out.extend(info.ntp.to_be_bytes());
        words(out, &[info.rtp_timestamp, info.packets, info.octets]);
        out.extend(reports.iter().flat_map(|report| report.to_bytes()));
    });
}

/// A receiver report, with or without anything to report. Of `reports`, the first 31 are written.
pub fn receiver_report(out: &mut Vec<u8>, ssrc: u32, reports: &[ReportBlock]) {
    let reports = &reports[..reports.len().min(MAX_COUNT)];
    packet(out, kind::RECEIVER_REPORT, reports.len(), |out| {
        out.extend(ssrc.to_be_bytes());
        out.extend(reports.iter().flat_map(|report| report.to_bytes()));
    });
}

/// A source description with the canonical name of a source, cut at 255 bytes.
pub fn cname(out: &mut Vec<u8>, ssrc: u32, cname: &str) {
    let cname = &cname.as_bytes()[..cname.len().min(255)];
    packet(out, kind::SOURCE_DESCRIPTION, 1, |out| {
        out.extend(ssrc.to_be_bytes());
        out.extend([CNAME, cname.len() as u8]);
        out.extend(cname);
        // At least one zero ends the items; a chunk ends with a word.
        let zeros = 4 - (2 + cname.len()) % 4;
        out.resize(out.len() + zeros, 0);
    });
}

/// Says that sources end. The first 31 are written.
pub fn goodbye(out: &mut Vec<u8>, ssrcs: &[u32]) {
    let ssrcs = &ssrcs[..ssrcs.len().min(MAX_COUNT)];
    packet(out, kind::GOODBYE, ssrcs.len(), |out| words(out, ssrcs));
}

/// Asks `media` for packets again. `lost` is in the order of sequence numbers; neighbours share 4 bytes.
pub fn nack(out: &mut Vec<u8>, sender: u32, media: u32, lost: &[u16]) {
    packet(out, kind::TRANSPORT_FEEDBACK, format::NACK.into(), |out| {
        words(out, &[sender, media]);
        let mut lost = lost.iter().copied().peekable();
        while let Some(first) = lost.next() {
            let mut mask = 0_u16;
            while let Some(bit) =
                lost.peek().map(|next| next.wrapping_sub(first)).filter(|bit| (0..=16).contains(bit))
            {
                mask |= 1_u16.checked_shl(u32::from(bit).wrapping_sub(1)).unwrap_or(0);
                lost.next();
            }
            out.extend(first.to_be_bytes());
            out.extend(mask.to_be_bytes());
        }
    });
}

/// Asks `media` for a keyframe: the picture is broken.
pub fn pli(out: &mut Vec<u8>, sender: u32, media: u32) {
    packet(out, kind::PAYLOAD_FEEDBACK, format::PLI.into(), |out| words(out, &[sender, media]));
}

/// Asks `media` for a keyframe. `number` grows by one with each new request and stays for a repeat.
pub fn fir(out: &mut Vec<u8>, sender: u32, media: u32, number: u8) {
    packet(out, kind::PAYLOAD_FEEDBACK, format::FIR.into(), |out| {
        // The second source stays 0, as each entry names its own (RFC 5104 §4.3.1.2).
        words(out, &[sender, 0, media, u32::from(number) << 24]);
    });
}

/// Says what all of `ssrcs` together may send. The first 255 are written.
pub fn remb(out: &mut Vec<u8>, sender: u32, bitrate_bps: u64, ssrcs: &[u32]) {
    let ssrcs = &ssrcs[..ssrcs.len().min(255)];
    // 18 bits, and how far they are shifted.
    let exponent = (64 - bitrate_bps.leading_zeros()).saturating_sub(18);
    let mantissa = (bitrate_bps >> exponent) as u32;
    packet(out, kind::PAYLOAD_FEEDBACK, format::APPLICATION.into(), |out| {
        words(out, &[sender, 0]);
        out.extend(REMB);
        words(out, &[(ssrcs.len() as u32) << 24 | exponent << 18 | mantissa]);
        words(out, ssrcs);
    });
}

/// Says when packets of a transport arrived: `arrivals` are their sequence numbers, unwrapped and ascending, and the time;
/// those from `base` on that are missing are reported as lost. A sequence number that does not ascend is left out.
///
/// Returns how many of `arrivals` are spoken of, as a feedback holds at most [`transport::MAX_STATUSES`] packets and
/// [`transport::MAX_FEEDBACK_BYTES`], and a gap of eight seconds ends it: at least one, unless there is none, when nothing is
/// written. The rest goes into the next, with a `base` after the last one that was spoken of, and the next number of `feedback`.
pub fn transport_feedback(
    out: &mut Vec<u8>,
    (sender, media): (u32, u32),
    feedback: u8,
    base: u64,
    arrivals: &[(u64, Duration)],
) -> usize {
    let (body, taken) = transport::body(feedback, base, arrivals);
    if taken > 0 {
        packet(out, kind::TRANSPORT_FEEDBACK, format::TRANSPORT_WIDE.into(), |out| {
            words(out, &[sender, media]);
            out.extend(body);
        });
    }
    taken
}

fn words(out: &mut Vec<u8>, words: &[u32]) {
    out.extend(words.iter().flat_map(|word| word.to_be_bytes()));
}

/// Appends a packet: the header, what `body` writes, and padding up to a word.
fn packet(out: &mut Vec<u8>, kind: u8, count: usize, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0x80 | count as u8, kind, 0, 0]);
    body(out);
    let padding = (out.len() - start).wrapping_neg() % 4;
    if padding > 0 {
        out[start] |= 0x20;
        out.resize(out.len() + padding - 1, 0);
        out.push(padding as u8);
    }
    let length = (out.len() - start) / 4 - 1;
    out[start + 2..start + 4].copy_from_slice(&(length as u16).to_be_bytes());
}
