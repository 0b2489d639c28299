//! Making a new token.

use cryptoki::error::Error;
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;

use super::token::{load, tokens};
use crate::CeremonyError;
use crate::wire::TokenIdentity;

/// Octets of a token label (`CK_TOKEN_INFO`, PKCS#11 v3.1, section 3.2).
const MAX_LABEL: usize = 32;

/// Initialises the first free slot's token and its user PIN.
pub(super) fn init_token(
    module: &str,
    label: &str,
    so_pin: &str,
    user_pin: &str,
) -> Result<TokenIdentity, CeremonyError> {
    if label.is_empty() || label.len() > MAX_LABEL || label.trim() != label {
        return Err(CeremonyError::Refused {
            reason: format!("a token label has 1 to {MAX_LABEL} octets and no outer spaces"),
        });
    }
    let failed = |action: &'static str| {
        move |error: Error| CeremonyError::Token {
            action: action.to_owned(),
            code: error.to_string(),
        }
    };
    let context = load(module)?;
    if let Some((_, info)) = tokens(&context)?
        .iter()
        .find(|(_, info)| info.label() == label)
    {
        return Err(CeremonyError::Exists {
            found: format!("a token `{label}` (serial {})", info.serial_number()),
        });
    }
    let slots = context
        .get_slots_with_token()
        .map_err(failed("listing slots"))?;
    let free = slots.into_iter().find(|slot| {
        context
            .get_token_info(*slot)
            .is_ok_and(|info| !info.token_initialized())
    });
    let Some(slot) = free else {
        return Err(CeremonyError::Refused {
            reason: "the module has no slot with an uninitialised token".to_owned(),
        });
    };
    let so_pin = AuthPin::from(so_pin);
    context
        .init_token(slot, &so_pin, label)
        .map_err(failed("initialising the token"))?;
    let session = context
        .open_rw_session(slot)
        .map_err(failed("opening a session"))?;
    session
        .login(UserType::So, Some(&so_pin))
        .map_err(failed("login as security officer"))?;
    session
        .init_pin(&AuthPin::from(user_pin))
        .map_err(failed("setting the user PIN"))?;
    session.close().map_err(failed("closing the session"))?;
    let made = tokens(&context)?
        .into_iter()
        .find(|(_, info)| info.label() == label);
    made.map(|(_, info)| TokenIdentity {
        label: info.label().to_owned(),
        serial: info.serial_number().to_owned(),
    })
    .ok_or_else(|| CeremonyError::Token {
        action: format!("finding the new token `{label}`"),
        code: "it is not there".to_owned(),
    })
}
