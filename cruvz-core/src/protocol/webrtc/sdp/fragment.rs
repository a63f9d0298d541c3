//! Fragments of SDP: candidates that come later, and ICE restarts (RFC 8840, RFC 9725 §4.3).

use super::{
    Local, Negotiated, SdpError, answer::Text, description::ice_letters, error::kind_name, line::lines,
};
use crate::protocol::webrtc::Credentials;

/// What a client says of ICE after its offer: the body of a PATCH, of type `application/trickle-ice-sdpfrag`.
///
/// Candidates are read past: this side is lite and goes where the checks come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fragment {
    /// The session that the fragment is about. Other credentials than those of the offer, or of the last restart, ask for a
    /// restart.
    pub credentials: Option<Credentials>,
    /// There will be no more candidates.
    pub end_of_candidates: bool,
}

impl Fragment {
    /// Reads `text`.
    ///
    /// # Errors
    /// [`SdpError`] if it is no SDP, or larger than this module's limits.
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        let (mut ufrag, mut pwd, mut end_of_candidates) = (None, None, false);
        for line in lines(text)? {
            let line = line?;
            let broken = |name| SdpError::Attribute { line: line.number, name };
            match line.attribute() {
                _ if line.kind != b'a' => {}
                ("ice-ufrag", value) => {
                    ufrag = Some(ice_letters(value, 4).ok_or_else(|| broken("ice-ufrag"))?)
                }
                ("ice-pwd", value) => pwd = Some(ice_letters(value, 22).ok_or_else(|| broken("ice-pwd"))?),
                ("end-of-candidates", _) => end_of_candidates = true,
                _ => {}
            }
        }
        let credentials = ufrag.zip(pwd).map(|(ufrag, pwd)| Credentials { ufrag, pwd });
        Ok(Self { credentials, end_of_candidates })
    }
}

/// The answer to a restart: the new credentials of `local`, and its candidates, under the first section of what was negotiated.
pub fn restart_answer(local: &Local<'_>, negotiated: &Negotiated) -> String {
    let mut text = Text::default();
    text.line(format_args!("a=ice-lite"));
    text.line(format_args!("a=ice-options:trickle ice2"));
    text.credentials(local);
    if let Some(media) = negotiated.media.first() {
        let name = kind_name(media.codec.kind());
        text.line(format_args!("m={name} 9 UDP/TLS/RTP/SAVPF {}", media.payload_type));
        if let Some(mid) = &media.mid {
            text.line(format_args!("a=mid:{mid}"));
        }
        text.candidates(local.candidates);
    }
    text.0
}
