//! `assay cert revoke`, `hold` and `release`: the next CRL, signed at once, tells of it.

mod from_journal;
mod journal;
mod published;

use std::path::PathBuf;
use std::time::SystemTime;

use assay_console::failure::{Failure, Next, OrFail, Outcome};
use assay_console::output::{self, Output};
use assay_operator::admin::Admin;
use assay_operator::installation::Installation;
use assay_proto::Named;
use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::{
    ReleaseCertificateRequest, RevocationReason, RevokeCertificateReply, RevokeCertificateRequest,
};
use assay_types::Serial;
use clap::{Args, ValueEnum};
use serde::Serialize;

use published::Wanted;

/// Serials that a warning lists; `--json` has all that the signer sent.
const WARNED: usize = 20;

const EXAMPLES: &str = "\
Examples:
  assay cert revoke 5504a0820bf2a681d51c53c498716c955c --reason key-compromise
  The same, and every certificate that was issued by renewing it, and by renewing those:
    assay cert revoke 5504a0820bf2a681d51c53c498716c955c --reason key-compromise --with-successors

  A certificate that the HSM service signed and the signer does not know, after its database was set back or if the
  signer was under foreign control. As the user of the HSM service, on its host:
    runuser -u assay-hsm -- assay-hsm journal export --config /etc/assay/hsm.toml > journal.export
  Then, with the file at the operator's side:
    assay cert revoke 5504a0820bf2a681d51c53c498716c955c --from-journal journal.export --reason key-compromise
    assay cert revoke --all-unknown --from-journal journal.export --reason key-compromise";

#[derive(Debug, Args)]
#[command(about = "Revoke a certificate for good")]
#[command(long_about = "\
Revokes a certificate for good: it is in the next CRL, which is signed at once, and in every one until it expires. \
A certificate on hold is revoked the same way. `assay cert hold` is for a device that may turn up again.

Certificates that descend from it by renewal stay in force, unless --with-successors is given: then all of them that are neither \
expired nor revoked for good are revoked with it, in one transaction and on one CRL for each CA. One call revokes at most 1,000 \
successors, the oldest first; it says if there are more. If a key was stolen, its thief may have renewed: with --reason \
key-compromise the command warns of live successors. A renewal at work meanwhile issues nothing.

With --from-journal the certificate is taken from an export of the HSM service's journal and sent along. If the signer does \
not know it, it verifies the signature with the key of its CA, enters the certificate as imported, and revokes it. An imported \
certificate authorises nothing; it cannot be put on hold. If the signer knows the certificate, it is revoked as any other.

The command fetches the newest CRL and verifies it with the certificate of the CA, `ca.pem` in `certificates` or in a directory \
below, before it says that the certificate is listed. If no such CRL can be had, it fails: the revocation is recorded and not yet \
published.

Revocations at one time share a CRL. If there are more than the ceiling crls_per_hour of the HSM service allows, they are recorded all \
the same, and the next CRL that can be signed lists them.")]
#[command(after_help = EXAMPLES)]
pub(crate) struct RevokeArgs {
    /// Serial number, hex, with or without colons
    #[arg(
        required_unless_present = "all_unknown",
        conflicts_with = "all_unknown"
    )]
    serial: Option<String>,

    /// Take the certificate from this file, which `assay-hsm journal export` wrote
    #[arg(long, value_name = "FILE")]
    from_journal: Option<PathBuf>,

    /// Revoke every unexpired certificate of the file that the signer does not know
    #[arg(long, requires = "from_journal")]
    all_unknown: bool,

    /// Why, as the CRL will say (RFC 5280, section 5.3.1)
    #[arg(long, value_enum, default_value_t = Reason::Unspecified)]
    reason: Reason,

    /// Also revoke every live certificate that descends from it by renewal
    #[arg(long, conflicts_with = "from_journal")]
    with_successors: bool,
}

#[derive(Debug, Args)]
pub(crate) struct HoldArgs {
    /// Serial number, hex, with or without colons
    serial: String,

    /// Also hold every certificate in force that descends from it by renewal
    #[arg(long)]
    with_successors: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SerialArgs {
    /// Serial number, hex, with or without colons
    serial: String,
}

/// RFC 5280 CRLReason without those that are not a CA's to give to a device. Both spellings are taken: this tool's and
/// the RFC's.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Reason {
    /// No reason is told
    Unspecified,
    /// The private key is, or may be, in other hands
    #[value(alias = "keyCompromise")]
    KeyCompromise,
    /// The names no longer fit the device or its owner
    #[value(alias = "affiliationChanged")]
    AffiliationChanged,
    /// Another certificate took its place
    Superseded,
    /// The device is out of service
    #[value(alias = "cessationOfOperation")]
    CessationOfOperation,
    /// On hold, as by `assay cert hold`
    #[value(alias = "certificateHold")]
    CertificateHold,
    /// What the certificate granted was taken back
    #[value(alias = "privilegeWithdrawn")]
    PrivilegeWithdrawn,
}

impl From<Reason> for RevocationReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Unspecified => Self::Unspecified,
            Reason::KeyCompromise => Self::KeyCompromise,
            Reason::AffiliationChanged => Self::AffiliationChanged,
            Reason::Superseded => Self::Superseded,
            Reason::CessationOfOperation => Self::CessationOfOperation,
            Reason::CertificateHold => Self::CertificateHold,
            Reason::PrivilegeWithdrawn => Self::PrivilegeWithdrawn,
        }
    }
}

pub(super) async fn revoke(
    args: RevokeArgs,
    mut admin: Admin,
    installation: &Installation,
    out: Output,
) -> Outcome {
    let RevokeArgs {
        serial,
        from_journal,
        all_unknown: _,
        reason,
        with_successors,
    } = args;
    if from_journal.is_some() && RevocationReason::from(reason) == RevocationReason::CertificateHold
    {
        return Err(
            Failure::usage("a certificate from the journal cannot be put on hold")
                .next("name another --reason; `assay cert hold` is for certificates that the signer knows"),
        );
    }
    let done = match (serial, from_journal) {
        (Some(serial), None) => Done::revoke(serial, reason, with_successors, &mut admin).await?,
        (Some(serial), Some(file)) => {
            let serial: Serial = serial.parse().or_usage("SERIAL")?;
            let certificate = journal::find(&file, &serial)?;
            Done::import(serial.to_string(), certificate, reason, &mut admin).await?
        }
        (None, Some(file)) => {
            return from_journal::all_unknown(&file, reason, admin, installation, out).await;
        }
        (None, None) => return Err(Failure::usage("SERIAL is missing")),
    };
    done.published(&mut admin, installation, Wanted::Listed)
        .await?;
    done.print(out)
}

pub(super) async fn hold(
    args: HoldArgs,
    mut admin: Admin,
    installation: &Installation,
    out: Output,
) -> Outcome {
    let HoldArgs {
        serial,
        with_successors,
    } = args;
    let hold = Done::revoke(serial, Reason::CertificateHold, with_successors, &mut admin);
    let done = hold.await?;
    done.published(&mut admin, installation, Wanted::Listed)
        .await?;
    done.print(out)
}

pub(super) async fn release(
    args: SerialArgs,
    mut admin: Admin,
    installation: &Installation,
    out: Output,
) -> Outcome {
    let since = SystemTime::now().into();
    let request = ReleaseCertificateRequest {
        serial: args.serial.clone(),
    };
    let reply = admin
        .call(request, AdministrationClient::release_certificate)
        .await
        .next("only a certificate on hold can be released; `assay cert show` tells its state")?;
    let done = Done {
        serial: args.serial,
        action: "released",
        reason: None,
        changed: true,
        imported: None,
        crl_number: reply.crl_number,
        revoked_successors: None,
        live_successors: None,
        more_live_successors: false,
    };
    done.published(&mut admin, installation, Wanted::Absent { since })
        .await?;
    done.print(out)
}

#[derive(Debug, Serialize)]
struct Done {
    serial: String,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// False where it was so before.
    changed: bool,
    /// Whether the signer did not know it; only of a certificate from the journal.
    #[serde(skip_serializing_if = "Option::is_none")]
    imported: Option<bool>,
    crl_number: u64,
    /// Only with --with-successors: the successors that were revoked or held with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_successors: Option<Vec<String>>,
    /// Live certificates that descend from it by renewal; absent of a release.
    #[serde(skip_serializing_if = "Option::is_none")]
    live_successors: Option<Vec<String>>,
    /// Whether there are more of them than those.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more_live_successors: bool,
}

impl Done {
    async fn revoke(
        serial: String,
        reason: Reason,
        with_successors: bool,
        admin: &mut Admin,
    ) -> Outcome<Self> {
        let reason = RevocationReason::from(reason);
        let request = RevokeCertificateRequest {
            serial: serial.clone(),
            reason: reason.into(),
            certificate: Vec::new(),
            with_successors,
        };
        let RevokeCertificateReply {
            changed,
            crl_number,
            imported: _,
            revoked_successors,
            live_successors,
            more_live_successors,
        } = admin
            .call(request, AdministrationClient::revoke_certificate)
            .await
            .next("`assay cert list` shows the serial numbers and their states")?;
        Ok(Self {
            serial,
            action: if reason == RevocationReason::CertificateHold {
                "held"
            } else {
                "revoked"
            },
            reason: Some(reason.as_str()),
            changed,
            imported: None,
            crl_number,
            revoked_successors: with_successors.then_some(revoked_successors),
            live_successors: Some(live_successors),
            more_live_successors,
        })
    }

    /// Revokes a certificate, DER, which the signer takes up if it does not know it.
    async fn import(
        serial: String,
        certificate: Vec<u8>,
        reason: Reason,
        admin: &mut Admin,
    ) -> Outcome<Self> {
        let reason = RevocationReason::from(reason);
        let request = RevokeCertificateRequest {
            serial: serial.clone(),
            reason: reason.into(),
            certificate,
            with_successors: false,
        };
        let RevokeCertificateReply {
            changed,
            crl_number,
            imported,
            revoked_successors: _,
            live_successors,
            more_live_successors,
        } = admin
            .call(request, AdministrationClient::revoke_certificate)
            .await?;
        Ok(Self {
            serial,
            action: "revoked",
            reason: Some(reason.as_str()),
            changed,
            imported: Some(imported),
            crl_number,
            revoked_successors: None,
            live_successors: Some(live_successors),
            more_live_successors,
        })
    }

    /// The change is on a CRL that this program has seen.
    async fn published(
        &self,
        admin: &mut Admin,
        installation: &Installation,
        wanted: Wanted,
    ) -> Outcome {
        let serial: Serial = self.serial.parse().or_usage("SERIAL")?;
        published::check(admin, installation, &serial, self.crl_number, wanted).await
    }

    /// A line for each certificate that changed, and a warning where a stolen key may live on.
    fn print(self, out: Output) -> Outcome {
        out.one(&self, Self::lines)?;
        if let Some(warning) = self.warning() {
            output::note(&warning);
        }
        Ok(())
    }

    fn lines(&self) -> Vec<String> {
        let successors = self.revoked_successors.iter().flatten();
        let successors = successors.map(|serial| {
            format!(
                "{} {serial}, a successor of {}: in CRL {}",
                self.action, self.serial, self.crl_number
            )
        });
        std::iter::once(self.text()).chain(successors).collect()
    }

    /// Of successors that a revocation leaves in force.
    fn warning(&self) -> Option<String> {
        let live = self.live_successors.as_deref().unwrap_or_default();
        let asked = self.revoked_successors.is_some();
        let is_stolen = self.reason == Some(RevocationReason::KeyCompromise.as_str());
        if live.is_empty() || !(asked || is_stolen) {
            return None;
        }
        let serial = &self.serial;
        let least = if self.more_live_successors {
            "at least "
        } else {
            ""
        };
        let mut listed: Vec<&str> = live.iter().map(String::as_str).take(WARNED).collect();
        if self.more_live_successors || live.len() > WARNED {
            listed.push("...");
        }
        let next = if asked {
            "repeat the command for these"
        } else {
            "a thief of the key may have renewed it; repeat the command with --with-successors to revoke them too"
        };
        Some(format!(
            "warning: {least}{} live certificates descend from {serial} by renewal: {}; {next}",
            live.len(),
            listed.join(", ")
        ))
    }

    fn text(&self) -> String {
        let Self {
            serial,
            action,
            crl_number,
            ..
        } = self;
        match (self.changed, self.imported) {
            (true, None) => format!("{action} {serial}: in CRL {crl_number}"),
            (true, Some(true)) => format!(
                "imported and revoked {serial}, which the signer did not know: in CRL {crl_number}"
            ),
            (true, Some(false)) => format!(
                "revoked {serial}, which the signer knows, so that it was not imported: in CRL {crl_number}"
            ),
            (false, _) => format!("{serial} was revoked or held before: nothing changed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_spelt_on_the_command_line_as_on_the_wire() {
        for reason in Reason::value_variants() {
            let value = reason.to_possible_value().unwrap();
            assert_eq!(value.get_name(), RevocationReason::from(*reason).as_str());
        }
    }

    #[test]
    fn a_key_compromise_that_leaves_successors_in_force_is_warned_of() {
        let done = |reason, asked: bool, live: &[&str]| Done {
            serial: "01".to_owned(),
            action: "revoked",
            reason: Some(reason),
            changed: true,
            imported: None,
            crl_number: 7,
            revoked_successors: asked.then(|| vec!["02".to_owned()]),
            live_successors: Some(live.iter().map(|serial| (*serial).to_owned()).collect()),
            more_live_successors: false,
        };
        let warning = done("key-compromise", false, &["02", "03"]).warning();
        let warning = warning.unwrap();
        let said = "warning: 2 live certificates descend from 01 by renewal: 02, 03; ";
        assert!(warning.starts_with(said), "{warning}");
        assert!(warning.contains("--with-successors"), "{warning}");
        assert_eq!(done("superseded", false, &["02"]).warning(), None);
        assert_eq!(done("key-compromise", false, &[]).warning(), None);
        let rest = done("superseded", true, &["03"]);
        assert!(
            rest.warning()
                .unwrap()
                .ends_with("repeat the command for these")
        );
        assert_eq!(
            rest.lines(),
            [
                "revoked 01: in CRL 7",
                "revoked 02, a successor of 01: in CRL 7"
            ]
        );
    }

    #[test]
    fn the_spelling_of_the_rfc_is_taken_too() {
        for (text, wire) in [
            ("keyCompromise", "key-compromise"),
            ("certificateHold", "certificate-hold"),
            ("superseded", "superseded"),
        ] {
            let reason = Reason::from_str(text, false).unwrap();
            assert_eq!(RevocationReason::from(reason).as_str(), wire);
        }
        assert!(Reason::from_str("cACompromise", false).is_err());
    }
}
