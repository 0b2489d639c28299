//! Who is answered, and by what a reply that carries something is closed: the requester's own key, or, where that key
//! cannot decrypt, the challenge that came with the request (RFC 8894 section 3.1).
//!
//! The secret is borrowed from the opened CSR, so that it is gone when the request is answered; nothing keeps it. A
//! device that lost its reply brings the challenge again, inside of the same CSR.

use assay_policy::{ChallengeKind as PolicyKind, Profile};
use assay_scep::{Request, Secret, SignerCertificate};
use assay_store::{CertificateRow, ChallengeKind, ChallengeRow, ChallengeState};

use super::opened::Opened;
use super::rule::SignerRule;
use super::{End, RequestContext, source};

/// The request, with the secret that a reply to it is enveloped under.
#[derive(Clone, Copy)]
pub(super) struct ReplyRecipient<'a> {
    pub(super) request: &'a Request,
    /// `None` where the requester's key decrypts.
    pub(super) password: Option<&'a Secret>,
}

impl<'a> ReplyRecipient<'a> {
    /// Whoever asks with a key that decrypts, or is told nothing that has to be enveloped.
    pub(super) fn by_key(request: &'a Request) -> Self {
        Self {
            request,
            password: None,
        }
    }

    /// # Errors
    /// The requester's key cannot decrypt, and no challenge stands in for it.
    pub(super) fn of(
        request: &'a Request,
        opened: &'a Opened,
        context: &mut RequestContext,
    ) -> Result<Self, End> {
        if opened.signer.curve().is_none() {
            return Ok(Self::by_key(request));
        }
        let password = opened.csr.challenge_password();
        let password = password.filter(|password| !password.expose().is_empty());
        let password =
            password.ok_or_else(|| SignerRule::EcChallenge.refusal("no challenge with the CSR"))?;
        context.under_password = true;
        Ok(Self {
            request,
            password: Some(password),
        })
    }
}

/// Whether an elliptic-curve key can be answered under this profile at all: said on public data, before anything is
/// decrypted.
pub(super) fn check_profile(profile: &Profile, signer: &SignerCertificate) -> Result<(), End> {
    if signer.curve().is_none() {
        return Ok(());
    }
    if profile.approval().is_some() {
        return Err(SignerRule::EcPending.refusal("one whose requests wait for approval"));
    }
    if profile.challenge_kind() == PolicyKind::Static {
        return Err(SignerRule::EcOneTime.refusal("a profile with a static challenge"));
    }
    Ok(())
}

/// CertPoll, GetCert and GetCRL bring no challenge.
pub(super) fn check_query(signer: &SignerCertificate) -> Result<(), End> {
    match signer.curve() {
        None => Ok(()),
        Some(_) => Err(SignerRule::EcChallenge.refusal("a query, which brings none")),
    }
}

/// A secret that is shared protects nothing.
pub(super) fn check_kind(kind: ChallengeKind, signer: &SignerCertificate) -> Result<(), End> {
    match (signer.curve(), kind) {
        (None, _) | (Some(_), ChallengeKind::OneTime) => Ok(()),
        (Some(_), ChallengeKind::Static) => {
            Err(SignerRule::EcOneTime.refusal("a static challenge"))
        }
    }
}

/// The id of the challenge that a renewal by an elliptic-curve key uses up: fresh, and for the names that are renewed.
pub(super) fn fresh(
    challenge: &ChallengeRow,
    old: &CertificateRow,
    signer: &SignerCertificate,
) -> Result<String, End> {
    check_kind(challenge.kind, signer)?;
    check_state(challenge)?;
    let wanted = source::names(&old.subject, &old.sans)?;
    let same_names = source::names(&challenge.subject, &challenge.sans)?.same(&wanted);
    if challenge.profile != old.profile || !same_names {
        return Err(SignerRule::EcOneTime.refusal("a challenge for another profile or other names"));
    }
    Ok(challenge.id.clone())
}

fn check_state(challenge: &ChallengeRow) -> Result<(), End> {
    match challenge.state {
        ChallengeState::Open => Ok(()),
        ChallengeState::Reserved => Err(SignerRule::Reserved.refusal("the challenge")),
        ChallengeState::Spent => Err(SignerRule::ChallengeSpent.refusal(&challenge.id)),
        ChallengeState::Revoked => Err(SignerRule::ChallengeRevoked.refusal(&challenge.id)),
    }
}
