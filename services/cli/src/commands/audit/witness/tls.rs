//! TLS to witnesses that ask for it, with the anchors of the web.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::failure::{Failure, OrFail, Outcome};
use crate::files;

/// Where Debian keeps the anchors of the web.
pub(in crate::commands::audit) const SYSTEM_ANCHORS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Whom the certificate of an https witness has to come from.
#[derive(Clone)]
pub(in crate::commands::audit) struct Anchors(Arc<ClientConfig>);

impl Anchors {
    /// Reads a PEM bundle. What in it is no anchor is passed over, as is usual with bundles of the web.
    pub(in crate::commands::audit) fn read(path: &Path) -> Outcome<Self> {
        let what = || format!("{} holds no trust anchors", path.display());
        let hint = "name a PEM bundle with --anchors";
        let pem = files::read(path).map_err(|failure| failure.next(hint))?;
        let found: Vec<_> = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<_, _>>()
            .or_fail(what())?;
        let mut anchors = RootCertStore::empty();
        if anchors.add_parsable_certificates(found).0 == 0 {
            return Err(Failure::usage(what()).next(hint));
        }
        // Never the process default, which another library may have set.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .or_fail("cannot set up TLS")?
            .with_root_certificates(anchors)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    /// The handshake, with the name of the URL.
    pub(super) async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
        TlsConnector::from(Arc::clone(&self.0))
            .connect(name, stream)
            .await
    }
}
