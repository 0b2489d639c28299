//! Who gets through mutual TLS between the tiers, and what the others are told.

#![allow(clippy::unwrap_used, reason = "helpers of tests may, like tests")]

mod pki;

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use assay_proto::v1;
use assay_proto::v1::enrolment_client::EnrolmentClient;
use assay_proto::v1::enrolment_server::{Enrolment, EnrolmentServer};
use assay_runtime::drain::Shutdown;
use assay_runtime::identity::{Identity, Role};
use assay_runtime::mtls::{
    self, AllowList, AllowListError, CallLimits, MtlsError, Server, TlsFiles, check_anchors_apart,
};
use assay_runtime::telemetry::chain;
use pki::Anchor;
use tempfile::TempDir;
use tonic::{Code, Request, Response, Status};

const SIGNER: &str = "assay://signer/main";
const DMZ1: &str = "assay://frontend/dmz1";

const LIMITS: CallLimits = CallLimits {
    calls: 16,
    calls_of: &[],
    received: 1 << 20,
    unsent: 1 << 20,
    request_time: Duration::from_secs(60),
    answer_time: Duration::from_secs(60),
    reply_time: Duration::from_secs(60),
};

/// Answers with the identity of its caller.
struct WhoAmI;

#[tonic::async_trait]
impl Enrolment for WhoAmI {
    async fn pki_operation(
        &self,
        _: Request<v1::PkiOperationRequest>,
    ) -> Result<Response<v1::PkiOperationReply>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn public_info(
        &self,
        request: Request<v1::PublicInfoRequest>,
    ) -> Result<Response<v1::PublicInfoReply>, Status> {
        let revision = mtls::caller(&request)?.to_string();
        Ok(Response::new(v1::PublicInfoReply {
            revision,
            profiles: Vec::new(),
            files: Vec::new(),
            ocsp_issuers: Vec::new(),
        }))
    }

    type FileContentStream = tokio_stream::Empty<Result<v1::FileContentPart, Status>>;

    async fn file_content(
        &self,
        _: Request<v1::FileContentRequest>,
    ) -> Result<Response<Self::FileContentStream>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn ocsp_response(
        &self,
        _: Request<v1::OcspResponseRequest>,
    ) -> Result<Response<v1::OcspResponseReply>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }
}

struct Tiers {
    folder: TempDir,
    frontends: Anchor,
    signers: Anchor,
    address: String,
    shutdown: Shutdown,
}

impl Tiers {
    /// A signer `assay://signer/main` that allows `assay://frontend/dmz1`.
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (frontends, signers) = (Anchor::new("frontends"), Anchor::new("signers"));
        let files = signers.files(folder.path(), "signer", &[SIGNER], &frontends);
        let allow = AllowList::new([identity(DMZ1)], &[Role::Frontend]).unwrap();
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), &files, allow, LIMITS).unwrap();
        let address = server.local_addr().to_string();
        let shutdown = Shutdown::new();
        let service = EnrolmentServer::new(WhoAmI);
        server.serve("test", service, &shutdown).unwrap();
        Self {
            folder,
            frontends,
            signers,
            address,
            shutdown,
        }
    }

    fn frontend(&self, uris: &[&str]) -> TlsFiles {
        self.frontends
            .files(self.folder.path(), "frontend", uris, &self.signers)
    }

    async fn call(&self, files: &TlsFiles, expected: &str) -> Result<String, Status> {
        let channel = mtls::connect(&self.address, files, identity(expected))
            .await
            .unwrap();
        let reply = EnrolmentClient::new(channel)
            .public_info(v1::PublicInfoRequest::default())
            .await?;
        Ok(reply.into_inner().revision)
    }
}

fn identity(uri: &str) -> Identity {
    Identity::parse(uri).unwrap()
}

#[tokio::test]
async fn an_allowed_frontend_is_known_by_its_identity() {
    let tiers = Tiers::start().await;
    assert_eq!(
        tiers.call(&tiers.frontend(&[DMZ1]), SIGNER).await.unwrap(),
        DMZ1
    );
}

#[tokio::test]
async fn a_frontend_not_on_the_list_is_told_so() {
    let tiers = Tiers::start().await;
    let refused = tiers
        .call(&tiers.frontend(&["assay://frontend/dmz2"]), SIGNER)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(
        refused.message(),
        "assay://frontend/dmz2 is not on the allow-list of this service"
    );
}

#[tokio::test]
async fn another_role_of_the_same_anchor_is_refused() {
    let tiers = Tiers::start().await;
    let refused = tiers
        .call(&tiers.frontend(&["assay://operator/dmz1"]), SIGNER)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(
        refused.message().contains("wrong role"),
        "{}",
        refused.message()
    );
}

/// Our own client would not even load such a certificate, so these calls come by tonic over a bare rustls client.
#[tokio::test]
async fn a_certificate_without_exactly_one_uri_san_is_refused() {
    let tiers = Tiers::start().await;
    for (uris, reason) in [(&[][..], "no URI"), (&[DMZ1, DMZ1][..], "several URI")] {
        let refused = bare_call(&tiers, Some(uris)).await;
        assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
        assert!(refused.message().contains(reason), "{}", refused.message());
    }
}

#[tokio::test]
async fn no_client_certificate_ends_the_connection() {
    let tiers = Tiers::start().await;
    let refused = bare_call(&tiers, None).await;
    assert!(
        matches!(refused.code(), Code::Unavailable | Code::Unknown),
        "{refused:?}"
    );
    assert!(
        chain(&refused).contains("CertificateRequired"),
        "{}",
        chain(&refused)
    );
}

#[tokio::test]
async fn a_certificate_of_a_foreign_anchor_ends_the_connection() {
    let tiers = Tiers::start().await;
    let foreign =
        Anchor::new("frontends").files(tiers.folder.path(), "foreign", &[DMZ1], &tiers.signers);
    let refused = tiers.call(&foreign, SIGNER).await.unwrap_err();
    assert!(
        matches!(refused.code(), Code::Unavailable | Code::Unknown),
        "{refused:?}"
    );
}

#[tokio::test]
async fn the_frontends_anchor_does_not_vouch_for_a_signer() {
    let tiers = Tiers::start().await;
    let files = tiers
        .frontends
        .files(tiers.folder.path(), "confused", &[DMZ1], &tiers.frontends);
    let refused = tiers.call(&files, SIGNER).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(
        chain(&refused).contains("invalid peer certificate"),
        "{}",
        chain(&refused)
    );
}

#[tokio::test]
async fn a_signer_of_another_name_is_not_talked_to() {
    let tiers = Tiers::start().await;
    let refused = tiers
        .call(&tiers.frontend(&[DMZ1]), "assay://signer/other")
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(
        refused.message(),
        "the server is assay://signer/main, but assay://signer/other is expected"
    );
}

#[tokio::test]
async fn a_channel_connects_once_its_signer_is_there_again() {
    let tiers = Tiers::start().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let files = tiers.frontend(&[DMZ1]);
    let channel = mtls::connect(&address.to_string(), &files, identity(SIGNER))
        .await
        .unwrap();
    let mut client = EnrolmentClient::new(channel);
    let away = client
        .public_info(v1::PublicInfoRequest::default())
        .await
        .unwrap_err();
    assert_eq!(away.code(), Code::Unavailable);

    let signer = tiers
        .signers
        .files(tiers.folder.path(), "signer2", &[SIGNER], &tiers.frontends);
    let allow = AllowList::new([identity(DMZ1)], &[Role::Frontend]).unwrap();
    let service = EnrolmentServer::new(WhoAmI);
    Server::bind(address, &signer, allow, LIMITS)
        .unwrap()
        .serve("test", service, &tiers.shutdown)
        .unwrap();
    let reply = client
        .public_info(v1::PublicInfoRequest::default())
        .await
        .unwrap();
    assert_eq!(reply.into_inner().revision, DMZ1);
}

#[test]
fn an_empty_list_or_one_of_another_role_is_refused() {
    let empty = AllowList::new([], &[Role::Frontend]).unwrap_err();
    assert!(
        empty.to_string().contains("assay://frontend/NAME"),
        "{empty}"
    );
    let wrong = AllowList::new([identity("assay://operator/eve")], &[Role::Frontend]).unwrap_err();
    assert!(matches!(wrong, AllowListError::Role { .. }), "{wrong}");
}

#[tokio::test]
async fn a_key_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let anchor = Anchor::new("one");
    let files = anchor.files(folder.path(), "frontend", &[DMZ1], &anchor);
    for (mode, refused) in [
        (0o640, true),
        (0o604, true),
        (0o700, true),
        (0o600, false),
        (0o400, false),
    ] {
        std::fs::set_permissions(&files.private_key, std::fs::Permissions::from_mode(mode))
            .unwrap();
        let connected = mtls::connect("127.0.0.1:1", &files, identity(SIGNER)).await;
        match connected {
            Err(MtlsError::KeyMode { .. }) => assert!(refused, "{mode:o}"),
            Ok(_) => assert!(!refused, "{mode:o}"),
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_signer_does_not_start_with_a_frontends_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let anchor = Anchor::new("one");
    let files = anchor.files(folder.path(), "frontend", &[DMZ1], &anchor);
    let allow = AllowList::new([identity(DMZ1)], &[Role::Frontend]).unwrap();
    let refused = Server::bind("127.0.0.1:0".parse().unwrap(), &files, allow, LIMITS)
        .err()
        .unwrap();
    assert!(matches!(refused, MtlsError::OwnRole { .. }), "{refused}");
}

/// A call by a client that checks nothing of its own, with a certificate of the frontends' anchor or none.
async fn bare_call(tiers: &Tiers, uris: Option<&[&str]>) -> Status {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
    use std::sync::Arc;

    let signer_anchors = tiers.frontend(&[DMZ1]).trust_anchors;
    let anchors: Vec<_> = CertificateDer::pem_file_iter(signer_anchors)
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(anchors);
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_root_certificates(roots);
    let mut config = match uris {
        None => builder.with_no_client_auth(),
        Some(uris) => {
            let (certificate, key) = tiers.frontends.issue(uris);
            let key = PrivateKeyDer::try_from(key.private_key_to_pkcs8().unwrap()).unwrap();
            builder
                .with_client_auth_cert(vec![certificate.to_der().unwrap().into()], key)
                .unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tls = tokio_rustls::TlsConnector::from(Arc::new(config));
    let address = tiers.address.clone();
    let connector = tower::service_fn(move |_: tonic::transport::Uri| {
        let (tls, address) = (tls.clone(), address.clone());
        async move {
            let stream = tokio::net::TcpStream::connect(address).await?;
            let name = ServerName::try_from("host.example").unwrap();
            tls.connect(name, stream)
                .await
                .map(hyper_util::rt::TokioIo::new)
        }
    });
    let channel = tonic::transport::Endpoint::from_static("http://signer")
        .connect_with_connector_lazy(connector);
    EnrolmentClient::new(channel)
        .public_info(v1::PublicInfoRequest::default())
        .await
        .unwrap_err()
}

#[test]
fn listeners_that_share_an_anchor_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (Anchor::new("one"), Anchor::new("two"));
    let frontends = one.files(folder.path(), "enrolment", &[SIGNER], &one);
    let operators = two.files(folder.path(), "administration", &[SIGNER], &two);
    let check = || check_anchors_apart(("enrolment", &frontends), ("administration", &operators));
    check().unwrap();
    let both = [&operators, &frontends].map(|files| std::fs::read(&files.trust_anchors).unwrap());
    std::fs::write(&operators.trust_anchors, both.concat()).unwrap();
    let refused = check().unwrap_err().to_string();
    assert!(
        refused.contains("administration.trust_anchors share an anchor"),
        "{refused}"
    );
}
