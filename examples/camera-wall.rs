//! A wall of cameras: whoever opens the page is seen by all others and sees them, each by WHIP in and WHEP out.
//!
//! `cargo run -p cruvz-examples --example camera-wall [WEBRTC_ADDR [HTTP_ADDR]]`, then open the page in some tabs or browsers.
//! From other machines browsers want HTTPS for a camera: put a proxy with a certificate before it.

use std::{error::Error, net::SocketAddr};

use axum::extract::{ConnectInfo, Path, State};
use axum::response::{Html, IntoResponse, Response};
use axum::{Json, Router, http::StatusCode, http::header, routing::delete, routing::get, routing::post};
use cruvz_core::{
    Action, Engine, EngineConfig, OfferRequest, Protocol, SessionRequest, StreamName, WebRtcRefusal,
};

/// What all cameras are in.
const APP: &str = "wall";
const PAGE: &str = include_str!("data/camera-wall.html");

type Answer = Result<Response, (StatusCode, String)>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let argument = |at, default: &str| std::env::args().nth(at).unwrap_or_else(|| default.to_owned());
    let mut config = EngineConfig::default();
    config.hub.end_on_unpublish = true; // Who closes the page is gone from the wall at once.
    let engine = Engine::builder().config(config).webrtc(argument(1, "127.0.0.1:8189")).start().await?;
    let http = tokio::net::TcpListener::bind(argument(2, "127.0.0.1:8080")).await?;
    println!("media goes over {}", engine.local_addr(Protocol::WebRtc).ok_or("no WebRTC")?);
    println!("open http://{}/", http.local_addr()?);
    let app = Router::new()
        .route("/", get(|| async { Html(PAGE) }))
        .route("/cameras", get(cameras))
        .route("/{kind}/{camera}", post(offer))
        .route("/{kind}/{camera}/{session}", delete(end))
        .with_state(engine);
    axum::serve(http, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}

async fn cameras(State(engine): State<Engine>) -> Json<Vec<String>> {
    let live = engine.streams().into_iter().filter(|stream| stream.is_playable());
    Json(live.map(|stream| stream.name().name().to_owned()).collect())
}

/// Answers the offer of a camera, or of somebody who wants to see one.
async fn offer(
    State(engine): State<Engine>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    Path((kind, camera)): Path<(String, String)>,
    sdp: String,
) -> Answer {
    let (stream, action) = named(&kind, &camera)?;
    let request = OfferRequest { stream, action, sdp, query: String::new(), bearer: None, remote };
    let answer = engine.webrtc().offer(request).await.map_err(refusal)?;
    let location = [(header::LOCATION, format!("/{kind}/{camera}/{}", answer.id))];
    let sdp = ([(header::CONTENT_TYPE, "application/sdp")], answer.sdp);
    Ok((StatusCode::CREATED, location, sdp).into_response())
}

async fn end(State(engine): State<Engine>, Path([kind, camera, id]): Path<[String; 3]>) -> Answer {
    let (stream, action) = named(&kind, &camera)?;
    engine.webrtc().remove(&SessionRequest { stream, action, id, bearer: None }).await.map_err(refusal)?;
    Ok(StatusCode::OK.into_response())
}

fn named(kind: &str, camera: &str) -> Result<(StreamName, Action), (StatusCode, String)> {
    let stream =
        StreamName::new(APP, camera).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
    match kind {
        "whip" => Ok((stream, Action::Publish)),
        "whep" => Ok((stream, Action::Play)),
        _ => Err((StatusCode::NOT_FOUND, "whip to be seen, whep to see\n".into())),
    }
}

fn refusal(refusal: WebRtcRefusal) -> (StatusCode, String) {
    let status = StatusCode::from_u16(refusal.status);
    (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), format!("{refusal}\n"))
}
