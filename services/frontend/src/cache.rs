//! Capabilities, CA certificates and CRLs, kept so that they survive the signer's absence.

mod answers;
mod file;

use std::sync::Arc;
use std::time::Duration;

use assay_ocsp::Issuer;
use assay_proto::v1::PublicInfoReply;
use assay_runtime::drain::Shutdown;
use assay_runtime::ops::Readiness;
use assay_runtime::telemetry::chain;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

pub(crate) use self::answers::Profile;
use self::answers::{Answers, AnswersError, Contents, check_files};
pub(crate) use self::file::{File, etag, is_known_by};
use crate::observe;
use crate::route::Selector;
use crate::signer::{NoContent, Signer};

/// The name of this part in `/readyz`.
pub(crate) const COMPONENT: &str = "signer";

/// Wait between attempts while there is nothing to answer from.
const EMPTY_RETRY: Duration = Duration::from_millis(250);
/// A request for an unknown profile asks the signer at most this often, whatever the number of such requests.
const MIN_DEMAND_INTERVAL: Duration = Duration::from_millis(500);
/// Longest that such a request waits for the signer's answer.
const DEMAND_TIMEOUT: Duration = Duration::from_secs(1);

/// Why the public answers are not renewed.
#[derive(Debug, thiserror::Error)]
enum NotRenewed {
    #[error("they are refused")]
    Refused(#[from] AnswersError),
    #[error("a file was not handed over")]
    Content(#[from] NoContent),
}

/// Why no profile or file is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Nothing was heard from the signer yet.
    Empty,
    /// The signer has no such profile or file.
    Unknown,
}

/// Shared by all requests; one task keeps it fresh.
#[derive(Debug, Clone)]
pub(crate) struct PublicCache {
    state: watch::Receiver<State>,
    demand: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    answers: Arc<Answers>,
    attempted: Option<Instant>,
}

impl PublicCache {
    /// Starts the task that asks the signer every `interval` until the shutdown. Once the signer has been away for
    /// `unready_after`, the frontend is not ready, whatever it can answer by itself.
    pub(crate) fn start(
        signer: Signer,
        interval: Duration,
        unready_after: Duration,
        readiness: Readiness,
        shutdown: &Shutdown,
    ) -> Self {
        let (sender, state) = watch::channel(State::default());
        let demand = Arc::new(Notify::new());
        let refresher = Refresher {
            signer,
            interval,
            unready_after,
            readiness,
            state: sender,
            demand: Arc::clone(&demand),
            heard: None,
            silence: None,
        };
        let stop = shutdown.token();
        shutdown.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = refresher.run() => {}
            }
        });
        Self { state, demand }
    }

    /// The profile, asking the signer once more where it is not known: it may have been activated just now.
    pub(crate) async fn profile(&self, selector: Selector<'_>) -> Result<Arc<Profile>, Missing> {
        match self.known(selector) {
            Err(Missing::Unknown) => {
                self.refreshed().await;
                self.known(selector)
            }
            found => found,
        }
    }

    /// The file at a path without its leading slash.
    pub(crate) fn file(&self, path: &str) -> Result<Arc<File>, Missing> {
        let state = self.state.borrow();
        match state.answers.files.get(path) {
            Some(file) => Ok(Arc::clone(file)),
            None if state.answers.profiles.is_empty() => Err(Missing::Empty),
            None => Err(Missing::Unknown),
        }
    }

    /// The CAs that OCSP responses are to be had for; none of them where the signer has no responder.
    pub(crate) fn ocsp_issuers(&self) -> Result<Arc<[Issuer]>, Missing> {
        let state = self.state.borrow();
        match &state.answers.ocsp_issuers {
            Some(issuers) => Ok(Arc::clone(issuers)),
            None if state.answers.profiles.is_empty() => Err(Missing::Empty),
            None => Err(Missing::Unknown),
        }
    }

    fn known(&self, selector: Selector<'_>) -> Result<Arc<Profile>, Missing> {
        let state = self.state.borrow();
        let found = match selector {
            Selector::Default => state.answers.default.as_ref(),
            Selector::Named(name) => state.answers.profiles.get(name),
        };
        match found {
            Some(profile) => Ok(Arc::clone(profile)),
            None if state.answers.profiles.is_empty() => Err(Missing::Empty),
            None => Err(Missing::Unknown),
        }
    }

    async fn refreshed(&self) {
        let mut state = self.state.clone();
        let last = state.borrow_and_update().attempted;
        if last.is_some_and(|last| last.elapsed() < MIN_DEMAND_INTERVAL) {
            return;
        }
        self.demand.notify_one();
        // Whatever comes of it, the caller looks again.
        let _ = tokio::time::timeout(DEMAND_TIMEOUT, state.changed()).await;
    }
}

struct Refresher {
    signer: Signer,
    interval: Duration,
    unready_after: Duration,
    readiness: Readiness,
    state: watch::Sender<State>,
    demand: Arc<Notify>,
    /// When the signer last answered.
    heard: Option<Instant>,
    /// Why it did not answer the last time.
    silence: Option<String>,
}

impl Refresher {
    async fn run(mut self) {
        loop {
            let answers = Arc::clone(&self.state.borrow().answers);
            let updated = self.ask(&answers).await.unwrap_or(answers);
            let pause = if updated.profiles.is_empty() {
                EMPTY_RETRY.min(self.interval)
            } else {
                self.interval
            };
            self.state.send_replace(State {
                answers: updated,
                attempted: Some(Instant::now()),
            });
            if let Some(heard) = self.heard {
                observe::cache_age(heard.elapsed());
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.demand.notified() => {}
            }
        }
    }

    /// The answers in force after asking; `None` where those at hand stay.
    async fn ask(&mut self, current: &Arc<Answers>) -> Option<Arc<Answers>> {
        let reply = match self.signer.public_info(current.revision.clone()).await {
            Ok(reply) => reply,
            Err(status) => {
                self.away(current, status.message());
                return None;
            }
        };
        self.heard();
        if !current.revision.is_empty() && reply.revision == current.revision {
            self.ready(current);
            return None;
        }
        match self.take_over(reply, current).await {
            Ok(answers) => {
                tracing::info!(
                    revision = answers.revision,
                    profiles = answers.profiles.len(),
                    files = answers.files.len(),
                    "public answers renewed"
                );
                self.ready(&answers);
                Some(Arc::new(answers))
            }
            Err(error) => {
                tracing::error!(error = chain(&error), "public answers not renewed");
                None
            }
        }
    }

    fn ready(&self, answers: &Answers) {
        if answers.profiles.is_empty() {
            self.readiness
                .set_cause(COMPONENT, "the signer has no profile");
        } else {
            self.readiness.clear(COMPONENT);
        }
    }

    /// Fetches the content that is not in memory yet.
    async fn take_over(
        &self,
        reply: PublicInfoReply,
        current: &Answers,
    ) -> Result<Answers, NotRenewed> {
        check_files(&reply.files)?;
        let mut contents = Contents::new();
        for file in &reply.files {
            let content = match current.contents.get(&file.sha256) {
                Some(content) => content.clone(),
                None => self.signer.file_content(&file.sha256, file.size).await?,
            };
            contents.insert(file.sha256.clone(), content);
        }
        Ok(Answers::new(reply, contents)?)
    }

    /// For a while this tier stays ready with the answers that it has: devices get 503 for PKIOperation alone. After that a
    /// load balancer should send them elsewhere.
    fn away(&mut self, current: &Answers, reason: &str) {
        observe::signer_up(false);
        let silent = self.heard.map(|heard| heard.elapsed());
        if silent.is_some_and(|silent| silent >= self.unready_after) {
            let cause = format!(
                "not heard from for {:?} or more: {reason}",
                self.unready_after
            );
            self.readiness.set_cause(COMPONENT, cause);
        }
        if self.silence.as_deref() == Some(reason) {
            return;
        }
        self.silence = Some(reason.to_owned());
        if current.profiles.is_empty() {
            self.readiness
                .set_cause(COMPONENT, format!("not heard from yet: {reason}"));
        } else {
            tracing::warn!(reason, "the signer is away; answering from memory");
        }
    }

    fn heard(&mut self) {
        observe::signer_up(true);
        if self.silence.take().is_some() {
            tracing::info!("the signer answers");
        }
        self.heard = Some(Instant::now());
    }
}
