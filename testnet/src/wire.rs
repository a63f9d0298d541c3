//! Datagrams on their way.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::Network;

/// One direction of a wire: the network, and the datagrams that it still carries.
#[derive(Clone, Debug)]
pub struct Wire<T> {
    /// Decides what arrives and when.
    pub network: Network,
    /// By arrival, then by the order of sending.
    carried: BTreeMap<(Duration, u64), T>,
    count: u64,
}

impl<T: Clone> Wire<T> {
    /// An empty wire.
    #[must_use]
    pub fn new(network: Network) -> Self {
        Self { network, carried: BTreeMap::new(), count: 0 }
    }

    /// Puts a datagram of `len` bytes on the wire.
    pub fn send(&mut self, now: Duration, len: usize, datagram: T) {
        for at in self.network.transfer(now, len) {
            self.count += 1;
            self.carried.insert((at, self.count), datagram.clone());
        }
    }

    /// When the next datagram arrives, if any is on its way.
    #[must_use]
    pub fn next_arrival(&self) -> Option<Duration> {
        self.carried.keys().next().map(|(at, _)| *at)
    }

    /// The next datagram that has arrived by `now`.
    pub fn receive(&mut self, now: Duration) -> Option<T> {
        let first = self.carried.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Conditions, Reordering};

    #[test]
    fn datagrams_come_out_when_they_arrive_and_in_that_order() {
        let ms = Duration::from_millis;
        let held_back = Some(Reordering { share: 1.0, by: ms(30) });
        let mut wire = Wire::new(Network::new(
            Conditions { delay: ms(10), reordering: held_back, ..Conditions::default() },
            1,
        ));
        wire.send(ms(0), 100, "held back");
        wire.network.change(Conditions { delay: ms(10), duplication: 1.0, ..Conditions::default() });
        wire.send(ms(5), 100, "twice");
        assert_eq!(wire.next_arrival(), Some(ms(15)));
        assert_eq!(wire.receive(ms(14)), None);
        assert_eq!(wire.receive(ms(15)), Some("twice"));
        assert_eq!(wire.receive(ms(15)), Some("twice"));
        assert_eq!(wire.receive(ms(39)), None);
        assert_eq!(wire.receive(ms(40)), Some("held back"));
        assert_eq!((wire.next_arrival(), wire.receive(ms(99))), (None, None));
    }
}
