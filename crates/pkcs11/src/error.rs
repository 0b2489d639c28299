//! What to do about a PKCS#11 error.

use cryptoki::context::Function;
use cryptoki::error::{Error, RvError};

/// Who can mend an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// The session is lost; a new one may do.
    NewSession,
    /// The library or token is lost; only a new process, with a new C_Initialize, may do.
    NewProcess,
    /// The same call will fail again, whoever makes it.
    Permanent,
}

/// Sorts the error of a signature, find or C_DecryptInit.
pub(super) fn remedy(error: &Error) -> Remedy {
    let Error::Pkcs11(code, _) = error else {
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
/// session nor move health. C_DecryptInit has not seen the ciphertext and never gives one.
pub(super) fn is_bad_ciphertext(error: &Error) -> bool {
    matches!(
        error,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_ciphertext_is_told_from_a_bad_session_by_function() {
        let general = |function| Error::Pkcs11(RvError::GeneralError, function);
        assert!(is_bad_ciphertext(&general(Function::Decrypt)));
        assert!(!is_bad_ciphertext(&general(Function::DecryptInit)));
        assert!(!is_bad_ciphertext(&general(Function::Sign)));
        assert_eq!(remedy(&general(Function::Sign)), Remedy::NewProcess);
    }

    #[test]
    fn a_lost_token_asks_for_a_new_process_and_a_lost_session_for_a_session() {
        let sign = |code| remedy(&Error::Pkcs11(code, Function::Sign));
        assert_eq!(sign(RvError::ObjectHandleInvalid), Remedy::NewProcess);
        assert_eq!(sign(RvError::DeviceRemoved), Remedy::NewProcess);
        assert_eq!(sign(RvError::SessionHandleInvalid), Remedy::NewSession);
        assert_eq!(sign(RvError::MechanismParamInvalid), Remedy::Permanent);
    }
}
