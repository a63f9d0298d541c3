//! What the parts of an engine share.

use std::sync::Arc;

use super::{clock::Clock, shutdown::Stopped, srt::Srt};
use crate::{
    EngineConfig,
    analytics::{event::EventSink, totals::Totals},
    egress::fanout::Fanout,
    hub::registry::Hub,
    session::gate::Gate,
};

/// Handed to every listener and connection of an engine.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) clock: Clock,
    pub(crate) config: Arc<EngineConfig>,
    pub(crate) events: EventSink,
    pub(crate) totals: Arc<Totals>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) hub: Hub,
    pub(crate) fanout: Fanout,
    pub(crate) srt: Srt,
    pub(crate) runtime: tokio::runtime::Handle,
    /// Which servers are believed when we connect over TLS.
    pub(crate) trust: Arc<tokio_rustls::rustls::ClientConfig>,
    pub(crate) stopped: Stopped,
}
