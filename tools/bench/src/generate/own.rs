//! A signer over keys of software and a store of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use assay_audit::note::VerifierKey;
use assay_hsm::Token;
use assay_issuance::{
    Clock, Environment, GenerationSettings, OpenSslRandom, Prepared, StartFailure,
};
use assay_operator::export::{Received, Receiver};
use assay_proto::v1::administration_server::Administration;
use assay_proto::v1::{ActivatePolicyRequest, ExportRequest, PolicyBasisRequest};
use assay_runtime::drain::Shutdown;
use assay_runtime::identity::Role;
use assay_signer::{Settings, Signer};
use assay_software_token::{Ca, ORIGIN, People, Proposed, SoftToken};
use assay_store::{OpenError, Options, StateKey, Store};
use assay_types::Timestamp;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use tempfile::TempDir;
use tokio_stream::StreamExt;

use super::DAY;
use super::clock::Forwarded;
use super::enrol::{by, enrol};
use crate::failure::{Failure, OrFail, Outcome};
use crate::files;
use zeroize::Zeroizing;

/// The profile of the demo whose devices have a challenge each.
const DEVICES: &str = include_str!("../../../../policy/demo/devices.toml");
/// The beginning of that profile, and one that is before all that is generated.
const BEGINS: [&str; 2] = [
    "not_before = 2025-01-01T00:00:00Z",
    "not_before = 2000-01-01T00:00:00Z",
];
const BITS: u32 = 2_048;
const YEAR: Duration = Duration::from_secs(365 * 86_400);
/// Certificates between two rounds of scheduled work, at most: a checkpoint covers them, and CRLs are never late by more.
const BATCH: u32 = 1_000;

/// Everything around the signer.
pub(super) struct Own {
    /// What the signer reads, and nobody after it.
    configuration: TempDir,
    /// The file of the store.
    pub(super) state: PathBuf,
    state_key: StateKey,
    pub(super) ca: Arc<Ca>,
    people: People,
    token: Arc<SoftToken>,
    pub(super) clock: Arc<Forwarded>,
    span: Duration,
}

impl Own {
    /// Makes the keys, and what an auditor pins in an empty folder. The clock begins `span` ago.
    pub(super) fn new(folder: &Path, span: Duration) -> Outcome<Self> {
        let what = "cannot make the keys of the store";
        let clock = Arc::new(Forwarded::new(span));
        let begin = now(&clock);
        let validity = begin - YEAR..begin + YEAR * 20;
        let (ra_enc, ra_sign) = (rsa().or_fail(what)?, rsa().or_fail(what)?);
        let ca = Ca::new("Generated CA", ra_enc, ra_sign, &validity).or_fail(what)?;
        let people = People::new(&validity).or_fail(what)?;
        let ca_certificate = ca.ca.certificate.to_pem().or_fail(what)?;
        let log = PKey::generate_ed25519().or_fail(what)?;
        let mut challenge_key = [0; 32];
        openssl::rand::rand_bytes(&mut challenge_key).or_fail(what)?;
        let mut state_key = [0; 32];
        openssl::rand::rand_bytes(&mut state_key).or_fail(what)?;
        let configuration = TempDir::with_prefix("assay-bench-generate-");
        let configuration = configuration.or_fail("cannot make a directory in TMPDIR")?;
        assay_software_token::write(configuration.path(), &ca, &people, &challenge_key, "")
            .or_fail("cannot write the configuration")?;
        let log_key = log.public_key_to_der().or_fail(what)?;
        let log_key = VerifierKey::from_spki(ORIGIN, &log_key).or_fail(what)?;
        let create =
            |name: &str, content: &[u8]| files::create(&folder.join(name), content, files::PUBLIC);
        create("ca.pem", &ca_certificate)?;
        create("log.vkey", format!("{log_key}\n").as_bytes())?;
        create("approvers.toml", people.table().as_bytes())?;
        for (person, pair) in people.all() {
            let pem = pair.certificate.to_pem().or_fail(what)?;
            create(&format!("{person}.pem"), &pem)?;
        }
        let ca = Arc::new(ca);
        Ok(Self {
            configuration,
            state: folder.join("signer.db"),
            state_key: Zeroizing::new(state_key).into(),
            token: Arc::new(SoftToken::new(Arc::clone(&ca), log, ORIGIN).or_fail(what)?),
            ca,
            people,
            clock,
            span,
        })
    }

    /// A signer over the store as it is, which it checks.
    pub(super) async fn start(&self) -> Outcome<Signer> {
        self.prepare()
            .await
            .map_err(|error| Failure::failed(format!("the signer does not start: {error}")))
    }

    /// The store, which is made the first time.
    pub(super) fn open(&self) -> Result<Store, OpenError> {
        let open = if self.state.exists() {
            Store::open
        } else {
            Store::create
        };
        open(&self.state, &self.state_key, &Options::default())
    }

    async fn prepare(&self) -> Result<Signer, StartFailure> {
        let mut settings = Settings::load(&self.configuration.path().join("signer.toml"))?;
        // The evidence of the first devices is exported too.
        settings.issuance.keep_evidence += self.span;
        let environment = Environment {
            store: self.open()?,
            clock: self.clock.clone(),
            random: Arc::new(OpenSslRandom),
            shutdown: Shutdown::new(),
            journal: None,
        };
        let prepared = Prepared::new(settings.issuance, environment, false).await?;
        let open = async |_: &GenerationSettings| Ok(Arc::clone(&self.token) as Arc<dyn Token>);
        Ok(Signer::new(prepared.start(open).await?))
    }

    pub(super) async fn activate_policy(&self, signer: &Signer) -> Outcome {
        let what = "the policy cannot be activated";
        let administration = signer.administration();
        let request = by(Role::Operator, PolicyBasisRequest::default())?;
        let basis = administration.policy_basis(request).await.or_fail(what)?;
        let [from, to] = BEGINS;
        let profiles = [("devices", DEVICES.replacen(from, to, 1))];
        let proposed = Proposed::new(&profiles, basis.into_inner(), now(&self.clock));
        let mut proposed = proposed.or_fail(what)?;
        // The last devices enrol under it too.
        proposed.proposal.expires = proposed.proposal.expires + self.span;
        let proposal = self.people.sign(&proposed).or_fail(what)?;
        let request = ActivatePolicyRequest {
            proposal: Some(proposal),
        };
        let request = by(Role::Operator, request)?;
        administration
            .activate_policy(request)
            .await
            .or_fail(what)?;
        Ok(())
    }

    /// Enrols devices, spread evenly over the span.
    pub(super) async fn enrol(&self, signer: &Signer, certificates: u32) -> Outcome {
        let step = self.span / certificates.max(1);
        // A batch happens at one time, and the next at most a day later.
        let daily = DAY.as_millis().checked_div(step.as_millis());
        let daily = daily.and_then(|daily| u32::try_from(daily).ok());
        let batch = daily.unwrap_or(BATCH).clamp(1, BATCH);
        let ra = self.ca.ra_enc.der().or_fail("the RA's certificate")?;
        let pass = |enrolled| {
            let enrolled = u32::try_from(enrolled).unwrap_or(BATCH);
            self.clock.forward(step * enrolled);
        };
        enrol(signer, &ra, certificates, batch as usize, pass).await
    }

    /// Writes an export of all that is under the newest checkpoint.
    pub(super) async fn export(&self, signer: &Signer, directory: &Path) -> Outcome<Received> {
        let what = "the log cannot be exported";
        let mut receiver = Receiver::create(directory)?;
        let request = by(Role::Operator, ExportRequest::default())?;
        let items = signer.administration().export(request).await;
        let mut items = items.or_fail(what)?.into_inner();
        while let Some(item) = items.next().await {
            receiver.take(item.or_fail(what)?)?;
        }
        receiver.finish()
    }

    pub(super) async fn stop(&self, signer: &Signer) -> Outcome {
        signer
            .issuance()
            .stop()
            .await
            .or_fail("the end cannot be recorded")
    }
}

fn rsa() -> Result<PKey<Private>, openssl::error::ErrorStack> {
    PKey::from_rsa(Rsa::generate(BITS)?)
}

fn now(clock: &Forwarded) -> Timestamp {
    clock.wall().into()
}
