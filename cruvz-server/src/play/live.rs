//! `/flv/{app}/{name}.flv`: HTTP-FLV, and WebSocket-FLV where the request asks to become a WebSocket;
//! `/ts/{app}/{name}.ts`: MPEG-TS.
//!
//! On plain HTTP/1 the engine takes the socket over; over TLS and HTTP/2 the stream is the response's body.

use std::{
    convert::Infallible,
    fmt::Write,
    time::{Duration, UNIX_EPOCH},
};

use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use cruvz_core::{ErrorKind, LiveFormat, LiveRequest, LiveViewer, StreamName};
use futures_util::stream;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;

use super::{
    cors,
    websocket::{self, Handshake, handshake},
};
use crate::{api::Problem, app::App, http::Peer};

/// Serves a viewer of FLV.
pub(crate) async fn flv(
    State(app): State<App>,
    peer: Peer,
    Path((app_name, file)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let name = file
        .strip_suffix(".flv")
        .ok_or_else(|| Problem::new(ErrorKind::NotFound, "the path ends in .flv, as in /flv/live/cam.flv"))?;
    let accept = accept(&app, &request)?;
    let format = if accept.is_some() { LiveFormat::FlvWebSocket } else { LiveFormat::Flv };
    play(app, peer, StreamName::new(&app_name, name)?, format, accept, request).await
}

/// Serves a viewer of MPEG-TS.
pub(crate) async fn ts(
    State(app): State<App>,
    peer: Peer,
    Path((app_name, file)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let name = file
        .strip_suffix(".ts")
        .ok_or_else(|| Problem::new(ErrorKind::NotFound, "the path ends in .ts, as in /ts/live/cam.ts"))?;
    play(app, peer, StreamName::new(&app_name, name)?, LiveFormat::Ts, None, request).await
}

/// The value of `Sec-WebSocket-Accept` for a request that asks to become a WebSocket.
fn accept(app: &App, request: &Request) -> Result<Option<String>, Problem> {
    let origins = &app.config().http.cors_origins;
    match handshake(request.version(), request.headers()) {
        None => Ok(None),
        Some(Handshake::Malformed(why)) => Err(upgrade_required(why)),
        Some(Handshake::Accept(_)) if !cors::may_connect(origins, request.headers()) => {
            Err(Problem::new(ErrorKind::Forbidden, "pages of that origin may not connect"))
        }
        Some(Handshake::Accept(accept)) => Ok(Some(accept)),
    }
}

/// Serves a viewer of `stream`; with `accept`, in WebSocket messages.
async fn play(
    app: App,
    peer: Peer,
    stream: StreamName,
    format: LiveFormat,
    accept: Option<String>,
    request: Request,
) -> Result<Response, Problem> {
    if request.method() == Method::HEAD {
        return head(&app, &stream, format);
    }
    if has_body(request.headers()) {
        return Err(Problem::new(ErrorKind::InvalidArgument, "a request to watch has no body"));
    }
    let query = request.uri().query().unwrap_or_default().to_owned();
    let viewer = app.engine().live().open(LiveRequest { stream, query, remote: peer.remote, format }).await?;
    if let Some(takeover) = peer.takeover {
        let head = response_head(&app, request.headers(), format, accept.as_deref());
        // The socket may be gone by now: then the viewer is, too, and there is nobody to tell.
        match takeover.take(move |socket| _ = viewer.serve(socket, head.into())).await {}
    }
    Ok(match accept {
        Some(accept) => upgrade(request, &accept, viewer),
        None => body(viewer),
    })
}

/// `HEAD`: what `GET` would say now, without waiting for a publisher.
fn head(app: &App, stream: &StreamName, format: LiveFormat) -> Result<Response, Problem> {
    if app.engine().stream(stream).is_some_and(|stream| stream.is_playable()) {
        return Ok(([(header::CONTENT_TYPE, format.content_type())]).into_response());
    }
    Err(Problem::new(ErrorKind::NotFound, format!("{stream} is not live")))
}

fn has_body(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH);
    length.is_some_and(|length| length != "0") || headers.contains_key(header::TRANSFER_ENCODING)
}

fn upgrade_required(why: &'static str) -> Problem {
    Problem::with_status(StatusCode::UPGRADE_REQUIRED, "upgrade_required", why)
}

/// The head of the response on a socket that was taken over: the router's middleware does not run there.
fn response_head(app: &App, request: &HeaderMap, format: LiveFormat, accept: Option<&str>) -> String {
    let mut head = match accept {
        Some(accept) => format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n"
        ),
        None => format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: {}\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\n",
            format.content_type()
        ),
    };
    let clock = app.clock();
    let now = UNIX_EPOCH + Duration::from_micros(u64::try_from(clock.unix_us(clock.now())).unwrap_or(0));
    let _ = write!(head, "Date: {}\r\n", httpdate::fmt_http_date(now));
    for (name, value) in cors::allowed(&app.config().http.cors_origins, request) {
        // What came in as a header value has no line end.
        let _ = write!(head, "{name}: {}\r\n", value.to_str().unwrap_or_default());
    }
    head.push_str("\r\n");
    head
}

/// The stream as a response's body.
fn body(viewer: LiveViewer) -> Response {
    let content_type = viewer.format().content_type();
    let pieces = stream::unfold(viewer, |mut viewer| async move {
        let piece = viewer.next().await?;
        Some((Ok::<Bytes, Infallible>(piece), viewer))
    });
    ([(header::CONTENT_TYPE, content_type)], Body::from_stream(pieces)).into_response()
}

/// Becomes a WebSocket where there is no plain socket to take over.
fn upgrade(mut request: Request, accept: &str, viewer: LiveViewer) -> Response {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        // It ends when either side does; what the peer got until then is the session's account.
        let _ = stream_upgraded(upgrade, viewer).await;
    });
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = accept.try_into() {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

async fn stream_upgraded(upgrade: OnUpgrade, mut viewer: LiveViewer) -> std::io::Result<()> {
    let upgraded = upgrade.await.map_err(std::io::Error::other)?;
    let (reading, mut writing) = tokio::io::split(TokioIo::new(upgraded));
    let closed = websocket::closed(reading);
    tokio::pin!(closed);
    loop {
        let piece = tokio::select! {
            piece = viewer.next() => piece,
            () = &mut closed => {
                writing.write_all(&websocket::CLOSE).await?;
                None
            }
        };
        let Some(piece) = piece else { return writing.shutdown().await };
        writing.write_all(&piece).await?;
        writing.flush().await?;
    }
}
