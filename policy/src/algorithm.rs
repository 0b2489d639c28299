//! The algorithms a profile can list; a name that is not here cannot be allowed.

use const_oid::ObjectIdentifier;

/// Declares an enum whose variants have one word each in policy files.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)+ }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word a policy file uses.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use words;

words! {
    /// A content-encryption algorithm of the CMS envelope. Single DES and RC2 cannot be named.
    ContentCipher {
        /// Three-key triple DES, RFC 3370 section 5.1.
        TripleDesCbc = "3des-cbc",
        /// AES-128, RFC 3565.
        Aes128Cbc = "aes128-cbc",
        /// AES-192.
        Aes192Cbc = "aes192-cbc",
        /// AES-256.
        Aes256Cbc = "aes256-cbc",
    }
}

words! {
    /// How the content-encryption key reaches the RA.
    KeyTransport {
        /// RSAES-PKCS1-v1_5.
        RsaPkcs1 = "rsa-pkcs1",
        /// RSAES-OAEP.
        RsaOaep = "rsa-oaep",
    }
}

words! {
    /// A bit of the key usage extension, RFC 5280 section 4.2.1.3. keyCertSign and cRLSign cannot be named.
    KeyUsageBit {
        /// Bit 0.
        DigitalSignature = "digitalSignature",
        /// Bit 1; nonRepudiation of old.
        ContentCommitment = "contentCommitment",
        /// Bit 2.
        KeyEncipherment = "keyEncipherment",
        /// Bit 3.
        DataEncipherment = "dataEncipherment",
        /// Bit 4.
        KeyAgreement = "keyAgreement",
        /// Bit 7.
        EncipherOnly = "encipherOnly",
        /// Bit 8.
        DecipherOnly = "decipherOnly",
    }
}

impl KeyUsageBit {
    /// `1 << n` for bit n.
    pub fn mask(self) -> u16 {
        let bit = match self {
            Self::DigitalSignature => 0,
            Self::ContentCommitment => 1,
            Self::KeyEncipherment => 2,
            Self::DataEncipherment => 3,
            Self::KeyAgreement => 4,
            Self::EncipherOnly => 7,
            Self::DecipherOnly => 8,
        };
        1 << bit
    }
}

/// Extended key usages that have a word; any other is written as a dotted OID.
pub(crate) const EXTENDED_KEY_USAGES: [(&str, ObjectIdentifier); 6] = [
    ("serverAuth", const_oid::db::rfc5280::ID_KP_SERVER_AUTH),
    ("clientAuth", const_oid::db::rfc5280::ID_KP_CLIENT_AUTH),
    ("codeSigning", const_oid::db::rfc5280::ID_KP_CODE_SIGNING),
    (
        "emailProtection",
        const_oid::db::rfc5280::ID_KP_EMAIL_PROTECTION,
    ),
    // RFC 4945 section 5.1.3.12.
    (
        "ipsecIKE",
        ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.17"),
    ),
    (
        "smartcardLogon",
        ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.20.2.2"),
    ),
];

/// The word of an extended key usage, or its dotted OID.
pub(crate) fn extended_key_usage_name(oid: &ObjectIdentifier) -> String {
    EXTENDED_KEY_USAGES
        .iter()
        .find(|(_, known)| known == oid)
        .map_or_else(|| oid.to_string(), |(name, _)| (*name).to_owned())
}
