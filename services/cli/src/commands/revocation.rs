//! `assay cert revoke`, `hold` and `release`: the next CRL, signed at once, tells of it.

mod from_journal;
mod journal;
mod published;

use std::path::PathBuf;
use std::time::SystemTime;

use assay_console::failure::{Failure, Next, OrFail, Outcome};
use assay_console::output::Output;
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

const EXAMPLES: &str = "\
Examples:
  assay cert revoke 5504a0820bf2a681d51c53c498716c955c --reason key-compromise

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
    } = args;
    if from_journal.is_some() && RevocationReason::from(reason) == RevocationReason::CertificateHold
    {
        return Err(
            Failure::usage("a certificate from the journal cannot be put on hold")
                .next("name another --reason; `assay cert hold` is for certificates that the signer knows"),
        );
    }
    let done = match (serial, from_journal) {
        (Some(serial), None) => Done::revoke(serial, reason, &mut admin).await?,
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
    out.one(&done, |done| vec![done.text()])
}

pub(super) async fn hold(
    args: SerialArgs,
    mut admin: Admin,
    installation: &Installation,
    out: Output,
) -> Outcome {
    let done = Done::revoke(args.serial, Reason::CertificateHold, &mut admin).await?;
    done.published(&mut admin, installation, Wanted::Listed)
        .await?;
    out.one(&done, |done| vec![done.text()])
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
    };
    done.published(&mut admin, installation, Wanted::Absent { since })
        .await?;
    out.one(&done, |done| vec![done.text()])
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
}

impl Done {
    async fn revoke(serial: String, reason: Reason, admin: &mut Admin) -> Outcome<Self> {
        let reason = RevocationReason::from(reason);
        let request = RevokeCertificateRequest {
            serial: serial.clone(),
            reason: reason.into(),
            certificate: Vec::new(),
        };
        let RevokeCertificateReply {
            changed,
            crl_number,
            imported: _,
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
        };
        let RevokeCertificateReply {
            changed,
            crl_number,
            imported,
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
