//! The façade's error: what went wrong, by kind, with its cause.

use std::{error::Error as StdError, fmt};

/// The result of every call of the façade.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in a form every language binding can carry. Numbers are append-only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u16)]
pub enum ErrorKind {
    /// The configuration does not make sense.
    InvalidConfig = 1,
    /// An argument does not make sense.
    InvalidArgument = 2,
    /// There is no such stream, session or file.
    NotFound = 3,
    /// It exists already, as a stream that has a publisher.
    AlreadyExists = 4,
    /// No credentials, or wrong ones.
    Unauthorized = 5,
    /// The credentials do not permit it.
    Forbidden = 6,
    /// A codec, container or protocol feature that is not supported.
    Unsupported = 7,
    /// Bytes that cannot be parsed.
    Malformed = 8,
    /// Well-formed bytes at the wrong moment.
    ProtocolViolation = 9,
    /// A configured limit was reached.
    LimitExceeded = 10,
    /// It took too long.
    Timeout = 11,
    /// The other end, the stream or the engine is gone.
    Closed = 12,
    /// Not now: draining, or a peer cannot be reached.
    Unavailable = 13,
    /// The operating system refused.
    Io = 14,
    /// A bug in Cruvz.
    Internal = 15,
}

impl ErrorKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::InvalidConfig,
        Self::InvalidArgument,
        Self::NotFound,
        Self::AlreadyExists,
        Self::Unauthorized,
        Self::Forbidden,
        Self::Unsupported,
        Self::Malformed,
        Self::ProtocolViolation,
        Self::LimitExceeded,
        Self::Timeout,
        Self::Closed,
        Self::Unavailable,
        Self::Io,
        Self::Internal,
    ];

    /// A stable name for logs, metrics and APIs, as in `already_exists`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidConfig => "invalid_config",
            Self::InvalidArgument => "invalid_argument",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Unsupported => "unsupported",
            Self::Malformed => "malformed",
            Self::ProtocolViolation => "protocol_violation",
            Self::LimitExceeded => "limit_exceeded",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Unavailable => "unavailable",
            Self::Io => "io",
            Self::Internal => "internal",
        }
    }

    /// The HTTP status that says the same.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::InvalidConfig | Self::InvalidArgument | Self::Malformed | Self::ProtocolViolation => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::AlreadyExists => 409,
            Self::Unsupported => 415,
            // The engine as a whole is full: that is the server's state, not the client's doing.
            Self::LimitExceeded | Self::Closed | Self::Unavailable => 503,
            Self::Timeout => 504,
            Self::Io | Self::Internal => 500,
        }
    }
}

/// An error of the façade: a stable [`ErrorKind`], a sentence for people, and the cause where there is one.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    context: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind` that says `context`.
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), source: None }
    }

    /// The same error with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What went wrong, for programs.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::new(ErrorKind::Io, "input or output failed").with_source(error)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn numbers_and_names_of_kinds_are_distinct_and_in_order() {
        let names: HashSet<_> = ErrorKind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), ErrorKind::ALL.len());
        assert!(ErrorKind::ALL.iter().enumerate().all(|(at, kind)| *kind as usize == at + 1));
        assert!(ErrorKind::ALL.iter().all(|kind| (400..600).contains(&kind.http_status())));
    }

    #[test]
    fn an_error_says_its_cause() {
        let error =
            Error::new(ErrorKind::Io, "cannot listen on 127.0.0.1:1").with_source("permission denied");
        assert_eq!(error.to_string(), "cannot listen on 127.0.0.1:1: permission denied");
    }
}
