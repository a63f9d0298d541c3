//! Why a handshake is refused.

use std::fmt;

/// A reason, numbered as libsrt and its tools show it: 4 `ROGUE`, 1404 `NOTFOUND`.
///
/// Below 1,000 are reasons of the protocol, from 1,000 those of a server, which follow HTTP, and from 2,000 those
/// that applications agree upon. On the wire it is the request type of a handshake, 1,000 more.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reject(u32);

/// Declares the reasons that have names.
macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        impl Reject {
            $($(#[$doc])* pub const $name: Self = Self($code);)*

            /// Its name as libsrt has it, without the prefix; `None` if it has none.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

reasons! {
    /// No reason given.
    UNKNOWN = 0,
    /// A system call failed.
    SYSTEM = 1,
    /// The peer refused and gave no reason.
    PEER = 2,
    /// Out of memory, sockets or the like; also what libsrt says when an application just refuses.
    RESOURCE = 3,
    /// A handshake that makes no sense.
    ROGUE = 4,
    /// Too many handshakes wait for a decision.
    BACKLOG = 5,
    /// Internal error.
    IPE = 6,
    /// The socket is being closed.
    CLOSE = 7,
    /// A version that is too old.
    VERSION = 8,
    /// Both sides of a rendezvous came up with the same cookie.
    RDVCOOKIE = 9,
    /// The passphrase is wrong.
    BADSECRET = 10,
    /// One side has a passphrase and the other has none.
    UNSECURE = 11,
    /// The peer wants the stream API, and we speak messages.
    MESSAGEAPI = 12,
    /// Another congestion control: `file`.
    CONGESTION = 13,
    /// A packet filter (FEC) that is not supported.
    FILTER = 14,
    /// Socket groups (bonding) are not supported.
    GROUP = 15,
    /// No answer came in time. Never on the wire.
    TIMEOUT = 16,
    /// Another cipher than the one that is wanted.
    CRYPTO = 17,
    /// Something that fits no other code.
    FALLBACK = 1000,
    /// A key in the stream id that is not supported.
    KEY_NOTSUP = 1001,
    /// A file's path is malformed or leads nowhere.
    FILEPATH = 1002,
    /// The host in the stream id is unknown.
    HOSTNOTFOUND = 1003,
    /// A stream id that cannot be understood.
    BAD_REQUEST = 1400,
    /// The key is missing or wrong.
    UNAUTHORIZED = 1401,
    /// The server, or the peer's share of it, is full.
    OVERLOAD = 1402,
    /// Not allowed.
    FORBIDDEN = 1403,
    /// There is no such stream.
    NOTFOUND = 1404,
    /// The mode is not supported for this stream.
    BAD_MODE = 1405,
    /// The stream cannot be had with these parameters.
    UNACCEPTABLE = 1406,
    /// Somebody else publishes this stream.
    CONFLICT = 1409,
    /// The type of content is not supported.
    NOTSUP_MEDIA = 1415,
    /// The stream is locked.
    LOCKED = 1423,
    /// A session that this one depends on is gone.
    FAILED_DEPEND = 1424,
    /// Internal server error.
    ISE = 1500,
    /// Understood, and not built.
    UNIMPLEMENTED = 1501,
    /// The server behind this one refused.
    GW = 1502,
    /// Not in service: draining, or not yet up.
    DOWN = 1503,
    /// A version of SRT that the server does not take.
    VERSION_NOTSUP = 1505,
    /// No room for a recording.
    NOROOM = 1507,
}

/// What a request type that refuses is above its reason (libsrt `URQ_FAILURE_TYPES`).
const WIRE_BASE: u32 = 1_000;

impl Reject {
    /// The reason `code`, such as an application's own from 2,000 on.
    pub const fn new(code: u32) -> Self {
        Self(code)
    }

    /// The number.
    pub const fn code(self) -> u32 {
        self.0
    }

    /// The reason in a handshake's request type; `None` for one that refuses nothing.
    pub(super) const fn from_request_type(value: u32) -> Option<Self> {
        // The stages of a handshake are 0, 1 and, as signed numbers, -1 and -2.
        if value < WIRE_BASE || value > i32::MAX.cast_unsigned() {
            None
        } else {
            Some(Self(value - WIRE_BASE))
        }
    }

    /// The request type that says so.
    pub(super) const fn request_type(self) -> u32 {
        self.0.saturating_add(WIRE_BASE)
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} {name}", self.0),
            None => self.0.fmt(f),
        }
    }
}

impl fmt::Debug for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Reject {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_is_a_thousand_above() {
        assert_eq!(Reject::NOTFOUND.request_type(), 2404);
        assert_eq!(Reject::from_request_type(2404), Some(Reject::NOTFOUND));
        assert_eq!(Reject::from_request_type(1010), Some(Reject::BADSECRET));
        for stage in [0, 1, 999, u32::MAX, u32::MAX - 1] {
            assert_eq!(Reject::from_request_type(stage), None);
        }
    }

    #[test]
    fn a_reason_is_shown_with_its_number() {
        assert_eq!(Reject::CONFLICT.to_string(), "1409 CONFLICT");
        assert_eq!(format!("{:?}", Reject::new(2999)), "2999");
        assert_eq!(Reject::new(2999).code(), 2999);
    }
}
