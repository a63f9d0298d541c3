//! Answering a player: whether its decoders suit the stream.

use cruvz_media::{Codec, CodecParams, TrackId};

use super::{
    Local, Negotiated, Offer, Refusal, Sending,
    answer::{Chosen, Reply, Sends},
    description::Section,
    error::{kind_name, shortened},
    h264::{CONTAINS, ProfileLevel, SAME},
    payload::Payload,
};

/// What a player is to get.
#[derive(Clone, Copy, Debug)]
pub struct PlayWish<'a> {
    /// What this side says of itself.
    pub local: Local<'a>,
    /// The tracks of the stream, the first of a kind before others.
    pub tracks: &'a [PlayTrack<'a>],
    /// Names the stream in the answer, of letters and digits: what belongs together in the player.
    pub msid: &'a str,
    /// Names this side in sender reports, of letters and digits: what is in sync.
    pub cname: &'a str,
    /// Whether the player is to tell what the network takes, by arrivals or else by REMB. It costs ten to twenty packets per second,
    /// and is of use where there are layers to choose from.
    pub feedback: bool,
}

/// A track that a player may get.
#[derive(Clone, Copy, Debug)]
pub struct PlayTrack<'a> {
    /// The track of the stream.
    pub id: TrackId,
    /// Its codec.
    pub params: &'a CodecParams,
    /// The source it is sent as.
    pub ssrc: u32,
    /// The source of retransmissions.
    pub rtx_ssrc: u32,
}

impl Offer {
    /// Answers somebody who wants to play (WHEP): each section that receives gets the first track of its kind that no
    /// other section got; sections for which there is no track stay inactive.
    ///
    /// # Errors
    /// [`Refusal`] if no section receives what the stream has, or one cannot decode it: the text says which codec it is and what the
    /// offer has.
    pub fn answer_play(&self, wish: &PlayWish<'_>) -> Result<(String, Negotiated), Refusal> {
        let mut tracks: Vec<_> = wish.tracks.iter().collect();
        let mut replies = Vec::with_capacity(self.description.sections.len());
        for (line, section) in self.description.sections.iter().enumerate() {
            let Some(kind) = section.kind().filter(|_| !section.disabled) else {
                replies.push(Reply::Reject);
                continue;
            };
            let receives = self.description.direction(section).receives;
            let track = tracks.iter().position(|track| receives && track.params.codec.kind() == kind);
            replies.push(match track.map(|at| tracks.remove(at)) {
                Some(track) => Reply::Active(Box::new(track.choose(line, section, wish.feedback)?)),
                None => self.inactive(section),
            });
        }
        if tracks.len() == wish.tracks.len() {
            return Err(Refusal::NoMedia { what: "media section that receives what the stream has" });
        }
        self.answer(&wish.local, replies, Some(wish.sends()))
    }
}

impl<'a> PlayWish<'a> {
    pub(super) const fn sends(&self) -> Sends<'a> {
        Sends { msid: self.msid, cname: self.cname }
    }
}

impl PlayTrack<'_> {
    /// As what the track is sent in a section.
    fn choose(&self, line: usize, section: &Section, feedback: bool) -> Result<Chosen, Refusal> {
        self.check()?;
        let codec = self.params.codec;
        let suits = |payload: &Payload| {
            if payload.codec() == Some(codec) { suits(payload, self.params) } else { None }
        };
        let mut best: Option<(u8, &Payload)> = None;
        for payload in &section.payloads {
            // Of equals, the first is what the player likes best.
            if let Some(fit) = suits(payload).filter(|fit| best.is_none_or(|(kept, _)| *fit > kept)) {
                best = Some((fit, payload));
            }
        }
        let (_, payload) = best.ok_or_else(|| self.nothing_known(section))?;
        let mut chosen = Chosen::new(line, section, payload, codec, |way| way.receives);
        chosen.fmtp = parameters(payload, self.params);
        let media = &mut chosen.media;
        media.extensions.rid = None;
        media.extensions.repaired_rid = None;
        if !feedback {
            media.no_congestion();
        }
        let rtx_ssrc = media.rtx.map(|_| self.rtx_ssrc);
        media.sending = Some(Sending { track: self.id, ssrc: self.ssrc, rtx_ssrc });
        Ok(chosen)
    }

    /// Whether WebRTC has a place for it at all.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let CodecParams { codec, .. } = self.params;
        match (codec, self.params.audio()) {
            (Codec::Opus, Some(audio)) if audio.channels > 2 => {
                Err(Refusal::NotCarried(format!("Opus of {} channels", audio.channels)))
            }
            (Codec::Av1 | Codec::H264 | Codec::H265 | Codec::Opus | Codec::Vp8 | Codec::Vp9, _) => Ok(()),
            _ => Err(Refusal::NotCarried(codec.name().to_owned())),
        }
    }

    fn nothing_known(&self, section: &Section) -> Refusal {
        let CodecParams { codec, rfc6381, .. } = self.params;
        let kind = codec.kind();
        // Where the codec is there, it is in its parameters that they differ.
        let same = section.payloads.iter().filter(|payload| payload.codec() == Some(*codec));
        let unfit = same.map(|payload| payload.fmtp.as_str()).collect::<Vec<_>>().join(" or ");
        let offered = match unfit.as_str() {
            "" => shortened(&section.codec_names()),
            unfit => shortened(&format!("{codec} with {unfit}")),
        };
        let have = format!("the stream's {} is {codec} ({rfc6381})", kind_name(kind));
        Refusal::NoCommonCodec { kind, have, offered }
    }
}

impl PlayTrack<'_> {
    /// The parameters under which the track is offered.
    pub(super) fn parameters(&self) -> String {
        let params = self.params;
        match params.codec {
            Codec::Av1 => format!("profile={}", profile(params)),
            Codec::H264 => {
                let profile = stream_h264(params);
                format!("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={profile}")
            }
            Codec::H265 => format!("profile-id={};tx-mode=SRST", profile(params)),
            Codec::Opus => opus(params),
            Codec::Vp9 => format!("profile-id={}", profile(params)),
            _ => String::new(),
        }
    }
}

/// How well a decoder suits a stream of the same codec: the greatest fits best. `None`: not at all.
fn suits(payload: &Payload, params: &CodecParams) -> Option<u8> {
    let profile = || profile(params);
    match params.codec {
        // What is sent has fragments and aggregates.
        Codec::H264 if payload.fragments() => payload.h264().suits(stream_h264(params)),
        Codec::H264 => None,
        // Main is part of high, and that of professional (AV1 specification, annex A.2).
        Codec::Av1 => contains(payload.numeric("profile", 0), profile()),
        // Main 10 contains main; other profiles stand for themselves (ISO/IEC 23008-2 annex A.3).
        Codec::H265 => match (payload.numeric("profile-id", 1), profile()) {
            (decoder @ 1..=2, stream @ 1..=2) => contains(decoder, stream),
            (decoder, stream) => (decoder == stream).then_some(SAME),
        },
        Codec::Vp9 => (payload.numeric("profile-id", 0) == profile()).then_some(SAME),
        _ => Some(SAME),
    }
}

fn contains(decoder: u32, stream: u32) -> Option<u8> {
    match decoder.checked_sub(stream)? {
        0 => Some(SAME),
        _ => Some(CONTAINS),
    }
}

/// The profile of AV1, VP9 or H.265, which is the first number of its codec string: `av01.0.…`, `vp09.00.…`, `hvc1.1.…`.
fn profile(params: &CodecParams) -> u32 {
    params.rfc6381.split('.').nth(1).and_then(|profile| profile.parse().ok()).unwrap_or(0)
}

/// The profile and level of an H.264 stream: `avc1.640028`.
fn stream_h264(params: &CodecParams) -> ProfileLevel {
    params.rfc6381.split('.').nth(1).and_then(ProfileLevel::parse).unwrap_or_default()
}

/// The parameters of what this side sends.
fn parameters(payload: &Payload, params: &CodecParams) -> String {
    match params.codec {
        Codec::Opus => opus(params),
        Codec::H264 => payload.h264_parameters(stream_h264(params).level),
        _ => payload.fmtp.clone(),
    }
}

/// The parameters of Opus: what is said of receiving is what everybody says (RFC 7587 §6.1).
fn opus(params: &CodecParams) -> String {
    let stereo = params.audio().is_some_and(|audio| audio.channels == 2);
    let stereo = if stereo { ";stereo=1;sprop-stereo=1" } else { "" };
    format!("minptime=10;useinbandfec=1{stereo}")
}
