//! PKCS#11 URIs (RFC 7512) that name a token or a key, with the source of the PIN.

mod parse;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;

use crate::TokenError;
use crate::pin::{Pin, PinError, PinSource};
use parse::{Attributes, escape, escape_source};

/// A token: `pkcs11:token=LABEL;serial=SERIAL?pin-source=file:/PATH`.
///
/// `token` or `serial` must be there; `manufacturer` and `model` narrow further; the query may
/// hold `pin-source` and `module-path`. A slot number never names a token.
///
/// ```
/// let uri: assay_pkcs11::TokenUri = "pkcs11:token=Service%20keys?pin-source=file:/run/pin".parse()?;
/// assert_eq!(uri.label(), Some("Service keys"));
/// # Ok::<(), assay_pkcs11::UriError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenUri {
    label: Option<String>,
    serial: Option<String>,
    manufacturer: Option<String>,
    model: Option<String>,
    pin_source: Option<PinSource>,
    module_path: Option<PathBuf>,
}

impl TokenUri {
    /// Parses a URI that names a token and nothing in it.
    ///
    /// # Errors
    /// [`UriError`] names the attribute and says what is right.
    pub fn parse(uri: &str) -> Result<Self, UriError> {
        let mut attributes = Attributes::parse(uri)?;
        let token = Self::take(&mut attributes)?;
        attributes.finish("token, serial, manufacturer, model, pin-source and module-path")?;
        Ok(token)
    }

    /// The same URI with label and serial number as the token states them.
    pub(crate) fn at(&self, label: &str, serial: &str) -> Self {
        Self {
            label: Some(label.to_owned()),
            serial: Some(serial.to_owned()),
            manufacturer: None,
            model: None,
            pin_source: self.pin_source.clone(),
            module_path: self.module_path.clone(),
        }
    }

    /// Refuses a URI that names another library than this one.
    ///
    /// # Errors
    /// [`TokenError::OtherModule`].
    pub fn expect_module(&self, module: &Path) -> Result<(), TokenError> {
        match self.module_path() {
            Some(path) if path != module => Err(TokenError::OtherModule {
                uri: self.to_string(),
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// The key of this label and id on this token.
    pub fn key(&self, object: &str, id: &[u8]) -> KeyUri {
        KeyUri {
            token: self.clone(),
            object: object.to_owned(),
            id: id.to_owned(),
        }
    }

    /// Token label.
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// Token serial number.
    pub fn serial(&self) -> Option<&str> {
        self.serial.as_deref()
    }

    /// Token manufacturer.
    pub fn manufacturer(&self) -> Option<&str> {
        self.manufacturer.as_deref()
    }

    /// Token model.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// Where the PIN comes from.
    pub fn pin_source(&self) -> Option<&PinSource> {
        self.pin_source.as_ref()
    }

    /// Reads the PIN from its source.
    ///
    /// # Errors
    /// [`PinError`], whose text says how to fix it.
    pub fn read_pin(&self) -> Result<Pin, PinError> {
        self.pin_source().ok_or(PinError::NoSource)?.read()
    }

    /// The PKCS#11 library, where the URI names one.
    pub fn module_path(&self) -> Option<&Path> {
        self.module_path.as_deref()
    }

    fn take(attributes: &mut Attributes) -> Result<Self, UriError> {
        let token = Self {
            label: attributes.text("token")?,
            serial: attributes.text("serial")?,
            manufacturer: attributes.text("manufacturer")?,
            model: attributes.text("model")?,
            pin_source: attributes
                .text("pin-source")?
                .map(|value| {
                    PinSource::parse(&value).ok_or(UriError::Value {
                        attribute: "pin-source",
                        right: "file:/ABSOLUTE/PATH or credential:NAME",
                    })
                })
                .transpose()?,
            module_path: attributes
                .text("module-path")?
                .map(|value| {
                    value
                        .starts_with('/')
                        .then(|| value.into())
                        .ok_or(UriError::Value {
                            attribute: "module-path",
                            right: "an absolute path",
                        })
                })
                .transpose()?,
        };
        if token.label.is_none() && token.serial.is_none() {
            return Err(UriError::Missing {
                attribute: "token",
                right: "token=LABEL or serial=NUMBER, best both",
            });
        }
        Ok(token)
    }

    fn fmt_with(&self, f: &mut fmt::Formatter<'_>, key: Option<&KeyUri>) -> fmt::Result {
        f.write_str("pkcs11:")?;
        let path = [
            ("token", self.label()),
            ("serial", self.serial()),
            ("manufacturer", self.manufacturer()),
            ("model", self.model()),
            ("object", key.map(KeyUri::object)),
        ];
        let mut separator = "";
        for (name, value) in path {
            if let Some(value) = value {
                write!(f, "{separator}{name}={}", escape(value.as_bytes()))?;
                separator = ";";
            }
        }
        if let Some(key) = key {
            f.write_str(";id=")?;
            for octet in key.id() {
                write!(f, "%{octet:02x}")?;
            }
        }
        let mut separator = "?";
        if let Some(source) = &self.pin_source {
            let source = source.to_string();
            write!(f, "{separator}pin-source={}", escape_source(&source))?;
            separator = "&";
        }
        if let Some(path) = &self.module_path {
            let path = path.display().to_string();
            write!(f, "{separator}module-path={}", escape_source(&path))?;
        }
        Ok(())
    }
}

impl fmt::Display for TokenUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_with(f, None)
    }
}

impl FromStr for TokenUri {
    type Err = UriError;

    fn from_str(uri: &str) -> Result<Self, UriError> {
        Self::parse(uri)
    }
}

/// A private key: a [`TokenUri`] with `object=LABEL;id=%01`, both needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUri {
    token: TokenUri,
    object: String,
    id: Vec<u8>,
}

impl KeyUri {
    /// Parses a URI that names one private key.
    ///
    /// # Errors
    /// [`UriError`] names the attribute and says what is right.
    pub fn parse(uri: &str) -> Result<Self, UriError> {
        let mut attributes = Attributes::parse(uri)?;
        let token = TokenUri::take(&mut attributes)?;
        let object = attributes.text("object")?.ok_or(UriError::Missing {
            attribute: "object",
            right: "object=KEY-LABEL",
        })?;
        let id = attributes.bytes("id")?.ok_or(UriError::Missing {
            attribute: "id",
            right: "id=%01, the octets of CKA_ID",
        })?;
        if let Some(class) = attributes.text("type")?
            && class != "private"
        {
            return Err(UriError::Value {
                attribute: "type",
                right: "private",
            });
        }
        attributes.finish(
            "token, serial, manufacturer, model, object, id, type, pin-source and module-path",
        )?;
        Ok(Self { token, object, id })
    }

    /// The token that the key lies on.
    pub fn token(&self) -> &TokenUri {
        &self.token
    }

    /// CKA_LABEL.
    pub fn object(&self) -> &str {
        &self.object
    }

    /// CKA_ID.
    pub fn id(&self) -> &[u8] {
        &self.id
    }
}

impl fmt::Display for KeyUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.token.fmt_with(f, Some(self))
    }
}

impl FromStr for KeyUri {
    type Err = UriError;

    fn from_str(uri: &str) -> Result<Self, UriError> {
        Self::parse(uri)
    }
}

/// The fault in a URI. Never holds a value, for it might be a PIN.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UriError {
    /// Not of the scheme.
    #[error("a PKCS#11 URI starts with `pkcs11:` (RFC 7512)")]
    Scheme,
    /// Longer than any sensible one.
    #[error("a PKCS#11 URI has at most {limit} octets here")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// No `name=value`.
    #[error("attribute {position} of the URI is not of the form name=value")]
    Form {
        /// Counted from 1, path before query.
        position: usize,
    },
    /// Not known or of no use here.
    #[error("`{attribute}` is not understood here: known are {known}")]
    Unknown {
        /// The attribute.
        attribute: String,
        /// Those that may stand here.
        known: &'static str,
    },
    /// In the path, though of the query, or the other way round.
    #[error("`{attribute}` stands on the wrong side of the `?`")]
    Misplaced {
        /// The attribute.
        attribute: String,
    },
    /// Twice.
    #[error("`{attribute}` is there twice: leave one")]
    Repeated {
        /// The attribute.
        attribute: String,
    },
    /// A PIN in the open.
    #[error(
        "`pin-value` puts a PIN into the configuration: use pin-source=file:/PATH or pin-source=credential:NAME"
    )]
    PinValue,
    /// A bad percent code, an octet that must be encoded, or no UTF-8.
    #[error(
        "`{attribute}` is badly encoded: write %XX (two hex digits) for any octet but letters, digits and -._~"
    )]
    Encoding {
        /// The attribute.
        attribute: String,
    },
    /// A value that cannot be right.
    #[error("`{attribute}` must be {right}")]
    Value {
        /// The attribute.
        attribute: &'static str,
        /// The form that would be right.
        right: &'static str,
    },
    /// Needed and not there.
    #[error("`{attribute}` is missing: write {right}")]
    Missing {
        /// The attribute.
        attribute: &'static str,
        /// The form that would be right.
        right: &'static str,
    },
}
