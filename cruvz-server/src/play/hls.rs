//! `/hls/{app}/{name}/…`: HLS and LL-HLS. The engine answers in plain values; this carries them over HTTP.

use std::convert::Infallible;

use axum::{
    body::Body,
    extract::{Path, RawQuery, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use cruvz_core::{ErrorKind, HlsRequest, HlsResponse, StreamName};
use futures_util::{StreamExt, stream};

use crate::{api::Problem, app::App, http::Peer};

/// Serves a playlist, segment or part.
pub(crate) async fn play(
    State(app): State<App>,
    peer: Peer,
    Path((app_name, name, path)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let stream = StreamName::new(&app_name, &name)?;
    let request = HlsRequest { stream, path, query: query.unwrap_or_default(), remote: peer.remote };
    Ok(carry(app.engine().hls().respond(request).await))
}

pub(crate) fn carry(answer: HlsResponse) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = if status.is_success() { body(&answer) } else { refusal(status, &answer.body) };
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(answer.cache_control));
    if let Some(seconds) = answer.retry_after_s {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// The body slice by slice, so that media is not copied on its way from the packager to the socket.
fn body(answer: &HlsResponse) -> Response {
    let length: usize = answer.body.iter().map(Bytes::len).sum();
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(answer.content_type)),
        (header::CONTENT_LENGTH, length.into()),
    ];
    let body = match &answer.body[..] {
        [whole] => Body::from(whole.clone()),
        slices => Body::from_stream(stream::iter(slices.to_vec()).map(Ok::<_, Infallible>)),
    };
    (headers, body).into_response()
}

/// What the engine says in words, as a problem.
fn refusal(status: StatusCode, text: &[Bytes]) -> Response {
    // Several kinds share 400 and 503; these are the ones that say no more than the status does.
    let code = match status {
        StatusCode::BAD_REQUEST => Some(ErrorKind::InvalidArgument),
        StatusCode::SERVICE_UNAVAILABLE => Some(ErrorKind::Unavailable),
        _ => ErrorKind::ALL.into_iter().find(|kind| kind.http_status() == status.as_u16()),
    };
    let detail = String::from_utf8_lossy(&text.concat()).trim().to_owned();
    Problem::with_status(status, code.map_or("refused", |kind| kind.name()), detail).into_response()
}
