//! `/vod/{recording}/…` and `/vod/{recording}.mp4`: recordings as HLS, and as files to download. The engine answers in plain values;
//! this carries them over HTTP.

use axum::{
    body::Body,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use cruvz_core::{Download, DownloadRequest, ErrorKind, VodRequest};
use futures_util::stream;

use super::hls::carry;
use crate::{api::Problem, app::App, http::Peer};

/// Serves a playlist or a segment.
pub(crate) async fn play(
    State(app): State<App>,
    peer: Peer,
    Path((recording, path)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Response {
    let request = VodRequest { recording, path, query: query.unwrap_or_default(), remote: peer.remote };
    carry(app.engine().vod().respond(request).await)
}

/// Serves a recording, or a part of it, as an MP4 file, or a range of that.
pub(crate) async fn download(
    State(app): State<App>,
    peer: Peer,
    Path(file): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let missing = || Problem::new(ErrorKind::NotFound, "there is nothing at this path");
    let recording = file.strip_suffix(".mp4").ok_or_else(missing)?.to_owned();
    let header = |name: HeaderName| headers.get(name)?.to_str().ok().map(str::to_owned);
    let request = DownloadRequest {
        recording,
        query: query.unwrap_or_default(),
        range: header(header::RANGE),
        if_range: header(header::IF_RANGE),
        remote: peer.remote,
    };
    let download = app.engine().vod().download(request).await?;
    let status = StatusCode::from_u16(download.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = about(&download)?;
    let body = stream::try_unfold(download.body, |mut body| async move {
        Ok::<_, cruvz_core::Error>(body.next().await?.map(|piece| (piece, body)))
    });
    Ok((status, headers, Body::from_stream(body)).into_response())
}

fn about(download: &Download) -> Result<HeaderMap, Problem> {
    let Download { status, etag, file_name, file_bytes, range, .. } = download;
    let unfit = |_| Problem::new(ErrorKind::Internal, "a name that is no header");
    let content_range = match status {
        206 => Some(format!("bytes {}-{}/{file_bytes}", range.start, range.end - 1)),
        416 => Some(format!("bytes */{file_bytes}")),
        _ => None,
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("video/mp4"));
    headers.insert(header::CONTENT_LENGTH, (range.end - range.start).into());
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=60"));
    headers.insert(header::ETAG, HeaderValue::try_from(etag).map_err(unfit)?);
    let name = format!("inline; filename=\"{file_name}\"");
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::try_from(name).map_err(unfit)?);
    if let Some(content_range) = content_range {
        headers.insert(header::CONTENT_RANGE, HeaderValue::try_from(content_range).map_err(unfit)?);
    }
    Ok(headers)
}
