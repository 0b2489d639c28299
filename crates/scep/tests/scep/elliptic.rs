//! Requesters with elliptic-curve keys: what they sign, and replies under a password, with OpenSSL on the other side.

use crate::support::*;
use assay_scep::{
    Algorithms, Cipher, Csr, Curve, Digest, FailInfo, Limits, Outcome, Refusal, ReplyContext,
    ReplyError, Request, Secret, cert_rep,
    client::{CertRep, CertRepError, NoPasswordEnvelope, PkiMessageBuilder},
};
use proptest::prelude::*;
use std::{process::Command, sync::OnceLock};

/// Where things are in an EnvelopedData for a password: ContentInfo, `[0]`, EnvelopedData.
mod pwri {
    pub(super) const INFOS: [usize; 3] = [1, 0, 1];
    pub(super) const INFO: [usize; 4] = [1, 0, 1, 0];
    pub(super) const DERIVATION: [usize; 6] = [1, 0, 1, 0, 1, 0];
    pub(super) const SALT: [usize; 7] = [1, 0, 1, 0, 1, 1, 0];
    pub(super) const ITERATIONS: [usize; 7] = [1, 0, 1, 0, 1, 1, 1];
    pub(super) const KEY_ENCRYPTION: [usize; 6] = [1, 0, 1, 0, 2, 0];
    pub(super) const WRAPPED: [usize; 5] = [1, 0, 1, 0, 3];
}

fn identity(curve: &str) -> Identity {
    let curve = format!("ec_paramgen_curve:{curve}");
    Identity::with_key("ec", &["-newkey", "ec", "-pkeyopt", &curve, "-nodes"], &[])
}

fn p256() -> &'static Identity {
    static P256: OnceLock<Identity> = OnceLock::new();
    P256.get_or_init(|| identity("P-256"))
}

fn builder_for(requester: &Identity) -> PkiMessageBuilder<'_> {
    PkiMessageBuilder::new(
        &requester.certificate,
        &ra().certificate,
        TRANSACTION,
        &NONCE,
    )
}

async fn request(requester: &Identity, digest: Digest) -> Vec<u8> {
    let mut builder = builder_for(requester);
    builder.digest = digest;
    let csr = requester.csr(CSR_CONFIGURATION, &["-sha256"]);
    builder.build(&csr, requester).await.unwrap()
}

fn of_all_curves() -> Algorithms {
    Algorithms {
        curves: Curve::ALL.to_vec(),
        ..Algorithms::default()
    }
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn success() -> Outcome {
    Outcome::Success {
        certificates: vec![device().certificate.clone()],
    }
}

async fn reply(
    request: &Request,
    cipher: Cipher,
    outcome: &Outcome,
    password: Option<&Secret>,
) -> Result<Vec<u8>, ReplyError<std::convert::Infallible>> {
    let context = ReplyContext {
        request,
        ra_certificate: &ra().certificate,
        digest: Digest::Sha256,
        cipher,
        password,
    };
    cert_rep(&context, outcome, ra()).await
}

fn read(bytes: &[u8]) -> CertRep {
    CertRep::parse(bytes, &Limits::default()).unwrap()
}

/// The envelope of a CertRep, by OpenSSL.
fn content(cert_rep: &[u8]) -> Vec<u8> {
    let file = ra().file("cert-rep.der", cert_rep);
    run(Command::new("openssl")
        .args([
            "cms",
            "-verify",
            "-inform",
            "DER",
            "-noverify",
            "-binary",
            "-in",
        ])
        .arg(file))
    .stdout
}

/// A CertRep around any envelope.
async fn around(envelope: &[u8]) -> CertRep {
    let mut builder = builder_for(ra());
    builder.message_type = "3";
    let status = [
        tlv(0x06, &hex::decode("6086480186f845010903").unwrap()),
        tlv(0x31, &tlv(0x13, b"0")),
    ];
    builder.extra_attributes = vec![tlv(0x30, &status.concat())];
    read(&builder.build_around(Some(envelope), ra()).await.unwrap())
}

#[tokio::test]
async fn each_curve_and_digest_is_verified_and_openssl_opens_the_reply() {
    let digests = [Digest::Sha256, Digest::Sha384, Digest::Sha512];
    let ciphers = [
        Cipher::Aes128Cbc,
        Cipher::Aes192Cbc,
        Cipher::Aes256Cbc,
        Cipher::DesEde3Cbc,
    ];
    for (nth, curve) in Curve::ALL.into_iter().enumerate() {
        let requester = identity(["P-256", "P-384", "P-521"][nth]);
        for digest in digests {
            let request = parse(&request(&requester, digest).await);
            request.check_algorithms(&of_all_curves()).unwrap();
            request.verify().unwrap();
            assert_eq!(request.signer().unwrap().curve(), Some(curve));
            let envelope = request.envelope().unwrap();
            let opened = envelope
                .open(ra(), &ra().certificate)
                .await
                .unwrap()
                .unwrap();
            let csr = Csr::parse(&opened, &Limits::default()).unwrap();
            csr.verify_proof_of_possession().unwrap();
            assert_eq!(csr.curve(), Some(curve));
            assert!(csr.has_key_of(request.signer().unwrap()));

            let challenge = csr.challenge_password().unwrap();
            for cipher in ciphers {
                let bytes = reply(&request, cipher, &success(), Some(challenge))
                    .await
                    .unwrap();
                let read = read(&bytes);
                read.verify(&ra().certificate).unwrap();
                let certificates = read.open_with_password(challenge).unwrap();
                assert_eq!(certificates, [device().certificate.clone()]);

                let envelope = ra().file("envelope.der", &content(&bytes));
                let opened = openssl(&[
                    "cms",
                    "-decrypt",
                    "-binary",
                    "-inform",
                    "DER",
                    "-pwri_password",
                    CHALLENGE,
                    "-in",
                    envelope.to_str().unwrap(),
                ]);
                let listed = assay_scep::parse_ca_certificates(&opened).unwrap();
                assert_eq!(listed, [device().certificate.clone()]);
            }
        }
    }
}

#[tokio::test]
async fn what_openssl_envelopes_under_a_password_opens() {
    let certificate = ra().file("only.pem", &{
        let parsed = openssl::x509::X509::from_der(&device().certificate).unwrap();
        parsed.to_pem().unwrap()
    });
    let list = openssl(&[
        "crl2pkcs7",
        "-nocrl",
        "-outform",
        "DER",
        "-certfile",
        certificate.to_str().unwrap(),
    ]);
    let list = ra().file("list.der", &list);
    for cipher in ["-aes128", "-aes192", "-aes256", "-des3"] {
        let envelope = openssl(&[
            "cms",
            "-encrypt",
            "-binary",
            "-outform",
            "DER",
            cipher,
            "-pwri_password",
            CHALLENGE,
            "-in",
            list.to_str().unwrap(),
        ]);
        let reply = around(&envelope).await;
        let certificates = reply.open_with_password(&secret(CHALLENGE)).unwrap();
        assert_eq!(certificates, [device().certificate.clone()], "{cipher}");
        assert!(matches!(
            reply.open_with_password(&secret("another")),
            Err(CertRepError::Undecipherable(_) | CertRepError::Certificates)
        ));
    }
}

#[tokio::test]
async fn without_a_password_nothing_is_enveloped_and_a_refusal_needs_none() {
    let request = parse(&request(p256(), Digest::Sha256).await);
    let built = reply(&request, Cipher::Aes128Cbc, &success(), None).await;
    assert!(matches!(built, Err(ReplyError::NoPassword)));
    let refusal = Outcome::Failure {
        fail_info: FailInfo::BadRequest,
        text: None,
    };
    for outcome in [refusal, Outcome::Pending] {
        let built = reply(&request, Cipher::Aes128Cbc, &outcome, None)
            .await
            .unwrap();
        read(&built).verify(&ra().certificate).unwrap();
        let opened = read(&built).open_with_password(&secret(CHALLENGE));
        assert!(
            matches!(opened, Err(CertRepError::Malformed(_))),
            "{opened:?}"
        );
    }
}

#[tokio::test]
async fn the_secret_of_an_rsa_requester_is_not_used() {
    let request = parse(&message().await);
    let password = secret(CHALLENGE);
    let built = reply(&request, Cipher::Aes128Cbc, &success(), Some(&password))
        .await
        .unwrap();
    let reply = read(&built);
    assert!(matches!(
        reply.open_with_password(&password),
        Err(CertRepError::Password(NoPasswordEnvelope::Structure))
    ));
    let opened = reply.open(device(), &device().certificate).await.unwrap();
    assert_eq!(opened.unwrap(), [device().certificate.clone()]);
}

#[tokio::test]
async fn a_password_envelope_out_of_bounds_is_not_tried() {
    let request = parse(&request(p256(), Digest::Sha256).await);
    let password = secret(CHALLENGE);
    let built = reply(&request, Cipher::Aes128Cbc, &success(), Some(&password))
        .await
        .unwrap();
    let envelope = content(&built);
    let integer =
        |value: u32| move |_: &[u8]| tlv(0x02, &[&[0], &value.to_be_bytes()[..]].concat());
    let iterations = NoPasswordEnvelope::Iterations {
        least: 1_000,
        most: 1_000_000,
    };
    let small = |value: u16| move |_: &[u8]| tlv(0x02, &value.to_be_bytes());
    let data = |_: &[u8]| tlv(0x06, &hex::decode("2a864886f70d010701").unwrap());
    let nothing = |_: &[u8]| tlv(0x31, &[]);
    let twice = |infos: &[u8]| {
        let info = split(infos).1;
        tlv(0x31, &[info, info].concat())
    };
    let key_transport = |info: &[u8]| tlv(0x30, split(info).1);
    type Change<'a> = (
        &'a [usize],
        &'a dyn Fn(&[u8]) -> Vec<u8>,
        NoPasswordEnvelope,
    );
    let cases: [Change<'_>; 10] = [
        (&pwri::ITERATIONS, &small(999), iterations),
        (&pwri::ITERATIONS, &integer(1_000_001), iterations),
        (
            &pwri::SALT,
            &|_| tlv(0x04, &[7; 7]),
            NoPasswordEnvelope::Derivation,
        ),
        (
            &pwri::SALT,
            &|_| tlv(0x04, &[7; 65]),
            NoPasswordEnvelope::Derivation,
        ),
        (&pwri::DERIVATION, &data, NoPasswordEnvelope::Derivation),
        (&pwri::KEY_ENCRYPTION, &data, NoPasswordEnvelope::Encryption),
        (
            &pwri::WRAPPED,
            &|_| tlv(0x04, &[7; 16]),
            NoPasswordEnvelope::Encryption,
        ),
        (&pwri::INFOS, &nothing, NoPasswordEnvelope::Structure),
        (&pwri::INFOS, &twice, NoPasswordEnvelope::Structure),
        (&pwri::INFO, &key_transport, NoPasswordEnvelope::Structure),
    ];
    for (path, change, expected) in cases {
        let changed = around(&edit(&envelope, path, change)).await;
        match changed.open_with_password(&password) {
            Err(CertRepError::Password(found)) => assert_eq!(found, expected, "{path:?}"),
            other => panic!("{path:?}: {other:?}"),
        }
    }
    around(&envelope)
        .await
        .open_with_password(&password)
        .unwrap();
}

/// The fuzzers begin with what works: a reply, and requests of two curves.
#[tokio::test]
async fn the_seeds_of_the_fuzzers_are_such_messages() {
    let reply = include_bytes!("../../fuzz/seeds/outer_message/cert-rep-under-password");
    let certificates = read(reply)
        .open_with_password(&secret("challenge"))
        .unwrap();
    assert_eq!(certificates.len(), 1);
    for request in [
        &include_bytes!("../../fuzz/seeds/outer_message/p-256")[..],
        include_bytes!("../../fuzz/seeds/outer_message/p-384"),
    ] {
        assert_eq!(refused(request, &of_all_curves()), None);
    }
}

fn refused(bytes: &[u8], algorithms: &Algorithms) -> Option<(FailInfo, &'static str)> {
    let request = parse(bytes);
    let verdict = request
        .check_algorithms(algorithms)
        .and_then(|()| request.verify());
    verdict
        .err()
        .map(|Refusal { fail_info, reason }| (fail_info, reason))
}

#[tokio::test]
async fn keys_and_signatures_that_do_not_fit_are_refused_on_public_data() {
    let all = of_all_curves();
    let good = request(p256(), Digest::Sha256).await;
    assert_eq!(refused(&good, &all), None);
    let unlisted = Algorithms {
        curves: vec![Curve::P384, Curve::P521],
        ..Algorithms::default()
    };
    let no_key = Some((FailInfo::BadAlg, "signer-key-algorithm"));
    assert_eq!(refused(&good, &unlisted), no_key);
    assert_eq!(refused(&good, &Algorithms::default()), no_key);
    assert_eq!(
        refused(&request(&identity("secp256k1"), Digest::Sha256).await, &all),
        no_key
    );

    let identifier = |oid: &str| tlv(0x30, &tlv(0x06, &hex::decode(oid).unwrap()));
    let (rsa, with_sha384) = ("2a864886f70d010101", "2a8648ce3d040303");
    let scheme = |oid| edit(&good, &path::SIGNATURE_ALGORITHM, &|_| identifier(oid));
    assert_eq!(
        refused(&scheme(rsa), &all),
        Some((FailInfo::BadAlg, "signature-algorithm"))
    );
    let wrong = |reason| Some((FailInfo::BadMessageCheck, reason));
    assert_eq!(
        refused(&scheme(with_sha384), &all),
        wrong("digest-disagreement")
    );

    let flip = |element: &[u8]| {
        let (tag, content, _) = split(element);
        let mut content = content.to_vec();
        *content.last_mut().unwrap() ^= 1;
        tlv(tag, &content)
    };
    let flipped = edit(&good, &path::SIGNATURE, &flip);
    assert_eq!(refused(&flipped, &all), wrong("signature"));
    // The same numbers in BER: a length in its long form.
    let padded = edit(&good, &path::SIGNATURE, &|signature| {
        let signature = split(signature).1;
        let numbers = split(signature).1;
        let length = u8::try_from(numbers.len()).unwrap();
        tlv(0x04, &[&[0x30, 0x81, length], numbers].concat())
    });
    assert_eq!(refused(&padded, &all), wrong("signature"));

    // The point is the last element of the SPKI; beside its curve nothing is calculated.
    let spki = [&path::CERTIFICATES[..], &[0, 0, 6, 1]].concat();
    let off_curve = edit(&good, &spki, &flip);
    assert_eq!(
        refused(&off_curve, &all),
        Some((FailInfo::BadRequest, "signer-key-point"))
    );
}

#[tokio::test]
async fn the_same_point_on_another_curve_is_another_key() {
    let csr = p256().csr(CSR_CONFIGURATION, &[]);
    let request = parse(&request(p256(), Digest::Sha256).await);
    let signer = request.signer().unwrap();
    assert!(
        Csr::parse(&csr, &Limits::default())
            .unwrap()
            .has_key_of(signer)
    );
    let brainpool = tlv(0x06, &hex::decode("2b2403030208010107").unwrap());
    let elsewhere = edit(&csr, &[0, 2, 0, 1], &|_| brainpool.clone());
    assert!(
        !Csr::parse(&elsewhere, &Limits::default())
            .unwrap()
            .has_key_of(signer)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the password is, it opens what was sealed under it, and one that differs does not.
    #[test]
    fn a_reply_opens_under_its_password_and_no_other(
        password in "\\PC{1,64}",
        other in "\\PC{1,64}",
        cipher in prop::sample::select(Cipher::ALL.to_vec()),
    ) {
        prop_assume!(password != other);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let request = parse(&runtime.block_on(request(p256(), Digest::Sha256)));
        let password = secret(&password);
        let built = runtime.block_on(reply(&request, cipher, &success(), Some(&password))).unwrap();
        let read = read(&built);
        prop_assert_eq!(read.open_with_password(&password).unwrap(), [device().certificate.clone()]);
        prop_assert!(read.open_with_password(&secret(&other)).is_err());
    }

    /// Bytes anywhere in an envelope may be anything: it is refused, or does not open, or opens; it never panics.
    #[test]
    fn an_altered_envelope_never_panics(at in any::<prop::sample::Index>(), octet: u8) {
        static ENVELOPE: OnceLock<Vec<u8>> = OnceLock::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let password = secret(CHALLENGE);
        let envelope = ENVELOPE.get_or_init(|| {
            let request = parse(&runtime.block_on(request(p256(), Digest::Sha256)));
            let granted = success();
            let built = reply(&request, Cipher::Aes128Cbc, &granted, Some(&password));
            content(&runtime.block_on(built).unwrap())
        });
        let mut altered = envelope.clone();
        *at.get_mut(&mut altered) = octet;
        let _ = runtime.block_on(around(&altered)).open_with_password(&password);
    }
}
