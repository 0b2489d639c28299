//! How many PKIOperations a second one address may ask for: a courtesy to the others, decided in the outer tier and
//! worth nothing as a defence, since who has many addresses has as many buckets.

use std::net::{IpAddr, Ipv6Addr};

use assay_runtime::buckets::Buckets;

/// Addresses that are remembered, about 5 MB of them. Past it those that asked for nothing of late are forgotten, or all
/// where there are too few of them; an address that was forgotten begins with a full bucket.
const MAX_ADDRESSES: usize = 65_536;

/// An IPv6 network is given out by the /64 (RFC 6177): its host part is the client's own choice.
const HOST_BITS: u128 = u64::MAX as u128;

/// A token bucket for each address.
pub(crate) struct AddressLimit(Buckets<IpAddr>);

impl AddressLimit {
    /// `None` where the rate is 0: then nothing is limited.
    pub(crate) fn new(rate: u32, burst: u32) -> Option<Self> {
        (rate > 0).then(|| Self(Buckets::new(rate, burst, MAX_ADDRESSES)))
    }

    /// Whether one more is let through now.
    pub(crate) fn admit(&self, client: IpAddr) -> bool {
        self.0.take(&network(client))
    }
}

/// The address, or the network of an IPv6 one.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !HOST_BITS).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_rate_of_nothing_is_no_limit() {
        assert!(AddressLimit::new(0, 30).is_none());
    }

    #[test]
    fn an_ipv6_network_is_one_address_and_a_mapped_ipv4_address_is_itself() {
        assert_eq!(network(ip("2001:db8::1")), network(ip("2001:db8::ffff:2")));
        assert_ne!(network(ip("2001:db8::1")), network(ip("2001:db8:0:1::1")));
        assert_eq!(network(ip("::ffff:192.0.2.1")), network(ip("192.0.2.1")));
        assert_ne!(network(ip("192.0.2.1")), network(ip("192.0.2.2")));
    }
}
