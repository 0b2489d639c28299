//! The stateless SCEP frontend: HTTP from devices on one side, whole pkiMessages to the signer on the other.
//!
//! A request passes [`listener`] (connections, TLS), `service` (HTTP rules, limits), and for PKIOperation `signer` (the
//! relay); GetCACaps, GetCACert and the files of relying parties (CRL, CA certificate) are answered from
//! `cache`, their OCSP requests by `ocsp`. Nothing here looks inside a pkiMessage.

mod addresses;
mod answer;
mod cache;
mod config;
mod listener;
mod observe;
mod ocsp;
mod proxies;
mod route;
mod service;
mod settings;
mod signer;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use assay_runtime::drain::{Drained, Shutdown};
use assay_runtime::mtls;
use assay_runtime::ops::{Ops, Readiness};
use assay_runtime::ready::Ready;
use assay_runtime::telemetry::PrometheusHandle;
use assay_sandbox::Report;

pub use config::{
    ClientAddress, FrontendConfig, HttpConfig, LimitsConfig, ProxiesConfig, SignerConfig, TlsConfig,
};
pub use settings::Settings;

use cache::PublicCache;
use listener::Listener;
use service::Service;
use signer::Signer;

/// A frontend whose addresses are bound, and that serves nobody yet. Binding starts no thread, so that the process can be
/// confined before [`Frontend::run`].
pub struct Frontend {
    settings: Settings,
    ops: Ops,
    listener: Listener,
}

impl Frontend {
    /// Binds the addresses.
    ///
    /// # Errors
    /// Where one cannot be bound.
    pub fn bind(settings: Settings) -> anyhow::Result<Self> {
        let ops = Ops::bind(&settings.ops)
            .with_context(|| format!("cannot listen on {} for ops", settings.ops.listen))?;
        let listener = Listener::bind(&settings)
            .with_context(|| format!("cannot listen on {} for SCEP", settings.listen))?;
        Ok(Self {
            settings,
            ops,
            listener,
        })
    }

    /// Serves until the process is told to stop, then drains. `sandbox` says what the process gave up.
    ///
    /// # Errors
    /// Where a file cannot be used or the listener ends by itself.
    pub async fn run(
        self,
        metrics: PrometheusHandle,
        sandbox: &Report,
        ready_file: Option<&Path>,
    ) -> anyhow::Result<()> {
        let Self {
            settings,
            ops,
            listener,
        } = self;
        let shutdown = Shutdown::on_signals().context("cannot handle signals")?;
        let readiness = Readiness::waiting_for(&[cache::COMPONENT]);
        observe::describe();
        observe::sandbox(sandbox, &readiness);

        let channel = mtls::connect(
            &settings.signer_address,
            &settings.signer_files,
            settings.signer_identity.clone(),
        )
        .await?;
        let signer = Signer::new(channel, settings.signer_timeout);

        let mut ready = Ready::this_process();
        ready.http = Some(listener.local_addr());
        ready.ops = Some(ops.local_addr());
        tracing::info!(http = ?ready.http, ops = ?ready.ops, signer = %settings.signer_address, "listening");

        let drain_timeout = settings.limits.drain_timeout;
        let unwatched = "the runtime cannot watch a listener";
        ops.serve(metrics, readiness.clone(), &shutdown)
            .context(unwatched)?;
        let cache = PublicCache::start(
            signer.clone(),
            settings.refresh_interval,
            settings.unready_after,
            readiness,
            &shutdown,
        );
        let service = Arc::new(Service::new(
            cache,
            signer,
            settings.limits,
            settings.proxies,
            shutdown.clone(),
        )?);
        let accepting = listener.serve(service, &shutdown).context(unwatched)?;
        if let Some(path) = ready_file {
            ready
                .write(path)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }

        accepting.await.context("the listener stopped")?;
        match shutdown.drain(drain_timeout).await {
            Drained::Clean => tracing::info!("stopped"),
            Drained::Abandoned(tasks) => tracing::warn!(tasks, "stopped with work unfinished"),
        }
        Ok(())
    }
}
