//! Object identifiers.

use der::asn1::ObjectIdentifier;

macro_rules! oids {
    ($($name:ident = $value:literal;)*) => {
        $(pub(crate) const $name: ObjectIdentifier = ObjectIdentifier::new_unwrap($value);)*
    };
}

oids! {
    // RFC 5652
    DATA = "1.2.840.113549.1.7.1";
    SIGNED_DATA = "1.2.840.113549.1.7.2";
    ENVELOPED_DATA = "1.2.840.113549.1.7.3";
    CONTENT_TYPE = "1.2.840.113549.1.9.3";
    MESSAGE_DIGEST = "1.2.840.113549.1.9.4";

    // RFC 2985, and the extension request of before it
    CHALLENGE_PASSWORD = "1.2.840.113549.1.9.7";
    EXTENSION_REQUEST = "1.2.840.113549.1.9.14";
    LEGACY_EXTENSION_REQUEST = "2.16.840.1.113733.1.9.8";

    // RFC 8894 §3.2.1; the first is the arc that all but failInfoText are under.
    SCEP_ATTRIBUTES = "2.16.840.1.113733.1.9";
    MESSAGE_TYPE = "2.16.840.1.113733.1.9.2";
    PKI_STATUS = "2.16.840.1.113733.1.9.3";
    FAIL_INFO = "2.16.840.1.113733.1.9.4";
    SENDER_NONCE = "2.16.840.1.113733.1.9.5";
    RECIPIENT_NONCE = "2.16.840.1.113733.1.9.6";
    TRANSACTION_ID = "2.16.840.1.113733.1.9.7";
    FAIL_INFO_TEXT = "1.3.6.1.5.5.7.24.1";

    // RFC 8017, RFC 4055
    RSA_ENCRYPTION = "1.2.840.113549.1.1.1";
    SHA1_WITH_RSA = "1.2.840.113549.1.1.5";
    // The same by OIW; Windows and old Java libraries emit it.
    SHA1_WITH_RSA_OIW = "1.3.14.3.2.29";
    RSAES_OAEP = "1.2.840.113549.1.1.7";
    MGF1 = "1.2.840.113549.1.1.8";
    P_SPECIFIED = "1.2.840.113549.1.1.9";
    RSASSA_PSS = "1.2.840.113549.1.1.10";
    SHA256_WITH_RSA = "1.2.840.113549.1.1.11";
    SHA384_WITH_RSA = "1.2.840.113549.1.1.12";
    SHA512_WITH_RSA = "1.2.840.113549.1.1.13";

    // RFC 5480, RFC 5758
    EC_PUBLIC_KEY = "1.2.840.10045.2.1";
    ECDSA_WITH_SHA1 = "1.2.840.10045.4.1";
    ECDSA_WITH_SHA256 = "1.2.840.10045.4.3.2";
    ECDSA_WITH_SHA384 = "1.2.840.10045.4.3.3";
    ECDSA_WITH_SHA512 = "1.2.840.10045.4.3.4";

    // RFC 3211, RFC 8018
    PWRI_KEK = "1.2.840.113549.1.9.16.3.9";
    PBKDF2 = "1.2.840.113549.1.5.12";
    HMAC_WITH_SHA1 = "1.2.840.113549.2.7";
    HMAC_WITH_SHA256 = "1.2.840.113549.2.9";
    HMAC_WITH_SHA384 = "1.2.840.113549.2.10";
    HMAC_WITH_SHA512 = "1.2.840.113549.2.11";

    // RFC 5754
    SHA1 = "1.3.14.3.2.26";
    SHA256 = "2.16.840.1.101.3.4.2.1";
    SHA384 = "2.16.840.1.101.3.4.2.2";
    SHA512 = "2.16.840.1.101.3.4.2.3";

    // RFC 3565, RFC 3370
    AES128_CBC = "2.16.840.1.101.3.4.1.2";
    AES192_CBC = "2.16.840.1.101.3.4.1.22";
    AES256_CBC = "2.16.840.1.101.3.4.1.42";
    DES_EDE3_CBC = "1.2.840.113549.3.7";

    // RFC 5280
    SUBJECT_KEY_IDENTIFIER = "2.5.29.14";
}
