//! Capabilities and CA certificates, kept so that they survive the signer's absence.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use assay_proto::v1::{ProfileInfo, PublicInfoReply};
use assay_runtime::drain::Shutdown;
use assay_runtime::ops::Readiness;
use assay_scep::http::{CA_CERTIFICATE_TYPE, CA_RA_CERTIFICATES_TYPE, CAPABILITIES_TYPE};
use hyper::body::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::answer::Answer;
use crate::observe;
use crate::route::Selector;
use crate::signer::Signer;

/// The name of this part in `/readyz`.
pub(crate) const COMPONENT: &str = "signer";

/// Wait between attempts while there is nothing to answer from.
const EMPTY_RETRY: Duration = Duration::from_millis(250);
/// A request for an unknown profile asks the signer at most this often, whatever the number of such requests.
const MIN_DEMAND_INTERVAL: Duration = Duration::from_millis(500);
/// Longest that such a request waits for the signer's answer.
const DEMAND_TIMEOUT: Duration = Duration::from_secs(1);
/// More profiles than any installation has; bounds memory and the values of a metric's label.
const MAX_PROFILES: usize = 1_000;

/// The answers of one profile.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) name: Arc<str>,
    pub(crate) capabilities: Answer,
    pub(crate) ca_certificates: Answer,
}

/// Why no profile is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Nothing was heard from the signer yet.
    Empty,
    /// The signer has no such profile.
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

#[derive(Debug, Default)]
struct Answers {
    revision: String,
    profiles: BTreeMap<Arc<str>, Arc<Profile>>,
    default: Option<Arc<Profile>>,
}

impl PublicCache {
    /// Starts the task that asks the signer every `interval` until the shutdown.
    pub(crate) fn start(
        signer: Signer,
        interval: Duration,
        readiness: Readiness,
        shutdown: &Shutdown,
    ) -> Self {
        let (sender, state) = watch::channel(State::default());
        let demand = Arc::new(Notify::new());
        let refresher = Refresher {
            signer,
            interval,
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
            return None;
        }
        match Answers::try_from(reply) {
            Ok(answers) => {
                tracing::info!(
                    revision = answers.revision,
                    profiles = answers.profiles.len(),
                    "public answers renewed"
                );
                if answers.profiles.is_empty() {
                    self.readiness
                        .set_cause(COMPONENT, "the signer has no profile");
                } else {
                    self.readiness.clear(COMPONENT);
                }
                Some(Arc::new(answers))
            }
            Err(error) => {
                tracing::error!(%error, "public answers of the signer refused");
                None
            }
        }
    }

    /// With answers at hand this tier stays ready: devices get their 503 for PKIOperation alone.
    fn away(&mut self, current: &Answers, reason: &str) {
        observe::signer_up(false);
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

/// Why the signer's public answers are not taken over.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnswersError {
    #[error("more than {MAX_PROFILES} profiles")]
    TooMany,
    #[error("profile `{0}` has another content type than RFC 8894 allows for GetCACert")]
    ContentType(String),
    #[error("several default profiles")]
    SeveralDefaults,
}

impl TryFrom<PublicInfoReply> for Answers {
    type Error = AnswersError;

    fn try_from(reply: PublicInfoReply) -> Result<Self, AnswersError> {
        let PublicInfoReply { revision, profiles } = reply;
        if profiles.len() > MAX_PROFILES {
            return Err(AnswersError::TooMany);
        }
        let mut answers = Self {
            revision,
            ..Self::default()
        };
        for info in profiles {
            let is_default = info.is_default;
            let profile = Arc::new(Profile::try_from(info)?);
            if is_default && answers.default.replace(Arc::clone(&profile)).is_some() {
                return Err(AnswersError::SeveralDefaults);
            }
            answers.profiles.insert(Arc::clone(&profile.name), profile);
        }
        Ok(answers)
    }
}

impl TryFrom<ProfileInfo> for Profile {
    type Error = AnswersError;

    fn try_from(info: ProfileInfo) -> Result<Self, AnswersError> {
        let ProfileInfo {
            profile,
            capabilities,
            ca_certificates,
            ca_certificates_type,
            is_default: _,
        } = info;
        let content_type = [CA_CERTIFICATE_TYPE, CA_RA_CERTIFICATES_TYPE]
            .into_iter()
            .find(|known| *known == ca_certificates_type)
            .ok_or_else(|| AnswersError::ContentType(profile.clone()))?;
        Ok(Self {
            name: profile.into(),
            capabilities: Answer {
                body: Bytes::from(capabilities),
                content_type: CAPABILITIES_TYPE,
            },
            ca_certificates: Answer {
                body: Bytes::from(ca_certificates),
                content_type,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(content_type: &str, is_default: bool) -> ProfileInfo {
        ProfileInfo {
            profile: "devices".to_owned(),
            capabilities: "AES\n".to_owned(),
            ca_certificates: vec![0x30],
            ca_certificates_type: content_type.to_owned(),
            is_default,
        }
    }

    fn reply(profiles: Vec<ProfileInfo>) -> PublicInfoReply {
        PublicInfoReply {
            revision: "1".to_owned(),
            profiles,
        }
    }

    #[test]
    fn only_the_content_types_of_the_rfc_are_taken_over() {
        let answers = Answers::try_from(reply(vec![info(CA_RA_CERTIFICATES_TYPE, true)])).unwrap();
        assert_eq!(
            answers.default.unwrap().ca_certificates.content_type,
            CA_RA_CERTIFICATES_TYPE
        );
        let refused = Answers::try_from(reply(vec![info("text/html", true)])).unwrap_err();
        assert_eq!(refused, AnswersError::ContentType("devices".to_owned()));
    }

    #[test]
    fn two_defaults_are_refused() {
        let two = vec![
            info(CA_CERTIFICATE_TYPE, true),
            info(CA_CERTIFICATE_TYPE, true),
        ];
        assert_eq!(
            Answers::try_from(reply(two)).unwrap_err(),
            AnswersError::SeveralDefaults
        );
    }
}
