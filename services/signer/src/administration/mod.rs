//! The Administration service: what people may call, each by his role. Each group of calls is a file; failures reach the
//! wire here.

mod audit;
mod certificates;
mod challenges;
mod clock;
mod error;
mod expiring;
mod export;
mod inventory;
mod issuers;
mod legacy;
mod log;
mod page;
mod policy;
mod requests;
mod revocation;
mod roles;
mod rollover;
mod status;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use assay_issuance::{
    ChallengeKey, Generations, Issuance, Log, NoCheckpoint, Policies, Random, Recorder, Terms,
    Waiting,
};
use assay_proto::v1::administration_server::Administration;
use assay_proto::v1::{
    AcceptClockReply, AcceptClockRequest, ActivatePolicyReply, ActivatePolicyRequest,
    AddCosignatureReply, AddCosignatureRequest, AddInventoryReply, AddInventoryRequest,
    CheckPolicyReply, CheckPolicyRequest, CountExpiringReply, CountExpiringRequest,
    DecideRequestReply, DecideRequestRequest, ExportRequest, GetCertificateReply,
    GetCertificateRequest, GetCheckpointReply, GetCheckpointRequest, GetCrlReply, GetCrlRequest,
    GetLineageReply, GetLineageRequest, GetPolicyReply, GetPolicyRequest, GetReceiptReply,
    GetReceiptRequest, GetRequestReply, GetRequestRequest, IssueChallengesReply,
    IssueChallengesRequest, ListAuditReply, ListAuditRequest, ListCertificatesReply,
    ListCertificatesRequest, ListChallengesReply, ListChallengesRequest, ListExpiringReply,
    ListExpiringRequest, ListInventoryReply, ListInventoryRequest, ListLegacyReply,
    ListLegacyRequest, ListPoliciesReply, ListPoliciesRequest, ListRequestsReply,
    ListRequestsRequest, PlanRolloverReply, PlanRolloverRequest, PolicyBasisReply,
    PolicyBasisRequest, ProveConsistencyReply, ProveConsistencyRequest, ReleaseCertificateReply,
    ReleaseCertificateRequest, RemoveInventoryReply, RemoveInventoryRequest, ResetInventoryReply,
    ResetInventoryRequest, RevokeCertificateReply, RevokeCertificateRequest, RevokeChallengeReply,
    RevokeChallengeRequest, StatusReply, StatusRequest, StopProfileReply, StopProfileRequest,
};
use assay_runtime::mtls;
use assay_runtime::ops::Readiness;
use assay_runtime::telemetry;
use assay_store::Store;
use tonic::{Request, Response, Status};

use error::AdminError;

/// Most items of one call: challenges to issue, names to add.
const MAX_ITEMS: usize = 100_000;

/// What people may call, over what they administer. Clones are of one service.
#[derive(Clone)]
pub struct AdministrationService {
    store: Store,
    policies: Arc<Policies>,
    terms: Arc<Terms>,
    generations: Arc<Generations>,
    recorder: Arc<Recorder>,
    challenge_key: Arc<ChallengeKey>,
    random: Arc<dyn Random>,
    log: Arc<Log>,
    waiting: Waiting,
    readiness: Readiness,
    exports: export::Turn,
}

impl AdministrationService {
    pub(crate) fn new(issuance: &Issuance) -> Self {
        let parts = issuance.parts();
        Self {
            store: parts.store.clone(),
            policies: Arc::clone(&parts.policies),
            terms: Arc::clone(&parts.terms),
            generations: Arc::clone(&parts.generations),
            recorder: Arc::clone(&parts.recorder),
            challenge_key: Arc::clone(&parts.challenge_key),
            random: Arc::clone(&parts.random),
            log: Arc::clone(&parts.log),
            waiting: Waiting::new(parts),
            readiness: issuance.readiness().clone(),
            exports: export::Turn::default(),
        }
    }
}

/// A caller's call, if his role may make it: who asks, and what.
fn open<T>(
    request: Request<T>,
    call: &str,
    allowed: roles::Allowed,
) -> Result<(String, T), Status> {
    let caller = mtls::caller(&request)?;
    roles::hold(&caller, call, allowed)?;
    Ok((caller.to_string(), request.into_inner()))
}

fn reply<T>(result: Result<T, AdminError>) -> Result<Response<T>, Status> {
    result.map(Response::new).map_err(Status::from)
}

/// A filter by profile: one that policy knows, or knew. Else a mistyped name would read as good news.
async fn known_profile(
    service: &AdministrationService,
    name: String,
) -> Result<Option<String>, AdminError> {
    if name.is_empty() {
        return Ok(None);
    }
    let known = service.store.profiles_ever().await?;
    if known.contains(&name) {
        return Ok(Some(name));
    }
    Err(AdminError::UnknownProfile { name, known })
}

/// Calls whose effect somebody could undo who puts the state file back as it was before: they are answered once a signed head
/// covers their record, which the HSM service then misses at the next start. So is `revoke_certificate`, by itself.
const COVERED: [&str; 7] = [
    "revoke_challenge",
    "remove_inventory",
    "release_certificate",
    "decide_request",
    "activate_policy",
    "stop_profile",
    "accept_clock",
];
/// Calls that give something for a time, or decide by the time: they are refused while the clock is not believed. Those that take
/// something away are not.
const NEEDS_THE_TIME: [&str; 6] = [
    "issue_challenges",
    "add_inventory",
    "reset_inventory",
    "release_certificate",
    "decide_request",
    "activate_policy",
];
/// How long such an answer waits for the head.
const COVER_DEADLINE: Duration = Duration::from_secs(10);

impl AdministrationService {
    /// Has a head signed over all records. What failed meanwhile has no records, so that it is not asked for that. An `imported`
    /// certificate is in the journal, which a state that was put back lacks again: its head may wait for further ones.
    async fn cover(&self, call: &str, imported: bool) -> Result<(), AdminError> {
        let policy_hash = self.policies.active().model_hash();
        let signed = tokio::time::timeout(COVER_DEADLINE, self.log.checkpoint(policy_hash)).await;
        let why = match signed {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(NoCheckpoint::Unlogged(_))) if imported => return Ok(()),
            Ok(Err(error)) => telemetry::chain(&error),
            Err(_) => "it takes too long".to_owned(),
        };
        Err(AdminError::Uncovered {
            call: call.to_owned(),
            why,
        })
    }
}

macro_rules! calls {
    ($($call:ident: $request:ty => $reply:ty, $handler:path, $allowed:expr;)+) => {
        #[tonic::async_trait]
        impl Administration for AdministrationService {
            $(
                async fn $call(&self, request: Request<$request>) -> Result<Response<$reply>, Status> {
                    let (actor, request) = open(request, stringify!($call), $allowed)?;
                    if NEEDS_THE_TIME.contains(&stringify!($call)) {
                        self.recorder.check_clock().map_err(AdminError::from)?;
                    }
                    let service = self.clone();
                    // In a task of its own, so that a caller who breaks off leaves nothing half done.
                    let done = tokio::spawn(async move {
                        let done = $handler(&service, &actor, request).await;
                        if COVERED.contains(&stringify!($call)) {
                            // Also where an earlier call did it and was not answered.
                            let covered = service.cover(stringify!($call), false).await;
                            if done.is_ok() {
                                covered?;
                            }
                        }
                        done
                    });
                    reply(done.await.unwrap_or_else(|error| {
                        Err(AdminError::Damaged(error.into()))
                    }))
                }
            )+

            type ExportStream = export::Items;

            async fn export(
                &self,
                request: Request<ExportRequest>,
            ) -> Result<Response<Self::ExportStream>, Status> {
                let (actor, request) = open(request, "export", roles::EVIDENCE)?;
                reply(export::stream(self, &actor, request).await)
            }
        }
    };
}

calls! {
    status: StatusRequest => StatusReply, status::show, roles::READ;
    issue_challenges: IssueChallengesRequest => IssueChallengesReply, challenges::issue, roles::OPERATE;
    list_challenges: ListChallengesRequest => ListChallengesReply, challenges::list, roles::READ;
    revoke_challenge: RevokeChallengeRequest => RevokeChallengeReply, challenges::revoke, roles::OPERATE;
    add_inventory: AddInventoryRequest => AddInventoryReply, inventory::add, roles::OPERATE;
    reset_inventory: ResetInventoryRequest => ResetInventoryReply, inventory::reset, roles::OPERATE;
    remove_inventory: RemoveInventoryRequest => RemoveInventoryReply, inventory::remove, roles::OPERATE;
    list_inventory: ListInventoryRequest => ListInventoryReply, inventory::list, roles::READ;
    list_legacy: ListLegacyRequest => ListLegacyReply, legacy::list, roles::READ;
    plan_rollover: PlanRolloverRequest => PlanRolloverReply, rollover::plan, roles::READ;
    list_certificates: ListCertificatesRequest => ListCertificatesReply, certificates::list, roles::READ;
    get_certificate: GetCertificateRequest => GetCertificateReply, certificates::show, roles::READ;
    get_lineage: GetLineageRequest => GetLineageReply, certificates::lineage, roles::READ;
    list_expiring: ListExpiringRequest => ListExpiringReply, expiring::list, roles::READ;
    count_expiring: CountExpiringRequest => CountExpiringReply, expiring::count, roles::READ;
    revoke_certificate: RevokeCertificateRequest => RevokeCertificateReply, revocation::revoke, roles::OPERATE;
    release_certificate: ReleaseCertificateRequest => ReleaseCertificateReply, revocation::release, roles::OPERATE;
    get_crl: GetCrlRequest => GetCrlReply, revocation::crl, roles::READ;
    list_requests: ListRequestsRequest => ListRequestsReply, requests::list, roles::READ;
    get_request: GetRequestRequest => GetRequestReply, requests::show, roles::READ;
    decide_request: DecideRequestRequest => DecideRequestReply, requests::decide, roles::OPERATE;
    activate_policy: ActivatePolicyRequest => ActivatePolicyReply, policy::activate, roles::POLICY;
    list_policies: ListPoliciesRequest => ListPoliciesReply, policy::list, roles::READ;
    list_audit: ListAuditRequest => ListAuditReply, audit::list, roles::READ;
    policy_basis: PolicyBasisRequest => PolicyBasisReply, policy::basis, roles::READ;
    check_policy: CheckPolicyRequest => CheckPolicyReply, policy::check, roles::READ;
    get_policy: GetPolicyRequest => GetPolicyReply, policy::show, roles::READ;
    stop_profile: StopProfileRequest => StopProfileReply, policy::stop, roles::OPERATE;
    accept_clock: AcceptClockRequest => AcceptClockReply, clock::accept, roles::OPERATE;
    get_checkpoint: GetCheckpointRequest => GetCheckpointReply, log::checkpoint, roles::READ;
    prove_consistency: ProveConsistencyRequest => ProveConsistencyReply, log::consistency, roles::EVIDENCE;
    add_cosignature: AddCosignatureRequest => AddCosignatureReply, log::cosign, roles::EVIDENCE;
    get_receipt: GetReceiptRequest => GetReceiptReply, log::receipt, roles::READ;
}
