//! `/api/v1/clips`: parts of recordings that play at once. For managers only, as recordings are.

use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
};
use cruvz_core::{Clip, Engine, ErrorKind, Span, StreamName};
use serde::{Deserialize, Serialize};

use super::{Managing, Problem};
use crate::app::App;

/// What is to be shown, and of what: of a recording, or of the newest one of a stream.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Make {
    recording: Option<String>,
    stream: Option<StreamName>,
    /// In seconds: of media since the beginning, before the end where negative, since 1970 where above 10^9. Left out: the beginning.
    from: Option<f64>,
    /// As `from`. Left out: the end.
    to: Option<f64>,
}

/// A clip, and where it is.
#[derive(Serialize)]
pub(crate) struct Made {
    #[serde(flatten)]
    clip: Clip,
    /// The path of its HLS playlist, which begins at the frame and ends with a segment.
    hls: String,
    /// The path of its MP4 file, exact to the frame.
    mp4: String,
}

/// Makes a clip. Nothing is copied: it is there as long as the recording is.
pub(crate) async fn make(
    _: Managing,
    State(app): State<App>,
    body: Result<Json<Make>, JsonRejection>,
) -> Result<Json<Made>, Problem> {
    let Json(make) = body.map_err(|error| Problem::new(ErrorKind::InvalidArgument, error.body_text()))?;
    let moment = |seconds: Option<f64>| seconds.map(|seconds| seconds.to_string().parse()).transpose();
    let wrong = |error: cruvz_core::SpanError| Problem::new(ErrorKind::InvalidArgument, error.to_string());
    let span = Span { from: moment(make.from).map_err(wrong)?, to: moment(make.to).map_err(wrong)? };
    let recording = recording(app.engine(), make.recording, make.stream)?;
    let clip = app.engine().clip(&recording, span).await?;
    let hls = format!("/vod/{recording}/index.m3u8?{}", clip.query);
    let mp4 = format!("/vod/{recording}.mp4?{}", clip.query);
    Ok(Json(Made { clip, hls, mp4 }))
}

fn recording(
    engine: &Engine,
    recording: Option<String>,
    stream: Option<StreamName>,
) -> Result<String, Problem> {
    match (recording, stream) {
        (Some(recording), None) => Ok(recording),
        (None, Some(stream)) => {
            let newest = engine.recordings().into_iter().rfind(|recording| recording.stream == stream);
            let none = || Problem::new(ErrorKind::NotFound, format!("there is no recording of {stream}"));
            newest.map(|recording| recording.id).ok_or_else(none)
        }
        _ => Err(Problem::new(ErrorKind::InvalidArgument, "say either a recording or a stream")),
    }
}
