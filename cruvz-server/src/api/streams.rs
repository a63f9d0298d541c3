//! `/api/v1/streams`: what is live and how it does.

use axum::{Json, extract::State};
use cruvz_core::{ErrorKind, LiveStream, StreamName, analytics::samples::Sample, hub::stream::StreamInfo};
use serde::{Deserialize, Serialize};

use super::{Page, Problem, Query, Stream, page::PageQuery};
use crate::app::App;

/// A stream as the API shows it.
#[derive(Serialize)]
pub(crate) struct StreamView {
    #[serde(flatten)]
    info: StreamInfo,
    /// Whether a viewer that comes now gets a picture (or sound) at once.
    playable: bool,
    /// Viewers now.
    viewers: usize,
}

impl StreamView {
    fn of(app: &App, stream: &LiveStream) -> Self {
        Self {
            info: stream.info(),
            playable: stream.is_playable(),
            viewers: app.engine().viewers(stream.name()),
        }
    }
}

/// Every stream, by name; those that are only waited for are left out.
pub(crate) async fn list(
    State(app): State<App>,
    Query(query): Query<PageQuery<StreamName>>,
) -> Json<Page<StreamView>> {
    let streams = app.engine().streams().into_iter().filter(is_there).collect();
    query.of(streams, |stream: &LiveStream| stream.name().clone(), |stream| StreamView::of(&app, &stream))
}

/// One stream.
pub(crate) async fn show(State(app): State<App>, Stream(name): Stream) -> Result<Json<StreamView>, Problem> {
    Ok(Json(StreamView::of(&app, &find(&app, &name)?)))
}

/// Which samples are asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SamplesQuery {
    /// The newest so many seconds; all 900 unless said.
    seconds: Option<usize>,
}

/// One sample per second.
#[derive(Serialize)]
pub(crate) struct Samples {
    items: Vec<Sample>,
}

/// What one stream did in each of the last seconds, oldest first.
pub(crate) async fn samples(
    State(app): State<App>,
    Stream(name): Stream,
    Query(query): Query<SamplesQuery>,
) -> Result<Json<Samples>, Problem> {
    let mut items = find(&app, &name)?.samples();
    let surplus = items.len().saturating_sub(query.seconds.unwrap_or(usize::MAX));
    items.drain(..surplus);
    Ok(Json(Samples { items }))
}

fn find(app: &App, name: &StreamName) -> Result<LiveStream, Problem> {
    let stream = app.engine().stream(name).filter(is_there);
    stream.ok_or_else(|| Problem::new(ErrorKind::NotFound, format!("{name} is not live")))
}

/// Whether somebody publishes it or did a moment ago: a name that a viewer waits for is no stream yet.
fn is_there(stream: &LiveStream) -> bool {
    stream.info().state != "awaited"
}
