//! Requests and their answers, as plain values.

use std::time::Duration;

use bytes::Bytes;

/// What a viewer asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// The path below the stream's folder: `index.m3u8`, `main.m3u8`, or a media URL as a playlist states it.
    pub path: &'a str,
    /// The query without its question mark; what HLS does not know is ignored.
    pub query: &'a str,
    /// The other renditions of the stream, reported at the end of the Media Playlist (bis §4.4.5.4).
    pub siblings: &'a [Sibling<'a>],
}

/// Another rendition and how far it is: what its [`super::Packager::progress`] says.
#[derive(Clone, Copy, Debug)]
pub struct Sibling<'a> {
    /// Its Media Playlist, relative to this one.
    pub uri: &'a str,
    /// The Media Sequence Number of its newest segment, the one being filled included.
    pub last_msn: u64,
    /// The newest part of that segment.
    pub last_part: Option<u32>,
}

/// An answer, now or later.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The answer.
    Ready(Response),
    /// Ask again when [`super::Packager::version`] has changed.
    Wait(Wait),
}

/// How long a request may wait, and its answer if nothing came.
#[derive(Clone, Debug)]
pub struct Wait {
    /// Counted from the request's arrival.
    pub longest: Duration,
    /// What to answer when that time has passed.
    pub expired: Response,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// HTTP status: 200, 400, 404 or 503.
    pub status: u16,
    /// Content-Type.
    pub content_type: &'static str,
    /// Cache-Control.
    pub cache_control: &'static str,
    /// Retry-After, in seconds.
    pub retry_after_s: Option<u32>,
    /// The body, in slices to be sent one after the other.
    pub body: Vec<Bytes>,
}

/// Media never changes under its name.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// A blocking reload's URL names one state of the playlist, so caches may answer the viewers who ask alike.
const BRIEFLY: &str = "public, max-age=1";

impl Response {
    pub(super) fn playlist(body: Vec<Bytes>, blocking: bool) -> Self {
        let cache_control = if blocking { BRIEFLY } else { "no-cache" };
        Self {
            status: 200,
            content_type: "application/vnd.apple.mpegurl",
            cache_control,
            retry_after_s: None,
            body,
        }
    }

    pub(super) const fn media(content_type: &'static str, body: Vec<Bytes>) -> Self {
        Self { status: 200, content_type, cache_control: FOR_EVER, retry_after_s: None, body }
    }

    pub(super) fn bad_request(reason: &'static str) -> Self {
        Self::refusal(400, "no-store", None, reason)
    }

    pub(super) fn not_found() -> Self {
        Self::refusal(404, BRIEFLY, None, "there is nothing under this name (any more)\n")
    }

    pub(super) fn unavailable(reason: &'static str) -> Self {
        Self::refusal(503, "no-store", Some(1), reason)
    }

    fn refusal(
        status: u16,
        cache_control: &'static str,
        retry_after_s: Option<u32>,
        reason: &'static str,
    ) -> Self {
        let body = vec![Bytes::from_static(reason.as_bytes())];
        Self { status, content_type: "text/plain; charset=utf-8", cache_control, retry_after_s, body }
    }
}

/// The delivery directives of a playlist request (bis §6.2.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Directives {
    /// `_HLS_msn`: wait until this segment, or
    pub(super) msn: Option<u64>,
    /// `_HLS_part`: this part of it, is listed.
    pub(super) part: Option<u64>,
    /// `_HLS_skip`: a delta update will do.
    pub(super) skip: bool,
}

impl Directives {
    /// Reads them from a query; the reason, where one is not as it must be.
    pub(super) fn parse(query: &str) -> Result<Self, &'static str> {
        let mut directives = Self::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "_HLS_msn" => directives.msn = Some(number(value).ok_or("_HLS_msn must be a number\n")?),
                "_HLS_part" => directives.part = Some(number(value).ok_or("_HLS_part must be a number\n")?),
                "_HLS_skip" if matches!(value, "YES" | "v2") => directives.skip = true,
                "_HLS_skip" => return Err("_HLS_skip must be YES or v2\n"),
                _ => {}
            }
        }
        if directives.part.is_some() && directives.msn.is_none() {
            return Err("_HLS_part needs _HLS_msn\n");
        }
        Ok(directives)
    }
}

fn number(value: &str) -> Option<u64> {
    value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn directives_are_found_among_other_parameters() {
        let directives = Directives::parse("token=x&_HLS_msn=7&_HLS_part=2&&_HLS_skip=v2&y").unwrap();
        assert_eq!(directives, Directives { msn: Some(7), part: Some(2), skip: true });
        assert_eq!(Directives::parse("").unwrap(), Directives::default());
    }

    #[test]
    fn bad_directives_are_refused() {
        for query in [
            "_HLS_msn=",
            "_HLS_msn=x",
            "_HLS_msn=-1",
            "_HLS_msn=+1",
            "_HLS_msn=18446744073709551616",
            "_HLS_part=1",
            "_HLS_msn=1&_HLS_part=1.5",
            "_HLS_skip=no",
            "_HLS_skip",
        ] {
            assert!(Directives::parse(query).is_err(), "{query}");
        }
    }

    proptest! {
        #[test]
        fn any_query_is_safe(query in ".{0,80}", msn in "_HLS_(msn|part|skip)=.{0,24}") {
            let _ = Directives::parse(&query);
            let _ = Directives::parse(&msn);
        }
    }
}
