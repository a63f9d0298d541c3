//! RTMP in, HLS and LL-HLS out: the engine answers HLS requests as plain values, and axum carries them.
//!
//! ```text
//! cargo run -p cruvz-examples --example rtmp-to-hls [RTMP_ADDR [HTTP_ADDR]]
//! ffmpeg -re -i clip.mp4 -c copy -f flv rtmp://127.0.0.1:1935/live/cam
//! ffplay http://127.0.0.1:8080/hls/live/cam/index.m3u8
//! ```

use std::{convert::Infallible, error::Error, net::SocketAddr};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Path, RawQuery, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use cruvz_core::{Engine, HlsRequest, Protocol, StreamName};
use futures_util::stream;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let argument = |at, default: &str| std::env::args().nth(at).unwrap_or_else(|| default.to_owned());

    let engine = Engine::builder().rtmp(argument(1, "127.0.0.1:1935")).start().await?;
    let http = TcpListener::bind(argument(2, "127.0.0.1:8080")).await?;
    let rtmp = engine.local_addr(Protocol::Rtmp).ok_or("RTMP does not listen")?;
    println!("publish to rtmp://{rtmp}/live/cam");
    println!("watch at http://{}/hls/live/cam/index.m3u8", http.local_addr()?);

    let router = Router::new().route("/hls/{app}/{name}/{*path}", get(hls)).with_state(engine);
    axum::serve(http, router.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}

/// Playlists, segments and parts. The engine starts packaging at the first request and stops a while after the last; it
/// holds a request back where LL-HLS says so, so give it no short timeout.
async fn hls(
    State(engine): State<Engine>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    Path((app, name, path)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
) -> Response {
    let Ok(stream) = StreamName::new(&app, &name) else {
        return (StatusCode::NOT_FOUND, "no such stream\n").into_response();
    };
    let request = HlsRequest { stream, path, query: query.unwrap_or_default(), remote };
    let answer = engine.hls().respond(request).await;

    let headers = [
        (header::CONTENT_TYPE, answer.content_type),
        // A CDN may keep segments for ever and playlists for a moment: the engine says which is which.
        (header::CACHE_CONTROL, answer.cache_control),
        // Players on pages of other origins.
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    ];
    // The slices of the body are shared by all viewers and are not copied on their way to the socket.
    let body = Body::from_stream(stream::iter(answer.body.into_iter().map(Ok::<_, Infallible>)));
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, headers, body).into_response()
}
