//! `/api/v1/server`: what pages must know of the server they come from.

use axum::{Json, extract::State};
use cruvz_core::Protocol;
use serde::Serialize;

use crate::app::App;

/// The server.
#[derive(Serialize)]
pub(crate) struct ServerView {
    name: &'static str,
    version: &'static str,
    /// How long it has run, in milliseconds.
    uptime_ms: u64,
    /// Its clock, in milliseconds since 1970 (UTC): the one that live latency is measured with.
    now_unix_ms: i64,
    /// The port of RTMP, if it listens.
    rtmp_port: Option<u16>,
    /// The port of RTMPS, if it listens.
    rtmps_port: Option<u16>,
    /// The UDP port of SRT, if it listens.
    srt_port: Option<u16>,
    /// The UDP and TCP port of WebRTC's media, if it listens.
    webrtc_port: Option<u16>,
    /// Whether it makes Opus of AAC for WebRTC and AAC of Opus for RTMP, FLV and TS.
    transcodes: bool,
    draining: bool,
}

/// Shows it.
pub(crate) async fn show(State(app): State<App>) -> Json<ServerView> {
    let (engine, clock) = (app.engine(), app.clock());
    let now = clock.now();
    let port = |protocol| engine.local_addr(protocol).map(|addr| addr.port());
    Json(ServerView {
        name: "cruvz",
        version: env!("CARGO_PKG_VERSION"),
        uptime_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        now_unix_ms: clock.unix_us(now) / 1000,
        rtmp_port: port(Protocol::Rtmp),
        rtmps_port: port(Protocol::Rtmps),
        srt_port: port(Protocol::Srt),
        webrtc_port: port(Protocol::WebRtc),
        transcodes: cfg!(feature = "transcode"),
        draining: engine.is_draining(),
    })
}
