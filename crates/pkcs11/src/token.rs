//! The library, the token and the login of a worker.

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::{MechanismInfo, MechanismType};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;

use crate::wire::TokenIdentity;
use crate::{KeyUri, PinError, StartError, TokenUri};

/// A token that this process is logged in to.
pub(super) struct Token {
    context: Pkcs11,
    slot: Slot,
    pub(super) identity: TokenIdentity,
    access: Access,
    /// Closing the last session logs out, so one stays open.
    _idle: Idle,
}

/// Whether objects may be made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    ReadOnly,
    ReadWrite,
}

/// A session that nobody uses, behind a lock because a session may change threads but not be
/// shared between them.
struct Idle(#[allow(dead_code, reason = "held for its Drop")] std::sync::Mutex<Session>);

impl Token {
    /// Loads the library, finds the token and logs in with one try of the PIN.
    pub(super) fn open(module: &str, uri: &TokenUri, access: Access) -> Result<Self, StartError> {
        let context = load(module)?;
        let (slot, identity) = find(&context, uri)?;
        let pin = uri.pin_source().ok_or(PinError::NoSource)?.read()?;
        let session = open_session(&context, slot, access)?;
        match session.login(UserType::User, Some(&AuthPin::from(pin.expose()))) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(Self {
                context,
                slot,
                identity,
                access,
                _idle: Idle(std::sync::Mutex::new(session)),
            }),
            Err(Error::Pkcs11(code, _)) if is_pin_refusal(code) => Err(StartError::WrongPin {
                token: identity.label,
                code: format!("{code:?}"),
                source_uri: uri
                    .pin_source()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
            }),
            Err(error) => Err(failed("login", &error)),
        }
    }

    /// A new session under the process's login.
    pub(super) fn session(&self) -> Result<Session, StartError> {
        open_session(&self.context, self.slot, self.access)
    }

    /// What the token can do with a mechanism; `None` if it does not have it.
    pub(super) fn mechanism(
        &self,
        mechanism: MechanismType,
    ) -> Result<Option<MechanismInfo>, StartError> {
        match self.context.get_mechanism_info(self.slot, mechanism) {
            Ok(info) => Ok(Some(info)),
            Err(Error::Pkcs11(RvError::MechanismInvalid, _)) => Ok(None),
            Err(error) => Err(failed("reading mechanisms", &error)),
        }
    }

    /// Refuses a key that lies on another token than this one.
    pub(super) fn expect_holds(&self, key: &KeyUri) -> Result<(), StartError> {
        let uri = key.token();
        let same = |wanted: Option<&str>, found: &str| wanted.is_none_or(|text| text == found);
        if same(uri.label(), &self.identity.label) && same(uri.serial(), &self.identity.serial) {
            Ok(())
        } else {
            Err(StartError::Config {
                field: key.to_string(),
                right: format!(
                    "lies on another token than `{}` (serial {}): all keys must lie on one token",
                    self.identity.label, self.identity.serial
                ),
            })
        }
    }
}

/// Loads and initialises the library. OS_LOCKING_OK, because sessions run on threads.
pub(super) fn load(module: &str) -> Result<Pkcs11, StartError> {
    let failed = |error: Error| StartError::Module {
        module: module.to_owned(),
        reason: error.to_string(),
    };
    let context = Pkcs11::new(module).map_err(failed)?;
    context
        .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
        .map_err(failed)?;
    Ok(context)
}

/// Slots with an initialised token and what each states of itself.
pub(super) fn tokens(context: &Pkcs11) -> Result<Vec<(Slot, TokenInfo)>, StartError> {
    let slots = context
        .get_slots_with_token()
        .map_err(|error| failed("listing slots", &error))?;
    Ok(slots
        .into_iter()
        // A slot whose token cannot be read is no reason to refuse another.
        .filter_map(|slot| Some((slot, context.get_token_info(slot).ok()?)))
        .filter(|(_, info)| info.token_initialized())
        .collect())
}

/// A StartError from a PKCS#11 call.
pub(super) fn failed(action: &str, error: &Error) -> StartError {
    StartError::Token {
        action: action.to_owned(),
        code: error.to_string(),
    }
}

/// Finds the one token that the URI names; slot numbers change, so they do not count.
fn find(context: &Pkcs11, uri: &TokenUri) -> Result<(Slot, TokenIdentity), StartError> {
    let present = tokens(context)?;
    let same = |wanted: Option<&str>, found: &str| wanted.is_none_or(|text| text == found);
    let mut matching = present.iter().filter(|(_, info)| {
        same(uri.label(), info.label())
            && same(uri.serial(), info.serial_number())
            && same(uri.manufacturer(), info.manufacturer_id())
            && same(uri.model(), info.model())
    });
    match (matching.next(), matching.count()) {
        (None, _) => Err(StartError::TokenNotFound {
            uri: uri.to_string(),
            present: describe(&present),
        }),
        (Some((slot, info)), 0) => Ok((
            *slot,
            TokenIdentity {
                label: info.label().to_owned(),
                serial: info.serial_number().to_owned(),
            },
        )),
        (Some(_), others) => Err(StartError::TokenAmbiguous {
            uri: uri.to_string(),
            count: others + 1,
        }),
    }
}

fn describe(present: &[(Slot, TokenInfo)]) -> String {
    if present.is_empty() {
        return "no token at all".to_owned();
    }
    let tokens: Vec<String> = present
        .iter()
        .map(|(_, info)| format!("`{}` (serial {})", info.label(), info.serial_number()))
        .collect();
    tokens.join(", ")
}

fn open_session(context: &Pkcs11, slot: Slot, access: Access) -> Result<Session, StartError> {
    match access {
        Access::ReadOnly => context.open_ro_session(slot),
        Access::ReadWrite => context.open_rw_session(slot),
    }
    .map_err(|error| failed("opening a session", &error))
}

/// Codes of C_Login (PKCS#11 v3.1, section 5.6.8) that only another PIN or an officer can mend.
fn is_pin_refusal(code: RvError) -> bool {
    matches!(
        code,
        RvError::PinIncorrect
            | RvError::PinInvalid
            | RvError::PinLenRange
            | RvError::PinExpired
            | RvError::PinLocked
            | RvError::UserPinNotInitialized
    )
}
