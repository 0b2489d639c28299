//! The connecting side.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};

use super::files::TlsFiles;
use super::{ALPN_H2, MtlsError, VERSIONS, provider};
use crate::identity::{Identity, IdentityError, Role};

/// TCP and TLS together, between machines of one site.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A peer that vanished without a word is noticed after interval + time-out, also while no call is running.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// TLS wants a name; ours is in the URI SAN, so this one is neither sent (no SNI) nor compared.
const UNUSED_SERVER_NAME: &str = "signer.invalid";

/// A channel to the signer at `address` (`HOST:PORT`) that must prove to be `expected`. Connects when first used, and
/// again after a loss: calls fail with `UNAVAILABLE` meanwhile. Async because a channel needs a runtime around it.
///
/// # Errors
/// Where a file is missing, open to others or of the wrong role, or the address is none.
pub async fn connect(
    address: &str,
    files: &TlsFiles,
    expected: Identity,
) -> Result<Channel, MtlsError> {
    let (uri, target) = prepare(address, files, expected)?;
    let target = Arc::new(target);
    let connector = tower::service_fn(move |_: Uri| {
        let target = Arc::clone(&target);
        async move { target.connect().await.map(TokioIo::new) }
    });
    Ok(Endpoint::from(uri)
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .connect_with_connector_lazy(connector))
}

/// All the checks of [`connect`], and no connection: the host, a name or an IP address, and the port to connect to.
///
/// # Errors
/// Those of [`connect`].
pub fn check_client(
    address: &str,
    files: &TlsFiles,
    expected: Identity,
) -> Result<(String, u16), MtlsError> {
    let (_, target) = prepare(address, files, expected)?;
    Ok((target.host, target.port))
}

fn prepare(
    address: &str,
    files: &TlsFiles,
    expected: Identity,
) -> Result<(Uri, Target), MtlsError> {
    if expected.role() != Role::Signer {
        return Err(MtlsError::ExpectedRole { expected });
    }
    let wrong_address = || MtlsError::Address {
        address: address.to_owned(),
    };
    // To tonic the scheme says who does TLS, and here that is this connector.
    let uri: Uri = format!("http://{address}")
        .parse()
        .map_err(|_| wrong_address())?;
    let (Some(host), Some(port)) = (uri.host(), uri.port_u16()) else {
        return Err(wrong_address());
    };
    let target = Target {
        host: host.trim_matches(['[', ']']).to_owned(),
        port,
        tls: TlsConnector::from(Arc::new(client_config(files, expected)?)),
    };
    Ok((uri, target))
}

struct Target {
    host: String,
    port: u16,
    tls: TlsConnector,
}

impl Target {
    async fn connect(&self) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(UNUSED_SERVER_NAME).map_err(io::Error::other)?;
        self.tls
            .connect(name, stream)
            .await
            .map_err(name_wrong_signer)
    }
}

/// rustls shows a verifier's own error in its debug form only; a person is to read it.
fn name_wrong_signer(error: io::Error) -> io::Error {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(wrong)))) => {
            io::Error::new(error.kind(), Arc::clone(wrong))
        }
        Some(_) | None => error,
    }
}

fn client_config(files: &TlsFiles, expected: Identity) -> Result<rustls::ClientConfig, MtlsError> {
    let provider = provider();
    let verifier = SignerVerifier {
        anchors: files.anchors()?,
        provider: Arc::clone(&provider),
        expected,
    };
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&VERSIONS)
        .map_err(MtlsError::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(
            files.own_chain(&[
                Role::Frontend,
                Role::Operator,
                Role::Approver,
                Role::Auditor,
            ])?,
            files.key()?,
        )
        .map_err(MtlsError::Tls)?;
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    config.enable_sni = false;
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Path validation as webpki does it, and one exact URI SAN in place of the host name.
#[derive(Debug)]
struct SignerVerifier {
    anchors: RootCertStore,
    provider: Arc<CryptoProvider>,
    expected: Identity,
}

impl ServerCertVerifier for SignerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &self.anchors,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        match Identity::from_certificate(end_entity) {
            Ok(found) if found == self.expected => Ok(ServerCertVerified::assertion()),
            Ok(found) => Err(refuse(WrongSigner::Other {
                found,
                expected: self.expected.clone(),
            })),
            Err(source) => Err(refuse(WrongSigner::Identity(source))),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General(
            "TLS 1.2 is never negotiated here".to_owned(),
        ))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn refuse(wrong: WrongSigner) -> rustls::Error {
    CertificateError::Other(OtherError(Arc::new(wrong))).into()
}

#[derive(Debug, thiserror::Error)]
enum WrongSigner {
    #[error("the server is {found}, but {expected} is expected")]
    Other { found: Identity, expected: Identity },
    #[error("the server's certificate carries no identity")]
    Identity(#[source] IdentityError),
}
