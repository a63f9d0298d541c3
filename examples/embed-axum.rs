//! An axum application that had its own routes before, and now carries live streams beside them.
//! `cargo run -p cruvz-examples --example embed-axum [RTMP_ADDR [HTTP_ADDR]]`

use std::{convert::Infallible, error::Error, net::SocketAddr};

use axum::extract::{ConnectInfo, Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, body::Body, http::StatusCode, http::header, routing::get};
use cruvz_core::{Engine, HlsRequest, LiveFormat, LiveRequest, Protocol, StreamName};
use futures_util::stream;

type Answer = Result<Response, (StatusCode, String)>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let argument = |at, default: &str| std::env::args().nth(at).unwrap_or_else(|| default.to_owned());
    let engine = Engine::builder().rtmp(argument(1, "127.0.0.1:1935")).start().await?;
    let http = tokio::net::TcpListener::bind(argument(2, "127.0.0.1:8080")).await?;
    println!("publish to rtmp://{}/live/cam", engine.local_addr(Protocol::Rtmp).ok_or("no RTMP")?);
    println!("open http://{}/", http.local_addr()?);

    let yours = Router::new().route("/", get(|| async { "The page that was always here.\n" }));
    let app = yours.nest("/media", media(engine.clone())).into_make_service_with_connect_info::<SocketAddr>();
    // The engine stops first: that ends the viewers' endless bodies, which axum would wait for.
    let stop = async move {
        let _ = tokio::signal::ctrl_c().await;
        engine.shutdown().await;
    };
    axum::serve(http, app).with_graceful_shutdown(stop).await?;
    println!("stopped");
    Ok(())
}

/// Everything live. Nest it anywhere: playlists name what is theirs relative to themselves.
fn media(engine: Engine) -> Router {
    Router::new()
        .route("/streams", get(|State(engine): State<Engine>| async move { Json(engine.stream_infos()) }))
        .route("/hls/{app}/{name}/{*path}", get(hls))
        .route("/flv/{app}/{file}", get(flv))
        .with_state(engine)
}

async fn hls(
    State(engine): State<Engine>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    Path((app, name, path)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
) -> Answer {
    let stream = StreamName::new(&app, &name).map_err(refusal)?;
    let request = HlsRequest { stream, path, query: query.unwrap_or_default(), remote };
    let answer = engine.hls().respond(request).await;
    let headers =
        [(header::CONTENT_TYPE, answer.content_type), (header::CACHE_CONTROL, answer.cache_control)];
    Ok((status(answer.status), headers, answer.body.concat()).into_response())
}

/// HTTP-FLV as an ordinary body. (For thousands of viewers of plain HTTP/1, `LiveViewer::serve` takes over the socket.)
async fn flv(
    State(engine): State<Engine>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    Path((app, file)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Answer {
    let name = file.strip_suffix(".flv").ok_or_else(|| (StatusCode::NOT_FOUND, "not .flv\n".into()))?;
    let stream = StreamName::new(&app, name).map_err(refusal)?;
    let request = LiveRequest { stream, query: query.unwrap_or_default(), remote, format: LiveFormat::Flv };
    let viewer = engine.live().open(request).await.map_err(refusal)?;
    let pieces = stream::unfold(viewer, |mut viewer| async {
        viewer.next().await.map(|bytes| (Ok::<_, Infallible>(bytes), viewer))
    });
    Ok(([(header::CONTENT_TYPE, "video/x-flv")], Body::from_stream(pieces)).into_response())
}

fn refusal(error: cruvz_core::Error) -> (StatusCode, String) {
    (status(error.kind().http_status()), format!("{error}\n"))
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
