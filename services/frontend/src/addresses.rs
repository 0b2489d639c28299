//! How many PKIOperations a second one address may ask for: a courtesy to the others, decided in the outer tier and
//! worth nothing as a defence, since who has many addresses has as many buckets.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Addresses that are remembered, about 5 MB of them. Past it those not seen for longest are forgotten, and begin with a
/// full bucket when they come again.
const MAX_ADDRESSES: usize = 65_536;

/// An IPv6 network is given out by the /64 (RFC 6177): its host part is the client's own choice.
const HOST_BITS: u128 = u64::MAX as u128;

/// A token bucket for each address.
pub(crate) struct AddressLimit {
    rate: f64,
    burst: f64,
    buckets: Mutex<Generations>,
}

impl AddressLimit {
    /// `None` where the rate is 0: then nothing is limited.
    pub(crate) fn new(rate: u32, burst: u32) -> Option<Self> {
        (rate > 0).then(|| Self {
            rate: rate.into(),
            burst: burst.into(),
            buckets: Mutex::new(Generations::new(MAX_ADDRESSES)),
        })
    }

    /// Whether one more is let through now.
    pub(crate) fn admit(&self, client: IpAddr) -> bool {
        self.admit_at(client, Instant::now())
    }

    fn admit_at(&self, client: IpAddr, now: Instant) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let full = || Bucket::full(self.burst, now);
        buckets
            .entry(network(client), full)
            .take(self.rate, self.burst, now)
    }
}

/// The address, or the network of an IPv6 one.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !HOST_BITS).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    level: f64,
    filled: Instant,
}

impl Bucket {
    pub(crate) fn full(burst: f64, now: Instant) -> Self {
        Self {
            level: burst,
            filled: now,
        }
    }

    /// Takes one where there is one, after what came in since the last time.
    pub(crate) fn take(&mut self, rate: f64, burst: f64, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.level = passed.mul_add(rate, self.level).min(burst);
        self.filled = now;
        let enough = self.level >= 1.0;
        if enough {
            self.level -= 1.0;
        }
        enough
    }
}

/// The addresses of late, in two halves: when the young one is full, the old one is forgotten whole, so that nothing is
/// ever searched for what to forget.
struct Generations {
    half: usize,
    young: HashMap<IpAddr, Bucket>,
    old: HashMap<IpAddr, Bucket>,
}

impl Generations {
    fn new(most: usize) -> Self {
        Self {
            half: (most / 2).max(1),
            young: HashMap::new(),
            old: HashMap::new(),
        }
    }

    fn entry(&mut self, key: IpAddr, new: impl FnOnce() -> Bucket) -> &mut Bucket {
        if !self.young.contains_key(&key) && self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        let known = self.old.remove(&key);
        self.young
            .entry(key)
            .or_insert_with(|| known.unwrap_or_else(new))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_its_burst_at_once_and_then_its_rate() {
        let limit = AddressLimit::new(10, 30).unwrap();
        let start = Instant::now();
        let at = |client: &str, milliseconds| {
            let now = start + Duration::from_millis(milliseconds);
            (0..100).filter(|_| limit.admit_at(ip(client), now)).count()
        };
        assert_eq!(at("192.0.2.1", 0), 30);
        assert_eq!(at("192.0.2.1", 500), 5);
        assert_eq!(at("192.0.2.2", 500), 30);
        assert_eq!(at("192.0.2.1", 3_600_000), 30);
        assert!(AddressLimit::new(0, 30).is_none());
    }

    #[test]
    fn an_ipv6_network_is_one_address_and_a_mapped_ipv4_address_is_itself() {
        assert_eq!(network(ip("2001:db8::1")), network(ip("2001:db8::ffff:2")));
        assert_ne!(network(ip("2001:db8::1")), network(ip("2001:db8:0:1::1")));
        assert_eq!(network(ip("::ffff:192.0.2.1")), network(ip("192.0.2.1")));
        assert_ne!(network(ip("192.0.2.1")), network(ip("192.0.2.2")));
    }

    #[test]
    fn the_table_is_bounded_and_forgets_what_was_not_seen_for_longest() {
        const MOST: u32 = 8;
        let mut table = Generations::new(MOST as usize);
        let empty = || Bucket {
            level: 0.0,
            filled: Instant::now(),
        };
        let busy = ip("192.0.2.1");
        table.entry(busy, empty);
        for host in 0..1_000 {
            table.entry(IpAddr::from(host_of(host)), empty);
            assert!(table.young.len() + table.old.len() <= MOST as usize);
            let kept = table.entry(busy, || panic!("forgotten after {host}"));
            kept.level = 0.0;
        }
        let mut forgotten = false;
        table.entry(IpAddr::from(host_of(0)), || {
            forgotten = true;
            empty()
        });
        assert!(forgotten);
    }

    fn host_of(host: u32) -> [u8; 4] {
        (0x0a00_0000 + host).to_be_bytes()
    }
}
