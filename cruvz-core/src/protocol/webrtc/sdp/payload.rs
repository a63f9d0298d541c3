//! Payload types: which codec a number stands for, with its parameters and feedback.

use cruvz_media::Codec;

use super::h264::ProfileLevel;

/// Feedback about a stream that both sides know (RFC 4585 §4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Feedback {
    /// Lost packets are asked for again (`nack`).
    pub nack: bool,
    /// Keyframes are asked for by PLI (`nack pli`).
    pub pli: bool,
    /// Keyframes are asked for by FIR (`ccm fir`).
    pub fir: bool,
    /// Arrivals are reported for the whole transport (`transport-cc`); only with the header extension of that name.
    pub transport_cc: bool,
    /// The receiver says what it can take (`goog-remb`); only where there is no `transport_cc`.
    pub remb: bool,
}

impl Feedback {
    /// Takes in what an offer says of a payload type. What is not known is passed over.
    pub(super) fn offer(&mut self, text: &str) {
        match text {
            "nack" => self.nack = true,
            "nack pli" => self.pli = true,
            "ccm fir" => self.fir = true,
            "transport-cc" => self.transport_cc = true,
            "goog-remb" => self.remb = true,
            _ => {}
        }
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self {
            nack: self.nack || other.nack,
            pli: self.pli || other.pli,
            fir: self.fir || other.fir,
            transport_cc: self.transport_cc || other.transport_cc,
            remb: self.remb || other.remb,
        }
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self {
            nack: self.nack && other.nack,
            pli: self.pli && other.pli,
            fir: self.fir && other.fir,
            transport_cc: self.transport_cc && other.transport_cc,
            remb: self.remb && other.remb,
        }
    }

    /// Each that is known, as it is written.
    pub(super) fn iter(self) -> impl Iterator<Item = &'static str> {
        let known = [
            (self.transport_cc, "transport-cc"),
            (self.remb, "goog-remb"),
            (self.fir, "ccm fir"),
            (self.nack, "nack"),
            (self.pli, "nack pli"),
        ];
        known.into_iter().filter(|(known, _)| *known).map(|(_, name)| name)
    }
}

/// What an offer says of a payload type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Payload {
    pub(super) number: u8,
    /// The encoding in lower case, as in `opus`; empty where there is no `rtpmap`.
    pub(super) encoding: String,
    /// As it was written: encoding, clock rate, channels.
    pub(super) rtpmap: String,
    pub(super) clock_rate: u32,
    /// The parameters as they were written.
    pub(super) fmtp: String,
    pub(super) feedback: Feedback,
}

impl Payload {
    /// Takes in an `rtpmap`: `opus/48000/2`. `None` if it is none.
    pub(super) fn map(&mut self, rtpmap: &str) -> Option<()> {
        let mut parts = rtpmap.split('/');
        let encoding = parts.next().filter(|encoding| !encoding.is_empty())?;
        self.clock_rate = parts.next()?.parse().ok()?;
        self.encoding = encoding.to_ascii_lowercase();
        self.rtpmap = rtpmap.to_owned();
        Some(())
    }

    /// The codec it stands for, if it is one that both directions know.
    pub(super) fn codec(&self) -> Option<Codec> {
        let codec = match self.encoding.as_str() {
            "av1" => Codec::Av1,
            "h264" => Codec::H264,
            "h265" => Codec::H265,
            "opus" => Codec::Opus,
            "vp8" => Codec::Vp8,
            "vp9" => Codec::Vp9,
            _ => return None,
        };
        let usable = self.clock_rate == clock_rate(codec) && usable(self.number);
        // H.265 in several RTP streams was never built (RFC 7798 §7.1).
        let single = codec != Codec::H265 || self.parameter("tx-mode").is_none_or(|mode| mode == "SRST");
        (usable && single).then_some(codec)
    }

    /// A parameter of its `fmtp`.
    pub(super) fn parameter(&self, key: &str) -> Option<&str> {
        self.fmtp.split(';').find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            name.trim().eq_ignore_ascii_case(key).then_some(value.trim())
        })
    }

    /// A parameter that is a number; `default` where there is none, or not one.
    pub(super) fn numeric(&self, key: &str, default: u32) -> u32 {
        self.parameter(key).and_then(|value| value.parse().ok()).unwrap_or(default)
    }

    /// Whether it is the retransmission of payload type `number` (RFC 4588 §8.1).
    pub(super) fn repeats(&self, number: u8, clock_rate: u32) -> bool {
        self.encoding == "rtx"
            && self.clock_rate == clock_rate
            && usable(self.number)
            && self.parameter("apt").and_then(|apt| apt.parse().ok()) == Some(number)
    }

    /// Its profile and level, if it is H.264.
    pub(super) fn h264(&self) -> ProfileLevel {
        self.parameter("profile-level-id").and_then(ProfileLevel::parse).unwrap_or_default()
    }

    /// What an answer says of H.264: the profile that was offered (RFC 6184 §8.2.2), and `level` if that may differ from the
    /// offered one.
    pub(super) fn h264_parameters(&self, level: u8) -> String {
        let offered = self.h264();
        let asymmetry = self.parameter("level-asymmetry-allowed") == Some("1");
        let profile = offered.at(if asymmetry { level } else { offered.level });
        let asymmetry = if asymmetry { "level-asymmetry-allowed=1;" } else { "" };
        let mode = u8::from(self.fragments());
        format!("{asymmetry}packetization-mode={mode};profile-level-id={profile}")
    }

    /// Whether H.264 comes in fragments and aggregates, and not only as one NAL unit per packet (RFC 6184 §6.3).
    pub(super) fn fragments(&self) -> bool {
        self.parameter("packetization-mode") == Some("1")
    }
}

/// Whether the number cannot be taken for RTCP where both share a port (RFC 5761 §4).
const fn usable(number: u8) -> bool {
    number < 128 && !matches!(number, 64..=95)
}

/// Ticks per second of a codec's RTP clock.
pub(super) const fn clock_rate(codec: Codec) -> u32 {
    match codec {
        Codec::Opus => 48_000,
        _ => 90_000,
    }
}
