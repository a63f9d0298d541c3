//! Pages and what they need, all inside the binary.
//!
//! The pages are files without a hole to fill: their scripts ask the API and put what it says into the document as text.
//! So no name or metadata of a stream can become markup.

use axum::{
    extract::Path,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;

use crate::api::{Problem, Stream};

/// What pages may do: load from here, nothing inline, nothing from elsewhere. `blob:` is where a player's video comes from.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

/// A file of the site.
#[derive(Clone, Copy, Debug)]
struct Asset {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

macro_rules! asset {
    ($name:literal, $content_type:literal) => {
        Asset {
            name: $name,
            content_type: concat!($content_type, "; charset=utf-8"),
            bytes: include_bytes!(concat!("assets/", $name)),
        }
    };
}

const INDEX: Asset = asset!("index.html", "text/html");
const WATCH: Asset = asset!("watch.html", "text/html");
const PUBLISH: Asset = asset!("publish.html", "text/html");
const ICON: Asset = asset!("icon.svg", "image/svg+xml");
const MISSING: Asset = asset!("missing.html", "text/html");

/// What `/assets/{name}` serves. hls.js is its `light` build (no alternate audio, subtitles or DRM), as published.
const ASSETS: [Asset; 13] = [
    asset!("style.css", "text/css"),
    asset!("common.js", "text/javascript"),
    asset!("index.js", "text/javascript"),
    asset!("watch.js", "text/javascript"),
    asset!("play-hls.js", "text/javascript"),
    asset!("play-whep.js", "text/javascript"),
    asset!("publish.js", "text/javascript"),
    asset!("capture.js", "text/javascript"),
    asset!("send-whip.js", "text/javascript"),
    asset!("webrtc.js", "text/javascript"),
    asset!("hls.light.min.js", "text/javascript"),
    asset!("hls.LICENSE.txt", "text/plain"),
    ICON,
];

/// `/`: what is live.
pub(crate) async fn index(headers: HeaderMap) -> Response {
    INDEX.respond(&headers)
}

/// `/watch/{app}/{name}`: the player, also for a stream that is yet to come.
pub(crate) async fn watch(stream: Result<Stream, Problem>, headers: HeaderMap) -> Response {
    match stream {
        Ok(_) => WATCH.respond(&headers),
        Err(_) => missing(),
    }
}

/// `/publish/{app}/{name}`: going live from the browser.
pub(crate) async fn publish(stream: Result<Stream, Problem>, headers: HeaderMap) -> Response {
    match stream {
        Ok(_) => PUBLISH.respond(&headers),
        Err(_) => missing(),
    }
}

/// `/assets/{name}`.
pub(crate) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    match ASSETS.iter().find(|asset| asset.name == name) {
        Some(asset) => asset.respond(&headers),
        None => missing(),
    }
}

/// `/favicon.ico`, which browsers ask for whatever the page says.
pub(crate) async fn favicon(headers: HeaderMap) -> Response {
    ICON.respond(&headers)
}

/// The page that says that there is none.
pub(crate) fn missing() -> Response {
    let mut response = MISSING.respond(&HeaderMap::new());
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

impl Asset {
    /// The file, or 304 when the client has it. Clients ask each time: names do not change with the content.
    fn respond(self, headers: &HeaderMap) -> Response {
        let tag = format!("\"{:016x}\"", fingerprint(self.bytes));
        let known =
            headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
        let mut response = if known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            Bytes::from_static(self.bytes).into_response()
        };
        let set = HeaderValue::from_static;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, set(self.content_type));
        headers.insert(header::CACHE_CONTROL, set("no-cache"));
        headers.insert(header::CONTENT_SECURITY_POLICY, set(CONTENT_SECURITY_POLICY));
        if let Ok(tag) = tag.try_into() {
            headers.insert(header::ETAG, tag);
        }
        response
    }
}

/// FNV-1a, 64 bit: tells one version of a file from the next, nothing more.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
