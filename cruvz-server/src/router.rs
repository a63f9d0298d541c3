//! Every URL of the server.

use axum::{
    Extension, Router,
    extract::{DefaultBodyLimit, Request},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{delete, get, patch, post},
};
use cruvz_core::{Action, ErrorKind};

use crate::{
    api::{Problem, clips, events, health, metrics, recordings, server, sessions, streams},
    app::App,
    play::{cors, hls, live, vod, webrtc},
    web,
};

/// The router. It needs no accept loop of ours: without one, FLV and MPEG-TS go through the response's body.
pub(crate) fn router(app: App) -> Router {
    let body_limit = app.config().http.body_limit_bytes;
    Router::new()
        .route("/", get(web::index))
        .route("/watch/{app}/{name}", get(web::watch))
        .route("/publish/{app}/{name}", get(web::publish))
        .route("/assets/{name}", get(web::asset))
        .route("/favicon.ico", get(web::favicon))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::show))
        .nest("/api/v1", api())
        .merge(media(&app))
        .nest("/whip", negotiation(&app, Action::Publish))
        .nest("/whep", negotiation(&app, Action::Play))
        .fallback(missing)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(body_limit))
        .layer(from_fn(secure))
        .with_state(app)
}

/// What players of any site may read.
fn media(app: &App) -> Router<App> {
    Router::new()
        .route("/flv/{app}/{file}", get(live::flv))
        .route("/ts/{app}/{file}", get(live::ts))
        .route("/hls/{app}/{name}/{*path}", get(hls::play))
        .route("/vod/{recording}/{*path}", get(vod::play))
        .route("/vod/{file}", get(vod::download))
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state((app.clone(), &cors::MEDIA), cors::layer))
}

/// WHIP, or WHEP.
fn negotiation(app: &App, action: Action) -> Router<App> {
    let endpoint = post(webrtc::offer);
    let endpoint = if action == Action::Play { endpoint.get(webrtc::head) } else { endpoint };
    Router::new()
        .route("/{app}/{name}", endpoint)
        .route("/{app}/{name}/{session}", patch(webrtc::patch).delete(webrtc::remove))
        .method_not_allowed_fallback(wrong_method)
        .layer(Extension(action))
        .layer(from_fn_with_state((app.clone(), &webrtc::PREFLIGHT), cors::layer))
}

fn api() -> Router<App> {
    Router::new()
        .route("/server", get(server::show))
        .route("/streams", get(streams::list))
        .route("/streams/{app}/{name}", get(streams::show))
        .route("/streams/{app}/{name}/samples", get(streams::samples))
        .route("/sessions", get(sessions::list))
        .route("/sessions/{id}", delete(sessions::end))
        .route("/recordings", get(recordings::list).post(recordings::start))
        .route("/recordings/{id}", get(recordings::show).delete(recordings::remove))
        .route("/recordings/{id}/stop", post(recordings::stop))
        .route("/clips", post(clips::make))
        .route("/events", get(events::stream))
}

/// Headers that every answer has.
async fn secure(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // A URL may hold a key.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// There is nothing at that path: a page for people, a problem for programs.
async fn missing(headers: HeaderMap) -> Response {
    let wants = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if wants.contains("text/html") {
        return web::missing();
    }
    Problem::new(ErrorKind::NotFound, "there is nothing at this path").into_response()
}

pub(crate) async fn wrong_method(method: Method) -> Problem {
    let detail = format!("{method} is not possible here");
    Problem::with_status(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}
