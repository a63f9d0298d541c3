//! Sessions: one authenticated peer's use of a stream, listed, counted and ended from here.

pub mod access;
pub(crate) mod address;
pub(crate) mod gate;
pub(crate) mod registry;

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;

pub(crate) use self::registry::OpenSession;
use crate::{
    StreamName,
    analytics::{mpegts::MpegTsStats, srt::SrtStats, webrtc::WebRtcStats},
};

/// How a peer is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Protocol {
    /// The engine's own API: frames from or to code.
    Api,
    /// A file played into the hub.
    File,
    /// FLV over HTTP.
    HttpFlv,
    /// MPEG-TS over HTTP.
    HttpTs,
    /// HLS or LL-HLS.
    Hls,
    /// RTMP.
    Rtmp,
    /// RTMP over TLS.
    Rtmps,
    /// SRT.
    Srt,
    /// MPEG-TS in bare datagrams.
    Udp,
    /// WebRTC, before it is known whose session it is.
    WebRtc,
    /// WebRTC to a viewer, agreed on by WHEP.
    Whep,
    /// WebRTC from a publisher, agreed on by WHIP.
    Whip,
    /// FLV over WebSocket.
    WsFlv,
}

impl Protocol {
    /// The name in logs, labels and APIs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::File => "file",
            Self::HttpFlv => "http_flv",
            Self::HttpTs => "http_ts",
            Self::Hls => "hls",
            Self::Rtmp => "rtmp",
            Self::Rtmps => "rtmps",
            Self::Srt => "srt",
            Self::Udp => "udp",
            Self::WebRtc => "webrtc",
            Self::Whep => "whep",
            Self::Whip => "whip",
            Self::WsFlv => "ws_flv",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a session does with its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It watches.
    Play,
    /// It brings frames because we asked for them elsewhere.
    Pull,
    /// It brings frames.
    Publish,
    /// It takes frames elsewhere because we send them there.
    Push,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Play => "play",
            Self::Pull => "pull",
            Self::Publish => "publish",
            Self::Push => "push",
        })
    }
}

/// Names a session for the life of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is counted per session, without a lock.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) bytes: AtomicU64,
    pub(crate) frames: AtomicU64,
    /// Frames that a viewer did not get because it was too slow.
    pub(crate) dropped_frames: AtomicU64,
    /// How often a viewer jumped ahead to a keyframe.
    pub(crate) skips: AtomicU32,
    pub(crate) srt: Mutex<Option<SrtStats>>,
    pub(crate) mpegts: Mutex<Option<MpegTsStats>>,
    pub(crate) webrtc: Mutex<Option<WebRtcStats>>,
}

/// A session as its connection holds it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) stream: StreamName,
    pub(crate) protocol: Protocol,
    pub(crate) role: Role,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) opened_at: Duration,
    pub(crate) counters: Counters,
    /// Whether `end` has a reason: what fan-out asks for every viewer at every flush.
    ending: AtomicBool,
    /// Why it was told to end; the first reason stays.
    end: Mutex<Option<Arc<str>>>,
    ended: Notify,
}

impl Session {
    /// Tells the connection to end. Only the first reason counts.
    pub(crate) fn end(&self, reason: &str) {
        self.end.lock().get_or_insert_with(|| reason.into());
        self.ending.store(true, Relaxed);
        self.ended.notify_waiters();
    }

    /// Why the session was told to end, if it was.
    pub(crate) fn end_reason(&self) -> Option<Arc<str>> {
        if !self.ending.load(Relaxed) {
            return None;
        }
        self.end.lock().clone()
    }

    /// Waits until the session is told to end.
    pub(crate) async fn wait_end(&self) -> Arc<str> {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if let Some(reason) = self.end_reason() {
                return reason;
            }
            ended.await;
        }
    }

    pub(crate) fn sent(&self, bytes: usize, frames: u64) {
        self.counters.bytes.fetch_add(bytes as u64, Relaxed);
        self.counters.frames.fetch_add(frames, Relaxed);
    }

    pub(crate) fn set_mpegts(&self, stats: MpegTsStats) {
        *self.counters.mpegts.lock() = Some(stats);
    }

    pub(crate) fn set_srt(&self, stats: SrtStats) {
        *self.counters.srt.lock() = Some(stats);
    }

    pub(crate) fn set_webrtc(&self, stats: WebRtcStats) {
        *self.counters.webrtc.lock() = Some(stats);
    }

    pub(crate) fn skipped(&self, frames: u64) -> u32 {
        self.counters.dropped_frames.fetch_add(frames, Relaxed);
        self.counters.skips.fetch_add(1, Relaxed) + 1
    }
}

/// A session as the API shows it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Its name.
    pub id: SessionId,
    /// The stream it uses.
    pub stream: StreamName,
    /// How it is connected.
    pub protocol: Protocol,
    /// What it does.
    pub role: Role,
    /// Where its peer is; `None` for sessions of this process.
    pub remote: Option<SocketAddr>,
    /// How long it has been open, in milliseconds.
    pub age_ms: u64,
    /// Bytes received from a publisher or sent to a viewer.
    pub bytes: u64,
    /// Frames received from a publisher or sent to a viewer.
    pub frames: u64,
    /// Frames a viewer did not get because it was too slow.
    pub dropped_frames: u64,
    /// How often a viewer jumped ahead to a keyframe.
    pub skips: u32,
    /// What is known of the network, over SRT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub srt: Option<SrtStats>,
    /// What a publisher's transport stream suffered on its way, where it brings one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mpegts: Option<MpegTsStats>,
    /// What is known of the network, over WebRTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webrtc: Option<WebRtcStats>,
}
