//! Challenges are kept as keyed hashes alone: planted ones are looked for in all that the processes leave behind.

use std::path::Path;

use anyhow::{Context, Result};
use assay_proto::v1::{
    GetCertificateRequest, GetRequestRequest, ListAuditRequest, ListCertificatesRequest,
    ListChallengesRequest, ListInventoryRequest, ListLegacyRequest, ListPoliciesRequest,
    ListRequestsRequest, PageRequest, StatusRequest,
};
use assay_tests::device::{Answer, Device, Message};
use assay_tests::query::serial_hex;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use openssl::x509::X509Req;
use prost::Message as _;

use crate::{Scene, subject};

const ONE_TIME: &str = "approved";
const STATIC: &str = "approved-fleet";

/// A device whose request waits, and the challenge that came with it.
struct Planted {
    profile: &'static str,
    name: &'static str,
    challenge: String,
    device: Device,
    request: Message,
}

impl Planted {
    async fn queue(
        scene: &mut Scene,
        profile: &'static str,
        name: &'static str,
        challenge: String,
    ) -> Result<Self> {
        let device = Device::new()?;
        let csr = device.csr(&subject(name), Some(&challenge), &[])?;
        assert!(holds(&csr, challenge.as_bytes()));
        let request = device.pkcs_req(&scene.anchors, &csr).await?;
        let (answer, record) = scene.post(profile, &device, &request).await?;
        assert_eq!(answer, Answer::Pending, "{record:?}");
        Ok(Self {
            profile,
            name,
            challenge,
            device,
            request,
        })
    }

    async fn collect(&self, scene: &mut Scene) -> Result<Vec<u8>> {
        let transaction_id = self.request.transaction_id();
        let poll = self
            .device
            .poll(&scene.anchors, &scene.ca, transaction_id)
            .await?;
        let (answer, _) = scene.post(self.profile, &self.device, &poll).await?;
        Ok(answer.certificate()?.to_vec())
    }
}

#[tokio::test]
async fn a_planted_challenge_is_in_no_store_log_or_answer_while_it_waits_and_after() -> Result<()> {
    let mut scene = Scene::set().await?;
    for (profile, base) in [(ONE_TIME, "devices"), (STATIC, "fleet")] {
        let changes = "ticket = 'LIFE-9'\n[approval]\nexpires = '1h'\n";
        let installation = &scene.installation;
        installation.add_profile(profile, base, changes).await?;
    }
    let one_time = scene
        .installation
        .challenge_of(ONE_TIME, &subject("pump-1"))
        .await?;
    let shared = static_challenge(&scene).await?;
    let planted = [
        Planted::queue(&mut scene, ONE_TIME, "pump-1", one_time).await?,
        Planted::queue(&mut scene, STATIC, "tracker-1", shared).await?,
    ];

    let waiting = requests(&mut scene).await?;
    assert_eq!(waiting.len(), 2);
    search(&mut scene, &planted, &[]).await?;

    for id in waiting {
        let decided = scene
            .installation
            .assay(&["request", "approve", &id])
            .await?;
        decided.succeeded()?;
    }
    let mut issued = Vec::new();
    for device in &planted {
        issued.push(device.collect(&mut scene).await?);
    }
    search(&mut scene, &planted, &issued).await?;
    scene.installation.stop().await?;
    let files = files(scene.installation.scratch())?;
    none_in(&planted, "a file after the end", &files);
    Ok(())
}

/// What stands in the files now, and all that Administration tells.
async fn search(scene: &mut Scene, planted: &[Planted], issued: &[Vec<u8>]) -> Result<()> {
    let told = answers(scene, issued).await?;
    none_in(planted, "an answer of Administration", &told);
    let files = files(scene.installation.scratch())?;
    none_in(planted, "a file", &files);
    // What is looked for would be found: the names, which came in the same CSRs, are in both.
    for planted in planted {
        let name = planted.name.as_bytes();
        assert!(told.iter().any(|(_, told)| holds(told, name)));
        let stored = |suffix: &str| {
            files
                .iter()
                .any(|(file, content)| file.ends_with(suffix) && holds(content, name))
        };
        assert!(stored(".db") || stored("-wal"), "{}", planted.name);
    }
    Ok(())
}

fn none_in(planted: &[Planted], place: &str, contents: &[(String, Vec<u8>)]) {
    assert!(!contents.is_empty());
    for planted in planted {
        for form in forms(&planted.challenge) {
            for (name, content) in contents {
                assert!(
                    !holds(content, &form),
                    "the challenge of {} is in {place}: {name}",
                    planted.profile
                );
            }
        }
    }
}

/// The octets of a challenge in every coat that a log or a message could put on it.
fn forms(challenge: &str) -> Vec<Vec<u8>> {
    let raw = challenge.as_bytes();
    let utf16: Vec<u8> = challenge
        .encode_utf16()
        .flat_map(u16::to_be_bytes)
        .collect();
    let mut forms = vec![
        raw.to_vec(),
        utf16,
        hex::encode(raw).into_bytes(),
        hex::encode_upper(raw).into_bytes(),
    ];
    for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
        // The same octets look different by where they stand in a group of three.
        forms.extend((0..3).filter_map(|start| {
            let whole = raw.get(start..start + (raw.len() - start) / 3 * 3)?;
            Some(engine.encode(whole).into_bytes())
        }));
    }
    forms
}

fn holds(content: &[u8], needle: &[u8]) -> bool {
    content.windows(needle.len()).any(|part| part == needle)
}

/// Every file of the installation and of the demo's output, by its name.
fn files(directory: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            files.extend(self::files(&entry.path())?);
        } else if kind.is_file() {
            let name = entry.path().display().to_string();
            let mut content = std::fs::read(entry.path())?;
            // The state's reserve is zeros.
            let end = content.iter().rposition(|byte| *byte != 0);
            content.truncate(end.map_or(0, |last| last + 1));
            files.push((name, content));
        }
    }
    Ok(files)
}

async fn requests(scene: &mut Scene) -> Result<Vec<String>> {
    let list = ListRequestsRequest::default();
    let reply = scene.operator.client().list_requests(list).await?;
    let requests = reply.into_inner().requests;
    Ok(requests.into_iter().map(|info| info.id).collect())
}

/// Every call of an operator that reads, as the bytes of its answer.
async fn answers(scene: &mut Scene, issued: &[Vec<u8>]) -> Result<Vec<(String, Vec<u8>)>> {
    let waiting = requests(scene).await?;
    let client = scene.operator.client();
    let mut told = Vec::new();
    let mut tell = |call: &str, reply: Vec<u8>| told.push((call.to_owned(), reply));
    macro_rules! ask {
        ($call:ident, $request:expr) => {{
            let reply = client.$call($request).await?.into_inner();
            tell(stringify!($call), reply.encode_to_vec());
            reply
        }};
    }
    for id in waiting {
        let reply = ask!(get_request, GetRequestRequest { id });
        // What is shown is still a CSR, and no longer the one that was signed.
        let csr = X509Req::from_der(&reply.csr)?;
        let key = csr.public_key()?;
        assert!(!csr.verify(&key)?);
        tell("get_request, PEM", csr.to_pem()?);
        tell("get_request, text", csr.to_text()?);
    }
    for certificate in issued {
        let serial = serial_hex(certificate)?;
        ask!(get_certificate, GetCertificateRequest { serial });
    }
    for profile in [ONE_TIME, STATIC] {
        let request = ListChallengesRequest {
            profile: profile.to_owned(),
            ..Default::default()
        };
        ask!(list_challenges, request);
    }
    let request = ListInventoryRequest {
        profile: STATIC.to_owned(),
        ..Default::default()
    };
    ask!(list_inventory, request);
    ask!(status, StatusRequest {});
    ask!(list_requests, ListRequestsRequest::default());
    ask!(list_certificates, ListCertificatesRequest::default());
    ask!(list_legacy, ListLegacyRequest::default());
    ask!(list_policies, ListPoliciesRequest::default());
    let request = ListAuditRequest {
        page: Some(PageRequest {
            size: 1_000,
            token: String::new(),
        }),
        ..Default::default()
    };
    ask!(list_audit, request);
    Ok(told)
}

async fn static_challenge(scene: &Scene) -> Result<String> {
    let installation = &scene.installation;
    installation
        .assay(&["inventory", "add", "--profile", STATIC, "tracker-1"])
        .await?
        .succeeded()?;
    let issued = installation
        .assay(&["challenge", "issue", "--profile", STATIC, "--static"])
        .await?
        .succeeded()?
        .text();
    let challenge = issued.lines().next().context("no challenge")?;
    Ok(challenge.to_owned())
}
