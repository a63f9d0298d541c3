//! Restreaming to another SRT server, or to whoever calls.

use std::sync::Arc;

use super::PATIENCE;
use crate::{
    Error, Protocol, Role,
    egress::{mpegts, srt::Viewer},
    protocol::srt::Url,
    runtime::{
        remote::{Job, RemoteState},
        srt::{client::Agreed, link::Media},
    },
};

/// One connection: waits for the stream, sends it until one of them ends.
pub(crate) async fn attempt(job: Arc<Job<Url>>) -> Result<(), Error> {
    let context = &job.context;
    let stream = context.hub.playable(&job.stream, PATIENCE).await?;
    let agreed = Agreed::with(&job).await?;
    let log = stream.wire(mpegts::TS)?;
    let session =
        context.gate.sessions.open(&job.stream, Protocol::Srt, Role::Push, Some(agreed.remote()))?;
    let viewer = Viewer::new(context.srt.rings.of(&log), session);
    job.set(RemoteState::Running);
    Err(agreed.carry(Media::Out(Box::new(viewer)), job.url.max_bandwidth_bps()).await)
}
