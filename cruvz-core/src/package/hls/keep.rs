//! For recorders: what keeps a stream packaged, and reads what comes of it.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use cruvz_media::hls::Packager;

use super::{Hls, Packaged, Shared};
use crate::{Error, StreamName};

/// A hold on a stream that is packaged: it goes on as long as this lives. No viewer, and never waited for.
pub(crate) struct Kept {
    shared: Arc<Shared>,
    packaged: Arc<Packaged>,
}

impl Hls {
    /// Has `stream` packaged, from the oldest keyframe its log has if it is not yet. Waits until it can be played.
    ///
    /// # Errors
    /// `NotFound` when nobody published it within `timeout`; `LimitExceeded`; `Closed` when it ended meanwhile.
    pub(crate) async fn keep(&self, stream: &StreamName, timeout: Duration) -> Result<Kept, Error> {
        let mut subscriber = self.0.context.hub.subscribe(stream, timeout, None).await?;
        subscriber.rewind();
        let mut streams = self.0.streams.lock();
        let packaged = self.0.start(stream, subscriber, &mut streams)?;
        packaged.keepers.fetch_add(1, Relaxed);
        Ok(Kept { shared: Arc::clone(&self.0), packaged })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _streams = self.shared.streams.lock();
        self.packaged.keepers.fetch_sub(1, Relaxed);
        // Packaging ends as if a viewer had left now.
        let now = self.shared.context.clock.now();
        self.packaged.asked_ms.fetch_max(now.as_millis() as u64, Relaxed);
    }
}

impl Kept {
    /// Looks at the packager, which stands still meanwhile: only to be done for a moment.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&Packager) -> R) -> R {
        look(&self.packaged.packager.lock())
    }

    /// Returns at the packager's next change from when it is first polled.
    pub(crate) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.packaged.changed.notified()
    }
}
