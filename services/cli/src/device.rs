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
    let exit = if error.is_passing() {
        Exit::Unreachable
    } else if matches!(error, Error::Url(_)) {
        Exit::Usage
    } else if matches!(error, Error::Pending) {
        Exit::Pending
    } else {
        Exit::Failed
    };
    let next = match error {
        Error::Url(_) => "give http://HOST[:PORT]/scep/PROFILE",
        Error::Unreachable { .. } => "see that assay-frontend runs and listens there",
        Error::Status {
            operation,
            retry_after,
            ..
        } => match retry_after {
            Some(seconds) => &format!("try again in {seconds} s"),
            None if operation == "GetNextCACert" => {
                "there is no next CA, or it has taken over: see GetCACert"
            }
            None => "see that the URL names a profile that is in force",
        },
        Error::NoRa => "the RA needs keyEncipherment and digitalSignature, the CA CA:TRUE",
        Error::NextCa(_) => "do not use it; see which RA certificates the server names (GetCACert)",
        Error::OtherCa { .. } => {
            "do not enrol there, unless the fingerprint you gave is out of date"
        }
        Error::NotSigned(_) => "do not use it",
        Error::KeyFile { .. } => "give an unencrypted RSA or elliptic-curve key, PEM",
        Error::KeyMismatch { .. } => "give the certificate, then its own key",
        Error::CannotDecrypt => {
            "fetch the CRL from where the certificate says; `assay cert show` has certificates"
        }
        Error::Refused(_) => "`assay audit list --kind request.refused` names the rule",
        Error::Pending => "see `assay request list`",
        Error::Exchange { .. }
        | Error::CaCertificates(_)
        | Error::Verify(_)
        | Error::Generate(_)
        | Error::Encoding(_)
        | Error::Read { .. }
        | Error::CertificateFile { .. }
        | Error::Build(_)
        | Error::Untrusted(_) => "",
    };
    let mut what = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        what.push_str(&format!(": {error}"));
        cause = error.source();
    }
    let failure = Failure::new(exit, what);
    match next {
        "" => failure,
        next => failure.next(next),
    }
}
