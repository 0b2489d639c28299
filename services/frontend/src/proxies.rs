//! Load balancers that are believed about whom they relay.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;
use ppp::{HeaderResult, PartialResult, v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::config::{ClientAddress, ProxiesConfig};

/// A header of the PROXY protocol: 107 bytes in version 1, 52 and additions of a few dozen bytes in version 2.
const MAX_HEADER: usize = 1_024;
/// Addresses in X-Forwarded-For that are looked at, from the last one on: one for each proxy on the way.
const MAX_FORWARDED: usize = 16;

/// The trusted proxies, if there are any.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proxies {
    addresses: BTreeSet<IpAddr>,
    client: Option<ClientAddress>,
}

impl From<ProxiesConfig> for Proxies {
    fn from(config: ProxiesConfig) -> Self {
        let ProxiesConfig { addresses, client } = config;
        Self {
            addresses: addresses.iter().map(IpAddr::to_canonical).collect(),
            client: Some(client),
        }
    }
}

impl Proxies {
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address.to_canonical())
    }

    /// Whether a connection from this address begins with the PROXY protocol.
    pub(crate) fn announces(&self, address: IpAddr) -> bool {
        self.client == Some(ClientAddress::ProxyProtocol) && self.trusts(address)
    }

    /// For whom a request is that came from `peer`.
    pub(crate) fn client(&self, peer: SocketAddr, headers: &HeaderMap) -> SocketAddr {
        if self.client != Some(ClientAddress::XForwardedFor) || !self.trusts(peer.ip()) {
            return peer;
        }
        let values: Vec<&str> = headers
            .get_all("x-forwarded-for")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        let last_first = values.iter().rev().flat_map(|value| value.rsplit(','));
        for text in last_first.take(MAX_FORWARDED) {
            match text.trim().parse::<IpAddr>() {
                Ok(address) if self.trusts(address) => {}
                Ok(address) => return SocketAddr::new(address, 0),
                // Further ones are what the client says of itself.
                Err(_) => return peer,
            }
        }
        peer
    }
}

/// Reads the header of the PROXY protocol: the client, or `None` for a connection of the proxy's own, and the bytes after it.
pub(crate) async fn read_header(
    stream: &mut (impl AsyncRead + Unpin),
) -> io::Result<(Option<SocketAddr>, Vec<u8>)> {
    let mut bytes = Vec::with_capacity(MAX_HEADER);
    let foreign = || io::Error::from(io::ErrorKind::InvalidData);
    loop {
        let room = u64::try_from(MAX_HEADER - bytes.len()).unwrap_or_default();
        if room == 0 || (&mut *stream).take(room).read_buf(&mut bytes).await? == 0 {
            return Err(foreign());
        }
        let header = HeaderResult::parse(&bytes);
        if header.is_incomplete() {
            continue;
        }
        let (client, length) = match header {
            HeaderResult::V1(Ok(header)) => (of_v1(&header.addresses), header.header.len()),
            HeaderResult::V2(Ok(header)) => (of_v2(&header), header.len()),
            HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => return Err(foreign()),
        };
        let rest = bytes.split_off(length.min(bytes.len()));
        return Ok((client, rest));
    }
}

fn of_v1(addresses: &v1::Addresses) -> Option<SocketAddr> {
    match addresses {
        v1::Addresses::Tcp4(ip) => Some((ip.source_address, ip.source_port).into()),
        v1::Addresses::Tcp6(ip) => Some((ip.source_address, ip.source_port).into()),
        v1::Addresses::Unknown => None,
    }
}

fn of_v2(header: &v2::Header<'_>) -> Option<SocketAddr> {
    match (header.command, &header.addresses) {
        (v2::Command::Proxy, v2::Addresses::IPv4(ip)) => {
            Some((ip.source_address, ip.source_port).into())
        }
        (v2::Command::Proxy, v2::Addresses::IPv6(ip)) => {
            Some((ip.source_address, ip.source_port).into())
        }
        (v2::Command::Local, _) | (_, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(client: ClientAddress) -> Proxies {
        let addresses = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        Proxies::from(ProxiesConfig {
            addresses: addresses.into(),
            client,
        })
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_and_only_about_its_own_client() {
        let proxies = proxies(ClientAddress::XForwardedFor);
        let mut headers = HeaderMap::new();
        let client = |peer: &str, headers: &HeaderMap| {
            proxies
                .client(peer.parse().unwrap(), headers)
                .ip()
                .to_string()
        };
        assert_eq!(client("192.0.2.1:7", &headers), "192.0.2.1");
        headers.append("x-forwarded-for", "10.0.0.1, 198.51.100.7".parse().unwrap());
        headers.append("x-forwarded-for", "192.0.2.2".parse().unwrap());
        assert_eq!(client("192.0.2.1:7", &headers), "198.51.100.7");
        assert_eq!(client("203.0.113.9:7", &headers), "203.0.113.9");
        headers.append("x-forwarded-for", "nonsense".parse().unwrap());
        assert_eq!(client("192.0.2.1:7", &headers), "192.0.2.1");
    }

    #[tokio::test]
    async fn the_header_of_both_versions_is_read_and_what_follows_is_kept() {
        let mut version_2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
        version_2.extend([198, 51, 100, 7, 192, 0, 2, 1, 0, 9, 0, 80]);
        for header in [
            b"PROXY TCP4 198.51.100.7 192.0.2.1 9 80\r\n".to_vec(),
            version_2,
        ] {
            let mut stream = [&header[..5], &header[5..], b"GET /"].concat();
            stream.extend(b" HTTP/1.1");
            let (client, rest) = read_header(&mut &stream[..]).await.unwrap();
            assert_eq!(client, Some("198.51.100.7:9".parse().unwrap()));
            assert_eq!(rest, b"GET / HTTP/1.1");
        }
        let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
        assert_eq!(
            read_header(&mut &local[..]).await.unwrap(),
            (None, Vec::new())
        );
        let endless = [b"PROXY TCP4 ".as_slice(), &[b'1'; 2 * MAX_HEADER]].concat();
        for foreign in [b"GET / HTTP/1.1\r\n\r\n".as_slice(), b"PROXY", &endless] {
            assert!(read_header(&mut &foreign[..]).await.is_err());
        }
    }
}
