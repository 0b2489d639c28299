//! Operations and messages as clients were seen to send them.

use assay_scep_http::{Operation, decode_get_message};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

const MESSAGE: &[u8] = b"\xfb\xef\xbe\xff\xff\xff\x00message";
const BASE64: &str = "++++////AG1lc3NhZ2U=";

/// Standard base64, percent-escaped: the value of `message=`.
fn encoded(message: &[u8]) -> String {
    let text = STANDARD.encode(message);
    text.replace('+', "%2B")
        .replace('/', "%2F")
        .replace('=', "%3D")
}

#[test]
fn get_messages_as_clients_send_them() {
    let sent = [
        encoded(MESSAGE),
        BASE64.to_owned(),
        // iOS 11
        BASE64.replace('+', " "),
        BASE64.replace('+', "%20"),
        BASE64
            .replace('+', "%2b")
            .replace('/', "%2f")
            .replace('=', "%3d"),
        // strongSwan, sscep, Cisco
        BASE64.replace("AG", "%0AAG"),
        BASE64.replace("AG", "\r\nAG") + "\n",
        BASE64.replace('=', ""),
    ];
    for text in sent {
        assert_eq!(
            decode_get_message(text.as_bytes()).as_deref(),
            Ok(MESSAGE),
            "{text}"
        );
    }
}

#[test]
fn what_is_no_base64_is_refused() {
    for text in ["%", "%4", "%zz", "a", "ab-_", "YQ==YQ==", "\u{fc}"] {
        assert!(decode_get_message(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn operations_are_a_closed_list() {
    for operation in [
        Operation::GetCaCaps,
        Operation::GetCaCert,
        Operation::GetNextCaCert,
        Operation::PkiOperation,
    ] {
        assert_eq!(operation.as_str().parse(), Ok(operation));
    }
    for other in ["", "GetCAChain", "getcacaps", "PKIOperation "] {
        assert!(other.parse::<Operation>().is_err());
    }
}

proptest! {
    #[test]
    fn base64_of_any_message_comes_back(message in prop::collection::vec(any::<u8>(), 0..500)) {
        prop_assert_eq!(decode_get_message(encoded(&message).as_bytes()), Ok(message));
    }

    #[test]
    fn arbitrary_octets_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(message) = decode_get_message(&bytes) {
            prop_assert!(message.len() <= bytes.len());
        }
    }
}
