//! What a failure of the SCEP client means to the person at the terminal: an exit code, and what to do next.

use std::error::Error as _;

use assay_console::failure::{Exit, Failure, Outcome};
use assay_scep_client::{Error, Result};

/// Turns a result of the SCEP client into that of a command.
pub(crate) trait Explain<T> {
    fn explained(self) -> Outcome<T>;
}

impl<T> Explain<T> for Result<T> {
    fn explained(self) -> Outcome<T> {
        self.map_err(|error| explain(&error))
    }
}

/// The one place where errors of the client become exit codes.
pub(crate) fn explain(error: &Error) -> Failure {
    let (exit, next) = match error {
        Error::Url(_) => (
            Exit::Usage,
            Some("give http://HOST[:PORT]/scep/PROFILE".to_owned()),
        ),
        Error::Unreachable { .. } => (
            Exit::Unreachable,
            Some("see that assay-frontend runs and listens there".to_owned()),
        ),
        Error::Status {
            operation,
            retry_after,
            ..
        } => {
            let exit = if error.is_passing() {
                Exit::Unreachable
            } else {
                Exit::Failed
            };
            let next = match retry_after {
                Some(seconds) => format!("try again in {seconds} s"),
                None if operation == "GetNextCACert" => {
                    "there is no next CA, or it has taken over: see GetCACert".to_owned()
                }
                None => "see that the URL names a profile that is in force".to_owned(),
            };
            (exit, Some(next))
        }
        Error::NoRa => (
            Exit::Failed,
            Some("the RA needs keyEncipherment and digitalSignature, the CA CA:TRUE".to_owned()),
        ),
        Error::NextCa(_) => (
            Exit::Failed,
            Some(
                "do not use it; see which RA certificates the server names (GetCACert)".to_owned(),
            ),
        ),
        Error::OtherCa { .. } => (
            Exit::Failed,
            Some("do not enrol there, unless the fingerprint you gave is out of date".to_owned()),
        ),
        Error::NotSigned(_) => (Exit::Failed, Some("do not use it".to_owned())),
        Error::KeyFile { .. } => (
            Exit::Failed,
            Some("give an unencrypted RSA or elliptic-curve key, PEM".to_owned()),
        ),
        Error::KeyMismatch { .. } => (
            Exit::Failed,
            Some("give the certificate, then its own key".to_owned()),
        ),
        Error::CannotDecrypt => (
            Exit::Failed,
            Some(
                "fetch the CRL from where the certificate says; `assay cert show` has certificates"
                    .to_owned(),
            ),
        ),
        Error::Refused(_) => (
            Exit::Failed,
            Some("`assay audit list --kind request.refused` names the rule".to_owned()),
        ),
        Error::Pending => (Exit::Pending, Some("see `assay request list`".to_owned())),
        Error::Exchange { .. }
        | Error::CaCertificates(_)
        | Error::Verify(_)
        | Error::Generate(_)
        | Error::Encoding(_)
        | Error::Read { .. }
        | Error::CertificateFile { .. }
        | Error::Build(_)
        | Error::Untrusted(_) => (Exit::Failed, None),
    };
    let mut what = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        what.push_str(&format!(": {error}"));
        cause = error.source();
    }
    let failure = Failure::new(exit, what);
    match next {
        Some(next) => failure.next(next),
        None => failure,
    }
}
