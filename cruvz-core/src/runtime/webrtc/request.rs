//! What comes in over HTTP and what goes back, as plain values.

use std::net::SocketAddr;

use crate::{Action, Error, ErrorKind, StreamName};

/// An offer of WHIP or WHEP: the `POST` on an endpoint.
#[derive(Clone, Debug)]
pub struct OfferRequest {
    /// The stream.
    pub stream: StreamName,
    /// `Publish` for WHIP, `Play` for WHEP.
    pub action: Action,
    /// The body. Empty on WHEP where the client wants our offer instead.
    pub sdp: String,
    /// The query of the URL, where the key may be.
    pub query: String,
    /// The bearer token, where the key is first looked for.
    pub bearer: Option<String>,
    /// Where the client is.
    pub remote: SocketAddr,
}

/// The answer to an [`OfferRequest`]: 201, or 406 where it is our own offer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WebRtcAnswer {
    /// What nobody guesses: the last segment of the session's URL (`Location`).
    pub id: String,
    /// The body.
    pub sdp: String,
    /// The strong entity tag of its ICE session, with its quotes (`ETag`).
    pub etag: String,
    /// The STUN and TURN servers that the client may use (`Link`).
    pub ice_servers: Vec<IceServer>,
    /// Whether it is our own offer because theirs could not be answered (WHEP only): the client answers it with a `PATCH`.
    pub is_counter_offer: bool,
}

/// STUN or TURN servers with the same credentials, as browsers want them in `RTCConfiguration.iceServers`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IceServer {
    /// Their URLs.
    pub urls: Vec<String>,
    /// The user name, of a TURN server.
    pub username: Option<String>,
    /// The password, of a TURN server.
    pub credential: Option<String>,
}

impl IceServer {
    /// Servers that want no credentials, or these.
    pub fn new(urls: Vec<String>, username: Option<String>, credential: Option<String>) -> Self {
        Self { urls, username, credential }
    }
}

/// A session that an [`OfferRequest`] made, as its client names it.
#[derive(Clone, Debug)]
pub struct SessionRequest {
    /// The stream.
    pub stream: StreamName,
    /// Which kind of session.
    pub action: Action,
    /// [`WebRtcAnswer::id`].
    pub id: String,
    /// The bearer token. It may be left out, as the id is a secret already; one that is not the offer's is refused.
    pub bearer: Option<String>,
}

/// The `PATCH` on a session.
#[derive(Clone, Debug)]
pub struct PatchRequest {
    /// The session.
    pub session: SessionRequest,
    /// Whether the body is the answer to our own offer (`application/sdp`), and not changes of ICE
    /// (`application/trickle-ice-sdpfrag`).
    pub is_answer: bool,
    /// `If-Match` as it came.
    pub if_match: Option<String>,
    /// The body.
    pub body: String,
}

/// What a [`PatchRequest`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Patched {
    /// It was taken: 204.
    Accepted,
    /// ICE began anew: 200 with this body and entity tag.
    Restarted {
        /// The body.
        fragment: String,
        /// The new entity tag.
        etag: String,
    },
}

/// Why a request came to nothing, as HTTP says it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("{detail}")]
pub struct WebRtcRefusal {
    /// The HTTP status.
    pub status: u16,
    /// A stable name for programs.
    pub code: &'static str,
    /// What is wrong, in words.
    pub detail: String,
    /// `Retry-After` in seconds, where a later try may succeed.
    pub retry_after_s: Option<u32>,
}

/// When a client may try again that came too early, or when there was no room.
const RETRY_AFTER_S: u32 = 2;

impl WebRtcRefusal {
    pub(super) fn new(status: u16, code: &'static str, detail: impl Into<String>) -> Self {
        let retry_after_s = matches!(status, 409 | 503).then_some(RETRY_AFTER_S);
        Self { status, code, detail: detail.into(), retry_after_s }
    }
}

impl From<Error> for WebRtcRefusal {
    fn from(error: Error) -> Self {
        let kind = error.kind();
        Self::new(kind.http_status(), kind.name(), error.to_string())
    }
}

impl WebRtcRefusal {
    /// A viewer that came while nobody publishes: not its mistake, and worth another try (draft-ietf-wish-whep §4).
    pub(super) fn of_viewer(error: Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::Closed => Self::new(409, "not_live", error.to_string()),
            _ => error.into(),
        }
    }
}
