//! A camera in a browser, OBS or ffmpeg in, browsers out: WHIP and WHEP in an axum application of your own.
//!
//! `cargo run -p cruvz-examples --example whip-to-whep [WEBRTC_ADDR [HTTP_ADDR]]`

use std::{error::Error, net::SocketAddr};

use axum::extract::{ConnectInfo, Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, post};
use axum::{Router, http::HeaderMap, http::StatusCode, http::header};
use cruvz_core::{Action, Engine, OfferRequest, Protocol, SessionRequest, StreamName, WebRtcRefusal};

type Answer = Result<Response, (StatusCode, String)>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let argument = |at, default: &str| std::env::args().nth(at).unwrap_or_else(|| default.to_owned());
    let engine = Engine::builder().webrtc(argument(1, "127.0.0.1:8189")).start().await?;
    let http = tokio::net::TcpListener::bind(argument(2, "127.0.0.1:8080")).await?;
    println!("media goes over {}", engine.local_addr(Protocol::WebRtc).ok_or("no WebRTC")?);
    println!("publish to http://{}/whip/live/cam", http.local_addr()?);
    println!("watch at http://{}/whep/live/cam", http.local_addr()?);
    let app = Router::new()
        .route("/{kind}/{app}/{name}", post(offer))
        .route("/{kind}/{app}/{name}/{session}", delete(end))
        .with_state(engine);
    axum::serve(http, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}

/// Answers an offer. Who may, and what fits, the engine decides.
async fn offer(
    State(engine): State<Engine>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    Path((kind, app, name)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    sdp: String,
) -> Answer {
    let stream = stream(&app, &name)?;
    let (query, bearer) = (query.unwrap_or_default(), bearer(&headers));
    let request = OfferRequest { stream, action: action(&kind)?, sdp, query, bearer, remote };
    let answer = engine.webrtc().offer(request).await.map_err(refusal)?;
    let location = [(header::LOCATION, format!("/{kind}/{app}/{name}/{}", answer.id))];
    let headers = [(header::CONTENT_TYPE, "application/sdp".into()), (header::ETAG, answer.etag)];
    Ok((StatusCode::CREATED, location, headers, answer.sdp).into_response())
}

async fn end(
    State(engine): State<Engine>,
    Path((kind, app, name, id)): Path<(String, String, String, String)>,
    headers: HeaderMap,
) -> Answer {
    let stream = stream(&app, &name)?;
    let session = SessionRequest { stream, action: action(&kind)?, id, bearer: bearer(&headers) };
    engine.webrtc().remove(&session).await.map_err(refusal)?;
    Ok(StatusCode::OK.into_response())
}

fn stream(app: &str, name: &str) -> Result<StreamName, (StatusCode, String)> {
    StreamName::new(app, name).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
}

fn action(kind: &str) -> Result<Action, (StatusCode, String)> {
    match kind {
        "whip" => Ok(Action::Publish),
        "whep" => Ok(Action::Play),
        _ => Err((StatusCode::NOT_FOUND, "whip to publish, whep to watch\n".into())),
    }
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ").map(str::to_owned)
}

fn refusal(refusal: WebRtcRefusal) -> (StatusCode, String) {
    let status = StatusCode::from_u16(refusal.status);
    (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), format!("{refusal}\n"))
}
