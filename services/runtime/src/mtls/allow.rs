//! Who may call a service, decided for each call.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use tonic::{Request, Status};

use crate::identity::{Identity, IdentityError, Role};

/// The identities that may call a service, all of one role. Never empty.
#[derive(Debug, Clone)]
pub struct AllowList {
    role: Role,
    identities: Arc<BTreeSet<Identity>>,
}

impl AllowList {
    /// A list of identities of the role that the service is for.
    ///
    /// # Errors
    /// An empty list, or an identity of another role: either is a mistake that must not go unseen.
    pub fn new(
        identities: impl IntoIterator<Item = Identity>,
        role: Role,
    ) -> Result<Self, AllowListError> {
        let identities: BTreeSet<Identity> = identities.into_iter().collect();
        if identities.is_empty() {
            return Err(AllowListError::Empty { role });
        }
        match identities.iter().find(|identity| identity.role() != role) {
            Some(found) => Err(AllowListError::Role {
                found: found.clone(),
                role,
            }),
            None => Ok(Self {
                role,
                identities: Arc::new(identities),
            }),
        }
    }

    /// The decision on a peer, from the certificate that it proved to hold.
    pub(super) fn decide(&self, certificate: Option<&[u8]>) -> Result<Identity, Denied> {
        let certificate = certificate.ok_or(Denied::NoCertificate)?;
        let identity = Identity::from_certificate(certificate).map_err(Denied::Identity)?;
        if identity.role() != self.role {
            return Err(Denied::Role {
                found: identity,
                wanted: self.role,
            });
        }
        if self.identities.contains(&identity) {
            Ok(identity)
        } else {
            Err(Denied::NotListed(identity))
        }
    }
}

/// Why an allow-list is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AllowListError {
    /// Nobody is allowed.
    #[error("the allow-list is empty: name at least one identity, such as \"assay://{role}/NAME\"")]
    Empty {
        /// The role that the service is for.
        role: Role,
    },
    /// An identity of another role.
    #[error("{found} cannot be on this allow-list: it is for identities assay://{role}/NAME")]
    Role {
        /// The identity found.
        found: Identity,
        /// The role that the service is for.
        role: Role,
    },
}

/// Who is at the other end of a connection. The server puts it into the extensions of each request.
#[derive(Debug, Clone)]
pub struct Peer {
    decision: Result<Identity, Denied>,
    address: SocketAddr,
}

impl Peer {
    pub(super) fn new(decision: Result<Identity, Denied>, address: SocketAddr) -> Self {
        Self { decision, address }
    }

    /// Network address, for log lines only.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The allowed identity.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`, saying why.
    #[allow(clippy::result_large_err, reason = "tonic's own error type")]
    pub fn identity(&self) -> Result<&Identity, Status> {
        self.decision
            .as_ref()
            .map_err(|denied| Status::permission_denied(denied.to_string()))
    }
}

/// Interceptor that turns away every call of a peer that is not allowed; give it to `XServer::with_interceptor`.
/// Handlers then find the [`Identity`] by [`caller`].
///
/// # Errors
/// `PERMISSION_DENIED`, saying why.
#[allow(clippy::result_large_err, reason = "tonic's own error type")]
pub fn authorise(request: Request<()>) -> Result<Request<()>, Status> {
    if let Err(status) = caller(&request) {
        metrics::counter!("assay_mtls_denied_calls_total").increment(1);
        let address = request
            .extensions()
            .get::<Peer>()
            .map(|peer| peer.address.to_string());
        tracing::warn!(address, reason = status.message(), "call refused");
        return Err(status);
    }
    Ok(request)
}

/// The allowed identity that makes this call.
///
/// # Errors
/// `PERMISSION_DENIED` where the peer is not allowed, or the request came by another way than mutual TLS.
#[allow(clippy::result_large_err, reason = "tonic's own error type")]
pub fn caller<T>(request: &Request<T>) -> Result<Identity, Status> {
    let peer = request
        .extensions()
        .get::<Peer>()
        .ok_or_else(|| Status::permission_denied("the call did not come over mutual TLS"))?;
    peer.identity().cloned()
}

/// Why a peer is turned away.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Denied {
    #[error("no client certificate")]
    NoCertificate,
    #[error("client certificate refused: {0}")]
    Identity(IdentityError),
    #[error("{found} has the wrong role: this service is for assay://{wanted}/NAME")]
    Role { found: Identity, wanted: Role },
    #[error("{0} is not on the allow-list of this service")]
    NotListed(Identity),
}
