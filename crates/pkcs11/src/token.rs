//! The library, its tokens, and a login.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::{MechanismInfo, MechanismType};
use cryptoki::session::UserType;
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;
use serde::{Deserialize, Serialize};

use crate::error::return_code;
use crate::{KeyAlgorithm, KeyRole, KeyUri, Pin, Session, TokenError, TokenUri, template};

/// A PKCS#11 library, loaded and initialised. A process loads it once, whatever tokens it opens.
#[derive(Clone)]
pub struct Module {
    context: Pkcs11,
    path: PathBuf,
}

impl Module {
    /// Loads and initialises the library. It reads its environment variables now.
    ///
    /// # Errors
    /// [`TokenError::Module`].
    pub fn load(path: &Path) -> Result<Self, TokenError> {
        let failed = |error: Error| TokenError::module(path, &error);
        let context = Pkcs11::new(path).map_err(failed)?;
        context
            // OS_LOCKING_OK, because sessions run on threads.
            .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
            .map_err(failed)?;
        Ok(Self {
            context,
            path: path.to_owned(),
        })
    }

    /// Reads the PIN, finds the token and logs in, with one try of the PIN.
    ///
    /// # Errors
    /// [`TokenError`], whose text says how to fix it.
    pub fn open(&self, uri: &TokenUri, access: Access) -> Result<Token, TokenError> {
        let pin = uri.read_pin()?;
        self.find_for_login(uri, access)?.log_in(&pin)
    }

    /// Finds the token, without trying a PIN.
    ///
    /// # Errors
    /// [`TokenError`], whose text says how to fix it.
    pub fn find_for_login(&self, uri: &TokenUri, access: Access) -> Result<FoundToken, TokenError> {
        uri.expect_module(&self.path)?;
        let (slot, identity) = self.find(uri)?;
        Ok(FoundToken {
            session: open_session(&self.context, slot, access)?,
            uri: uri.at(&identity.label, &identity.serial),
            context: self.context.clone(),
            slot,
            identity,
            access,
        })
    }

    /// Finds the one token that the URI names; slot numbers change, so they do not count.
    fn find(&self, uri: &TokenUri) -> Result<(Slot, TokenIdentity), TokenError> {
        let present = self.tokens()?;
        let same = |wanted: Option<&str>, found: &str| wanted.is_none_or(|text| text == found);
        let mut matching = present.iter().filter(|(_, info)| {
            same(uri.label(), info.label())
                && same(uri.serial(), info.serial_number())
                && same(uri.manufacturer(), info.manufacturer_id())
                && same(uri.model(), info.model())
        });
        match (matching.next(), matching.count()) {
            (None, _) => Err(TokenError::NotFound {
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
            (Some(_), others) => Err(TokenError::Ambiguous {
                uri: uri.to_string(),
                count: others + 1,
            }),
        }
    }

    /// Slots with an initialised token and what each states of itself.
    fn tokens(&self) -> Result<Vec<(Slot, TokenInfo)>, TokenError> {
        let slots = self
            .context
            .get_slots_with_token()
            .map_err(|error| TokenError::call("listing slots", &error.into()))?;
        Ok(slots
            .into_iter()
            // A slot whose token cannot be read does not rule out another.
            .filter_map(|slot| Some((slot, self.context.get_token_info(slot).ok()?)))
            .filter(|(_, info)| info.token_initialized())
            .collect())
    }
}

/// A token that this process is not logged in to yet.
pub struct FoundToken {
    session: Session,
    uri: TokenUri,
    context: Pkcs11,
    slot: Slot,
    identity: TokenIdentity,
    access: Access,
}

impl FoundToken {
    /// Logs in, with one try of the PIN.
    ///
    /// # Errors
    /// [`TokenError::WrongPin`], and [`TokenError::Call`] where the token did not say anything of the PIN.
    pub fn log_in(self, pin: &Pin) -> Result<Token, TokenError> {
        let pin = AuthPin::from(pin.expose());
        match self.session.0.login(UserType::User, Some(&pin)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(Token {
                uri: self.uri,
                context: self.context,
                slot: self.slot,
                identity: self.identity,
                access: self.access,
                _idle: Idle(Mutex::new(self.session)),
            }),
            Err(Error::Pkcs11(code, _)) if is_pin_refusal(code) => Err(TokenError::WrongPin {
                token: self.identity.label,
                code: return_code(code),
                source_uri: self
                    .uri
                    .pin_source()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
            }),
            Err(error) => Err(TokenError::call("login", &error.into())),
        }
    }
}

/// A token that this process is logged in to.
pub struct Token {
    uri: TokenUri,
    context: Pkcs11,
    slot: Slot,
    identity: TokenIdentity,
    access: Access,
    /// Closing the last session logs out, so one stays open.
    _idle: Idle,
}

/// A token's own label and serial number.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TokenIdentity {
    /// CK_TOKEN_INFO label.
    pub label: String,
    /// CK_TOKEN_INFO serialNumber.
    pub serial: String,
}

/// Whether objects may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Objects are found and used.
    ReadOnly,
    /// Objects are also made and destroyed.
    ReadWrite,
}

/// The RSA paddings that a token decrypts.
#[derive(Clone, Copy, Debug)]
pub struct DecryptionPadding {
    /// RSAES-PKCS1-v1_5.
    pub pkcs1: bool,
    /// RSAES-OAEP, with whatever hashes.
    pub oaep: bool,
}

/// A session that nobody uses, behind a lock because a session may change threads but not be
/// shared between them.
struct Idle(#[allow(dead_code, reason = "held for its Drop")] Mutex<Session>);

impl Token {
    /// A new session under the process's login.
    ///
    /// # Errors
    /// [`TokenError::Call`].
    pub fn session(&self) -> Result<Session, TokenError> {
        open_session(&self.context, self.slot, self.access)
    }

    /// The URI that it was opened by, with label and serial number as the token states them.
    pub fn uri(&self) -> &TokenUri {
        &self.uri
    }

    /// The token's own label and serial number.
    pub fn identity(&self) -> &TokenIdentity {
        &self.identity
    }

    /// The PKCS#11 name of a mechanism that a key of this role signs with and that the token does not offer, if there
    /// is one.
    ///
    /// # Errors
    /// [`TokenError::Call`].
    pub fn missing_signature(
        &self,
        role: KeyRole,
        algorithm: KeyAlgorithm,
    ) -> Result<Option<String>, TokenError> {
        for mechanism in template::signatures(role, algorithm) {
            if !self.offers(*mechanism, MechanismInfo::sign)? {
                return Ok(Some(mechanism.to_string()));
            }
        }
        Ok(None)
    }

    /// Which RSA paddings the token says it decrypts.
    ///
    /// # Errors
    /// [`TokenError::Call`].
    pub fn decryption_padding(&self) -> Result<DecryptionPadding, TokenError> {
        Ok(DecryptionPadding {
            pkcs1: self.offers(MechanismType::RSA_PKCS, MechanismInfo::decrypt)?,
            oaep: self.offers(MechanismType::RSA_PKCS_OAEP, MechanismInfo::decrypt)?,
        })
    }

    /// Refuses a key that lies on another token than this one.
    ///
    /// # Errors
    /// [`TokenError::OtherToken`].
    pub fn expect_holds(&self, key: &KeyUri) -> Result<(), TokenError> {
        let uri = key.token();
        let same = |wanted: Option<&str>, found: &str| wanted.is_none_or(|text| text == found);
        if same(uri.label(), &self.identity.label) && same(uri.serial(), &self.identity.serial) {
            Ok(())
        } else {
            Err(TokenError::OtherToken {
                uri: key.to_string(),
                label: self.identity.label.clone(),
                serial: self.identity.serial.clone(),
            })
        }
    }

    fn offers(
        &self,
        mechanism: MechanismType,
        can: impl Fn(&MechanismInfo) -> bool,
    ) -> Result<bool, TokenError> {
        match self.context.get_mechanism_info(self.slot, mechanism) {
            Ok(info) => Ok(can(&info)),
            Err(Error::Pkcs11(RvError::MechanismInvalid, _)) => Ok(false),
            Err(error) => Err(TokenError::call("reading mechanisms", &error.into())),
        }
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

fn open_session(context: &Pkcs11, slot: Slot, access: Access) -> Result<Session, TokenError> {
    match access {
        Access::ReadOnly => context.open_ro_session(slot),
        Access::ReadWrite => context.open_rw_session(slot),
    }
    .map(Session)
    .map_err(|error| TokenError::call("opening a session", &error.into()))
}

/// Codes of C_Login (PKCS#11 v3.1, section 5.6.8) that only another PIN or an officer can fix.
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
