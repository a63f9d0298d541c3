//! A description, read into what matters: no judgement yet.

use cruvz_media::TrackKind;

use super::{
    MAX_LISTED, MAX_PAYLOADS, MAX_SECTIONS, SdpError,
    extension::Extensions,
    line::{Line, lines},
    payload::{Feedback, Payload},
    simulcast::{self, Rid},
};
use crate::protocol::webrtc::Fingerprint;

/// An offer or an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Description {
    /// The mids of the first BUNDLE group.
    pub(super) bundle: Option<Vec<String>>,
    pub(super) ice_lite: bool,
    /// What holds for all sections that do not say otherwise.
    pub(super) shared: Shared,
    pub(super) sections: Vec<Section>,
}

/// What may stand before the first section as well as in each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shared {
    pub(super) ufrag: Option<String>,
    pub(super) pwd: Option<String>,
    /// Of several, the first made with SHA-256, or else the first.
    pub(super) fingerprint: Option<Fingerprint>,
    pub(super) setup: Option<Setup>,
    direction: Option<Direction>,
}

/// Who begins the DTLS handshake (RFC 8842 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setup {
    Active,
    Passive,
    ActPass,
    HoldConn,
}

impl Setup {
    fn parse(value: &str) -> Option<Self> {
        Some(match value {
            "active" => Self::Active,
            "passive" => Self::Passive,
            "actpass" => Self::ActPass,
            "holdconn" => Self::HoldConn,
            _ => return None,
        })
    }
}

/// Which way media flows, as seen by whoever wrote the description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Direction {
    pub(super) sends: bool,
    pub(super) receives: bool,
}

impl Direction {
    fn parse(name: &str) -> Option<Self> {
        let (sends, receives) = match name {
            "sendrecv" => (true, true),
            "sendonly" => (true, false),
            "recvonly" => (false, true),
            "inactive" => (false, false),
            _ => return None,
        };
        Some(Self { sends, receives })
    }
}

/// A media section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Section {
    /// As it was written: `audio`, `video`, `application`.
    pub(super) media: String,
    pub(super) protocol: String,
    /// The formats as they were written.
    pub(super) formats: String,
    /// The port is 0 and not because the section has none of its own: whoever wrote it does not want it.
    pub(super) disabled: bool,
    pub(super) mid: Option<String>,
    pub(super) rtcp_mux: bool,
    pub(super) reduced_size: bool,
    pub(super) shared: Shared,
    /// In the order of preference.
    pub(super) payloads: Vec<Payload>,
    /// Feedback of all payload types.
    any_feedback: Feedback,
    pub(super) extensions: Extensions,
    /// Ids of extensions that are offered for one direction only.
    pub(super) one_way: Vec<(u8, Direction)>,
    /// Sources that are announced.
    pub(super) sources: Vec<u32>,
    /// Each source that is repeated by another, with that one.
    pub(super) repeats: Vec<(u32, u32)>,
    /// Sources that hold nothing but error correction.
    pub(super) corrections: Vec<u32>,
    /// Layers that may be sent.
    pub(super) rids: Vec<Rid>,
    /// Their order of preference.
    pub(super) simulcast: Vec<String>,
    port: u16,
    bundle_only: bool,
}

impl Description {
    pub(super) fn parse(text: &str) -> Result<Self, SdpError> {
        let mut description = Self::default();
        let mut lines = lines(text)?;
        let first = lines.next().transpose()?;
        if first.is_none_or(|line| (line.kind, line.value) != (b'v', "0")) {
            return Err(SdpError::Version);
        }
        for line in lines {
            let line = line?;
            match line.kind {
                b'm' if description.sections.len() == MAX_SECTIONS => return Err(SdpError::TooManySections),
                b'm' => {
                    let section = Section::open(line.value).ok_or(SdpError::Section(line.number))?;
                    description.sections.push(section);
                }
                b'a' => description.attribute(line)?,
                _ => {}
            }
        }
        for section in &mut description.sections {
            section.close();
        }
        Ok(description)
    }

    fn attribute(&mut self, line: Line<'_>) -> Result<(), SdpError> {
        let (name, value) = line.attribute();
        let broken = |name| SdpError::Attribute { line: line.number, name };
        let shared = match self.sections.last_mut() {
            Some(section) => {
                section.attribute(name, value).map_err(broken)?;
                &mut section.shared
            }
            None => {
                self.session_attribute(name, value);
                &mut self.shared
            }
        };
        shared.attribute(name, value).map_err(broken)
    }

    /// An attribute that stands before all sections only.
    fn session_attribute(&mut self, name: &str, value: &str) {
        match name {
            "ice-lite" => self.ice_lite = true,
            "group" if self.bundle.is_none() => {
                let mids = value.strip_prefix("BUNDLE");
                self.bundle = mids.map(|mids| mids.split_ascii_whitespace().map(str::to_owned).collect());
            }
            _ => {}
        }
    }

    /// Which way media flows in a section, as its author sees it.
    pub(super) fn direction(&self, section: &Section) -> Direction {
        let both = Direction { sends: true, receives: true };
        section.shared.direction.or(self.shared.direction).unwrap_or(both)
    }

    /// What `pick` finds in the section, or else what holds for all.
    pub(super) fn of<'a, T>(
        &'a self,
        section: &'a Section,
        pick: impl Fn(&'a Shared) -> Option<T>,
    ) -> Option<T> {
        pick(&section.shared).or_else(|| pick(&self.shared))
    }
}

impl Shared {
    /// # Errors
    /// The name of an attribute that cannot be understood.
    fn attribute(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        match name {
            "ice-ufrag" => self.ufrag = Some(ice_letters(value, 4).ok_or("ice-ufrag")?),
            "ice-pwd" => self.pwd = Some(ice_letters(value, 22).ok_or("ice-pwd")?),
            "fingerprint" => self.fingerprint(value),
            "setup" => self.setup = Some(Setup::parse(value).ok_or("setup")?),
            _ => self.direction = Direction::parse(name).or(self.direction),
        }
        Ok(())
    }

    /// One that cannot be checked is passed over, as there may be others.
    fn fingerprint(&mut self, value: &str) {
        let Ok(fingerprint) = Fingerprint::parse(value) else { return };
        let best = |fingerprint: &Fingerprint| fingerprint.to_string().starts_with("sha-256");
        if self.fingerprint.as_ref().is_none_or(|kept| best(&fingerprint) && !best(kept)) {
            self.fingerprint = Some(fingerprint);
        }
    }
}

/// A user name fragment or a password: letters, digits, `+` and `/` (RFC 8839 §5.4). Some write `-` and `_` as well.
pub(super) fn ice_letters(value: &str, least: usize) -> Option<String> {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=');
    ((least..=256).contains(&value.len()) && value.bytes().all(letter)).then(|| value.to_owned())
}

impl Section {
    /// What kind of media; `None`: none that is known.
    pub(super) fn kind(&self) -> Option<TrackKind> {
        match self.media.as_str() {
            "audio" => Some(TrackKind::Audio),
            "video" => Some(TrackKind::Video),
            _ => None,
        }
    }

    /// The codecs in words, each once, for a person to read.
    pub(super) fn codec_names(&self) -> String {
        let mut names: Vec<&str> = Vec::new();
        for payload in &self.payloads {
            let name = payload.rtpmap.split('/').next().unwrap_or("");
            let helper = ["", "rtx", "red", "ulpfec", "flexfec-03", "cn", "telephone-event"];
            if !helper.contains(&payload.encoding.as_str()) && !names.contains(&name) {
                names.push(name);
            }
        }
        if names.is_empty() { "no codec".to_owned() } else { names.join(", ") }
    }

    /// A section of which only the media line is known: `audio 9 UDP/TLS/RTP/SAVPF 111 63`.
    fn open(value: &str) -> Option<Self> {
        let mut words = value.splitn(4, ' ');
        let (media, port) = (words.next()?, words.next()?);
        let (protocol, formats) = (words.next()?, words.next()?);
        let port = port.split('/').next()?.parse().ok()?;
        let rtp = protocol.contains("RTP/");
        let numbers = formats.split_ascii_whitespace().take(if rtp { MAX_PAYLOADS } else { 0 });
        let payload = |number: &str| Some(Payload { number: number.parse().ok()?, ..Payload::default() });
        let payloads = numbers.map(payload).collect::<Option<Vec<_>>>()?;
        let owned = str::to_owned;
        Some(Self {
            media: owned(media),
            protocol: owned(protocol),
            formats: owned(formats.trim_end()),
            payloads,
            port,
            ..Self::default()
        })
    }

    /// Draws the conclusions from attributes that may come in any order.
    fn close(&mut self) {
        self.disabled = self.port == 0 && !self.bundle_only;
        for payload in &mut self.payloads {
            payload.feedback = payload.feedback.or(self.any_feedback);
        }
    }

    /// # Errors
    /// The name of an attribute that cannot be understood.
    fn attribute(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        match name {
            "bundle-only" => self.bundle_only = true,
            "extmap" => self.extension(value).ok_or("extmap")?,
            "fmtp" => {
                let (payload, fmtp) = self.of_payload(value).ok_or("fmtp")?;
                if let Some(payload) = payload {
                    fmtp.clone_into(&mut payload.fmtp);
                }
            }
            "mid" => self.mid = Some(token(value).ok_or("mid")?),
            "rid" => {
                let rid = Rid::parse(value).ok_or("rid")?;
                self.rids.extend(rid.filter(|_| self.rids.len() < MAX_LISTED));
            }
            "rtcp-fb" => self.feedback(value),
            "rtcp-mux" => self.rtcp_mux = true,
            "rtcp-rsize" => self.reduced_size = true,
            "rtpmap" => {
                let (payload, rtpmap) = self.of_payload(value).ok_or("rtpmap")?;
                payload.map_or(Some(()), |payload| payload.map(rtpmap)).ok_or("rtpmap")?;
            }
            "simulcast" => {
                let sent = simulcast::sent(value).into_iter().take(MAX_LISTED);
                self.simulcast = sent.map(str::to_owned).collect();
            }
            "ssrc" => self.source(value).ok_or("ssrc")?,
            "ssrc-group" => self.group(value).ok_or("ssrc-group")?,
            _ => {}
        }
        Ok(())
    }

    /// `value` begins with a payload type: that, if the media line lists it, and the rest.
    fn of_payload<'a>(&mut self, value: &'a str) -> Option<(Option<&mut Payload>, &'a str)> {
        let (number, rest) = value.split_once(' ')?;
        let number: u8 = number.parse().ok()?;
        Some((self.payloads.iter_mut().find(|payload| payload.number == number), rest.trim()))
    }

    /// `96 nack pli`, or `* transport-cc`.
    fn feedback(&mut self, value: &str) {
        if let Some(feedback) = value.strip_prefix("* ") {
            self.any_feedback.offer(feedback.trim());
        } else if let Some((Some(payload), feedback)) = self.of_payload(value) {
            payload.feedback.offer(feedback);
        }
    }

    /// `4 urn:…`, or `4/sendonly urn:…`.
    fn extension(&mut self, value: &str) -> Option<()> {
        let mut words = value.split_ascii_whitespace();
        let (id, uri) = (words.next()?, words.next()?);
        let (id, direction) =
            id.split_once('/').map_or((id, None), |(id, name)| (id, Direction::parse(name)));
        // Ids beyond 14 need another form, and none goes beyond 4,095 (RFC 8285 §4.2, §5).
        let id: u16 = id.parse().ok()?;
        let Ok(id @ 1..=14) = u8::try_from(id) else { return Some(()) };
        self.extensions.offer(id, uri);
        if let Some(direction) = direction.filter(|_| self.one_way.len() < MAX_LISTED) {
            self.one_way.push((id, direction));
        }
        Some(())
    }

    /// `1234 cname:…`: of each source there are several.
    fn source(&mut self, value: &str) -> Option<()> {
        let ssrc = value.split(' ').next()?.parse().ok()?;
        if !self.sources.contains(&ssrc) && self.sources.len() < MAX_LISTED {
            self.sources.push(ssrc);
        }
        Some(())
    }

    /// `FID 1234 5678` (RFC 5576 §4.2): the second repeats the first; `FEC-FR 1234 9876`: the second corrects it.
    fn group(&mut self, value: &str) -> Option<()> {
        let mut words = value.split_ascii_whitespace();
        let semantics = words.next()?;
        let mut ssrc = || words.next()?.parse::<u32>().ok();
        match semantics {
            "FID" if self.repeats.len() < MAX_LISTED => self.repeats.push((ssrc()?, ssrc()?)),
            "FEC-FR" if self.corrections.len() < MAX_LISTED => self.corrections.push((ssrc()?, ssrc()?).1),
            _ => {}
        }
        Some(())
    }
}

/// A name without spaces, as long as a mid can be that is sent with each packet, and then some.
fn token(value: &str) -> Option<String> {
    let letters = value.bytes().all(|byte| byte.is_ascii_graphic());
    (letters && (1..=64).contains(&value.len())).then(|| value.to_owned())
}
