//! A bad network for tests, on whatever clock the test has.
//!
//! [`Network`] decides the fate of each datagram of one direction: when it arrives, once, twice or never. [`Wire`]
//! holds the datagrams until then. Both take the time as an argument and draw every chance from a seed, so that a
//! scenario on virtual time gives the same result on each run; a relay between real sockets uses the same types.
//!
//! Loss may be independent (`loss`) and in bursts (`bursts`, the model of Gilbert and Elliott). Jitter keeps the
//! order, as a queue does; what overtakes does so by `reordering`.

mod network;
mod random;
mod wire;

pub use network::{Bursts, Conditions, Deliveries, Network, Reordering, Span, Tally};
pub use random::Random;
pub use wire::Wire;
