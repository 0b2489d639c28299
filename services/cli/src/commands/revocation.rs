//! `assay cert revoke`, `hold` and `release`: the next CRL, signed at once, tells of it.

use assay_console::failure::{Next, Outcome};
use assay_console::output::Output;
use assay_operator::admin::Admin;
use assay_proto::Named;
use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::{
    ReleaseCertificateRequest, RevocationReason, RevokeCertificateReply, RevokeCertificateRequest,
};
use clap::{Args, ValueEnum};
use serde::Serialize;

#[derive(Debug, Args)]
#[command(about = "Revoke a certificate for good")]
#[command(long_about = "\
Revokes a certificate for good: it is in the next CRL, which is signed at once, and in every one until it expires. \
A certificate on hold is revoked the same way. `assay cert hold` is for a device that may turn up again.")]
pub(crate) struct RevokeArgs {
    /// Serial number, hex, with or without colons
    serial: String,

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

pub(super) async fn revoke(args: RevokeArgs, admin: Admin, out: Output) -> Outcome {
    let done = Done::revoke(args.serial, args.reason, admin).await?;
    out.one(&done, |done| vec![done.text()])
}

pub(super) async fn hold(args: SerialArgs, admin: Admin, out: Output) -> Outcome {
    let done = Done::revoke(args.serial, Reason::CertificateHold, admin).await?;
    out.one(&done, |done| vec![done.text()])
}

pub(super) async fn release(args: SerialArgs, mut admin: Admin, out: Output) -> Outcome {
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
        crl_number: reply.crl_number,
    };
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
    crl_number: u64,
}

impl Done {
    async fn revoke(serial: String, reason: Reason, mut admin: Admin) -> Outcome<Self> {
        let reason = RevocationReason::from(reason);
        let request = RevokeCertificateRequest {
            serial: serial.clone(),
            reason: reason.into(),
        };
        let RevokeCertificateReply {
            changed,
            crl_number,
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
            crl_number,
        })
    }

    fn text(&self) -> String {
        if self.changed {
            format!(
                "{} {}: in CRL {}",
                self.action, self.serial, self.crl_number
            )
        } else {
            format!(
                "{} was revoked or held before: nothing changed",
                self.serial
            )
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
