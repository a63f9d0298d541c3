//! `/api/v1/recordings`: what was recorded and what is. For managers only: who knows a recording's name may ask for its media.

use axum::{
    Json,
    extract::{Path, State, rejection::JsonRejection},
    http::{HeaderValue, StatusCode, header},
    response::IntoResponse,
};
use cruvz_core::{ErrorKind, RecordPolicy, RecordingInfo, StreamName};
use serde::Deserialize;

use super::{Managing, Page, Problem, Query};
use crate::app::App;

/// Which recordings are asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// Those of this stream only.
    stream: Option<StreamName>,
    limit: Option<usize>,
    after: Option<String>,
}

/// The recordings, oldest first.
pub(crate) async fn list(
    _: Managing,
    State(app): State<App>,
    Query(ListQuery { stream, limit, after }): Query<ListQuery>,
) -> Json<Page<RecordingInfo>> {
    let mut all = app.engine().recordings();
    all.retain(|recording| stream.as_ref().is_none_or(|stream| *stream == recording.stream));
    super::page::PageQuery::new(limit, after).of(all, |recording| recording.id.clone(), |recording| recording)
}

/// One recording.
pub(crate) async fn show(
    _: Managing,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<RecordingInfo>, Problem> {
    let found = app.engine().recording(&id);
    found.map(Json).ok_or_else(|| Problem::new(ErrorKind::NotFound, "there is no such recording"))
}

/// What is to be recorded.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Start {
    stream: StreamName,
    /// Media after which it ends by itself, in milliseconds; 0 or left out: when the stream ends.
    #[serde(default)]
    max_duration_ms: u64,
}

/// Begins to record a stream, waiting for its publisher.
pub(crate) async fn start(
    _: Managing,
    State(app): State<App>,
    body: Result<Json<Start>, JsonRejection>,
) -> Result<impl IntoResponse, Problem> {
    let Json(start) = body.map_err(|error| Problem::new(ErrorKind::InvalidArgument, error.body_text()))?;
    let mut policy = RecordPolicy::default();
    policy.max_duration_ms = start.max_duration_ms;
    let recording = app.engine().record(start.stream, policy).await?;
    let location = HeaderValue::try_from(format!("/api/v1/recordings/{}", recording.id));
    let location = location.map_err(|_| Problem::new(ErrorKind::Internal, "a name that is no header"))?;
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(recording)))
}

/// Ends a recording, and answers when it is whole.
pub(crate) async fn stop(
    _: Managing,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<RecordingInfo>, Problem> {
    Ok(Json(app.engine().stop_recording(&id).await?))
}

/// Removes a recording for good.
pub(crate) async fn remove(
    _: Managing,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    app.engine().delete_recording(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}
