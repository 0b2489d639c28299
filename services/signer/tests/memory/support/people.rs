//! What people do: operators administer, others propose and approve policy.

use assay_proto::Named;
use assay_proto::v1::RevocationReason;

use assay_proto::v1::administration_server::Administration;
use assay_proto::v1::{
    AcceptClockRequest, ActivatePolicyReply, ActivatePolicyRequest, AddInventoryRequest,
    CertificateInfo, ChallengeItem, CheckPolicyReply, CheckPolicyRequest, DecideRequestRequest,
    GetCertificateRequest, GetLineageRequest, InventoryItem, IssueChallengesRequest,
    ListLegacyRequest, PolicyBasisRequest, ReleaseCertificateRequest, RevokeCertificateReply,
    RevokeCertificateRequest, RevokeChallengeRequest, StatusReply, StatusRequest,
    StopProfileRequest,
};
use assay_runtime::identity::Role;
use assay_software_token::Proposed;
use assay_types::Timestamp;
use tonic::Status;

use super::{Stand, by, serial};

const OPERATOR: &str = "first";

impl Stand {
    fn operator<T>(message: T) -> tonic::Request<T> {
        by(Role::Operator, OPERATOR, message)
    }

    /// The next version, of these profiles, as the signer asks for it.
    pub(crate) async fn propose(&self, profiles: &[(&str, String)]) -> Proposed {
        let request = Self::operator(PolicyBasisRequest::default());
        let basis = self.signer.administration().policy_basis(request).await;
        let basis = basis.unwrap().into_inner();
        Proposed::new(profiles, basis, self.clock.now()).unwrap()
    }

    pub(crate) async fn activate(
        &self,
        proposed: &Proposed,
    ) -> Result<ActivatePolicyReply, Status> {
        let request = ActivatePolicyRequest {
            proposal: Some(self.people.sign(proposed).unwrap()),
        };
        let activated = self.signer.administration();
        let activated = activated.activate_policy(Self::operator(request)).await;
        activated.map(tonic::Response::into_inner)
    }

    /// What activation would say.
    pub(crate) async fn check(&self, proposed: &Proposed) -> CheckPolicyReply {
        let request = CheckPolicyRequest {
            proposal: Some(self.people.sign(proposed).unwrap()),
        };
        let checked = self.signer.administration();
        let checked = checked.check_policy(Self::operator(request)).await;
        checked.unwrap().into_inner()
    }

    /// Stops a profile, and says whether that changed anything.
    pub(crate) async fn stop(&self, profile: &str) -> bool {
        self.try_to_stop(profile).await.unwrap()
    }

    pub(crate) async fn try_to_stop(&self, profile: &str) -> Result<bool, Status> {
        let request = StopProfileRequest {
            profile: profile.to_owned(),
            reason: "a device was stolen".to_owned(),
        };
        let stopped = self.signer.administration();
        let stopped = stopped.stop_profile(Self::operator(request)).await;
        stopped.map(|reply| reply.into_inner().changed)
    }

    /// The state of the signer.
    pub(crate) async fn status(&self) -> StatusReply {
        self.try_status().await.unwrap()
    }

    pub(crate) async fn try_status(&self) -> Result<StatusReply, Status> {
        let request = Self::operator(StatusRequest::default());
        let status = self.signer.administration().status(request).await;
        status.map(tonic::Response::into_inner)
    }

    /// Accepts the jump between these times.
    pub(crate) async fn accept_clock(&self, from: Timestamp, to: Timestamp) -> Result<(), Status> {
        let request = AcceptClockRequest {
            from: Some(from.into()),
            to: Some(to.into()),
        };
        let accepted = self.signer.administration();
        let accepted = accepted.accept_clock(Self::operator(request)).await;
        accepted.map(drop)
    }

    /// The devices that needed an exception of this profile, and whether it still allows it.
    pub(crate) async fn legacy(&self, profile: &str) -> Vec<(String, bool)> {
        let request = ListLegacyRequest {
            profile: profile.to_owned(),
            ..Default::default()
        };
        let listed = self.signer.administration();
        let listed = listed.list_legacy(Self::operator(request)).await;
        let uses = listed.unwrap().into_inner().uses.into_iter();
        uses.map(|legacy| (legacy.device, legacy.allowed)).collect()
    }

    /// A one-time challenge of `devices` for this subject.
    pub(crate) async fn challenge(&self, subject: &str) -> String {
        self.challenge_of("devices", subject).await
    }

    /// A one-time challenge of `profile` for this subject.
    pub(crate) async fn challenge_of(&self, profile: &str, subject: &str) -> String {
        let item = ChallengeItem {
            subject: subject.to_owned(),
            sans: Vec::new(),
        };
        self.issue(profile, vec![item]).await.1
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

    /// Adds a name to the inventory of `profile`.
    pub(crate) async fn add_to_inventory(&self, profile: &str, name: &str) {
        let request = AddInventoryRequest {
            profile: profile.to_owned(),
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
        let serial = serial(certificate).to_string();
        let revoked = self.revoke_with(&serial, reason, &[]).await?;
        Ok(revoked.crl_number)
    }

    /// Revokes the certificate with this serial number, which comes along unless it is empty.
    pub(crate) async fn revoke_with(
        &self,
        serial: &str,
        reason: &str,
        certificate: &[u8],
    ) -> Result<RevokeCertificateReply, Status> {
        let request = RevokeCertificateRequest {
            serial: serial.to_owned(),
            reason: RevocationReason::named(reason).unwrap_or_default().into(),
            certificate: certificate.to_vec(),
            with_successors: false,
        };
        let revoked = self.signer.administration();
        let revoked = revoked.revoke_certificate(Self::operator(request)).await?;
        Ok(revoked.into_inner())
    }

    /// Revokes or holds a certificate and all that descends from it.
    pub(crate) async fn revoke_line(
        &self,
        certificate: &[u8],
        reason: &str,
    ) -> Result<RevokeCertificateReply, Status> {
        let request = RevokeCertificateRequest {
            serial: serial(certificate).to_string(),
            reason: RevocationReason::named(reason).unwrap_or_default().into(),
            certificate: Vec::new(),
            with_successors: true,
        };
        let revoked = self.signer.administration();
        let revoked = revoked.revoke_certificate(Self::operator(request)).await?;
        Ok(revoked.into_inner())
    }

    /// Serials of what a certificate descends from, and of what descends from it.
    pub(crate) async fn lineage(&self, certificate: &[u8]) -> (Vec<String>, Vec<String>) {
        let request = GetLineageRequest {
            page: None,
            serial: serial(certificate).to_string(),
        };
        let lineage = self.signer.administration();
        let lineage = lineage.get_lineage(Self::operator(request)).await;
        let lineage = lineage.unwrap().into_inner();
        let serials = |infos: Vec<CertificateInfo>| infos.into_iter().map(|info| info.serial);
        (
            serials(lineage.ancestors).collect(),
            serials(lineage.descendants).collect(),
        )
    }

    /// A certificate as the signer shows it.
    pub(crate) async fn shown(&self, certificate: &[u8]) -> CertificateInfo {
        let request = GetCertificateRequest {
            serial: serial(certificate).to_string(),
        };
        let shown = self.signer.administration();
        let shown = shown.get_certificate(Self::operator(request)).await;
        shown.unwrap().into_inner().info.unwrap()
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
