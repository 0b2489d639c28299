//! Whose signatures bring a version into force, with real keys and with signatures that `openssl cms` made.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

#[path = "../../tests/shared/rsa.rs"]
mod rsa;

use std::path::Path;
use std::process::Command;

use assay_policy::{
    Approver, Approvers, ApproversError, Problem, Proposal, Purpose, Semantics, SignatureError,
    SignedProposal, sign_proposal,
};
use assay_types::{Hash, Timestamp};
use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::{X509, X509Builder, X509NameBuilder};

use crate::rsa::rsa;

struct Person {
    name: &'static str,
    key: PKey<Private>,
    certificate: X509,
}

impl Person {
    fn new(name: &'static str) -> Self {
        Self::with(name, p256())
    }

    fn with(name: &'static str, key: PKey<Private>) -> Self {
        let mut cn = X509NameBuilder::new().unwrap();
        cn.append_entry_by_text("CN", name).unwrap();
        let cn = cn.build();
        let mut builder = X509Builder::new().unwrap();
        builder.set_version(2).unwrap();
        // The same number for the same name: only the key tells two of them apart.
        let serial = Asn1Integer::from_bn(&BigNum::from_u32(7).unwrap()).unwrap();
        builder.set_serial_number(&serial).unwrap();
        builder.set_subject_name(&cn).unwrap();
        builder.set_issuer_name(&cn).unwrap();
        builder.set_pubkey(&key).unwrap();
        builder
            .set_not_before(&Asn1Time::days_from_now(0).unwrap())
            .unwrap();
        builder
            .set_not_after(&Asn1Time::days_from_now(1).unwrap())
            .unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        let certificate = builder.build();
        Self {
            name,
            key,
            certificate,
        }
    }

    fn pin(&self, retired: bool) -> Approver {
        Approver::new(self.name, &self.certificate.to_der().unwrap(), retired).unwrap()
    }

    fn sign(&self, proposal: &[u8]) -> Vec<u8> {
        sign_proposal(proposal, &self.certificate, &self.key).unwrap()
    }

    /// As a smart card's owner does: `openssl cms`, with further arguments.
    fn openssl(&self, dir: &Path, proposal: &[u8], further: &[&str]) -> Vec<u8> {
        let file = |name: &str, content: &[u8]| {
            std::fs::write(dir.join(name), content).unwrap();
        };
        file("proposal.toml", proposal);
        file("signer.pem", &self.certificate.to_pem().unwrap());
        file("signer.key", &self.key.private_key_to_pem_pkcs8().unwrap());
        let ran = Command::new("openssl")
            .current_dir(dir)
            .args(["cms", "-sign", "-binary", "-in", "proposal.toml"])
            .args(["-signer", "signer.pem", "-inkey", "signer.key"])
            .args(["-outform", "DER", "-out", "signature.p7s"])
            .args(further)
            .output()
            .unwrap();
        assert!(ran.status.success(), "{ran:?}");
        std::fs::read(dir.join("signature.p7s")).unwrap()
    }
}

fn p256() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

fn text(number: u64) -> Vec<u8> {
    let proposal = Proposal {
        number,
        predecessor: Some([1; 32].into()),
        files: [2; 32].into(),
        model: [3; 32].into(),
        semantics: Semantics::CURRENT,
        issuer: [4; 32].into(),
        hsm_configuration: None,
        not_before: Timestamp::from_seconds(1_800_000_000),
        expires: Timestamp::from_seconds(1_900_000_000),
        ticket: "CHG-1".to_owned(),
        resumes: std::collections::BTreeSet::new(),
        settings: std::collections::BTreeMap::new(),
        inventories: std::collections::BTreeMap::new(),
    };
    proposal.to_toml().into_bytes()
}

/// An author and three approvers; two approvals are needed.
struct Board {
    author: Person,
    one: Person,
    two: Person,
    retired: Person,
    second_key_of_one: Person,
    approvers: Approvers,
    proposal: Vec<u8>,
    scratch: tempfile::TempDir,
}

impl Board {
    fn new() -> Self {
        let author = Person::new("author");
        let one = Person::with("approver-1", rsa(2_048));
        let two = Person::new("approver-2");
        let retired = Person::new("approver-3");
        let second_key_of_one = Person::new("approver-1");
        let pinned = vec![
            author.pin(false),
            one.pin(false),
            second_key_of_one.pin(false),
            two.pin(false),
            retired.pin(true),
        ];
        Self {
            author,
            one,
            two,
            retired,
            second_key_of_one,
            approvers: Approvers::new(2, pinned).unwrap(),
            proposal: text(2),
            scratch: tempfile::tempdir().unwrap(),
        }
    }

    fn openssl(&self, person: &Person, further: &[&str]) -> Vec<u8> {
        person.openssl(self.scratch.path(), &self.proposal, further)
    }

    fn signed(&self, approvals: Vec<Vec<u8>>) -> SignedProposal {
        SignedProposal {
            proposal: self.proposal.clone(),
            author: self.author.sign(&self.proposal),
            approvals,
        }
    }

    fn good(&self) -> Vec<Vec<u8>> {
        vec![self.one.sign(&self.proposal), self.two.sign(&self.proposal)]
    }

    fn problems(&self, approvals: Vec<Vec<u8>>) -> Vec<Problem> {
        let examined = self
            .approvers
            .examine(&self.signed(approvals), Purpose::Activation);
        examined.approved().unwrap_err()
    }
}

#[test]
fn an_author_and_two_others_bring_a_version_into_force_by_either_tool() {
    let board = Board::new();
    let by_openssl = vec![
        board.openssl(&board.one, &["-md", "sha384"]),
        board.openssl(&board.two, &["-nocerts", "-md", "sha256"]),
    ];
    for approvals in [board.good(), by_openssl] {
        let signed = board.signed(approvals);
        let approved = board
            .approvers
            .examine(&signed, Purpose::Activation)
            .approved()
            .unwrap();
        assert_eq!(approved.author(), "author");
        assert_eq!(approved.approvers(), ["approver-1", "approver-2"]);
        assert_eq!(approved.proposal().number, 2);
        assert_eq!(approved.sha256(), Hash::of(&board.proposal));
    }
}

#[test]
fn each_person_counts_once_and_the_author_never() {
    let board = Board::new();
    let sign = |person: &Person| person.sign(&board.proposal);
    let one = sign(&board.one);
    let cases = [
        (vec![], "0 of 2 approvals"),
        (
            vec![one.clone()],
            "1 of 2 approvals; approver-2 may still approve",
        ),
        (
            vec![one.clone(), one.clone()],
            "approval 2: approver-1 approved it before",
        ),
        (
            vec![one.clone(), sign(&board.one)],
            "approval 2: approver-1 approved it before",
        ),
        (
            vec![one.clone(), sign(&board.second_key_of_one)],
            "approval 2: approver-1 approved it before",
        ),
        (
            vec![one.clone(), sign(&board.author)],
            "approval 2: author wrote the proposal",
        ),
        (
            vec![one.clone(), sign(&board.retired)],
            "approval 2: signed with a retired key of approver-3",
        ),
        (
            vec![one, sign(&Person::new("approver-2"))],
            "approval 2: made by no pinned key",
        ),
    ];
    for (approvals, wanted) in cases {
        let problems = board.problems(approvals);
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(
            lines.iter().any(|line| line.contains(wanted)),
            "{wanted}: {lines:?}"
        );
        assert!(
            problems
                .iter()
                .any(|problem| matches!(problem, Problem::TooFew { needed: 2, .. }))
        );
    }
}

#[test]
fn an_approval_that_counts_for_nothing_is_told_even_where_others_are_enough() {
    let board = Board::new();
    let approvals = [board.good(), vec![board.author.sign(&board.proposal)]].concat();
    let problems = board.problems(approvals);
    assert!(
        matches!(problems[..], [Problem::OwnApproval { number: 3, .. }]),
        "{problems:?}"
    );
}

#[test]
fn a_signature_over_another_proposal_counts_for_nothing() {
    let board = Board::new();
    let other = board.two.sign(&text(1));
    let problems = board.problems(vec![board.one.sign(&board.proposal), other]);
    let wanted = Problem::Approval {
        number: 2,
        error: SignatureError::Nobody,
    };
    assert!(problems.contains(&wanted), "{problems:?}");
    let mut signed = board.signed(board.good());
    signed.author = board.author.sign(&text(1));
    let problems = board
        .approvers
        .examine(&signed, Purpose::Activation)
        .approved()
        .unwrap_err();
    assert!(
        problems.contains(&Problem::Author(SignatureError::Nobody)),
        "{problems:?}"
    );
}

#[test]
fn a_retired_key_counts_for_what_it_approved_and_for_nothing_new() {
    let board = Board::new();
    let approvals = vec![
        board.one.sign(&board.proposal),
        board.retired.sign(&board.proposal),
    ];
    let signed = board.signed(approvals);
    assert!(
        board
            .approvers
            .examine(&signed, Purpose::Activation)
            .approved()
            .is_err()
    );
    let approved = board
        .approvers
        .examine(&signed, Purpose::InForce)
        .approved()
        .unwrap();
    assert_eq!(approved.approvers(), ["approver-1", "approver-3"]);
}

#[test]
fn what_carries_more_or_less_than_one_detached_signature_counts_for_nothing() {
    let board = Board::new();
    let dir = board.scratch.path();
    let two_pem = dir.join("two.pem");
    std::fs::write(&two_pem, board.two.certificate.to_pem().unwrap()).unwrap();
    std::fs::write(
        dir.join("two.key"),
        board.two.key.private_key_to_pem_pkcs8().unwrap(),
    )
    .unwrap();
    // Of the same name and number as the pinned one, so that a reader by name would take it.
    let namesake = Person::new("approver-2");
    std::fs::write(
        dir.join("namesake.pem"),
        namesake.certificate.to_pem().unwrap(),
    )
    .unwrap();
    let trailing = [board.two.sign(&board.proposal), vec![0]].concat();
    let cases: [(&str, Vec<u8>); 8] = [
        (
            "it has 2 signers",
            board.openssl(&board.one, &["-signer", "two.pem", "-inkey", "two.key"]),
        ),
        (
            "must be detached",
            board.openssl(&board.two, &["-nodetach"]),
        ),
        (
            "a certificate other than the pinned one",
            board.openssl(&board.two, &["-nocerts", "-certfile", "namesake.pem"]),
        ),
        ("made by no pinned key", board.openssl(&namesake, &[])),
        ("algorithm", board.openssl(&board.one, &["-md", "sha1"])),
        ("not one DER CMS", trailing),
        ("not one DER CMS", Vec::new()),
        ("longer than", vec![0x30; 17 * 1024]),
    ];
    for (wanted, signature) in cases {
        let problems = board.problems(vec![board.one.sign(&board.proposal), signature]);
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(
            lines.iter().any(|line| line.contains(wanted)),
            "{wanted}: {lines:?}"
        );
    }
}

/// Flips bits of what our tool and OpenSSL sign in this person's name.
fn no_byte_can_be_changed(board: &Board, person: &Person) {
    /// The lowest bit, and the one in which upper and lower case differ.
    const BITS: [u8; 2] = [0x01, 0x20];
    for good in [person.sign(&board.proposal), board.openssl(person, &[])] {
        for (at, bit) in (0..good.len()).flat_map(|at| BITS.map(|bit| (at, bit))) {
            let mut changed = good.clone();
            changed[at] ^= bit;
            let signed = board.signed(vec![changed]);
            let examined = board.approvers.examine(&signed, Purpose::Activation);
            assert!(examined.approvers.is_empty(), "{bit:#x} of byte {at}");
        }
    }
}

#[test]
fn no_byte_of_an_rsa_signature_can_be_changed() {
    let board = Board::new();
    no_byte_can_be_changed(&board, &board.one);
}

#[test]
fn no_byte_of_an_ecdsa_signature_can_be_changed() {
    let board = Board::new();
    no_byte_can_be_changed(&board, &board.two);
}

#[test]
fn pins_under_which_nobody_could_approve_are_refused() {
    let [a, b] = [Person::new("a"), Person::new("b")];
    let too_few = |people| ApproversError::TooFew { people, needed: 1 };
    let new = |needed, pins: &[Approver]| Approvers::new(needed, pins.to_vec()).unwrap_err();
    assert_eq!(
        new(0, &[a.pin(false), b.pin(false)]),
        ApproversError::Approvals(0)
    );
    assert_eq!(new(17, &[]), ApproversError::Approvals(17));
    assert_eq!(new(1, &[a.pin(false)]), too_few(1));
    assert_eq!(new(1, &[a.pin(false), b.pin(true)]), too_few(1));
    let other_key_of_a = Person::new("a");
    assert_eq!(
        new(1, &[a.pin(false), other_key_of_a.pin(false)]),
        too_few(1)
    );
    let same_key = Person::with("b", a.key.clone());
    let error = new(1, &[a.pin(false), b.pin(false), same_key.pin(false)]);
    assert!(error.to_string().contains("also pinned for a"), "{error}");
}

#[test]
fn weak_keys_and_odd_names_are_not_pinned() {
    let weak = Person::with("a", rsa(1_024)).certificate.to_der().unwrap();
    assert!(matches!(
        Approver::new("a", &weak, false),
        Err(ApproversError::Key { .. })
    ));
    let good = Person::new("a").certificate.to_der().unwrap();
    for name in ["", "A", "a b", "-a", "a/b", &"a".repeat(65)] {
        assert!(matches!(
            Approver::new(name, &good, false),
            Err(ApproversError::Person(_))
        ));
    }
    let trailing = [good, vec![0]].concat();
    assert!(matches!(
        Approver::new("a", &trailing, false),
        Err(ApproversError::Certificate { .. })
    ));
}
