//! Who may call a service, decided for each call.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use assay_connections::{AtWork, Handle};
use tonic::{Request, Status};

use crate::identity::{Identity, IdentityError, Role};

/// The identities that may call a service, of the roles that it is for. Never empty.
#[derive(Debug, Clone)]
pub struct AllowList {
    roles: Roles,
    identities: Arc<BTreeSet<Identity>>,
}

impl AllowList {
    /// A list of identities of the roles that the service is for.
    ///
    /// # Errors
    /// An empty list, or an identity of another role: either is a mistake that must not go unseen.
    pub fn new(
        identities: impl IntoIterator<Item = Identity>,
        roles: &[Role],
    ) -> Result<Self, AllowListError> {
        let roles = Roles(roles.to_vec());
        let identities: BTreeSet<Identity> = identities.into_iter().collect();
        if identities.is_empty() {
            return Err(AllowListError::Empty { roles });
        }
        let foreign = |identity: &&Identity| !roles.0.contains(&identity.role());
        match identities.iter().find(foreign) {
            Some(found) => Err(AllowListError::Role {
                found: found.clone(),
                roles,
            }),
            None => Ok(Self {
                roles,
                identities: Arc::new(identities),
            }),
        }
    }

    /// The identities that may call.
    pub(super) fn identities(&self) -> impl Iterator<Item = &Identity> {
        self.identities.iter()
    }

    /// The decision on a peer, from the certificate that it proved to hold.
    pub(super) fn decide(&self, certificate: Option<&[u8]>) -> Result<Identity, Denied> {
        let certificate = certificate.ok_or(Denied::NoCertificate)?;
        let identity = Identity::from_certificate(certificate).map_err(Denied::Identity)?;
        if !self.roles.0.contains(&identity.role()) {
            return Err(Denied::Role {
                found: identity,
                wanted: self.roles.clone(),
            });
        }
        if self.identities.contains(&identity) {
            Ok(identity)
        } else {
            Err(Denied::NotListed(identity))
        }
    }
}

/// The roles that a service is for, written as the identities they have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles(Vec<Role>);

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let forms: Vec<String> = self
            .0
            .iter()
            .map(|role| format!("assay://{role}/NAME"))
            .collect();
        f.write_str(&forms.join(" or "))
    }
}

/// Why an allow-list is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AllowListError {
    /// Nobody is allowed.
    #[error("the allow-list is empty: name at least one identity, such as {roles}")]
    Empty {
        /// What the service is for.
        roles: Roles,
    },
    /// An identity of another role.
    #[error("{found} cannot be on this allow-list: it is for identities {roles}")]
    Role {
        /// The identity found.
        found: Identity,
        /// What the service is for.
        roles: Roles,
    },
}

/// Who is at the other end of a connection. The server puts it into the extensions of each request.
#[derive(Debug, Clone)]
pub struct Peer {
    decision: Result<Identity, Denied>,
    address: SocketAddr,
    connection: Option<Connection>,
}

/// The key of a connection's place: its identity, or none where it may not call.
pub(super) type Caller = Option<Identity>;
pub(super) type Connection = Handle<Caller>;
pub(super) type Work = AtWork<Caller>;

impl Peer {
    pub(super) fn new(
        decision: Result<Identity, Denied>,
        address: SocketAddr,
        connection: Option<Connection>,
    ) -> Self {
        Self {
            decision,
            address,
            connection,
        }
    }

    /// The connection that the call came by.
    pub(super) fn connection(&self) -> Option<Connection> {
        self.connection.clone()
    }

    /// Says that a call is at work on the connection.
    pub(super) fn at_work(&self) -> Option<Work> {
        self.connection.as_ref().map(Handle::at_work)
    }

    /// A peer that another transport than [`Server`](super::Server) has authenticated, such as a test that calls a service
    /// without a connection.
    pub fn authenticated(identity: Identity, address: SocketAddr) -> Self {
        Self::new(Ok(identity), address, None)
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
    #[error("{found} has the wrong role: this service is for {wanted}")]
    Role { found: Identity, wanted: Roles },
    #[error("{0} is not on the allow-list of this service")]
    NotListed(Identity),
}
