//! `/api/v1/sessions`: who is connected, and ending that. For managers only: it shows addresses.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use cruvz_core::{ErrorKind, SessionId, SessionInfo};
use serde::Deserialize;

use super::{Managing, Page, Problem, Query, page::PageQuery};
use crate::app::App;

/// Every open session, oldest first.
pub(crate) async fn list(
    _: Managing,
    State(app): State<App>,
    Query(query): Query<PageQuery<u64>>,
) -> Json<Page<SessionInfo>> {
    query.of(app.engine().sessions(), |session| session.id.0, |session| session)
}

/// Why a session is ended.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndQuery {
    /// Told to the peer and to the log.
    reason: Option<String>,
}

/// Ends a session.
pub(crate) async fn end(
    _: Managing,
    State(app): State<App>,
    id: Result<Path<u64>, axum::extract::rejection::PathRejection>,
    Query(query): Query<EndQuery>,
) -> Result<StatusCode, Problem> {
    let Path(id) =
        id.map_err(|_| Problem::new(ErrorKind::InvalidArgument, "the id of a session is a number"))?;
    let reason: String = query.reason.iter().flat_map(|reason| reason.chars()).take(MAX_REASON).collect();
    let reason = if reason.is_empty() { "ended by an operator" } else { &reason };
    if app.engine().end_session(SessionId(id), reason) {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Problem::new(ErrorKind::NotFound, format!("there is no session {id}")))
}

/// The longest reason, in characters: protocols carry it in one short string.
const MAX_REASON: usize = 200;
