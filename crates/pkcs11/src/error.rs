//! Errors of a token, and their remedies.

use std::path::Path;

use cryptoki::context::Function;
use cryptoki::error::{Error, RvError};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::PinError;

/// The error of a PKCS#11 call. Its text names the function and the return code as PKCS#11 and the manuals of libraries do.
#[derive(Debug, Error)]
#[error("{}", told(.0))]
pub struct CallError(Error);

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

fn told(error: &Error) -> String {
    let Error::Pkcs11(code, function) = error else {
        return error.to_string();
    };
    let code = return_code(*code);
    format!("C_{function:?} returned {code}; the log and the manual of the library say more")
}

/// The name in PKCS#11, such as CKR_DEVICE_ERROR.
pub(crate) fn return_code(code: RvError) -> String {
    let mut name = "CKR".to_owned();
    for letter in format!("{code:?}").chars() {
        if letter.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

/// The change that lets the next attempt at a failed call succeed, if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// The session is lost; a new one may do.
    NewSession,
    /// The library or token is lost; only a new process, with a new C_Initialize, may do.
    NewProcess,
    /// The same call will fail again, whoever makes it.
    Permanent,
}

impl CallError {
    /// Classifies the error of a signature, of a search for a key, or of C_DecryptInit.
    pub fn remedy(&self) -> Remedy {
        let Error::Pkcs11(code, _) = &self.0 else {
            return Remedy::NewProcess;
        };
        if matches!(
            code,
            RvError::SessionClosed
                | RvError::SessionHandleInvalid
                | RvError::OperationActive
                | RvError::OperationNotInitialized
                | RvError::FunctionCanceled
                | RvError::Cancel
        ) {
            Remedy::NewSession
        } else if matches!(
            code,
            RvError::ArgumentsBad
                | RvError::DataInvalid
                | RvError::DataLenRange
                | RvError::FunctionNotSupported
                | RvError::FunctionRejected
                | RvError::KeyFunctionNotPermitted
                | RvError::KeySizeRange
                | RvError::KeyTypeInconsistent
                | RvError::MechanismInvalid
                | RvError::MechanismParamInvalid
        ) {
            Remedy::Permanent
        } else {
            // Among them ObjectHandleInvalid and KeyHandleInvalid, as which a lost token shows: the
            // same library never finds it again.
            Remedy::NewProcess
        }
    }

    /// The error is C_Decrypt's verdict on a ciphertext that anyone can send, so it must not cost a
    /// session nor change health. C_DecryptInit has not seen the ciphertext and never gives one.
    pub fn is_bad_ciphertext(&self) -> bool {
        matches!(
            self.0,
            Error::Pkcs11(
                RvError::GeneralError
                    | RvError::FunctionFailed
                    | RvError::EncryptedDataInvalid
                    | RvError::EncryptedDataLenRange
                    | RvError::DataInvalid
                    | RvError::DataLenRange,
                Function::Decrypt
            )
        )
    }
}

/// Why a token, or a key in it, cannot be used. Each Display is one line that says how to fix it.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum TokenError {
    /// The PKCS#11 library cannot be loaded or initialised.
    #[error(
        "cannot load the PKCS#11 module {module}: {reason}; check the path and the library's own configuration"
    )]
    Module {
        /// Path of the library.
        module: String,
        /// The loader's or library's reason.
        reason: String,
    },
    /// A URI names another library than the one configured.
    #[error(
        "{uri}: names another module-path than the configured module: all keys must lie in one"
    )]
    OtherModule {
        /// The URI.
        uri: String,
    },
    /// No token matches.
    #[error(
        "no token matches {uri}: the module shows {present}; check token and serial, and the library's own configuration"
    )]
    NotFound {
        /// The token asked for.
        uri: String,
        /// Labels and serial numbers of those present.
        present: String,
    },
    /// More than one token matches.
    #[error("{count} tokens match {uri}: add serial=NUMBER")]
    Ambiguous {
        /// The token asked for.
        uri: String,
        /// How many match.
        count: usize,
    },
    /// The PIN could not be read.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The token refused the PIN. It was tried once and is not tried again.
    #[error(
        "token `{token}` refused the PIN ({code}); it was tried once and will not be tried again: correct the PIN source {source_uri}, then restart"
    )]
    WrongPin {
        /// Label of the token.
        token: String,
        /// The token's return code.
        code: String,
        /// Where the PIN came from.
        source_uri: String,
    },
    /// A key lies on another token than the one that is open.
    #[error(
        "{uri}: lies on another token than `{label}` (serial {serial}): all keys must lie on one token"
    )]
    OtherToken {
        /// The key.
        uri: String,
        /// Label of the open token.
        label: String,
        /// Serial number of the open token.
        serial: String,
    },
    /// No such key, or more than one.
    #[error("{count} private keys match {uri}: exactly one must")]
    KeyCount {
        /// The key asked for.
        uri: String,
        /// How many match.
        count: usize,
    },
    /// The public key object of a key is missing, there twice, or unreadable.
    #[error("the public key object of {uri} is missing, there twice, or unreadable")]
    PublicKey {
        /// The key.
        uri: String,
    },
    /// The token holds an object with that id or label; nothing is overwritten.
    #[error(
        "the token already holds {found}: nothing is overwritten; choose another label and id, or delete it with the token's own tools"
    )]
    Exists {
        /// The object that is there.
        found: String,
    },
    /// The role has no use for a key of that kind, or the name is out of range.
    #[error("no such key is generated: {reason}")]
    Unfit {
        /// The rule that refused.
        reason: String,
    },
    /// Generation failed.
    #[error("cannot generate the key: {reason}; {left}")]
    Generate {
        /// Why.
        reason: String,
        /// The objects that are left in the token.
        left: String,
    },
    /// A PKCS#11 call failed.
    #[error("{action} failed: {code}")]
    Call {
        /// The operation that failed.
        action: String,
        /// The return code.
        code: String,
    },
}

impl TokenError {
    pub(crate) fn module(module: &Path, error: &Error) -> Self {
        Self::Module {
            module: module.display().to_string(),
            reason: told(error),
        }
    }

    /// A call that failed while `action` was done.
    pub fn call(action: &str, error: &CallError) -> Self {
        Self::Call {
            action: action.to_owned(),
            code: error.to_string(),
        }
    }

    /// Another attempt can only do harm: a wrong PIN locks a real token.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::WrongPin { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_ciphertext_is_told_from_a_bad_session_by_function() {
        let general = |function| CallError(Error::Pkcs11(RvError::GeneralError, function));
        assert!(general(Function::Decrypt).is_bad_ciphertext());
        assert!(!general(Function::DecryptInit).is_bad_ciphertext());
        assert!(!general(Function::Sign).is_bad_ciphertext());
        assert_eq!(general(Function::Sign).remedy(), Remedy::NewProcess);
    }

    #[test]
    fn an_error_is_named_as_manuals_do() {
        for (code, name) in [
            (RvError::GeneralError, "CKR_GENERAL_ERROR"),
            (RvError::PinLenRange, "CKR_PIN_LEN_RANGE"),
            (RvError::Cancel, "CKR_CANCEL"),
        ] {
            let error = Error::Pkcs11(code, Function::SignInit);
            let module = TokenError::module(Path::new("module.so"), &error).to_string();
            let call = CallError(error);
            let token = TokenError::call("signing", &call).to_string();
            for text in [call.to_string(), token, module] {
                let said = format!("C_SignInit returned {name}; ");
                assert!(text.contains(&said), "{text}");
                assert!(!text.contains("PKCS11 error"), "{text}");
            }
        }
    }

    #[test]
    fn a_lost_token_asks_for_a_new_process_and_a_lost_session_for_a_session() {
        let sign = |code| CallError(Error::Pkcs11(code, Function::Sign)).remedy();
        assert_eq!(sign(RvError::ObjectHandleInvalid), Remedy::NewProcess);
        assert_eq!(sign(RvError::DeviceRemoved), Remedy::NewProcess);
        assert_eq!(sign(RvError::SessionHandleInvalid), Remedy::NewSession);
        assert_eq!(sign(RvError::MechanismParamInvalid), Remedy::Permanent);
    }
}
