//! The limits of one address: requests at work, and PKIOperations a second. The rate is a courtesy to the others, decided in
//! the outer tier and worth nothing as a defence, since who has many addresses has as many buckets.

use std::net::IpAddr;

use assay_runtime::accept::{AtWork, Bounds, Network, Places};
use assay_runtime::buckets::Buckets;

/// Addresses that are remembered, about 5 MB of them. Past it those that asked for nothing of late are forgotten, or all
/// where there are too few of them; an address that was forgotten begins with a full bucket.
const MAX_ADDRESSES: usize = 65_536;

/// A token bucket for each address.
pub(crate) struct AddressLimit(Buckets<Network>);

impl AddressLimit {
    /// `None` where the rate is 0: then nothing is limited.
    pub(crate) fn new(rate: u32, burst: u32) -> Option<Self> {
        (rate > 0).then(|| Self(Buckets::new(rate, burst, MAX_ADDRESSES)))
    }

    /// Whether one more is let through now.
    pub(crate) fn admit(&self, client: IpAddr) -> bool {
        self.0.take(&client.into())
    }
}

/// Requests at work, by address.
pub(crate) struct AtWorkLimit(Places<Network>);

impl AtWorkLimit {
    /// So many of one address; all together are bounded by the connections.
    pub(crate) fn new(each: usize) -> Self {
        Self(Places::new(Bounds {
            all: usize::MAX,
            each,
        }))
    }

    /// A place for one request of this address, held until it is dropped; `None` where it has too many.
    pub(crate) fn begin(&self, client: IpAddr) -> Option<AtWork<Network>> {
        Some(self.0.take(client.into(), false)?.place.into_work())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_of_nothing_is_no_limit() {
        assert!(AddressLimit::new(0, 30).is_none());
    }

    #[test]
    fn requests_at_work_are_counted_by_address_and_freed_by_their_end() {
        let limit = AtWorkLimit::new(2);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let held: Vec<_> = ["2001:db8::1", "2001:db8::2"]
            .map(|text| limit.begin(ip(text)).unwrap())
            .into();
        assert!(limit.begin(ip("2001:db8::3")).is_none());
        assert!(limit.begin(ip("192.0.2.1")).is_some());
        drop(held);
        assert!(limit.begin(ip("2001:db8::3")).is_some());
    }
}
