//! Pulling from another SRT server, or from whoever calls.

use std::sync::Arc;

use cruvz_media::{Tracks, container::mpegts::Limits};

use crate::{
    Error, Protocol, Role,
    ingest::mpegts::Feed,
    protocol::srt::Url,
    runtime::{
        remote::{Job, RemoteState},
        srt::{client::Agreed, link::Media},
    },
};

/// One connection: receives there, publishes here, until one of them ends.
pub(crate) async fn attempt(job: Arc<Job<Url>>) -> Result<(), Error> {
    let context = &job.context;
    let agreed = Agreed::with(&job).await?;
    let session =
        context.gate.sessions.open(&job.stream, Protocol::Srt, Role::Pull, Some(agreed.remote()))?;
    let publisher = context.hub.publish(Tracks::empty(), session)?;
    job.set(RemoteState::Running);
    let feed = Feed::new(publisher, Limits::default());
    Err(agreed.carry(Media::In(Box::new(feed)), job.url.max_bandwidth_bps()).await)
}
