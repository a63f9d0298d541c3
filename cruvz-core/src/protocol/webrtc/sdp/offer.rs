//! An offer, and what both directions do with it.

use super::{
    Candidate, Negotiated, Refusal, SdpError,
    answer::{self, Reply, Sends},
    description::{Description, Section, Setup},
};
use crate::protocol::webrtc::{Credentials, DtlsRole, Fingerprint};

/// What this side says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Local<'a> {
    /// The ICE credentials of the session.
    pub credentials: &'a Credentials,
    /// The certificate of the engine.
    pub fingerprint: &'a Fingerprint,
    /// Where the session can be reached, the preferred address first. Datagrams come before TCP whatever the order.
    pub candidates: &'a [Candidate],
    /// Any number, which tells one description from another; the highest bit is not used.
    pub session_id: u64,
}

/// An offer that has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub(super) description: Description,
}

impl Offer {
    /// Reads `text`. Whether it can be answered shows when that is done.
    ///
    /// # Errors
    /// [`SdpError`] if it is no SDP or larger than this module's limits.
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        Ok(Self { description: Description::parse(text)? })
    }

    /// The reply to a section in which nothing is to flow. One that is not bundled would want a transport of its own.
    pub(super) fn inactive<'a>(&self, section: &'a Section) -> Reply<'a> {
        let known = section.payloads.iter().find(|payload| !payload.rtpmap.is_empty());
        known.filter(|_| self.description.bundled(section)).map_or(Reply::Reject, Reply::Inactive)
    }

    /// Answers with `replies`, one for each section.
    pub(super) fn answer(
        &self,
        local: &Local<'_>,
        replies: Vec<Reply<'_>>,
        sends: Option<Sends<'_>>,
    ) -> Result<(String, Negotiated), Refusal> {
        let sections = || self.description.sections.iter().zip(&replies);
        let active =
            || sections().filter(|(_, reply)| matches!(reply, Reply::Active(_))).map(|(section, _)| section);
        active().try_for_each(check_section)?;
        self.description.check_bundle(active())?;
        let role = match self.description.setup(active()) {
            None | Some(Setup::ActPass | Setup::Active) => DtlsRole::Passive,
            Some(Setup::Passive) => DtlsRole::Active,
            Some(Setup::HoldConn) => return Err(Refusal::Setup("holdconn".to_owned())),
        };
        let (remote, fingerprint) = self.description.transport()?;
        let text = answer::write(&self.description, local, role, &replies, sends);
        let media = replies.into_iter().filter_map(Reply::into_media).collect();
        Ok((text, Negotiated { remote, fingerprint, role, media }))
    }
}

/// Whether media can flow as the section wants it.
pub(super) fn check_section(section: &Section) -> Result<(), Refusal> {
    // What precedes is how browsers once wrote it, or names the transport of a candidate (RFC 8829 §5.1.2).
    if !section.protocol.ends_with("RTP/SAVPF") {
        return Err(Refusal::Protocol(section.protocol.chars().take(64).collect()));
    }
    if section.rtcp_mux { Ok(()) } else { Err(Refusal::NoMux) }
}

impl Description {
    /// Whether all of `active` share one transport (RFC 9143).
    fn check_bundle<'a>(&self, active: impl Iterator<Item = &'a Section> + Clone) -> Result<(), Refusal> {
        let alone = |section: &Section| !self.bundled(section);
        if active.clone().count() < 2 || !active.clone().any(alone) {
            return Ok(());
        }
        let name = |section: &Section| section.mid.clone().unwrap_or_else(|| section.media.clone());
        Err(Refusal::NotBundled(
            active.filter(|section| alone(section)).map(name).collect::<Vec<_>>().join(" "),
        ))
    }

    /// Whether the section is in the BUNDLE group.
    pub(super) fn bundled(&self, section: &Section) -> bool {
        let group = self.bundle.iter().flatten();
        section.mid.as_ref().is_some_and(|mid| group.clone().any(|member| member == mid))
    }

    /// The DTLS role that the peer wants: that of the first section that says it, as all share one transport.
    pub(super) fn setup<'a>(&'a self, mut active: impl Iterator<Item = &'a Section>) -> Option<Setup> {
        active.find_map(|section| self.of(section, |shared| shared.setup)).or(self.shared.setup)
    }

    /// The peer's credentials and certificate, which stand before the sections or in one that has them.
    pub(super) fn transport(&self) -> Result<(Credentials, Fingerprint), Refusal> {
        if self.ice_lite {
            return Err(Refusal::BothLite);
        }
        let shared = || self.sections.iter().map(|section| &section.shared).chain([&self.shared]);
        let credentials = shared()
            .find_map(|shared| Some(Credentials { ufrag: shared.ufrag.clone()?, pwd: shared.pwd.clone()? }));
        let fingerprint = shared().find_map(|shared| shared.fingerprint.clone());
        Ok((credentials.ok_or(Refusal::NoCredentials)?, fingerprint.ok_or(Refusal::NoFingerprint)?))
    }
}
