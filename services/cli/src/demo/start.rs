//! From a prepared directory to a service that has enrolled a device.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use assay_console::failure::{Failure, OrFail, Outcome};
use assay_console::files;
use assay_operator::admin::Admin;
use assay_operator::services::{self, Program, Service};
use assay_policy::{Bundle, Dn, PolicyFile, StringEncoding};
use assay_proto::MAX_PAGE;
use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::{
    ChallengeItem, ChallengeState, IssueChallengesRequest, ListChallengesRequest, PageRequest,
};
use assay_scep_client::{DeviceKey, EnrolmentRequest, Error, KeyType, Session, Url};

use tokio::process::Command;

use super::address::HeldAddress;
use super::child::{LOOK, Running, START_DEADLINE};
use super::home::{Home, Mark};
use super::settings;
use super::setup::{APPROVER, AUTHOR};
use crate::commands::config::service_binary;
use crate::commands::policy;
use crate::device::Explain;

pub(super) const DEVICES: &str = "devices";
pub(super) const FLEET: &str = "fleet";
const ANY_PORT: &str = "127.0.0.1:0";
const DEVICE_KEY_BITS: u32 = 2_048;
/// A throw-away installation does not live longer.
const POLICY_LIFETIME: Duration = Duration::from_secs(3_650 * 86_400);

/// All that runs, and what there is to tell of it.
pub(super) struct Started {
    pub(super) hsm: Running,
    pub(super) signer: Running,
    pub(super) frontend: Running,
    pub(super) mark: Mark,
    pub(super) http: SocketAddr,
    pub(super) fleet_challenge: String,
    pub(super) device: Device,
}

/// The device that was enrolled to see that all works.
pub(super) struct Device {
    pub(super) subject: String,
    pub(super) certificate: PathBuf,
    pub(super) pem: String,
}

impl Started {
    pub(super) async fn stop(&mut self) {
        self.frontend.stop().await;
        self.signer.stop().await;
        self.hsm.stop().await;
    }
}

pub(super) async fn start(home: &Home, frontend: HeldAddress) -> Outcome<Started> {
    let mut mark = home
        .mark()?
        .ok_or_else(|| Failure::failed("the demo's directory lost its mark"))?;
    release_ports(home, frontend.address())?;
    if mark.own_users {
        services::hand_over(&home.installation)
            .or_fail("cannot give the services the files that each of them needs")?;
    } else {
        for service in Service::ALL {
            files::make_dir(&service.run_dir(&home.installation))?;
        }
    }
    if !home.path("hsm/journal").exists() {
        let what = "assay-hsm cannot create its journal";
        once(home, Service::Hsm, &["journal", "create", "--unused"], what).await?;
    }
    let hsm = Running::start(Service::Hsm, home).await?;
    if !home.path("state/signer.db").exists() {
        let what = "assay-signer cannot create its state";
        once(home, Service::Signer, &["--create-state"], what).await?;
    }
    let signer = Running::start(Service::Signer, home).await?;
    pin_signer(home, &signer)?;
    let mut admin = Admin::connect(&home.installation).await?;
    if mark.starts == 0 || policy::in_force(&mut admin).await?.is_none() {
        let files =
            Bundle::read_dir(&home.installation.policy()).or_fail("cannot read the policy")?;
        put_in_force(home, &mut admin, &files).await?;
    }
    mark.http = Some(frontend.release());
    let frontend = Running::start(Service::Frontend, home).await?;
    let http = pin_frontend(home, &frontend)?;
    let fleet_challenge = fleet_challenge(home, &mut admin, &mut mark).await?;
    mark.starts += 1;
    home.set_mark(&mark)?;
    let device = enrol(home, &mut admin, mark.starts).await?;
    Ok(Started {
        hsm,
        signer,
        frontend,
        mark,
        http,
        fleet_challenge,
        device,
    })
}

/// Runs a command that a person gives a service once, as its user.
async fn once(home: &Home, service: Service, arguments: &[&str], what: &str) -> Outcome {
    let binary = service_binary(service.binary())?;
    let program = Program::of(service, &home.installation, &binary).or_fail(what)?;
    let mut command = Command::from(program.command());
    command.args(arguments).arg("--config");
    command.arg(service.config(&home.installation));
    let ended = command.output().await.or_fail(what)?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    Err(Failure::failed(format!("{what}: {}", said.trim())))
}

/// Another process may have taken a port since the last time.
fn release_ports(home: &Home, listen: SocketAddr) -> Outcome {
    settings::edit(
        &home.installation.signer_config(),
        &[
            ("enrolment", "listen", ANY_PORT),
            ("administration", "listen", ANY_PORT),
            ("ops", "listen", ANY_PORT),
        ],
    )?;
    settings::edit(
        &home.installation.frontend_config(),
        &[
            ("http", "listen", &listen.to_string()),
            ("ops", "listen", ANY_PORT),
        ],
    )
}

/// Whoever is started again listens where the others expect it.
fn pin_signer(home: &Home, signer: &Running) -> Outcome {
    let enrolment = bound(signer.ready.enrolment)?;
    let administration = bound(signer.ready.administration)?;
    let ops = bound(signer.ready.ops)?;
    settings::edit(
        &home.installation.signer_config(),
        &[
            ("enrolment", "listen", &enrolment),
            ("administration", "listen", &administration),
            ("ops", "listen", &ops),
        ],
    )?;
    settings::edit(
        &home.installation.frontend_config(),
        &[("signer", "address", &enrolment)],
    )?;
    settings::edit(
        &home.installation.settings_file(),
        &[("administration", "address", &administration)],
    )
}

fn pin_frontend(home: &Home, frontend: &Running) -> Outcome<SocketAddr> {
    let http = bound(frontend.ready.http)?;
    let ops = bound(frontend.ready.ops)?;
    settings::edit(
        &home.installation.frontend_config(),
        &[("http", "listen", &http), ("ops", "listen", &ops)],
    )?;
    settings::edit(
        &home.installation.settings_file(),
        &[("", "scep_url", &format!("http://{http}/scep"))],
    )?;
    http.parse().or_fail("the frontend told no address")
}

fn bound(address: Option<SocketAddr>) -> Outcome<String> {
    address.map(|address| address.to_string()).ok_or_else(|| {
        Failure::failed("a service did not tell its address")
            .next("assay, assay-signer and assay-frontend must be of one version")
    })
}

/// Proposes, approves and activates, as people would one after the other.
async fn put_in_force(home: &Home, admin: &mut Admin, files: &[PolicyFile]) -> Outcome {
    let path = home.path("proposals/1");
    if path.exists() {
        // Of a start that was interrupted.
        std::fs::remove_dir_all(&path).or_fail("cannot remove the last proposal")?;
    }
    let folder = policy::Folder::at(path);
    let credential = |person: &str| policy::Credential {
        certificate: home.path(&format!("approvers/{person}.pem")),
        key: home.path(&format!("approvers/{person}.key")),
    };
    let wanted = policy::Wanted {
        ticket: "demo".to_owned(),
        expires: SystemTime::now() + POLICY_LIFETIME,
        resumes: Vec::new(),
        hsm_configuration: None,
    };
    let basis = policy::fetch_basis(admin).await?;
    policy::propose(files, &basis, &wanted, &credential(AUTHOR), &folder)?;
    policy::approve(&folder, &credential(APPROVER), None)?;
    policy::activate(admin, &folder).await?;
    Ok(())
}

/// The static challenge of the last start while it is open, else a new one.
async fn fleet_challenge(home: &Home, admin: &mut Admin, mark: &mut Mark) -> Outcome<String> {
    let file = home.path("secrets/fleet.challenge");
    if let Some(id) = &mark.fleet_challenge_id {
        let request = ListChallengesRequest {
            page: Some(PageRequest {
                size: MAX_PAGE,
                token: String::new(),
            }),
            profile: FLEET.to_owned(),
            state: ChallengeState::Open.into(),
            ..ListChallengesRequest::default()
        };
        let open = admin
            .call(request, AdministrationClient::list_challenges)
            .await?
            .challenges;
        if open.iter().any(|challenge| challenge.id == *id) && file.exists() {
            return files::read_text(&file);
        }
    }
    let request = IssueChallengesRequest {
        profile: FLEET.to_owned(),
        items: Vec::new(),
        ttl: None,
        static_challenge: true,
    };
    let issued = only(admin.issue_challenges(request).await?)?;
    files::replace(&file, issued.challenge.as_bytes(), files::SECRET)?;
    mark.fleet_challenge_id = Some(issued.id);
    Ok(issued.challenge)
}

/// A session once the frontend has heard from the signer, which it may not have when it begins to listen.
async fn first_session(url: &Url) -> Result<Session, Error> {
    let until = Instant::now() + START_DEADLINE;
    loop {
        match Session::open(url, None).await {
            Err(error) if error.is_passing() && Instant::now() < until => {
                tokio::time::sleep(LOOK).await;
            }
            opened => return opened,
        }
    }
}

/// A device by our own client, over HTTP, through both tiers.
async fn enrol(home: &Home, admin: &mut Admin, number: u64) -> Outcome<Device> {
    let subject = format!("CN=demo-{number},O=Example");
    let request = IssueChallengesRequest {
        profile: DEVICES.to_owned(),
        items: vec![ChallengeItem {
            subject: subject.clone(),
            sans: Vec::new(),
        }],
        ttl: None,
        static_challenge: false,
    };
    let issued = only(admin.issue_challenges(request).await?)?;
    let wanted = EnrolmentRequest {
        subject: Dn::parse_rfc4514(&subject)
            .or_fail("the demo's own subject")?
            .to_der(StringEncoding::Utf8)
            .or_fail("the demo's own subject")?,
        subject_alt_names: None,
        challenge: issued.challenge,
    };
    let url = Url::parse(&home.installation.settings()?.profile_url(DEVICES)).explained()?;
    let key = DeviceKey::generate(KeyType::Rsa(DEVICE_KEY_BITS)).explained()?;
    let mut session = first_session(&url).await.explained()?;
    let verdict = session.enrol(&wanted, &key).await.explained()?;
    let pem = verdict
        .issued()
        .explained()?
        .certificate
        .to_pem()
        .or_fail("cannot write the certificate")?;
    let certificate = home.path(&format!("devices/demo-{number}.pem"));
    files::replace(
        &home.path(&format!("devices/demo-{number}.key")),
        &key.to_pem().explained()?,
        files::SECRET,
    )?;
    files::replace(&certificate, &pem, files::PUBLIC)?;
    Ok(Device {
        subject,
        certificate,
        pem: String::from_utf8(pem).or_fail("cannot write the certificate")?,
    })
}

fn only(
    challenges: Vec<assay_proto::v1::IssuedChallenge>,
) -> Outcome<assay_proto::v1::IssuedChallenge> {
    challenges
        .into_iter()
        .next()
        .ok_or_else(|| Failure::failed("the signer issued no challenge"))
}
