//! `assay cert revoke --from-journal`: certificates that the HSM service signed and the signer does not know.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use assay_console::failure::{Exit, Failure, OrFail, Outcome};
use assay_console::output::{self, Output};
use assay_console::progress::Progress;
use assay_operator::admin::Admin;
use assay_operator::installation::Installation;
use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::{CertificateState, ListCertificatesRequest, PageRequest};
use assay_types::Timestamp;
use serde::Serialize;

use super::journal::{Asked, Entries, Step};
use super::{Done, Reason, published};

/// Unknown certificates whose signature is yet to come in the export: as many as are kept in memory.
const MAX_UNSIGNED: usize = 1_000;

/// The outcome for the certificates of an export.
#[derive(Debug, Default, Serialize)]
struct Report {
    /// Certificates of the export.
    certificates: u64,
    /// Of them those that have expired, about which the signer was not asked.
    expired: u64,
    /// Those that the signer knew.
    known: u64,
    revoked: Vec<Done>,
    /// Those that the signer does not know and that could not be revoked.
    left: Vec<Left>,
}

#[derive(Debug, Serialize)]
struct Left {
    serial: String,
    /// Number of the entry of the journal.
    entry: u64,
    why: String,
}

/// Revokes every certificate of the export that the signer does not know.
pub(super) async fn all_unknown(
    file: &Path,
    reason: Reason,
    mut admin: Admin,
    installation: &Installation,
    out: Output,
) -> Outcome {
    // Nothing is revoked by an export that does not hold to its end.
    let mut total = 0;
    for step in Entries::open(file)? {
        total += u64::from(matches!(step?, Step::Asked(_)));
    }
    let progress = Progress::new("certificates", total);
    let mut report = Report::default();
    let ended = report
        .take_all(Entries::open(file)?, reason, &mut admin, &progress)
        .await;
    drop(progress);
    if let Err(failure) = ended {
        let revoked = report.revoked.len();
        output::note(&format!(
            "{revoked} certificates were revoked before that; the same command continues with the others"
        ));
        return Err(failure);
    }
    let revoked = report.revoked.iter();
    let revoked =
        revoked.map(|done| Ok((done.serial.parse().or_usage("SERIAL")?, done.crl_number)));
    let revoked = revoked.collect::<Outcome<_>>()?;
    published::all_listed(&mut admin, installation, revoked).await?;
    out.one(&report, Report::lines)?;
    if report.left.is_empty() {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "{}: {} certificates that the signer does not know could not be revoked",
        file.display(),
        report.left.len()
    )))
}

impl Report {
    async fn take_all(
        &mut self,
        entries: Entries<'_>,
        reason: Reason,
        admin: &mut Admin,
        progress: &Progress,
    ) -> Outcome {
        let now = Timestamp::from(SystemTime::now());
        let mut unsigned: BTreeMap<u64, Asked> = BTreeMap::new();
        for step in entries {
            match step? {
                Step::Asked(asked) => {
                    progress.add(1);
                    self.certificates += 1;
                    if asked.not_after < now {
                        self.expired += 1;
                    } else if is_known(admin, &asked.serial.to_string()).await? {
                        self.known += 1;
                    } else if unsigned.len() < MAX_UNSIGNED {
                        unsigned.insert(asked.entry, asked);
                    } else {
                        return Err(Failure::failed(format!(
                            "entry {}: more than {MAX_UNSIGNED} unknown certificates have no signature",
                            asked.entry
                        )));
                    }
                }
                Step::Signed { asked, signature } => {
                    if let Some(asked) = unsigned.remove(&asked) {
                        self.revoke(asked, Some(signature), reason, admin).await?;
                    }
                }
            }
        }
        for asked in unsigned.into_values() {
            self.revoke(asked, None, reason, admin).await?;
        }
        Ok(())
    }

    /// A certificate that the signer refuses, or whose revocation is on no list yet, is left and reported; a signer that does not answer
    /// ends the command.
    async fn revoke(
        &mut self,
        asked: Asked,
        signature: Option<Option<Vec<u8>>>,
        reason: Reason,
        admin: &mut Admin,
    ) -> Outcome {
        let (serial, entry) = (asked.serial.to_string(), asked.entry);
        let why = match asked.certificate(signature) {
            Err(why) => why,
            Ok(certificate) => {
                match Done::import(serial.clone(), certificate, reason, admin).await {
                    Ok(done) => {
                        self.revoked.push(done);
                        return Ok(());
                    }
                    Err(failure) if failure.exit() == Exit::Failed => failure.to_string(),
                    Err(failure) => return Err(failure),
                }
            }
        };
        self.left.push(Left { serial, entry, why });
        Ok(())
    }

    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.revoked.iter().map(Done::text).collect();
        lines.extend(
            self.left
                .iter()
                .map(|left| format!("left {} (entry {}): {}", left.serial, left.entry, left.why)),
        );
        lines.push(format!(
            "{} certificates in the journal: {} expired, {} known to the signer, {} revoked, {} left",
            self.certificates,
            self.expired,
            self.known,
            self.revoked.len(),
            self.left.len()
        ));
        lines
    }
}

/// Whether the signer has the serial number, be it of an intent that is still open.
async fn is_known(admin: &mut Admin, serial: &str) -> Outcome<bool> {
    for state in [CertificateState::Unspecified, CertificateState::Intent] {
        let request = ListCertificatesRequest {
            page: Some(PageRequest {
                size: 1,
                token: String::new(),
            }),
            state: state.into(),
            serial: serial.to_owned(),
            ..ListCertificatesRequest::default()
        };
        let call = AdministrationClient::list_certificates;
        if !admin.call(request, call).await?.certificates.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}
