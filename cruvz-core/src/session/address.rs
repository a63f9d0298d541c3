//! What one address may take of an engine, so that one machine cannot take all of it.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;

use crate::{Error, ErrorKind, config::AddressConfig};

/// Addresses whose pace is remembered. Beyond it only the limits for all hold.
const MAX_REMEMBERED: usize = 65_536;
/// How often room is made for more. Looking through all of them for each connection would be work that a peer can ask for.
const SWEEP: Duration = Duration::from_secs(1);

/// Whom `ip` counts as: an IPv6 host owns its /64. `None` where limits do not apply.
pub(crate) fn key(ip: IpAddr, config: &AddressConfig) -> Option<IpAddr> {
    let ip = ip.to_canonical();
    if ip.is_loopback() && !config.limit_loopback {
        return None;
    }
    Some(match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
    })
}

/// How fast each address may connect: a token bucket per address.
#[derive(Debug)]
pub(crate) struct Pace {
    config: AddressConfig,
    remembered: Mutex<Remembered>,
}

#[derive(Debug, Default)]
struct Remembered {
    buckets: HashMap<IpAddr, Bucket>,
    /// When those that are full again were last forgotten.
    swept: Option<Duration>,
}

/// Connections that may still come, in thousandths, as of a moment.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    left_milli: u64,
    at: Duration,
}

impl Pace {
    pub(crate) fn new(config: AddressConfig) -> Self {
        Self { config, remembered: Mutex::default() }
    }

    /// Whether `ip` may open one more connection `now`.
    pub(crate) fn admits(&self, ip: IpAddr, now: Duration) -> bool {
        if self.config.connections_per_s == 0 {
            return true;
        }
        let Some(key) = key(ip, &self.config) else { return true };
        let Remembered { buckets, swept } = &mut *self.remembered.lock();
        if buckets.len() >= MAX_REMEMBERED && !buckets.contains_key(&key) {
            if swept.is_none_or(|swept| now.saturating_sub(swept) >= SWEEP) {
                buckets.retain(|_, bucket| self.refilled(*bucket, now) < self.full_milli());
                *swept = Some(now);
            }
            if buckets.len() >= MAX_REMEMBERED {
                return true;
            }
        }
        let before =
            buckets.get(&key).map_or_else(|| self.full_milli(), |bucket| self.refilled(*bucket, now));
        let left = before.checked_sub(1000);
        buckets.insert(key, Bucket { left_milli: left.unwrap_or(before), at: now });
        left.is_some()
    }

    fn full_milli(&self) -> u64 {
        u64::from(self.config.connection_burst.max(1)) * 1000
    }

    fn refilled(&self, bucket: Bucket, now: Duration) -> u64 {
        let passed_ms = u64::try_from(now.saturating_sub(bucket.at).as_millis()).unwrap_or(u64::MAX);
        let earned = passed_ms.saturating_mul(self.config.connections_per_s.into());
        bucket.left_milli.saturating_add(earned).min(self.full_milli())
    }
}

/// Counts one off `key`; what nobody counts any more is forgotten.
pub(super) fn count_off<K: Eq + std::hash::Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    let Some(count) = counts.get_mut(key) else { return };
    *count -= 1;
    if *count == 0 {
        counts.remove(key);
    }
}

/// How many requests of each address wait.
#[derive(Debug)]
pub(crate) struct WaitingRoom {
    config: AddressConfig,
    seats: Mutex<HashMap<IpAddr, usize>>,
}

/// One request that waits, until it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    room: Arc<WaitingRoom>,
    key: Option<IpAddr>,
}

impl WaitingRoom {
    pub(crate) fn new(config: AddressConfig) -> Arc<Self> {
        Arc::new(Self { config, seats: Mutex::default() })
    }

    /// A seat for one more request of `ip`.
    ///
    /// # Errors
    /// `LimitExceeded` when as many wait as [`AddressConfig::max_waiting`] says.
    pub(crate) fn enter(self: &Arc<Self>, ip: IpAddr) -> Result<Seat, Error> {
        let max = self.config.max_waiting;
        let key = key(ip, &self.config).filter(|_| max > 0);
        if let Some(key) = key {
            let mut seats = self.seats.lock();
            let taken = seats.entry(key).or_default();
            if *taken >= max {
                let full = format!("{max} requests of {key} are waiting already");
                return Err(Error::new(ErrorKind::LimitExceeded, full));
            }
            *taken += 1;
        }
        Ok(Seat { room: Arc::clone(self), key })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            count_off(&mut self.room.seats.lock(), &key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_seats_and_gets_one_back_that_is_left() {
        let config = AddressConfig { max_waiting: 2, ..AddressConfig::default() };
        let room = WaitingRoom::new(config.clone());
        let enter = |ip: &str| room.enter(ip.parse().unwrap());
        let (first, _second) = (enter("2001:db8::1").unwrap(), enter("2001:db8::2").unwrap());
        let full = enter("2001:db8::3").unwrap_err();
        assert_eq!(full.kind(), ErrorKind::LimitExceeded);
        assert_eq!(full.to_string(), "2 requests of 2001:db8:: are waiting already");
        assert!(enter("192.0.2.1").is_ok(), "others do not pay");
        drop(first);
        assert!(enter("2001:db8::3").is_ok());
        assert_eq!(room.seats.lock().len(), 1, "who is gone is forgotten");
        let this_machine: Vec<_> = (0..9).map(|_| enter("127.0.0.1").unwrap()).collect();
        assert_eq!(this_machine.len(), 9);
        let open = WaitingRoom::new(AddressConfig { max_waiting: 0, ..config });
        let all: Vec<_> = (0..9).map(|_| open.enter("192.0.2.1".parse().unwrap()).unwrap()).collect();
        assert_eq!((all.len(), open.seats.lock().len()), (9, 0), "0 is no limit");
    }

    fn pace(connections_per_s: u32, connection_burst: u32) -> Pace {
        Pace::new(AddressConfig { connections_per_s, connection_burst, ..AddressConfig::default() })
    }

    fn admitted(pace: &Pace, ip: &str, tries: usize, at_ms: u64) -> usize {
        let ip = ip.parse().unwrap();
        (0..tries).filter(|_| pace.admits(ip, Duration::from_millis(at_ms))).count()
    }

    #[test]
    fn an_address_may_burst_and_then_keeps_the_pace_and_others_do_not_pay() {
        let pace = pace(20, 100);
        assert_eq!(admitted(&pace, "192.0.2.1", 500, 0), 100);
        assert_eq!(admitted(&pace, "192.0.2.1", 500, 1_000), 20);
        assert_eq!(admitted(&pace, "192.0.2.2", 100, 1_000), 100);
        // Half a connection is not lost when it is asked for too early.
        assert_eq!((1_001..2_001).map(|at| admitted(&pace, "192.0.2.1", 1, at)).sum::<usize>(), 20);
    }

    #[test]
    fn an_ipv6_host_is_its_network_and_a_mapped_address_is_itself() {
        let pace = pace(1, 2);
        assert_eq!(admitted(&pace, "2001:db8::1", 1, 0), 1);
        assert_eq!(admitted(&pace, "2001:db8::2", 2, 0), 1);
        assert_eq!(admitted(&pace, "2001:db8:0:1::1", 2, 0), 2);
        assert_eq!(admitted(&pace, "::ffff:192.0.2.1", 2, 0), 2);
        assert_eq!(admitted(&pace, "192.0.2.1", 2, 0), 0);
    }

    #[test]
    fn this_machine_is_not_limited_unless_told_and_zero_is_no_limit() {
        assert_eq!(admitted(&pace(1, 1), "127.0.0.1", 100, 0), 100);
        assert_eq!(admitted(&pace(0, 1), "192.0.2.1", 100, 0), 100);
        let config = AddressConfig { limit_loopback: true, ..pace(1, 1).config };
        assert_eq!(admitted(&Pace::new(config), "::1", 100, 0), 1);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let pace = pace(1, 2);
        for n in 0..MAX_REMEMBERED as u32 + 1000 {
            assert!(pace.admits(std::net::Ipv4Addr::from_bits(n | 1 << 30).into(), Duration::ZERO));
        }
        assert!(pace.remembered.lock().buckets.len() <= MAX_REMEMBERED);
        assert_eq!(admitted(&pace, "198.51.100.1", 9, 5_000), 2, "room is made when buckets are full again");
        assert_eq!(pace.remembered.lock().buckets.len(), 1);
    }
}
