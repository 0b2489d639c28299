//! TLS 1.3 with a certificate on both sides, between the tiers.
//!
//! Each side knows the other by its trust anchors and by one exact URI SAN, `assay://ROLE/NAME`. A server lets any
//! certificate of its anchors finish the handshake and decides each call by the [`AllowList`] and the [`CallLimits`], so
//! that a caller that is turned away reads why; a client ends the handshake unless the server is the one it expects.

mod admission;
mod allow;
mod client;
mod device;
mod files;
mod server;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::version::TLS13;

use crate::identity::{Identity, IdentityError, Role};

pub use admission::CallLimits;
pub use allow::{AllowList, AllowListError, Peer, caller};
pub use client::{check_client, connect};
pub use device::device_acceptor;
pub use files::{TlsFiles, check_anchors_apart};
pub use server::{MAX_CALLS, Server};

/// ALPN of gRPC, which runs on HTTP/2 only.
const ALPN_H2: &[u8] = b"h2";

static VERSIONS: [&rustls::SupportedProtocolVersion; 1] = [&TLS13];

/// Never the process default, which another library may have set.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Why mutual TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum MtlsError {
    /// A file cannot be read.
    #[error("{}: cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not the PEM that is needed.
    #[error("{}: needs a PEM {wanted}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        wanted: &'static str,
        /// What the parser said.
        source: rustls::pki_types::pem::Error,
    },
    /// A file holds no certificate.
    #[error("{}: holds no PEM certificate", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// Others than its owner may read or write the key.
    #[error("{}: mode {mode:04o} lets others at the private key; it must be 0600 or 0400", path.display())]
    KeyMode {
        /// The file.
        path: PathBuf,
        /// The permission bits found.
        mode: u32,
    },
    /// Somebody else owns the key.
    #[error("{}: owned by user {owner}, but this process runs as user {user}", path.display())]
    KeyOwner {
        /// The file.
        path: PathBuf,
        /// The file's owner.
        owner: u32,
        /// The effective user.
        user: u32,
    },
    /// Our own certificate carries no identity.
    #[error("{}: not a certificate of a tier", path.display())]
    OwnIdentity {
        /// The file.
        path: PathBuf,
        /// What it lacks.
        source: IdentityError,
    },
    /// Our own certificate is another tier's.
    #[error("{}: is {found}, but a certificate of role {wanted} is needed here", path.display())]
    OwnRole {
        /// The file.
        path: PathBuf,
        /// The identity found.
        found: Identity,
        /// The role needed.
        wanted: Role,
    },
    /// The peer that is expected has a role that accepts no connections.
    #[error("{expected} is no signer: only signers are connected to")]
    ExpectedRole {
        /// The identity expected.
        expected: Identity,
    },
    /// Not `HOST:PORT`.
    #[error("`{address}` is not of the form HOST:PORT")]
    Address {
        /// What was found.
        address: String,
    },
    /// Two listeners trust the same anchor.
    #[error(
        "{first}.trust_anchors and {second}.trust_anchors share an anchor ({}), so that a certificate for one listener opens \
         the other; give each listener anchors of its own, as `assay-ceremony transport` makes them", path.display()
    )]
    SharedAnchor {
        /// The section of one listener.
        first: &'static str,
        /// That of the other one.
        second: &'static str,
        /// A file that has the anchor.
        path: PathBuf,
    },
    /// The listener cannot be bound.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// Key, certificate or anchors do not work together.
    #[error("certificate, key or trust anchors cannot be used")]
    Tls(#[source] rustls::Error),
    /// The trust anchors cannot be used.
    #[error("trust anchors cannot be used")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
}
