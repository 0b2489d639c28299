//! The frontend is in the attacker's hands: he has its mTLS key and says to the signer what he likes.
//!
//! Whatever he says, no certificate off policy comes out, and each request ends in exactly one terminal audit record.

use std::error::Error as _;

use anyhow::{Context, Result, bail};
use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::enrolment_client::EnrolmentClient;
use assay_proto::v1::pki_operation_reply::Outcome;
use assay_proto::v1::{
    ActivatePolicyRequest, AddInventoryRequest, ChallengeItem, GetCertificateRequest,
    IssueChallengesRequest, ListAuditRequest, ListCertificatesRequest, ListChallengesRequest,
    ListInventoryRequest, ListPoliciesRequest, PublicInfoRequest, ResetInventoryRequest,
    RevokeChallengeRequest, StatusRequest,
};
use assay_runtime::identity::Identity;
use assay_runtime::mtls::{self, TlsFiles};
use assay_scep::FailInfo;
use assay_tests::audit::{Record, terminal};
use assay_tests::device::{Anchors, Answer, Device, Message, Twist, dns_names, extension};
use assay_tests::frontend::{self, HostileFrontend};
use assay_tests::installation::{Installation, value};
use assay_tests::metrics::Metrics;
use assay_tests::operator::{Operator, administration};
use openssl::sha::sha256;
use tonic::{Code, Status};

/// id-ce-basicConstraints and `SEQUENCE { TRUE }`.
const BASIC_CONSTRAINTS: &str = "2.5.29.19";
const CA_TRUE: [u8; 5] = [0x30, 0x03, 0x01, 0x01, 0xff];

/// id-ce-extKeyUsage and a sequence of id-kp-serverAuth.
const EXTENDED_KEY_USAGE: &str = "2.5.29.37";
const SERVER_AUTH: [u8; 12] = [
    0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01,
];

/// id-ce-keyUsage and the BIT STRING keyCertSign, cRLSign.
const KEY_USAGE: &str = "2.5.29.15";
const CERTIFICATE_SIGN: [u8; 4] = [0x03, 0x02, 0x01, 0x06];

/// szOID_NTDS_CA_SECURITY_EXT, which maps a certificate to a Windows account.
const SID_EXTENSION: &str = "1.3.6.1.4.1.311.25.2";

/// Labels of the one private-key operation that hostile bytes could reach.
const DECRYPTION: [&str; 1] = ["role=\"ra-decrypt\""];

/// The attack on one-time challenges that scep.md's rule is about.
const PARALLEL_USES: usize = 100;

/// An installation, an operator who watches, and the attacker.
struct Scene {
    installation: Installation,
    anchors: Anchors,
    operator: Operator,
    attacker: HostileFrontend,
}

impl Scene {
    async fn set() -> Result<Self> {
        let installation = Installation::start().await?;
        let dir = &installation.ready().dir;
        let operator = Operator::connect(dir).await?;
        let attacker = HostileFrontend::connect(dir).await?;
        let anchors = Anchors::of(&installation)?;
        Ok(Self {
            installation,
            anchors,
            operator,
            attacker,
        })
    }

    /// Hands a message to the signer; exactly one terminal record must tell of it.
    async fn send(&mut self, profile: &str, message: &Message) -> Result<(Vec<u8>, Record)> {
        let last = self.last_sequence().await?;
        let outcome = self.attacker.pki_operation(profile, &message.bytes).await?;
        let Outcome::CertRep(cert_rep) = outcome else {
            bail!("no CertRep: {outcome:?}");
        };
        let records = self.operator.audit(last).await?;
        let [record] = terminal(&records)[..] else {
            bail!("not one terminal record: {records:?}");
        };
        assert_eq!(
            record.text("request_digest"),
            hex::encode(sha256(&message.bytes))
        );
        Ok((cert_rep, record.clone()))
    }

    /// The message must be refused with badRequest by a named rule, and nothing must have been issued.
    async fn refused(
        &mut self,
        profile: &str,
        device: &Device,
        message: &Message,
    ) -> Result<Record> {
        let before = self.issued().await?;
        let (cert_rep, record) = self.send(profile, message).await?;
        let answer = device.read(&self.anchors, message, &cert_rep).await?;
        assert_eq!(answer, Answer::Refused(FailInfo::BadRequest));
        assert_eq!(record.kind(), "request.refused", "{record:?}");
        assert!(
            !record.text("rule").is_empty(),
            "a refusal names its rule: {record:?}"
        );
        assert_eq!(self.issued().await?, before);
        Ok(record)
    }

    async fn issued(&mut self) -> Result<usize> {
        Ok(self.operator.certificates().await?.len())
    }

    async fn last_sequence(&mut self) -> Result<u64> {
        Ok(self
            .operator
            .audit(0)
            .await?
            .last()
            .context("an empty log")?
            .sequence())
    }

    /// Private-key operations of a role so far, or of all, as the signer counts them when each is done.
    async fn key_operations(&self, labels: &[&str]) -> Result<f64> {
        let metrics = Metrics::scrape(&self.installation.ready().metrics.signer).await?;
        Ok(metrics.sum("assay_token_operation_seconds_count", labels))
    }
}

#[tokio::test]
async fn a_name_off_policy_is_refused_whatever_the_challenge_allows() -> Result<()> {
    let mut scene = Scene::set().await?;
    let device = Device::new()?;
    for subject in [
        "CN=sensor-1,O=Evil",
        "CN=sensor-1",
        "CN=sensor-1,OU=Extra,O=Example",
        "O=Example,CN=sensor-1",
        "CN=Sensor-1,O=Example",
    ] {
        let challenge = scene
            .installation
            .challenge("CN=sensor-1,O=Example", &[])
            .await?;
        let csr = device.csr(subject, Some(&challenge), &[])?;
        let message = device.pkcs_req(&scene.anchors, &csr).await?;
        scene
            .refused("devices", &device, &message)
            .await
            .context(subject)?;
    }
    Ok(())
}

#[tokio::test]
async fn extensions_that_the_policy_does_not_issue_are_refused() -> Result<()> {
    let mut scene = Scene::set().await?;
    let device = Device::new()?;
    for (what, smuggled) in [
        ("CA:TRUE", extension(BASIC_CONSTRAINTS, true, &CA_TRUE)?),
        (
            "serverAuth",
            extension(EXTENDED_KEY_USAGE, false, &SERVER_AUTH)?,
        ),
        (
            "keyCertSign",
            extension(KEY_USAGE, true, &CERTIFICATE_SIGN)?,
        ),
        (
            "a Windows SID",
            extension(SID_EXTENSION, false, &[0x30, 0x00])?,
        ),
        ("another name", dns_names(&["admin.example.com"])?),
        (
            "one name more",
            dns_names(&["sensor-1.example.com", "admin.example.com"])?,
        ),
    ] {
        let sans = ["dns:sensor-1.example.com"];
        let challenge = scene
            .installation
            .challenge("CN=sensor-1,O=Example", &sans)
            .await?;
        let csr = device.csr("CN=sensor-1,O=Example", Some(&challenge), &[smuggled])?;
        let message = device.pkcs_req(&scene.anchors, &csr).await?;
        scene
            .refused("devices", &device, &message)
            .await
            .context(what)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_challenge_opens_no_other_profile_than_its_own() -> Result<()> {
    let mut scene = Scene::set().await?;
    scene.installation.add_to_inventory(&["sensor-1"]).await?;
    let device = Device::new()?;

    let one_time = scene
        .installation
        .challenge("CN=sensor-1,O=Example", &[])
        .await?;
    let csr = device.csr("CN=sensor-1,O=Example", Some(&one_time), &[])?;
    let message = device.pkcs_req(&scene.anchors, &csr).await?;
    scene.refused("fleet", &device, &message).await?;

    let fleet = scene.installation.ready().fleet_challenge.clone();
    let csr = device.csr("CN=sensor-1,O=Example", Some(&fleet), &[])?;
    let message = device.pkcs_req(&scene.anchors, &csr).await?;
    scene.refused("devices", &device, &message).await?;
    Ok(())
}

#[tokio::test]
async fn a_challenge_of_another_device_or_of_nobody_is_refused() -> Result<()> {
    let mut scene = Scene::set().await?;
    let device = Device::new()?;
    let theirs = scene
        .installation
        .challenge("CN=sensor-2,O=Example", &[])
        .await?;
    for challenge in [
        Some(theirs.as_str()),
        Some("a-challenge-that-was-never-issued"),
        Some(""),
        None,
    ] {
        let csr = device.csr("CN=sensor-1,O=Example", challenge, &[])?;
        let message = device.pkcs_req(&scene.anchors, &csr).await?;
        scene
            .refused("devices", &device, &message)
            .await
            .with_context(|| format!("{challenge:?}"))?;
    }
    // The refusals spent nothing of the device that the challenge belongs to.
    let csr = device.csr("CN=sensor-2,O=Example", Some(&theirs), &[])?;
    let message = device.pkcs_req(&scene.anchors, &csr).await?;
    let (cert_rep, record) = scene.send("devices", &message).await?;
    device
        .read(&scene.anchors, &message, &cert_rep)
        .await?
        .certificate()?;
    assert_eq!(record.kind(), "request.issued");
    Ok(())
}

#[tokio::test]
async fn a_replayed_message_gets_the_stored_reply_without_a_key_operation() -> Result<()> {
    let mut scene = Scene::set().await?;
    let device = Device::new()?;
    let challenge = scene
        .installation
        .challenge("CN=sensor-1,O=Example", &[])
        .await?;
    let csr = device.csr("CN=sensor-1,O=Example", Some(&challenge), &[])?;
    let message = device.pkcs_req(&scene.anchors, &csr).await?;
    let (first, record) = scene.send("devices", &message).await?;
    assert_eq!(record.kind(), "request.issued");
    let (issued, operations) = (scene.issued().await?, scene.key_operations(&[]).await?);

    let (again, record) = scene.send("devices", &message).await?;

    assert_eq!(again, first);
    assert_eq!(record.kind(), "request.replayed");
    assert_eq!(scene.issued().await?, issued);
    assert!(operations > 0.0 && scene.key_operations(&[]).await? <= operations);
    Ok(())
}

#[tokio::test]
async fn a_spent_challenge_is_refused_for_another_csr() -> Result<()> {
    let mut scene = Scene::set().await?;
    let challenge = scene
        .installation
        .challenge("CN=sensor-1,O=Example", &[])
        .await?;
    let device = Device::new()?;
    let csr = device.csr("CN=sensor-1,O=Example", Some(&challenge), &[])?;
    let message = device.pkcs_req(&scene.anchors, &csr).await?;
    let (cert_rep, _) = scene.send("devices", &message).await?;
    device
        .read(&scene.anchors, &message, &cert_rep)
        .await?
        .certificate()?;

    let thief = Device::new()?;
    let csr = thief.csr("CN=sensor-1,O=Example", Some(&challenge), &[])?;
    let message = thief.pkcs_req(&scene.anchors, &csr).await?;
    scene.refused("devices", &thief, &message).await?;
    Ok(())
}

#[tokio::test]
async fn a_hundred_parallel_uses_of_a_challenge_issue_one_certificate() -> Result<()> {
    let mut scene = Scene::set().await?;
    let challenge = scene
        .installation
        .challenge("CN=sensor-1,O=Example", &[])
        .await?;
    let device = Device::new()?;
    let before = scene.issued().await?;
    let mut messages = Vec::new();
    for nth in 0..PARALLEL_USES {
        // An extension that is ignored makes each CSR another one, so that none is a retransmission.
        let key_identifier = [&[0x04, 0x02][..], &u16::try_from(nth)?.to_be_bytes()].concat();
        let different = extension("2.5.29.14", false, &key_identifier)?;
        let csr = device.csr("CN=sensor-1,O=Example", Some(&challenge), &[different])?;
        messages.push(device.pkcs_req(&scene.anchors, &csr).await?);
    }
    let mut uses = tokio::task::JoinSet::new();
    for message in messages {
        let mut attacker = scene.attacker.clone();
        uses.spawn(async move {
            let outcome = attacker.pki_operation("devices", &message.bytes).await;
            (message, outcome)
        });
    }
    let mut winners = 0;
    for (message, outcome) in uses.join_all().await {
        // Past the refusal budget the signer puts requests off; that is no certificate either.
        if let Outcome::CertRep(cert_rep) = outcome? {
            let answer = device.read(&scene.anchors, &message, &cert_rep).await?;
            winners += usize::from(answer.certificate().is_ok());
        }
    }
    assert_eq!(winners, 1);
    assert_eq!(scene.issued().await?, before + 1);
    Ok(())
}

#[tokio::test]
async fn an_unlisted_message_type_never_reaches_decryption() -> Result<()> {
    let mut scene = Scene::set().await?;
    let device = Device::new()?;
    let before = scene.key_operations(&DECRYPTION).await?;
    for message_type in ["18", "0", "1", "3", "23", "019", "-19", "abc"] {
        let challenge = scene
            .installation
            .challenge("CN=sensor-1,O=Example", &[])
            .await?;
        let csr = device.csr("CN=sensor-1,O=Example", Some(&challenge), &[])?;
        let twist = Twist {
            message_type: Some(message_type),
            ..Twist::default()
        };
        let altered = device.message(&scene.anchors, &csr, twist).await?;
        scene
            .refused("devices", &device, &altered)
            .await
            .context(message_type)?;
    }
    assert!(before > 0.0 && scene.key_operations(&DECRYPTION).await? <= before);
    Ok(())
}

#[tokio::test]
async fn a_csr_with_another_key_than_the_signers_is_refused() -> Result<()> {
    let mut scene = Scene::set().await?;
    let (victim, thief) = (Device::new()?, Device::new()?);
    let challenge = scene
        .installation
        .challenge("CN=sensor-1,O=Example", &[])
        .await?;
    let csr = victim.csr("CN=sensor-1,O=Example", Some(&challenge), &[])?;
    let resigned = thief.pkcs_req(&scene.anchors, &csr).await?;
    scene.refused("devices", &thief, &resigned).await?;

    // A captured CSR does not spend the challenge of its owner.
    let message = victim.pkcs_req(&scene.anchors, &csr).await?;
    let (cert_rep, _) = scene.send("devices", &message).await?;
    victim
        .read(&scene.anchors, &message, &cert_rep)
        .await?
        .certificate()?;
    Ok(())
}

#[tokio::test]
async fn a_reply_opens_for_the_verified_signer_and_for_no_other_certificate_in_the_bag()
-> Result<()> {
    let mut scene = Scene::set().await?;
    let (device, eavesdropper) = (Device::new()?, Device::new()?);
    let challenge = scene
        .installation
        .challenge("CN=sensor-1,O=Example", &[])
        .await?;
    let csr = device.csr("CN=sensor-1,O=Example", Some(&challenge), &[])?;
    let twist = Twist {
        bag: Some(vec![eavesdropper.certificate(), device.certificate()]),
        ..Twist::default()
    };
    let message = device.message(&scene.anchors, &csr, twist).await?;
    let (cert_rep, _) = scene.send("devices", &message).await?;
    assert!(
        eavesdropper
            .read(&scene.anchors, &message, &cert_rep)
            .await
            .is_err()
    );
    device
        .read(&scene.anchors, &message, &cert_rep)
        .await?
        .certificate()?;
    Ok(())
}

#[tokio::test]
async fn the_frontends_credentials_open_no_administration_call() -> Result<()> {
    let installation = Installation::start().await?;
    let dir = &installation.ready().dir;
    let (address, signer) = administration(dir)?;
    let channel = frontend::channel(dir, &address, signer).await?;
    let mut thief = AdministrationClient::new(channel);

    let one_item = ChallengeItem {
        subject: "CN=sensor-1,O=Example".to_owned(),
        sans: Vec::new(),
    };
    let challenges = IssueChallengesRequest {
        profile: "devices".to_owned(),
        items: vec![one_item],
        ..IssueChallengesRequest::default()
    };
    let refusals = [
        ("Status", thief.status(StatusRequest {}).await.err()),
        (
            "IssueChallenges",
            thief.issue_challenges(challenges).await.err(),
        ),
        (
            "ListChallenges",
            thief
                .list_challenges(ListChallengesRequest::default())
                .await
                .err(),
        ),
        (
            "RevokeChallenge",
            thief
                .revoke_challenge(RevokeChallengeRequest::default())
                .await
                .err(),
        ),
        (
            "AddInventory",
            thief
                .add_inventory(AddInventoryRequest::default())
                .await
                .err(),
        ),
        (
            "ResetInventory",
            thief
                .reset_inventory(ResetInventoryRequest::default())
                .await
                .err(),
        ),
        (
            "ListInventory",
            thief
                .list_inventory(ListInventoryRequest::default())
                .await
                .err(),
        ),
        (
            "ListCertificates",
            thief
                .list_certificates(ListCertificatesRequest::default())
                .await
                .err(),
        ),
        (
            "GetCertificate",
            thief
                .get_certificate(GetCertificateRequest::default())
                .await
                .err(),
        ),
        (
            "ActivatePolicy",
            thief
                .activate_policy(ActivatePolicyRequest::default())
                .await
                .err(),
        ),
        (
            "ListPolicies",
            thief.list_policies(ListPoliciesRequest {}).await.err(),
        ),
        (
            "ListAudit",
            thief.list_audit(ListAuditRequest::default()).await.err(),
        ),
    ];
    for (call, refusal) in refusals {
        assert!(is_kept_out(refusal.as_ref()), "{call}: {refusal:?}");
    }
    // The listener was there all the while.
    Operator::connect(dir).await?.status().await?;
    Ok(())
}

#[tokio::test]
async fn the_operators_credentials_open_no_enrolment_call() -> Result<()> {
    let installation = Installation::start().await?;
    let dir = &installation.ready().dir;
    let files = TlsFiles {
        certificate: dir.join("transport/operator.pem"),
        private_key: dir.join("transport/operator.key"),
        trust_anchors: dir.join("transport/anchors-signers.pem"),
    };
    let address = value(&dir.join("frontend.toml"), &["signer", "address"])?;
    let (_, signer) = administration(dir)?;
    let address = address.as_str().context("signer.address is no string")?;
    let channel = mtls::connect(address, &files, signer).await?;
    let refusal = EnrolmentClient::new(channel)
        .public_info(PublicInfoRequest::default())
        .await
        .err();
    assert!(is_kept_out(refusal.as_ref()), "{refusal:?}");
    Ok(())
}

#[tokio::test]
async fn a_caller_notices_a_signer_of_another_name() -> Result<()> {
    let installation = Installation::start().await?;
    let dir = &installation.ready().dir;
    let address = value(&dir.join("frontend.toml"), &["signer", "address"])?;
    let address = address.as_str().context("signer.address is no string")?;
    let channel =
        frontend::channel(dir, address, Identity::parse("assay://signer/another")?).await?;
    let refusal = EnrolmentClient::new(channel)
        .public_info(PublicInfoRequest::default())
        .await
        .err();
    assert_eq!(
        refusal.context("it was taken for another")?.code(),
        Code::Unavailable
    );
    Ok(())
}

/// Kept out by TLS (another trust anchor; with TLS 1.3 it shows on the first call) or by the allow-list, before any
/// handler saw the call.
fn is_kept_out(refusal: Option<&Status>) -> bool {
    refusal.is_some_and(|status| {
        let by_tls = status
            .source()
            .is_some_and(|source| source.is::<tonic::transport::Error>());
        by_tls || [Code::PermissionDenied, Code::Unauthenticated].contains(&status.code())
    })
}
