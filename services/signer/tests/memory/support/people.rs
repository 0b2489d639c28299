//! What people do: operators administer, others propose and approve policy.

use std::time::Duration;

use assay_proto::Named;
use assay_proto::v1::RevocationReason;
use assay_types::Timestamp;
use std::collections::BTreeSet;

use assay_policy::{Bundle, PolicyFile, ProfileName, Proposal, sign_proposal};
use assay_proto::v1::administration_server::Administration;
use assay_proto::v1::{
    ActivatePolicyReply, ActivatePolicyRequest, AddInventoryRequest, ChallengeItem,
    CheckPolicyReply, CheckPolicyRequest, DecideRequestRequest, InventoryItem,
    IssueChallengesRequest, PolicyBasisRequest, PolicyProposal, ReleaseCertificateRequest,
    RevokeCertificateRequest, RevokeChallengeRequest, StopProfileRequest,
};
use assay_runtime::identity::Role;
use tonic::Status;

use super::token::Pair;
use super::{Stand, by, serial};

/// Approvals that a version needs beside its author.
pub(super) const APPROVALS: usize = 2;
const OPERATOR: &str = "first";

/// Who may propose and approve.
pub(super) struct People([(&'static str, Pair); 3]);

impl People {
    pub(super) fn new() -> Self {
        Self(["author", "second", "third"].map(|name| (name, Pair::self_signed(name))))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Pair)> {
        self.0.iter().map(|(name, pair)| (*name, pair))
    }

    fn sign(&self, person: &str, text: &[u8]) -> Vec<u8> {
        let (_, pair) = self.all().find(|(name, _)| *name == person).unwrap();
        sign_proposal(text, &pair.certificate, &pair.key).unwrap()
    }
}

/// A proposal before it is signed.
#[derive(Clone)]
pub(crate) struct Proposed {
    files: Vec<PolicyFile>,
    pub(crate) proposal: Proposal,
    pub(crate) approvers: Vec<&'static str>,
}

impl Stand {
    fn operator<T>(message: T) -> tonic::Request<T> {
        by(Role::Operator, OPERATOR, message)
    }

    /// The next version, of these profiles, as the signer asks for it.
    pub(crate) async fn propose(&self, profiles: &[(&str, String)]) -> Proposed {
        let files: Vec<PolicyFile> = profiles
            .iter()
            .map(|(name, text)| PolicyFile {
                name: format!("{name}.toml"),
                content: text.clone().into_bytes(),
            })
            .collect();
        let bundle = Bundle::load(&files).unwrap();
        let request = Self::operator(PolicyBasisRequest::default());
        let basis = self.signer.administration().policy_basis(request).await;
        let basis = basis.unwrap().into_inner();
        let hash = |text: &str| <[u8; 32]>::try_from(hex::decode(text).unwrap()).unwrap();
        let heads = basis.inventories.iter();
        let inventories = heads.map(|(name, head)| (ProfileName::parse(name).unwrap(), hash(head)));
        let now = Timestamp::from_seconds(self.clock.now());
        Proposed {
            proposal: Proposal {
                number: basis.number + 1,
                predecessor: Some(basis.predecessor.as_str())
                    .filter(|hash| !hash.is_empty())
                    .map(hash),
                files: bundle.file_hash,
                model: bundle.model_hash,
                issuer: hash(&basis.issuer),
                not_before: now,
                expires: now + Duration::from_secs(365 * 86_400),
                ticket: "TEST-1".to_owned(),
                resumes: BTreeSet::new(),
                settings: basis.settings.into_iter().collect(),
                inventories: inventories.collect(),
            },
            files,
            approvers: vec!["second", "third"],
        }
    }

    fn signed(&self, proposed: &Proposed) -> PolicyProposal {
        let text = proposed.proposal.to_toml().into_bytes();
        let approvers = proposed.approvers.iter();
        PolicyProposal {
            files: proposed
                .files
                .iter()
                .map(|file| assay_proto::v1::PolicyFile {
                    name: file.name.clone(),
                    content: file.content.clone(),
                })
                .collect(),
            author_signature: self.people.sign("author", &text),
            approvals: approvers
                .map(|name| self.people.sign(name, &text))
                .collect(),
            proposal: text,
        }
    }

    pub(crate) async fn activate(
        &self,
        proposed: &Proposed,
    ) -> Result<ActivatePolicyReply, Status> {
        let request = ActivatePolicyRequest {
            proposal: Some(self.signed(proposed)),
        };
        let activated = self.signer.administration();
        let activated = activated.activate_policy(Self::operator(request)).await;
        activated.map(tonic::Response::into_inner)
    }

    /// What activation would say.
    pub(crate) async fn check(&self, proposed: &Proposed) -> CheckPolicyReply {
        let request = CheckPolicyRequest {
            proposal: Some(self.signed(proposed)),
        };
        let checked = self.signer.administration();
        let checked = checked.check_policy(Self::operator(request)).await;
        checked.unwrap().into_inner()
    }

    /// Stops a profile.
    pub(crate) async fn stop(&self, profile: &str) {
        let request = StopProfileRequest {
            profile: profile.to_owned(),
            reason: "a device was stolen".to_owned(),
        };
        let stopped = self.signer.administration();
        stopped.stop_profile(Self::operator(request)).await.unwrap();
    }

    /// A one-time challenge of `devices` for this subject.
    pub(crate) async fn challenge(&self, subject: &str) -> String {
        let item = ChallengeItem {
            subject: subject.to_owned(),
            sans: Vec::new(),
        };
        self.issue("devices", vec![item]).await.1
    }

    /// Id and secret of a one-time challenge of `profile`, or of a static one where no subject is given.
    pub(crate) async fn issue(&self, profile: &str, items: Vec<ChallengeItem>) -> (String, String) {
        let request = IssueChallengesRequest {
            static_challenge: items.is_empty(),
            profile: profile.to_owned(),
            items,
            ttl: None,
        };
        let issued = self.signer.administration();
        let issued = issued.issue_challenges(Self::operator(request)).await;
        let issued = issued.unwrap().into_inner().challenges.remove(0);
        (issued.id, issued.challenge)
    }

    pub(crate) async fn revoke_challenge(&self, id: &str) {
        let request = RevokeChallengeRequest { id: id.to_owned() };
        let revoked = self.signer.administration();
        let revoked = revoked.revoke_challenge(Self::operator(request)).await;
        revoked.unwrap();
    }

    /// Adds a name to the inventory of `fleet`.
    pub(crate) async fn add_to_inventory(&self, name: &str) {
        let request = AddInventoryRequest {
            profile: "fleet".to_owned(),
            items: vec![InventoryItem {
                name: name.to_owned(),
                ..Default::default()
            }],
        };
        let added = self.signer.administration();
        added.add_inventory(Self::operator(request)).await.unwrap();
    }

    /// The id of the only request that waits.
    pub(crate) async fn waiting(&self) -> String {
        let rows = self
            .store
            .list_pending(assay_store::PendingQuery::default())
            .await
            .unwrap()
            .rows;
        assert_eq!(rows.len(), 1);
        rows.into_iter().next().unwrap().id
    }

    /// Approves or denies a waiting request.
    pub(crate) async fn decide(
        &self,
        operator: &str,
        id: &str,
        approve: bool,
    ) -> Result<(), Status> {
        let request = DecideRequestRequest {
            id: id.to_owned(),
            approve,
        };
        let decided = self.signer.administration();
        let decided = decided.decide_request(by(Role::Operator, operator, request));
        decided.await.map(drop)
    }

    /// Revokes a certificate and returns the number of the CRL that lists it.
    pub(crate) async fn revoke(&self, certificate: &[u8], reason: &str) -> Result<u64, Status> {
        let request = RevokeCertificateRequest {
            serial: serial(certificate).to_string(),
            reason: RevocationReason::named(reason).unwrap_or_default().into(),
        };
        let revoked = self.signer.administration();
        let revoked = revoked.revoke_certificate(Self::operator(request)).await?;
        Ok(revoked.into_inner().crl_number)
    }

    /// Ends a hold and returns the number of the CRL that shows it.
    pub(crate) async fn release(&self, certificate: &[u8]) -> Result<u64, Status> {
        let request = ReleaseCertificateRequest {
            serial: serial(certificate).to_string(),
        };
        let released = self.signer.administration();
        let released = released
            .release_certificate(Self::operator(request))
            .await?;
        Ok(released.into_inner().crl_number)
    }
}
