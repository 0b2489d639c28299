//! The certificates of a stopped installation, enrolled by a signer in this process over its own store and token.

use std::path::Path;
use std::sync::Arc;

use assay_hsm::Token;
use assay_issuance::{
    Environment, GenerationSettings, OpenSslRandom, Prepared, StartFailure, SystemClock,
};
use assay_runtime::drain::Shutdown;
use assay_signer::{Settings, Signer};
use assay_store::{CertificateQuery, Options, Store, StoreError};

use super::stand::Stand;
use crate::failure::{Failure, OrFail, Outcome};
use crate::service::Service;
use crate::{generate, settings};

/// Operations that may wait for the HSM service.
const QUEUE: usize = 256;
/// Certificates between two checkpoints of the log.
const BATCH: usize = 1_000;

/// Enrols so many devices and has every certificate of the store wait for an OCSP response. Returns the serials of all.
pub(super) async fn fill(stand: &Stand, certificates: u32) -> Outcome<Vec<Vec<u8>>> {
    let installation = stand.installation();
    let settings = settings::Signer::read(&installation)?;
    let ra = settings
        .ra_enc
        .to_der()
        .or_fail("the RA's certificate is unreadable")?;
    let what = "the store cannot be filled";
    let key = stand.state_key()?;
    let store = Store::open(&stand.state(), &key, &Options::default()).or_fail(what)?;
    let service = Service::start(&installation, &settings, None, QUEUE).await?;
    let signer = start(&installation.signer_config(), store.clone(), &service).await;
    let signer = signer.map_err(|error| Failure::failed(format!("{what}: {error}")))?;
    generate::enrol(&signer, &ra, certificates, BATCH, |_| {}).await?;
    signer.issuance().stop().await.or_fail(what)?;
    service.stop().await;
    // The next start finds a responder that has signed nothing yet.
    store.disable_ocsp().await.or_fail(what)?;
    serials(&store).await.or_fail(what)
}

async fn start(config: &Path, store: Store, service: &Service) -> Result<Signer, StartFailure> {
    let environment = Environment {
        store,
        clock: Arc::new(SystemClock::new()?),
        random: Arc::new(OpenSslRandom),
        shutdown: Shutdown::new(),
        // Of this service; the installation's own has another.
        journal: None,
    };
    let settings = Settings::load(config)?;
    let prepared = Prepared::new(settings.issuance, environment, false).await?;
    let open = async |ca: &GenerationSettings| {
        Ok(Arc::new(service.hsm.ca(&ca.hsm_certificates())?) as Arc<dyn Token>)
    };
    Ok(Signer::new(prepared.start(open).await?))
}

async fn serials(store: &Store) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut serials = Vec::new();
    let mut query = CertificateQuery::default();
    loop {
        let page = store.list_certificates(query.clone()).await?;
        serials.extend(page.rows.iter().map(|row| row.serial.as_bytes().to_vec()));
        query.before = page.next;
        if query.before.is_none() {
            return Ok(serials);
        }
    }
}
