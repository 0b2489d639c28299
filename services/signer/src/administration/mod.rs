//! The Administration service: what an operator may call. Each group of calls is a file; failures reach the wire here.

mod audit;
mod certificates;
mod challenges;
mod error;
mod inventory;
mod legacy;
mod policy;
mod requests;
mod revocation;
mod status;

use std::sync::Arc;

use assay_proto::v1::administration_server::Administration;
use assay_proto::v1::{
    ActivatePolicyReply, ActivatePolicyRequest, AddInventoryReply, AddInventoryRequest,
    DecideRequestReply, DecideRequestRequest, GetCertificateReply, GetCertificateRequest,
    GetRequestReply, GetRequestRequest, IssueChallengesReply, IssueChallengesRequest,
    ListAuditReply, ListAuditRequest, ListCertificatesReply, ListCertificatesRequest,
    ListChallengesReply, ListChallengesRequest, ListInventoryReply, ListInventoryRequest,
    ListLegacyReply, ListLegacyRequest, ListPoliciesReply, ListPoliciesRequest, ListRequestsReply,
    ListRequestsRequest, ReleaseCertificateReply, ReleaseCertificateRequest, ResetInventoryReply,
    ResetInventoryRequest, RevokeCertificateReply, RevokeCertificateRequest, RevokeChallengeReply,
    RevokeChallengeRequest, StatusReply, StatusRequest,
};
use assay_runtime::mtls;
use assay_runtime::ops::Readiness;
use tonic::{Request, Response, Status};

pub(crate) use policy::load_active;

use crate::pipeline::Pipeline;
use error::AdminError;

/// Most rows of a listing; the CLI asks for pages.
const MAX_PAGE: u32 = 10_000;
/// Rows of a listing that names no limit.
const DEFAULT_PAGE: u32 = 100;
/// Most items of one call: challenges to issue, names to add.
const MAX_ITEMS: usize = 100_000;

/// The service over the one pipeline and its store.
pub(crate) struct AdministrationService {
    pipeline: Arc<Pipeline>,
    readiness: Readiness,
}

impl AdministrationService {
    pub(crate) fn new(pipeline: Arc<Pipeline>, readiness: Readiness) -> Self {
        Self {
            pipeline,
            readiness,
        }
    }
}

/// A caller's call: who asks, and what.
fn open<T>(request: Request<T>) -> Result<(String, T), Status> {
    let actor = mtls::caller(&request)?.to_string();
    Ok((actor, request.into_inner()))
}

fn reply<T>(result: Result<T, AdminError>) -> Result<Response<T>, Status> {
    result.map(Response::new).map_err(Status::from)
}

fn page(limit: u32) -> u32 {
    match limit {
        0 => DEFAULT_PAGE,
        limit => limit.min(MAX_PAGE),
    }
}

macro_rules! calls {
    ($($call:ident: $request:ty => $reply:ty, $handler:path;)+) => {
        #[tonic::async_trait]
        impl Administration for AdministrationService {
            $(
                async fn $call(&self, request: Request<$request>) -> Result<Response<$reply>, Status> {
                    let (actor, request) = open(request)?;
                    reply($handler(self, &actor, request).await)
                }
            )+
        }
    };
}

calls! {
    status: StatusRequest => StatusReply, status::show;
    issue_challenges: IssueChallengesRequest => IssueChallengesReply, challenges::issue;
    list_challenges: ListChallengesRequest => ListChallengesReply, challenges::list;
    revoke_challenge: RevokeChallengeRequest => RevokeChallengeReply, challenges::revoke;
    add_inventory: AddInventoryRequest => AddInventoryReply, inventory::add;
    reset_inventory: ResetInventoryRequest => ResetInventoryReply, inventory::reset;
    list_inventory: ListInventoryRequest => ListInventoryReply, inventory::list;
    list_legacy: ListLegacyRequest => ListLegacyReply, legacy::list;
    list_certificates: ListCertificatesRequest => ListCertificatesReply, certificates::list;
    get_certificate: GetCertificateRequest => GetCertificateReply, certificates::show;
    revoke_certificate: RevokeCertificateRequest => RevokeCertificateReply, revocation::revoke;
    release_certificate: ReleaseCertificateRequest => ReleaseCertificateReply, revocation::release;
    list_requests: ListRequestsRequest => ListRequestsReply, requests::list;
    get_request: GetRequestRequest => GetRequestReply, requests::show;
    decide_request: DecideRequestRequest => DecideRequestReply, requests::decide;
    activate_policy: ActivatePolicyRequest => ActivatePolicyReply, policy::activate;
    list_policies: ListPoliciesRequest => ListPoliciesReply, policy::list;
    list_audit: ListAuditRequest => ListAuditReply, audit::list;
}
