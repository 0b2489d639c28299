//! What keeps a service from doing its work, component by component.

use std::collections::BTreeMap;

use tokio::sync::watch;

/// The causes why a service is not ready; none left means ready. Clones share them.
#[derive(Debug, Clone)]
pub struct Readiness {
    causes: watch::Sender<BTreeMap<&'static str, String>>,
    warnings: watch::Sender<BTreeMap<&'static str, String>>,
    details: watch::Sender<BTreeMap<&'static str, String>>,
}

impl Readiness {
    /// Not ready until each of these components has been cleared once.
    pub fn waiting_for(components: &[&'static str]) -> Self {
        let causes = components
            .iter()
            .map(|component| (*component, "starting".to_owned()))
            .collect();
        Self {
            causes: watch::Sender::new(causes),
            warnings: watch::Sender::new(BTreeMap::new()),
            details: watch::Sender::new(BTreeMap::new()),
        }
    }

    /// Says why a component is not ready.
    pub fn set_cause(&self, component: &'static str, cause: impl Into<String>) {
        let cause = cause.into();
        self.causes.send_if_modified(|causes| {
            let changed = causes.get(component) != Some(&cause);
            if changed {
                tracing::warn!(component, cause, "not ready");
                causes.insert(component, cause);
            }
            changed
        });
    }

    /// Says that a component is ready.
    pub fn clear(&self, component: &'static str) {
        self.causes.send_if_modified(|causes| {
            let changed = causes.remove(component).is_some();
            if changed {
                tracing::info!(component, "ready");
            }
            changed
        });
    }

    /// Says what will be in the way of a component if nobody acts, or `None` where nothing will. It stays ready.
    pub fn warn(&self, component: &'static str, warning: Option<String>) {
        self.warnings.send_if_modified(|warnings| {
            let changed = warnings.get(component) != warning.as_ref();
            match warning {
                Some(text) => {
                    if changed {
                        tracing::warn!(component, warning = text, "needs somebody");
                    }
                    warnings.insert(component, text);
                }
                None => {
                    warnings.remove(component);
                }
            }
            changed
        });
    }

    /// Says how a component stands, good or bad, for whoever looks.
    pub fn tell(&self, component: &'static str, detail: String) {
        self.details.send_modify(|details| {
            details.insert(component, detail);
        });
    }

    /// What components told of themselves, by component.
    pub fn details(&self) -> BTreeMap<&'static str, String> {
        self.details.borrow().clone()
    }

    /// The warnings, each `component: warning`, by component.
    pub fn warnings(&self) -> Vec<String> {
        lines(&self.warnings)
    }

    /// Whether nothing is in the way.
    pub fn is_ready(&self) -> bool {
        self.causes.borrow().is_empty()
    }

    /// The causes, each `component: cause`, by component.
    pub fn causes(&self) -> Vec<String> {
        lines(&self.causes)
    }

    /// Waits until nothing is in the way.
    pub async fn ready(&self) {
        // The sender lives in `self`, so the wait cannot fail.
        let _ = self.causes.subscribe().wait_for(BTreeMap::is_empty).await;
    }
}

fn lines(of: &watch::Sender<BTreeMap<&'static str, String>>) -> Vec<String> {
    of.borrow()
        .iter()
        .map(|(component, text)| format!("{component}: {text}"))
        .collect()
}
