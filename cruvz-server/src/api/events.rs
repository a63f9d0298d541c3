//! `/api/v1/events`: what happens, as server-sent events. For managers only: it shows addresses.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::Body,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use cruvz_core::Events;
use futures_util::stream;
use tokio::time::timeout;

use super::Managing;
use crate::app::App;

/// How long nothing is sent at most: proxies and browsers give up on silence.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Every event from now on, each as one `data:` line of JSON.
pub(crate) async fn stream(_: Managing, State(app): State<App>) -> Response {
    let events = stream::unfold(Some(app.engine().events()), |events| async {
        let (text, events) = next(events?).await?;
        Some((Ok::<_, Infallible>(text), Some(events)))
    });
    // The comment tells the client at once that it is connected.
    let hello = stream::iter([Ok(Bytes::from_static(b": connected\n\n"))]);
    let body = Body::from_stream(futures_util::StreamExt::chain(hello, events));
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // Tells nginx not to hold it back.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, body).into_response()
}

async fn next(mut events: Events) -> Option<(Bytes, Events)> {
    let text = match timeout(KEEP_ALIVE, events.next()).await {
        Ok(event) => format!("data: {}\n\n", serde_json::to_string(&event?).unwrap_or_default()).into(),
        Err(_) => Bytes::from_static(b":\n\n"),
    };
    Some((text, events))
}
