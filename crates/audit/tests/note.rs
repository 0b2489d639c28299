//! Notes, keys and checkpoints: against published examples, and against an Ed25519 and a P-256 key of OpenSSL's.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "helpers of tests may panic as tests may"
)]

use assay_audit::note::{
    Algorithm, KeyError, Note, NoteError, Signature, SignatureError, VerifierKey, cosigned,
};
use assay_audit::{Checkpoint, CheckpointError};
use assay_types::{Hash, Timestamp};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;

/// The example of C2SP signed-note.
const SPEC_KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const SPEC_NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo \
    Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
/// The example of Go's golang.org/x/mod/sumdb/note.
const GO_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const GO_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\n\u{2014} PeterNeumann \
    x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

const ORIGIN: &str = "log.example.org/assay/one";

fn note(text: &str) -> Note {
    text.parse().unwrap()
}

fn key(text: &str) -> VerifierKey {
    text.parse().unwrap()
}

struct Log {
    private: PKey<Private>,
    key: VerifierKey,
}

impl Log {
    fn ed25519(name: &str, algorithm: Algorithm) -> Self {
        let private = PKey::generate_ed25519().unwrap();
        let public = private.raw_public_key().unwrap();
        Self {
            key: VerifierKey::ed25519(name, algorithm, &public).unwrap(),
            private,
        }
    }

    fn p256(name: &str) -> Self {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let private = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let spki = private.public_key_to_der().unwrap();
        Self {
            key: VerifierKey::from_spki(name, &spki).unwrap(),
            private,
        }
    }

    fn sign(&self, text: &str) -> Signature {
        let mut signer = match self.key.algorithm() {
            Algorithm::EcdsaP256 => Signer::new(MessageDigest::sha256(), &self.private),
            _ => Signer::new_without_digest(&self.private),
        }
        .unwrap();
        let octets = signer.sign_oneshot_to_vec(text.as_bytes()).unwrap();
        Signature::new(&self.key, octets)
    }

    fn cosign(&self, time: Timestamp, text: &str) -> Signature {
        let line = self.sign(&cosigned(time, text));
        let octets = [&time.seconds().to_be_bytes()[..], line.octets()].concat();
        Signature::new(&self.key, octets)
    }
}

fn checkpoint(size: u64) -> Checkpoint {
    Checkpoint {
        origin: ORIGIN.to_owned(),
        size,
        root: Hash::of(b"root"),
        extensions: Vec::new(),
    }
}

#[test]
fn published_notes_verify_under_their_keys_and_under_no_other() {
    for (text, vkey) in [(SPEC_NOTE, SPEC_KEY), (GO_NOTE, GO_KEY)] {
        let (note, key) = (note(text), key(vkey));
        assert_eq!(note.to_string(), text);
        assert_eq!(key.to_string(), vkey);
        assert_eq!(key.verify(&note), Ok(None));
        let other =
            text.replacen("the answer", "an answer", 1)
                .replacen("example m", "eXample m", 1);
        assert_eq!(key.verify(&crate::note(&other)), Err(SignatureError::Wrong));
    }
    assert_eq!(
        key(GO_KEY).verify(&note(SPEC_NOTE)),
        Err(SignatureError::Missing)
    );
}

#[test]
fn every_octet_of_a_published_note_counts() {
    let key = key(SPEC_KEY);
    for at in 0..SPEC_NOTE.len() {
        let mut bytes = SPEC_NOTE.as_bytes().to_vec();
        bytes[at] ^= 0x01;
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        let verdict = text.parse::<Note>().map(|note| key.verify(&note));
        assert!(!matches!(verdict, Ok(Ok(_))), "octet {at}");
    }
}

#[test]
fn what_is_no_note_is_refused_by_what_is_wrong_with_it() {
    let line = SPEC_NOTE.split('\n').nth(2).unwrap();
    for (text, error) in [
        (String::new(), NoteError::NoText),
        ("text\n".to_owned(), NoteError::NoText),
        (format!("\n\n{line}\n"), NoteError::NoText),
        (format!("text\n\n{line}"), NoteError::NoText),
        ("text\n\n".to_owned(), NoteError::NoText),
        (format!("te\txt\n\n{line}\n"), NoteError::Control),
        (format!("text\r\n\n{line}\n"), NoteError::Control),
        (format!("text\n\n-{line}\n"), NoteError::Line(1)),
        (format!("text\n\n{line}\nmore\n"), NoteError::Line(2)),
        ("text\n\n\u{2014} a AAAA\n".to_owned(), NoteError::Line(1)),
        (
            "text\n\n\u{2014} a+b AAAAAAA=\n".to_owned(),
            NoteError::Line(1),
        ),
        (
            "text\n\n\u{2014} a AAAAAA!=\n".to_owned(),
            NoteError::Line(1),
        ),
        (
            format!("text\n\n{}", format!("{line}\n").repeat(101)),
            NoteError::Count,
        ),
        (
            format!("{}\n\n{line}\n", "x".repeat(70_000)),
            NoteError::TooLong,
        ),
    ] {
        assert_eq!(text.parse::<Note>(), Err(error), "{text:.60}");
    }
}

#[test]
fn what_is_no_key_is_refused_by_what_is_wrong_with_it() {
    for (text, error) in [
        ("", KeyError::Form),
        ("name+530d903a", KeyError::Form),
        (
            "a+530D903g+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            KeyError::Form,
        ),
        (
            "+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            KeyError::Name,
        ),
        (
            "example.com/foo+530d903a+B+kyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            KeyError::Algorithm(7),
        ),
        ("example.com/foo+530d903a+AekyeRrm", KeyError::Key),
    ] {
        assert_eq!(text.parse::<VerifierKey>(), Err(error), "{text}");
    }
    let error = SPEC_KEY
        .replace("530d903a", "530d903b")
        .parse::<VerifierKey>()
        .unwrap_err();
    assert!(error.to_string().ends_with("530d903a"), "{error}");
}

#[test]
fn checkpoints_of_both_kinds_of_log_keys_open_and_a_changed_one_does_not() {
    for log in [Log::ed25519(ORIGIN, Algorithm::Ed25519), Log::p256(ORIGIN)] {
        let again: VerifierKey = log.key.to_string().parse().unwrap();
        assert_eq!(again, log.key);
        let checkpoint = checkpoint(17);
        let text = checkpoint.to_string();
        let signed = Note::new(&text, vec![log.sign(&text)]).unwrap();
        assert_eq!(Checkpoint::open(&signed, &log.key), Ok(checkpoint));

        let longer = text.replace("\n17\n", "\n18\n");
        let forged = Note::new(&longer, vec![log.sign(&text)]).unwrap();
        assert_eq!(
            Checkpoint::open(&forged, &log.key),
            Err(SignatureError::Wrong.into())
        );
        let twice = Note::new(&text, vec![log.sign(&text), log.sign(&text)]).unwrap();
        assert_eq!(
            Checkpoint::open(&twice, &log.key),
            Err(SignatureError::Twice.into())
        );
        let other = Log::ed25519("log.example.org/assay/two", Algorithm::Ed25519);
        let by_other = Note::new(&text, vec![other.sign(&text)]).unwrap();
        assert_eq!(
            Checkpoint::open(&by_other, &other.key),
            Err(CheckpointError::OtherLog)
        );
    }
}

#[test]
fn a_cosignature_tells_its_time_and_covers_it() {
    let log = Log::ed25519(ORIGIN, Algorithm::Ed25519);
    let witness = Log::ed25519("witness.example.org", Algorithm::CosignatureV1);
    assert_ne!(
        witness.key.id(),
        VerifierKey::from_spki(
            "witness.example.org",
            &witness.private.public_key_to_der().unwrap()
        )
        .unwrap()
        .id(),
        "a key of another type has another id"
    );
    let text = checkpoint(3).to_string();
    let time = Timestamp::from_seconds(1_700_000_000);
    let lines = vec![log.sign(&text), witness.cosign(time, &text)];
    let note: Note = Note::new(&text, lines)
        .unwrap()
        .to_string()
        .parse()
        .unwrap();
    assert_eq!(witness.key.verify(&note), Ok(Some(time)));
    let mut octets = note.signatures()[1].octets().to_vec();
    octets[7] ^= 1;
    let later = Signature::new(&witness.key, octets);
    assert_eq!(
        witness.key.verify_line(&text, &later),
        Err(SignatureError::Wrong)
    );
    let short = Signature::new(&witness.key, vec![0; 7]);
    assert_eq!(
        witness.key.verify_line(&text, &short),
        Err(SignatureError::Wrong)
    );
}

#[test]
fn a_checkpoint_has_one_spelling() {
    let text = checkpoint(10).to_string();
    assert_eq!(text.parse(), Ok(checkpoint(10)));
    let lines: Vec<&str> = text.lines().collect();
    let (origin, root) = (lines[0], lines[2]);
    for other in [
        format!("{origin}\n010\n{root}\n"),
        format!("{origin}\n+10\n{root}\n"),
        format!("{origin}\n-1\n{root}\n"),
        format!("{origin}\n18446744073709551616\n{root}\n"),
        format!("{origin}\n10\n{root}"),
        format!("{origin}\n10\n{root}\n\n"),
        format!("{origin}\n10\n{root}\n\nmore\n"),
        format!("{origin}\n10\n{root}\n{}", "more\n".repeat(9)),
        format!("{origin}\n10\n{root}\n{}\n", "x".repeat(201)),
        format!("{origin}\n10\n{}\n", root.trim_end_matches('=')),
        format!("{origin}\n10\nAAAA\n"),
    ] {
        assert_eq!(
            other.parse::<Checkpoint>(),
            Err(CheckpointError::Text),
            "{other}"
        );
    }
    for origin in ["", "two words", "a+b", &"x".repeat(201)] {
        assert_eq!(
            format!("{origin}\n10\n{root}\n").parse::<Checkpoint>(),
            Err(CheckpointError::Origin)
        );
    }
}

#[test]
fn extension_lines_are_read_and_signed() {
    let log = Log::ed25519(ORIGIN, Algorithm::Ed25519);
    let extended = Checkpoint {
        extensions: vec!["journal 7".to_owned(), "x".repeat(200)],
        ..checkpoint(10)
    };
    let text = extended.to_string();
    assert!(text.ends_with(&format!("\njournal 7\n{}\n", "x".repeat(200))));
    let note = Note::new(&text, vec![log.sign(&text)]).unwrap();
    assert_eq!(Checkpoint::open(&note, &log.key), Ok(extended));
    let altered = Note::new(
        &text.replace("journal 7", "journal 8"),
        note.signatures().to_vec(),
    )
    .unwrap();
    assert_eq!(
        Checkpoint::open(&altered, &log.key),
        Err(SignatureError::Wrong.into())
    );
}
