use std::fmt;

use assay_journal::{Event, Head, Item, Known, Origin};
use assay_types::{Hash, Timestamp};
use serde::{Serialize, Serializer};

/// Most events that a report lists.
pub const MAX_EVENTS: usize = 10_000;

/// Most serial numbers that one event lists.
const MAX_SERIALS: usize = 100;

/// The journal of the HSM service beside the log.
#[derive(Clone, Debug, Serialize)]
pub struct JournalReport {
    /// Head of the export, as a checkpoint would state it.
    #[serde(serialize_with = "shown")]
    pub head: Head,
    /// Entries that were reconciled with the log: those under the head that the checkpoint of the log states.
    pub covered: u64,
    /// Entries after those. Nothing vouches for them yet, so nothing that they say is in this report.
    pub uncovered: u64,
    /// Certificates that were asked for and not signed, and of which the log has no certificate.
    pub unsigned: u64,
    /// Certificates whose record may follow the end of the log.
    pub in_progress: u64,
    /// Under which configuration and version of the policy the service ran, one interval after the other.
    pub intervals: Vec<Interval>,
    /// Actions of people on the host of the service, and other events that an auditor has to know; the first [`MAX_EVENTS`].
    pub events: Vec<Noted>,
    /// Events that are not listed.
    pub events_left_out: u64,
}

/// A time in which the HSM service ran with one configuration under one version of the policy.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Interval {
    /// When it began.
    pub from: Timestamp,
    /// When it ended: with the next start, the next version, or the end of what was reconciled.
    pub until: Timestamp,
    /// Entry of the journal that states the configuration.
    pub entry: u64,
    /// SHA-256 of the configuration.
    pub configuration: Hash,
    /// Number of the version of the policy in force; none before the first.
    pub version: Option<u64>,
    /// The configuration that this version names.
    pub approved: Option<Hash>,
    /// How the two go together.
    pub agreement: Agreement,
    /// Whether the service accepted its own user as the signer.
    pub allow_same_user: bool,
}

/// How the configuration of the HSM service and the version of the policy go together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Agreement {
    /// The version names this configuration.
    Approved,
    /// The version names another one: a finding.
    Differs,
    /// Within the hour around the change from one version to the other, one of which names this configuration.
    Changeover,
    /// The version names none.
    NotNamed,
    /// No version was in force.
    NoVersion,
}

/// An entry of the journal that is listed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Noted {
    /// Number of the entry.
    pub entry: u64,
    /// Its time.
    pub time: Timestamp,
    /// Which kind.
    pub kind: &'static str,
    /// One line about it.
    pub detail: String,
}

impl JournalReport {
    pub(super) fn new(head: Head) -> Self {
        Self {
            head,
            covered: 0,
            uncovered: 0,
            unsigned: 0,
            in_progress: 0,
            intervals: Vec::new(),
            events: Vec::new(),
            events_left_out: 0,
        }
    }

    /// Lists the entry if it is about what people did on the host of the service.
    pub(super) fn note(&mut self, item: &Item) {
        let (kind, detail) = match &item.entry.event {
            Event::Created { log, .. } if log.size() > 0 => (
                "created",
                format!("after {} records of the log", log.size()),
            ),
            Event::Suspended => ("suspended", "certificates are refused".to_owned()),
            Event::Resumed => ("resumed", "certificates are signed again".to_owned()),
            Event::Lifted { limit, to, until } => {
                ("ceiling-lifted", format!("{limit} to {to} until {until}"))
            }
            Event::Known {
                origin,
                certificates: _,
                ..
            } => {
                let body = item.body.as_deref().unwrap_or_default();
                let known = Known::read_all(body).unwrap_or_default();
                let serials = known
                    .iter()
                    .take(MAX_SERIALS)
                    .map(|it| it.serial.to_string());
                let serials: Vec<String> = serials.collect();
                let origin = match origin {
                    Origin::Ceremony => "a ceremony",
                    Origin::Recovery => "a recovery",
                };
                let (count, serials) = (known.len(), serials.join(" "));
                ("known", format!("{count} of {origin}: {serials}"))
            }
            Event::ClockAccepted { from, to } => ("clock-accepted", format!("from {from} to {to}")),
            Event::Pruned {
                until,
                certificates,
            } => (
                "pruned",
                format!("{certificates} certificates in all, those to be kept until {until}"),
            ),
            Event::Created { .. }
            | Event::Started(_)
            | Event::Reloaded(_)
            | Event::Certificate { .. }
            | Event::Signed { .. }
            | Event::Crl { .. }
            | Event::Checkpoint { .. }
            | Event::Counted { .. } => return,
        };
        self.list(item.number, item.entry.time, kind, detail);
    }

    pub(super) fn list(&mut self, entry: u64, time: Timestamp, kind: &'static str, detail: String) {
        if self.events.len() == MAX_EVENTS {
            self.events_left_out += 1;
            return;
        }
        self.events.push(Noted {
            entry,
            time,
            kind,
            detail,
        });
    }
}

fn shown<S: Serializer>(head: &Head, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(head)
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            from,
            until,
            entry,
            configuration,
            version,
            approved,
            agreement,
            allow_same_user,
        } = self;
        write!(
            f,
            "{from} to {until}: configuration {configuration} (entry {entry}): "
        )?;
        match (agreement, version, approved) {
            (Agreement::Approved, Some(version), _) => {
                write!(f, "approved by version {version}")?;
            }
            (Agreement::Differs, Some(version), Some(approved)) => {
                write!(f, "version {version} names {approved}")?;
            }
            (Agreement::Changeover, Some(version), _) => {
                write!(f, "changeover around version {version}")?;
            }
            (Agreement::NotNamed, Some(version), _) => {
                write!(f, "version {version} names none")?;
            }
            _ => f.write_str("no version of the policy was in force")?,
        }
        if *allow_same_user {
            f.write_str(", under allow_same_user")?;
        }
        Ok(())
    }
}

impl fmt::Display for Noted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            entry,
            time,
            kind,
            detail,
        } = self;
        write!(f, "{time}: {kind}: {detail} (entry {entry})")
    }
}
