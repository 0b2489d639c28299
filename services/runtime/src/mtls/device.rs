//! TLS towards devices, which have no certificate yet.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;

use super::files::{certificates, private_key};
use super::{MtlsError, provider};

/// SCEP is HTTP/1 only.
const ALPN_HTTP_1: [&[u8]; 2] = [b"http/1.1", b"http/1.0"];

/// An acceptor for TLS 1.2 and 1.3 that never asks for a client certificate: a renegotiation for one breaks Windows
/// clients, and TLS replaces no challenge (RFC 8894 section 7.10).
///
/// # Errors
/// Where a file cannot be read, the key is open to others, or the two do not belong together.
pub fn device_acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, MtlsError> {
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(MtlsError::Tls)?
        .with_no_client_auth()
        .with_single_cert(certificates(certificate)?, private_key(key)?)
        .map_err(MtlsError::Tls)?;
    config.alpn_protocols = ALPN_HTTP_1.map(<[u8]>::to_vec).to_vec();
    Ok(TlsAcceptor::from(Arc::new(config)))
}
