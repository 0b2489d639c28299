//! The offline root's answer: checked against the key in the token, then the ceremony goes on.

use std::path::PathBuf;

use assay_hsm::{Ceremony, KeyRole, KeyUri, TokenUri};
use assay_policy::Dn;
use clap::Args;
use openssl::x509::X509;

use super::args::TokenArgs;
use super::certificate::Issuer;
use super::keys::{self, Key};
use super::layout::{self, Addresses};
use super::make::{certify_ra, find};
use super::transcript::{KeyEntry, State, Transcript};
use crate::failure::{Failure, OrFail, Outcome};
use crate::files;
use crate::installation::Installation;
use crate::output::Output;

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The issuing CA's certificate, PEM, as the root signed it
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,

    /// The certificates above it up to the root, PEM, in that order
    #[arg(long, value_name = "FILE")]
    chain: PathBuf,
}

pub(super) async fn run(args: ImportArgs, installation: &Installation, out: Output) -> Outcome {
    let mut transcript = Transcript::load(installation)?;
    if transcript.state != State::AwaitsCaCertificate {
        return Err(Failure::failed("no ceremony here awaits a CA certificate")
            .next("start one with `assay ceremony --csr`"));
    }
    let certificate = files::read(&args.certificate)?;
    let certificate = X509::from_pem(&certificate).or_fail(format!(
        "{} holds no PEM certificate",
        args.certificate.display()
    ))?;
    let chain = files::read(&args.chain)?;
    let chain = X509::stack_from_pem(&chain).or_fail(format!(
        "{} holds no PEM certificates",
        args.chain.display()
    ))?;
    check_chain(&certificate, &chain)?;

    let token = TokenArgs {
        module: transcript.module.clone().into(),
        token: TokenUri::parse(&transcript.token)
            .or_fail("the transcript's token is unreadable")?,
        environment: transcript.environment.clone().into_iter().collect(),
    };
    let service = keys::open(&token, &token.token).await?;
    let done = complete(
        &service,
        &certificate,
        &chain,
        installation,
        &mut transcript,
    )
    .await;
    service.close().await;
    done.map_err(|failure| {
        failure.next("the keys are untouched: move ca.pem, chain files and ra-*.pem out of certificates/ if they are there, and import again")
    })?;
    layout::write_settings(
        installation,
        &transcript,
        &Addresses::default(),
        layout::APPROVALS,
    )?;
    out.one(&transcript, Transcript::lines)
}

async fn complete(
    service: &Ceremony,
    certificate: &X509,
    chain: &[X509],
    installation: &Installation,
    transcript: &mut Transcript,
) -> Outcome {
    let what = "a certificate is unreadable";
    let der = certificate.to_der().or_fail(what)?;
    let issuer = Issuer::of_certificate(&der)?;
    let service_keys = read_keys(service, transcript).await?;
    if find(&service_keys, KeyRole::CaSign)?.spki_der != issuer.spki_der {
        return Err(
            Failure::failed("the certificate is not over the token's ca-sign key")
                .next("have certificates/ca.csr of this directory signed"),
        );
    }
    // A run that failed after this point may be repeated once its files are moved away.
    transcript.certificates.clear();
    transcript.add_certificate(installation, "ca.pem", &der)?;
    for (index, above) in chain.iter().enumerate() {
        let above = above.to_der().or_fail(what)?;
        let file = if index + 1 == chain.len() {
            "root.pem".to_owned()
        } else {
            format!("chain-{}.pem", index + 1)
        };
        transcript.add_certificate(installation, &file, &above)?;
    }
    let subject =
        Dn::parse_rfc4514(&transcript.ra_subject).or_fail("the transcript's RA subject")?;
    let days = transcript.ra_days;
    certify_ra(
        service,
        &service_keys,
        &der,
        &subject,
        days,
        installation,
        transcript,
    )
    .await
}

async fn read_keys(service: &Ceremony, transcript: &Transcript) -> Outcome<Vec<Key>> {
    let mut found = Vec::new();
    for entry in &transcript.keys {
        found.push(read_key(service, entry).await?);
    }
    Ok(found)
}

/// A key of the transcript, as the token has it.
pub(super) async fn read_key(service: &Ceremony, entry: &KeyEntry) -> Outcome<Key> {
    let role: KeyRole = entry
        .role
        .parse()
        .or_fail("the transcript names an unknown role")?;
    let uri = KeyUri::parse(&entry.uri).or_fail("the transcript's key URI is unreadable")?;
    let spki_der = service
        .public_key(&uri)
        .await
        .or_fail(format!("cannot read the {role} key"))?;
    Ok(Key {
        role,
        uri,
        spki_der,
    })
}

/// Each certificate signed by the next, the last by itself, all CAs and in date.
fn check_chain(certificate: &X509, chain: &[X509]) -> Outcome {
    let what = "cannot verify the chain";
    let Some(root) = chain.last() else {
        return Err(Failure::usage("the chain holds no certificate").next("give the root at least"));
    };
    let mut store = openssl::x509::store::X509StoreBuilder::new().or_fail(what)?;
    store.add_cert(root.clone()).or_fail(what)?;
    let mut between = openssl::stack::Stack::new().or_fail(what)?;
    for above in chain {
        between.push(above.clone()).or_fail(what)?;
    }
    let mut context = openssl::x509::X509StoreContext::new().or_fail(what)?;
    let (good, error) = context
        .init(&store.build(), certificate, &between, |context| {
            Ok((context.verify_cert()?, context.error()))
        })
        .or_fail(what)?;
    if good {
        return Ok(());
    }
    Err(
        Failure::failed("the CA certificate does not verify under the chain")
            .because(error.error_string())
            .next("give with --chain every certificate above it, the root last"),
    )
}
