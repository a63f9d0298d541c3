//! Recordings that begin by themselves.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use super::{RecordPolicy, Shared};
use crate::{ErrorKind, Event, StreamName, runtime::context::Context};

/// Records every stream that the configuration names, from when it can be played.
pub(super) async fn record(shared: Weak<Shared>, context: Context) {
    // Renditions are recorded only where a pattern means them.
    let fits = |stream: &StreamName, pattern: &str| {
        stream.matches(pattern) && (pattern.contains('~') || stream.rendition_of().is_none())
    };
    let wanted =
        |stream: &StreamName| context.config.record.always.iter().any(|pattern| fits(stream, pattern));
    let mut events = context.events.subscribe();
    let mut stopped = context.stopped.clone();
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = stopped.wait() => return,
        };
        let streams = match event {
            Some(Event::StreamPlayable { stream }) => vec![stream],
            // Which may have been just that.
            Some(Event::Lagged { .. }) => {
                let playable = context.hub.list().into_iter().filter(|stream| stream.is_playable());
                playable.map(|stream| stream.name().clone()).collect()
            }
            Some(_) => continue,
            None => return,
        };
        for stream in streams.into_iter().filter(wanted) {
            let Some(shared) = shared.upgrade() else { return };
            begin(shared, stream).await;
        }
    }
}

async fn begin(shared: Arc<Shared>, stream: StreamName) {
    // It can be played, or has ended: there is nothing to wait for.
    let begun = shared.begin(&stream, RecordPolicy::default(), Duration::ZERO).await;
    match begun {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            tracing::warn!(%stream, %error, "a stream is not recorded");
        }
        _ => {}
    }
}
