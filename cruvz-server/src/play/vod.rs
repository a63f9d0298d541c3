//! `/vod/{recording}/…`: recordings as HLS. The engine answers in plain values; this carries them over HTTP.

use axum::{
    extract::{Path, RawQuery, State},
    response::Response,
};
use cruvz_core::VodRequest;

use super::hls::carry;
use crate::{app::App, http::Peer};

/// Serves a playlist or a segment.
pub(crate) async fn play(
    State(app): State<App>,
    peer: Peer,
    Path((recording, path)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Response {
    let request = VodRequest { recording, path, query: query.unwrap_or_default(), remote: peer.remote };
    carry(app.engine().vod().respond(request).await)
}
