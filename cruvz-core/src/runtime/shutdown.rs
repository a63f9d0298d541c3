//! One signal that tells every task of an engine to stop.

use tokio::sync::watch;

/// Held by the engine; telling it to stop, or dropping it, stops every [`Stopped`].
#[derive(Debug)]
pub(crate) struct Stop(watch::Sender<bool>);

/// A task's view of [`Stop`].
#[derive(Clone, Debug)]
pub(crate) struct Stopped(watch::Receiver<bool>);

impl Stop {
    pub(crate) fn new() -> (Self, Stopped) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Stopped(receiver))
    }

    pub(crate) fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stopped {
    /// Returns once the engine stops or is dropped.
    pub(crate) async fn wait(&mut self) {
        // An error means that the engine is gone, which is a stop as well.
        let _ = self.0.wait_for(|stopped| *stopped).await;
    }
}
