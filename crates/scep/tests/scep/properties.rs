//! Properties over generated input.

use std::sync::LazyLock;

use assay_scep::{
    Csr, Digest, Limits, MessageType, Request,
    client::{CertRep, assemble_csr, new_csr_info_with},
    parse_ca_certificates,
};
use proptest::prelude::*;
use tokio::runtime::{Builder, Runtime};

use crate::support::*;

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().build().unwrap());
static MESSAGE: LazyLock<Vec<u8>> = LazyLock::new(|| RUNTIME.block_on(message()));
static CSR: LazyLock<Vec<u8>> = LazyLock::new(csr);

fn open(request: &Request) -> Vec<u8> {
    let envelope = request.envelope().unwrap();
    RUNTIME
        .block_on(envelope.open(ra(), &ra().certificate))
        .unwrap()
        .unwrap()
        .to_vec()
}

/// How a BER encoder dresses one element: each choice is taken from `dice`, over and over.
struct Dress<'a> {
    dice: std::iter::Cycle<std::slice::Iter<'a, u8>>,
}

impl Dress<'_> {
    /// Re-encodes DER with indefinite and long-form lengths and OCTET STRINGs in segments.
    fn element(&mut self, der: &[u8]) -> Vec<u8> {
        let (tag, content, _) = split(der);
        let die = *self.dice.next().unwrap();
        match tag {
            0x04 if die.is_multiple_of(3) && !content.is_empty() => {
                let segments: Vec<u8> = content
                    .chunks(1 + usize::from(die) * 4)
                    .flat_map(|part| tlv(0x04, part))
                    .collect();
                self.header(0x24, &segments)
            }
            // encryptedContent is primitive and [0]; as segments it is constructed.
            constructed if constructed & 0x20 != 0 => {
                let children: Vec<u8> = elements(content)
                    .iter()
                    .flat_map(|child| self.element(child))
                    .collect();
                self.header(constructed, &children)
            }
            // OpenSSL 3.0.19 takes a long length of nothing for one that is cut off, where nothing follows it.
            primitive if die.is_multiple_of(5) && !content.is_empty() => {
                long_form(primitive, content)
            }
            _ => der.to_vec(),
        }
    }

    fn header(&mut self, tag: u8, content: &[u8]) -> Vec<u8> {
        match self.dice.next().unwrap() % 3 {
            0 => [&[tag, 0x80], content, &[0, 0]].concat(),
            1 => long_form(tag, content),
            _ => tlv(tag, content),
        }
    }
}

fn oid(content: &str) -> Vec<u8> {
    tlv(0x06, &hex::decode(content).unwrap())
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

fn long_form(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&[tag, 0x84], &length[..], content].concat()
}

#[test]
fn openssl_reads_a_dressed_message_as_we_do() {
    for dice in [
        &[0, 1, 2, 3, 4, 5, 6][..],
        &[0],
        &[1, 255, 30],
        &[9, 0, 15, 1, 2],
    ] {
        let dressed = Dress {
            dice: dice.iter().cycle(),
        }
        .element(&MESSAGE);
        let file = device().file("dressed.der", &dressed);
        let file = file.to_str().unwrap();
        let by_openssl = openssl(&[
            "cms", "-cmsout", "-inform", "DER", "-outform", "DER", "-in", file,
        ]);
        let (by_openssl, by_us) = (parse(&by_openssl), parse(&dressed));
        by_openssl.verify().unwrap();
        assert_eq!(
            by_openssl.signer().unwrap().der(),
            by_us.signer().unwrap().der()
        );
        assert_eq!(open(&by_openssl), open(&by_us));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ber_reads_as_the_der_it_dresses(dice in prop::collection::vec(any::<u8>(), 1..200)) {
        let dressed = Dress { dice: dice.iter().cycle() }.element(&MESSAGE);
        let (plain, dressed) = (parse(&MESSAGE), parse(&dressed));
        dressed.verify().unwrap();
        prop_assert_eq!(dressed.transaction_id(), plain.transaction_id());
        prop_assert_eq!(dressed.signer().unwrap().der(), plain.signer().unwrap().der());
        prop_assert_eq!(open(&dressed), CSR.clone());
    }

    #[test]
    fn a_ber_envelope_opens(dice in prop::collection::vec(any::<u8>(), 1..200), segment in 1..2000_usize) {
        let envelope = builder().envelope::<()>(&CSR).unwrap();
        let segmented = edit(&envelope, &[1, 0, 2, 2], &|ciphertext| {
            let segments: Vec<u8> = split(ciphertext).1.chunks(segment).flat_map(|part| tlv(0x04, part)).collect();
            tlv(0xa0, &segments)
        });
        let dressed = Dress { dice: dice.iter().cycle() }.element(&segmented);
        let message = RUNTIME.block_on(builder().build_around(Some(&dressed), device())).unwrap();
        prop_assert_eq!(open(&parse(&message)), CSR.clone());
    }

    #[test]
    fn values_come_back_as_they_went(
        transaction_id in "[ -~]{1,255}",
        nonce in prop::collection::vec(any::<u8>(), 1..=64),
        content in prop::collection::vec(any::<u8>(), 0..3000),
    ) {
        let mut builder = builder();
        (builder.transaction_id, builder.sender_nonce) = (Some(transaction_id.as_str()), Some(nonce.as_slice()));
        let request = parse(&RUNTIME.block_on(builder.build(&content, device())).unwrap());
        request.verify().unwrap();
        prop_assert_eq!(request.transaction_id().as_str(), &transaction_id);
        prop_assert_eq!(request.sender_nonce().as_bytes(), &nonce);
        prop_assert_eq!(open(&request), content);
    }

    #[test]
    fn no_challenge_is_left_where_it_was_taken_out(
        challenge in "[A-Za-z0-9]{8,64}",
        string_type in prop::sample::select(vec![0x0c_u8, 0x13, 0x14, 0x16, 0x1c, 0x1e]),
        before in any::<bool>(),
    ) {
        let width = match string_type { 0x1c => 4, 0x1e => 2, _ => 1 };
        let planted: Vec<u8> = challenge
            .bytes()
            .flat_map(|octet| [&[0; 3][4 - width..], &[octet]].concat())
            .collect();
        let password = tlv(0x30, &[oid("2a864886f70d010907"), tlv(0x31, &tlv(string_type, &planted))].concat());
        let name = tlv(0x30, &[oid("2a864886f70d010902"), tlv(0x31, &tlv(0x0c, b"unstructured"))].concat());
        let attributes = if before { vec![password, name] } else { vec![name, password] };
        let info = new_csr_info_with(&tlv(0x30, &[]), &device().key.public_key_to_der().unwrap(), attributes);
        let whole = assemble_csr(&info, Digest::Sha256, &[0; 256]);
        prop_assert!(holds(&whole, &planted));

        let csr = Csr::parse(&whole, &Limits::default()).unwrap();
        prop_assert_eq!(csr.challenge_password().unwrap().expose(), &challenge);
        let public = csr.without_challenge();
        prop_assert!(!holds(&public, &planted));
        prop_assert!(holds(&public, b"unstructured"));
        prop_assert!(openssl::x509::X509Req::from_der(&public).is_ok());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_octets_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        read_as_everything(&bytes);
    }

    #[test]
    fn what_verifies_after_an_alteration_says_the_same(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..4)
    ) {
        let altered = alter(&MESSAGE, &edits);
        read_as_everything(&altered);
        let Ok(request) = Request::parse(&altered, &Limits::default()) else { return Ok(()) };
        if request.verify().is_ok() && request.signer().unwrap().spki_der() == parse(&MESSAGE).signer().unwrap().spki_der() {
            prop_assert_eq!(request.message_type(), Ok(MessageType::PkcsReq));
            prop_assert_eq!(request.transaction_id().as_str(), TRANSACTION);
            prop_assert_eq!(request.sender_nonce().as_bytes(), NONCE);
            prop_assert_eq!(open(&request), CSR.clone());
        }
    }

    #[test]
    fn an_altered_csr_never_panics_nor_proves_another_name(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..4)
    ) {
        let altered = alter(&CSR, &edits);
        let Ok(csr) = Csr::parse(&altered, &Limits::default()) else { return Ok(()) };
        if csr.verify_proof_of_possession().is_ok() {
            let original = Csr::parse(&CSR, &Limits::default()).unwrap();
            prop_assert_eq!(csr.subject_der(), original.subject_der());
            prop_assert_eq!(csr.spki_der(), original.spki_der());
            prop_assert_eq!(csr.extensions(), original.extensions());
        }
    }
}

fn read_as_everything(bytes: &[u8]) {
    let limits = Limits::default();
    if let Ok(request) = Request::parse(bytes, &limits) {
        let _ = request.verify();
        let _ = request
            .envelope()
            .map(|envelope| envelope.recipient_index(&[&ra().certificate]));
    }
    let _ = Csr::parse(bytes, &limits);
    let _ = CertRep::parse(bytes, &limits);
    let _ = parse_ca_certificates(bytes);
}

/// Overwrites, inserts or removes octets.
fn alter(original: &[u8], edits: &[(prop::sample::Index, u8, u8)]) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for (index, octet, kind) in edits {
        let at = index.index(bytes.len());
        match kind {
            0 => bytes[at] = *octet,
            1 => bytes.insert(at, *octet),
            _ => drop(bytes.remove(at)),
        }
    }
    bytes
}
