//! PKCS#11 tokens: their URIs and PINs, sessions, keys by role, and the operations with them.
//!
//! Nothing of a PKCS#11 library shows in the interface of this crate, and no other crate uses one. A [`Module`] is the
//! loaded library, a [`Token`] a login with it, and a [`Session`] what finds, makes and uses keys.
//!
//! The feature `generate` adds what makes keys; only ceremonies ask for it.
//!
//! - A PIN is read from the source that the token's URI names, and tried once.
//! - A key has one [`KeyRole`], and every attribute of usage is set for it when it is made and read back.
//! - Calls block, and a library that hangs can only be ended with its process. Nothing here checks what is signed:
//!   both are up to the caller.

mod error;
#[cfg(feature = "generate")]
mod generate;
mod operation;
mod pin;
mod session;
mod template;
mod token;
mod uri;

pub use assay_types::{KeyAlgorithm, KeyRole, SignatureAlgorithm, UnknownName};
pub use error::{CallError, Remedy, TokenError};
#[cfg(feature = "generate")]
pub use generate::{GenerateKey, GeneratedKey};
pub use operation::verify;
pub use pin::{Pin, PinError, PinSource};
pub use session::{FoundKey, KeyHandle, Session, describe};
pub use token::{Access, DecryptionPadding, FoundToken, Module, Token, TokenIdentity};
pub use uri::{KeyUri, TokenUri, UriError};
