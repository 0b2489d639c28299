//! `frontend.toml` as it is written; [`crate::Settings`] is what it means.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use assay_runtime::config::{ConfigError, Document, duration};
use assay_runtime::identity::Identity;
use assay_runtime::ops::OpsConfig;
use assay_runtime::telemetry::LogConfig;
use serde::Deserialize;

/// The whole file. Unknown keys are refused.
///
/// ```
/// use assay_frontend::FrontendConfig;
/// let config = FrontendConfig::parse("frontend.toml", r#"
///     [http]
///     listen = "0.0.0.0:8080"
///     [signer]
///     address = "signer.internal:7443"
///     identity = "assay://signer/main"
///     certificate = "transport/frontend.pem"
///     private_key = "transport/frontend.key"
///     trust_anchors = "transport/anchors-signers.pem"
///     [ops]
///     listen = "127.0.0.1:9100"
/// "#).unwrap();
/// assert_eq!(config.limits.concurrency, 64);
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrontendConfig {
    /// The listener for devices.
    pub http: HttpConfig,
    /// The signer that requests go to.
    pub signer: SignerConfig,
    /// Bounds on what devices may ask of this process.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// The listener for metrics and health.
    pub ops: OpsConfig,
    /// Log lines.
    #[serde(default)]
    pub log: LogConfig,
    #[serde(skip)]
    document: Option<Document>,
}

impl FrontendConfig {
    /// Reads the file.
    ///
    /// # Errors
    /// Names file, line and key.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::from_document(Document::read(path)?)
    }

    /// Parses text; `path` appears in errors, and relative paths start at its folder.
    ///
    /// # Errors
    /// Names file, line and key.
    pub fn parse(path: impl Into<PathBuf>, text: &str) -> Result<Self, ConfigError> {
        Self::from_document(Document::from_text(path, text))
    }

    fn from_document(document: Document) -> Result<Self, ConfigError> {
        let mut config: Self = document.parse()?;
        config.document = Some(document);
        Ok(config)
    }

    /// The file that this was read from, to name lines in later errors.
    pub(crate) fn document(&self) -> Document {
        self.document
            .clone()
            .unwrap_or_else(|| Document::from_text("frontend.toml", ""))
    }
}

/// `[http]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// Address for devices; port 0 takes a free port.
    pub listen: SocketAddr,
    /// HTTPS in place of HTTP. Default: HTTP, as SCEP protects its own messages.
    pub tls: Option<TlsConfig>,
    /// Load balancers that say for whom a connection or a request is. Default: none, so that nobody is believed.
    pub proxies: Option<ProxiesConfig>,
}

/// `[http.proxies]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxiesConfig {
    /// Their addresses. Others are not believed.
    pub addresses: Vec<IpAddr>,
    /// How they say it.
    pub client: ClientAddress,
}

/// How a trusted proxy says which client it relays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientAddress {
    /// The PROXY protocol, version 1 or 2, before anything else on each connection. A connection without it is closed.
    ProxyProtocol,
    /// The last address in `X-Forwarded-For` that is not a trusted proxy.
    XForwardedFor,
}

/// `[http.tls]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM chain, our certificate first.
    pub certificate: PathBuf,
    /// PEM key, mode 0600 or 0400.
    pub private_key: PathBuf,
}

/// `[signer]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignerConfig {
    /// `HOST:PORT` of the signer's Enrolment listener.
    pub address: String,
    /// The one URI SAN that its certificate must carry.
    pub identity: Identity,
    /// PEM: our certificate, `assay://frontend/NAME`.
    pub certificate: PathBuf,
    /// PEM: its key, mode 0600 or 0400.
    pub private_key: PathBuf,
    /// PEM: the anchors of signers' certificates.
    pub trust_anchors: PathBuf,
    /// Longest wait for a CertRep. Default 15 s: above the signer's own deadline for a token operation.
    #[serde(default = "default_signer_timeout", with = "duration")]
    pub timeout: Duration,
    /// How often capabilities and CA certificates are asked for. Default 1 s: an unchanged answer is a few bytes.
    #[serde(default = "default_refresh_interval", with = "duration")]
    pub refresh_interval: Duration,
    /// Once the signer has not answered for so long, `/readyz` says that this frontend is not ready. Default 1 min.
    #[serde(default = "default_unready_after", with = "duration")]
    pub unready_after: Duration,
}

fn default_signer_timeout() -> Duration {
    Duration::from_secs(15)
}

fn default_refresh_interval() -> Duration {
    Duration::from_secs(1)
}

fn default_unready_after() -> Duration {
    Duration::from_secs(60)
}

/// `[limits]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Connections at once; past them an idle one is closed for a new one. Default 512.
    pub connections: usize,
    /// The same for one IP address, or one IPv6 /64. Default 128. Does not hold for trusted proxies.
    pub address_connections: usize,
    /// Requests at work of one IP address, or of one IPv6 /64; further ones get 503 with Retry-After. Default 48, so that
    /// one address cannot take all of `concurrency`.
    pub address_concurrency: usize,
    /// PKIOperations at the signer at once; further ones get 503 with Retry-After. Default 64.
    pub concurrency: usize,
    /// PKIOperations a second of one IP address, or of one IPv6 /64; further ones get 503 with Retry-After. A courtesy
    /// to others, generous as many devices stand behind one NAT. 0 is off. Default 50.
    pub address_rate: u32,
    /// How many of them may come at once. Default 200.
    pub address_burst: u32,
    /// Octets in a POST body, and in a GET's message after base64. Default 128 KiB, which is also the signer's limit.
    pub max_body: usize,
    /// Octets in path and query. Default 32 KiB: certmonger sends 3.6 KB.
    pub max_uri: usize,
    /// Time for the head of a request to arrive, from the connection or the previous answer on; so it also ends idle
    /// connections. Default 15 s.
    #[serde(with = "duration")]
    pub header_timeout: Duration,
    /// Time for a body to arrive. Default 15 s.
    #[serde(with = "duration")]
    pub body_timeout: Duration,
    /// After this a connection is closed at the next answer. Default 5 min.
    #[serde(with = "duration")]
    pub connection_age: Duration,
    /// Time to finish what was begun when told to stop. Default 20 s.
    #[serde(with = "duration")]
    pub drain_timeout: Duration,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            connections: 512,
            address_connections: 128,
            address_concurrency: 48,
            concurrency: 64,
            address_rate: 50,
            address_burst: 200,
            max_body: 128 << 10,
            max_uri: 32 << 10,
            header_timeout: Duration::from_secs(15),
            body_timeout: Duration::from_secs(15),
            connection_age: Duration::from_secs(300),
            drain_timeout: Duration::from_secs(20),
        }
    }
}
