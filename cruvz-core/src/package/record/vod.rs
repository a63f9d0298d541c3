//! Recordings as HLS, as plain values: a request comes in, a response goes out, any HTTP framework carries them.

use std::{fmt, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use cruvz_media::{
    hls::multivariant,
    segment::{Index, MediaName},
    vod::{
        playlist::{MediaPlaylist, variant},
        span::{Found, Span},
    },
};

use super::{
    Entry, Recordings, Shared,
    download::{found_in, span_of},
};
use crate::{
    AccessRequest, Action, Error, ErrorKind, HlsResponse, Protocol, Result,
    package::hls::{carry_on, check_query},
    runtime::context::Context,
    store::{SegmentStore, archive::RENDITION},
};

/// Media never changes under its name.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// A recording that has ended could still be deleted.
const FOR_A_WHILE: &str = "private, max-age=60";

/// A request below `/vod/<recording>/` or wherever the embedder mounts it.
#[derive(Clone, Debug)]
pub struct VodRequest {
    /// The recording's name.
    pub recording: String,
    /// The path below the recording's folder: `index.m3u8`, or what a playlist named.
    pub path: String,
    /// The query without its question mark: a viewer's key; `from` and `to`, as [`Span`] reads them, for a part of the recording.
    pub query: String,
    /// Where the viewer is.
    pub remote: SocketAddr,
}

/// Recordings out of an engine: see [`crate::Engine::vod`].
#[derive(Clone)]
pub struct Vod {
    context: Context,
    pub(super) recordings: Recordings,
}

impl fmt::Debug for Vod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vod")
    }
}

impl Vod {
    pub(crate) const fn new(context: Context, recordings: Recordings) -> Self {
        Self { context, recordings }
    }

    /// Answers a request. A recording is as open as its stream: whoever asks for a playlist is authorised to play that.
    ///
    /// # Cancel safety
    /// The future may be dropped at any time.
    pub async fn respond(&self, request: VodRequest) -> HlsResponse {
        match self.answer(&request).await {
            Ok(response) => response,
            Err(error) => HlsResponse::refusal(&error),
        }
    }

    async fn answer(&self, request: &VodRequest) -> Result<HlsResponse> {
        let (shared, entry) = self.recordings.entry(&request.recording)?;
        if !request.path.ends_with(".m3u8") {
            return media(shared, &entry, &request.path).await;
        }
        let query = &request.query;
        check_query(query)?;
        self.may_play(&entry, query, request.remote).await?;
        shared.load(&entry).await?;
        let (span, ended) = (span_of(query)?, entry.has_ended());
        let body = match &request.path[..] {
            "index.m3u8" => carry_on(&index(shared, &entry).await?, query),
            "main.m3u8" if span.is_all() => playlist(&entry)?,
            "main.m3u8" => playlist_of(&entry, span)?,
            _ => return Err(nothing()),
        };
        Ok(HlsResponse {
            status: 200,
            content_type: "application/vnd.apple.mpegurl",
            cache_control: if ended { FOR_A_WHILE } else { "no-cache" },
            retry_after_s: None,
            body: vec![body],
        })
    }
}

impl Vod {
    /// Asks whether a recording may be played: it is as open as its stream.
    pub(super) async fn may_play(&self, entry: &Entry, query: &str, remote: SocketAddr) -> Result<()> {
        let access = AccessRequest::new(Action::Play, entry.stream.clone(), Protocol::Hls, remote, query);
        self.context.gate.ask(access).await.map(drop)
    }
}

fn nothing() -> Error {
    Error::new(ErrorKind::NotFound, "there is nothing under this name in the recording")
}

/// The Multivariant Playlist.
async fn index(shared: &Arc<Shared>, entry: &Arc<Entry>) -> Result<Bytes> {
    let not_yet = || Error::new(ErrorKind::NotFound, "the recording has no segment yet");
    let name = {
        let state = entry.state.lock();
        let index = state.index.as_ref().filter(|index| !index.segments.is_empty()).ok_or_else(not_yet)?;
        index.init(index.segments[0].name.init).ok_or_else(not_yet)?
    };
    let init = shared.disk.get(&format!("{}/{name}", entry.rendition()), None).await?;
    let state = entry.state.lock();
    let index = state.index.as_ref().ok_or_else(not_yet)?;
    let variant = variant(index, &init, &format!("{RENDITION}.m3u8")).map_err(|error| {
        Error::new(ErrorKind::Malformed, "the recording's initialisation segment is damaged")
            .with_source(error)
    })?;
    Ok(multivariant(&[variant]))
}

/// The Media Playlist, made anew when there are more segments.
fn playlist(entry: &Entry) -> Result<Bytes> {
    let mut state = entry.state.lock();
    let ended = state.end.is_some();
    let not_yet = || Error::new(ErrorKind::NotFound, "the recording has not got far enough to be played");
    let index = state.index.as_ref().filter(|index| !index.segments.is_empty()).ok_or_else(not_yet)?;
    if !ended && state.target_duration_s == 0 {
        return Err(not_yet());
    }
    let which = (index.segments[0].name.sequence, index.segments.len());
    if let Some((of, playlist)) = &state.playlist
        && *of == which
    {
        return Ok(playlist.clone());
    }
    let discontinuity_sequence = state.trimmed_discontinuities;
    let (folder, target_duration_s) =
        (&format!("{RENDITION}/")[..], if ended { 0 } else { state.target_duration_s });
    let listing =
        MediaPlaylist { index, folder, ended, discontinuity_sequence, target_duration_s, start_ns: 0 };
    let text = Bytes::from(listing.render());
    state.playlist = Some((which, text.clone()));
    Ok(text)
}

/// The Media Playlist of a part of the recording: the segments that have it, to be begun at the moment itself.
fn playlist_of(entry: &Entry, span: Span) -> Result<Bytes> {
    let state = entry.state.lock();
    let all = state.index.as_ref().ok_or_else(nothing)?;
    let Found { segments, from, .. } = found_in(all, span)?;
    let before_ns: u64 = all.segments[segments.start..from.0].iter().map(|segment| segment.duration_ns).sum();
    let index = Index { inits: all.inits.clone(), segments: all.segments[segments].to_vec() };
    let playlist = MediaPlaylist {
        index: &index,
        folder: &format!("{RENDITION}/"),
        ended: true,
        discontinuity_sequence: 0,
        target_duration_s: 0,
        start_ns: before_ns + from.1,
    };
    Ok(Bytes::from(playlist.render()))
}

/// A segment or an initialisation segment.
async fn media(shared: &Arc<Shared>, entry: &Entry, path: &str) -> Result<HlsResponse> {
    let name = path.strip_prefix(RENDITION).and_then(|rest| rest.strip_prefix('/'));
    let name: MediaName = name.and_then(|name| name.parse().ok()).ok_or_else(nothing)?;
    if matches!(name, MediaName::Segment(segment) if segment.checksum.is_none()) {
        return Err(nothing());
    }
    let body = shared.disk.get(&format!("{}/{name}", entry.rendition()), None).await?;
    Ok(HlsResponse {
        status: 200,
        content_type: "video/mp4",
        cache_control: FOR_EVER,
        retry_after_s: None,
        body: vec![body],
    })
}
