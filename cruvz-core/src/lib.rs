//! An embeddable live-streaming engine.
//!
//! Publishers bring frames by RTMP, from files, by pulling from elsewhere or straight from your code; the hub keeps one bounded log
//! per [`LiveStream`]; viewers of every protocol are cursors into it. [`Engine`] is the way in:
//!
//! ```no_run
//! # async fn run() -> cruvz_core::Result<()> {
//! let engine = cruvz_core::Engine::builder().rtmp("127.0.0.1:1935").start().await?;
//! let mut subscriber = engine.subscribe("live/cam".parse()?).await?;
//! while let Some(frame) = subscriber.next().await {
//!     println!("{} pts={} key={} {} bytes", frame.track, frame.pts, frame.keyframe, frame.payload.len());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The folders read as the flow: `protocol` (sans-IO state machines), `ingest` (bytes to frames to hub), `hub`,
//! `package` (hub to segments), `egress` (hub to bytes), with `session` and `analytics` beside them and `runtime`
//! as the only place that reads the clock.

pub mod analytics;
pub mod config;
pub mod egress;
pub mod engine;
pub mod error;
pub mod hub;
pub mod ingest;
pub mod package;
pub mod protocol;
pub mod runtime;
pub mod session;
pub mod store;

pub use cruvz_media::{
    AudioFormat, Codec, CodecParams, Format, Frame, Timescale, Timestamp, Track, TrackId, TrackKind, Tracks,
    VideoFormat, codec,
    vod::span::{Moment, Span, SpanError},
};

pub use crate::{
    analytics::event::{Event, Events},
    config::EngineConfig,
    egress::live::{Live, LiveFormat, LiveRequest, LiveViewer},
    engine::{Engine, EngineBuilder},
    error::{Error, ErrorKind, Result},
    hub::{
        name::StreamName,
        publisher::Publisher,
        stream::{LiveStream, StreamInfo, TrackInfo},
        subscriber::Subscriber,
        view::{LeftOut, Transcoded},
    },
    ingest::file::{FilePlayback, FileProgress, FileSource, Pace},
    ingest::tcp::TlsConfig,
    package::{
        hls::{Hls, HlsRequest, HlsResponse},
        record::{
            RecordPolicy, RecordingInfo,
            download::{Clip, Download, DownloadBody, DownloadRequest},
            vod::{Vod, VodRequest},
        },
    },
    runtime::{
        remote::{Remote, RemoteState},
        webrtc::{
            IceServer, OfferRequest, PatchRequest, Patched, SessionRequest, WebRtc, WebRtcAnswer,
            WebRtcRefusal,
        },
    },
    session::{
        Protocol, Role, SessionId, SessionInfo,
        access::{AccessRequest, Action, Authorizer, Decision, StreamKey},
    },
};
