//! The offline root's answer: checked against the key in the token, then the ceremony continues, that of the first CA or of a
//! next one.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use assay_pkcs11::KeyRole;
use clap::Args;
use openssl::x509::X509;

use super::certificate::Issuer;
use super::certify::{self, CA_FILE};
use super::generation::Generation;
use super::hsm_toml::{self, Users};
use super::keys::{self, find};
use super::layout;
use super::next::{Life, Made, SignerToml, SwitchArgs, lives};
use super::record::{Record, read_certificate};
use super::token::{Library, OpenToken};
use super::transcript::{Ca, State, Transcript};
use super::{csr, root, signature};
use assay_console::failure::{Failure, OrFail, Outcome};
use assay_console::files;
use assay_console::output::Output;
use assay_operator::installation::Installation;

const UNREADABLE: &str = "a certificate is unreadable";

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The issuing CA's certificate, PEM, as the root signed it
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,

    /// The certificates above it up to the root, PEM, in that order
    #[arg(long, value_name = "FILE")]
    chain: PathBuf,

    /// Approvals that a version of the policy needs, in addition to its author's; written to signer.toml of a first CA
    #[arg(long, value_name = "NUMBER", default_value_t = layout::APPROVALS)]
    approvals: usize,

    #[command(flatten)]
    users: Users,

    #[command(flatten, next_help_heading = "Of a next CA")]
    switch: SwitchArgs,
}

pub(super) fn run(args: &ImportArgs, installation: &Installation, out: Output) -> Outcome {
    let mut transcript = Transcript::load(installation)?;
    let generation = awaiting(&transcript).ok_or_else(|| {
        Failure::failed("no ceremony here awaits a CA certificate").next(
            "start one with `assay-ceremony create --csr`, or with `assay-ceremony next --csr`",
        )
    })?;
    let answer = Answer::read(&args.certificate, &args.chain)?;
    if generation == Generation::FIRST {
        if args.switch.is_given() {
            return Err(Failure::usage("the first CA takes over from none")
                .next("leave --switch-at and --overlap out"));
        }
        answer.complete(generation, installation, &mut transcript)?;
        layout::write_settings(installation, &transcript, args.approvals, &args.users)?;
        let lines = transcript.lines(generation)?;
        return out.one(&transcript, |_| lines);
    }
    let notes = answer.schedule(generation, &args.switch, installation, &mut transcript)?;
    answer.complete(generation, installation, &mut transcript)?;
    hsm_toml::add(installation, transcript.ca(generation)?)?;
    Made::of(generation, &transcript, installation)?.print(&notes, out)
}

/// The generation whose CA has asked an offline root.
fn awaiting(transcript: &Transcript) -> Option<Generation> {
    let waits = |ca: &&Ca| ca.state == State::AwaitsCaCertificate && ca.abandoned.is_none();
    let found = transcript.generations.iter().rev().find(waits);
    found.map(|ca| ca.generation)
}

/// A CA certificate with those above it, which verifies under them.
struct Answer {
    der: Vec<u8>,
    above: Vec<X509>,
    issuer: Issuer,
}

impl Answer {
    fn read(certificate: &Path, chain: &Path) -> Outcome<Self> {
        let ca = read_certificate(certificate)?;
        let above = X509::stack_from_pem(&files::read(chain)?)
            .or_fail(format!("{} holds no PEM certificates", chain.display()))?;
        check_chain(&ca, &above)?;
        let der = ca.to_der().or_fail(UNREADABLE)?;
        Ok(Self {
            issuer: Issuer::of_certificate(&der)?,
            der,
            above,
        })
    }

    /// Holds the switch to what the root has made of the CA, and returns what is better known.
    fn schedule(
        &self,
        generation: Generation,
        args: &SwitchArgs,
        installation: &Installation,
        transcript: &mut Transcript,
    ) -> Outcome<Vec<String>> {
        let file = SignerToml::find(installation)?;
        let present = file.and_then(|file| file.present(transcript));
        let old = lives(installation, present.unwrap_or(Generation::FIRST))?;
        let ca = transcript.ca_mut(generation)?;
        let switch = args.or(ca.switch()?)?;
        let new = Life::of("the next CA".to_owned(), &self.der)?;
        let all: Vec<Life> = old.iter().cloned().chain([new]).collect();
        switch.check(SystemTime::now(), &all)?;
        ca.switch = Some(switch.planned());
        Ok(switch.short(&old))
    }

    fn complete(
        &self,
        generation: Generation,
        installation: &Installation,
        transcript: &mut Transcript,
    ) -> Outcome {
        let token = transcript.token_args()?;
        let service = Library::load(&token)?.open(&token.token)?;
        let mut record = Record::of(generation, installation, transcript);
        self.go_on(&service, &mut record).map_err(|failure| {
            failure.next(format!(
                "the keys are untouched: move ca.pem, chain files and ra-*.pem out of {}/ if they are there, and import again",
                generation.folder()
            ))
        })
    }

    fn go_on(&self, service: &OpenToken, record: &mut Record<'_>) -> Outcome {
        let generation = record.generation;
        let mut service_keys = Vec::new();
        for entry in &record.ca()?.keys {
            service_keys.push(keys::read(service, entry)?);
        }
        if find(&service_keys, KeyRole::CaSign)?.spki_der != self.issuer.spki_der {
            return Err(Failure::failed(format!(
                "the certificate is not over the token's {} key",
                generation.label(KeyRole::CaSign)
            ))
            .next(format!(
                "have {} of this directory signed",
                generation.file(csr::FILE)
            )));
        }
        // A run that failed after this point may be repeated once its files are moved away.
        record.forget_certificates()?;
        record.add_certificate(CA_FILE, &self.der)?;
        for (index, above) in self.above.iter().enumerate() {
            let above = above.to_der().or_fail(UNREADABLE)?;
            let file = if index + 1 == self.above.len() {
                root::FILE.to_owned()
            } else {
                format!("chain-{}.pem", index + 1)
            };
            record.add_certificate(&file, &above)?;
        }
        certify::complete(service, &service_keys, &self.issuer, record)
    }
}

/// Each certificate signed by the next, the last by itself, all CAs and in date.
fn check_chain(certificate: &X509, chain: &[X509]) -> Outcome {
    let Some(root) = chain.last() else {
        return Err(Failure::usage("the chain holds no certificate").next("give the root at least"));
    };
    let fault = signature::chain_fault(certificate, chain, std::slice::from_ref(root), None)
        .or_fail("cannot verify the chain")?;
    fault.map_or(Ok(()), |fault| {
        Err(
            Failure::failed("the CA certificate does not verify under the chain")
                .because(fault)
                .next("give with --chain every certificate above it, the root last"),
        )
    })
}
