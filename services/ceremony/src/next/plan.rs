//! What the ceremony of a next CA knows before it starts; every refusal that needs no token.

use std::time::{Duration, SystemTime};

use assay_pkcs11::{KeyAlgorithm, KeyRole, TokenUri};
use assay_policy::Dn;
use der::Decode;
use x509_cert::Certificate;

use super::MakeArgs;
use super::signer_toml::{self, SignerToml};
use super::switch::{Life, Switch, lives};
use crate::args::{KeyArgs, TokenArgs};
use crate::certificate::Issuer;
use crate::certify::CA_FILE;
use crate::generation::Generation;
use crate::record::read_der;
use crate::transcript::{Ca, KeyEntry, State, Transcript, now};
use crate::{keys, root};
use assay_console::failure::{Failure, OrFail, Outcome};
use assay_operator::installation::Installation;

const DAY: Duration = Duration::from_hours(24);

/// All that the ceremony needs to know.
pub(super) struct Plan {
    pub(super) token: TokenArgs,
    pub(super) present: Generation,
    pub(super) generation: Generation,
    /// The root of the first ceremony; without one an offline root is asked by certificate request.
    pub(super) root: Option<RootKey>,
    pub(super) keys: Vec<(KeyRole, KeyAlgorithm)>,
    pub(super) ca_subject: Dn,
    pub(super) ra_subject: Dn,
    pub(super) ca_days: u32,
    pub(super) ra_days: u32,
    pub(super) switch: Switch,
    /// What is as it may be, and better known.
    pub(super) notes: Vec<String>,
}

/// Where the root key lies, and what it signs as.
pub(super) struct RootKey {
    pub(super) token: TokenUri,
    pub(super) entry: KeyEntry,
    pub(super) issuer: Issuer,
}

impl Plan {
    pub(super) fn draw(
        args: MakeArgs,
        installation: &Installation,
        transcript: &Transcript,
    ) -> Outcome<Self> {
        let file = SignerToml::read(installation)?;
        let present = signer_toml::present(&file, transcript)?;
        none_begun(&file, transcript, present)?;
        let made = transcript.generations.iter();
        let last = made.map(|ca| ca.generation).max();
        let generation = last.unwrap_or(Generation::FIRST).next();

        let old = transcript.ca(present)?;
        let key_args = key_args(&args, &file, old)?;
        key_args.check()?;
        let ca_file = present.file(CA_FILE);
        let old_subject = subject(installation, &ca_file)?;
        let ca_subject = own(generation, args.ca_subject, &old_subject, "--ca-subject")?;
        let ra_subject = own(
            generation,
            args.ra_subject,
            &old.ra_subject()?,
            "--ra-subject",
        )?;
        let mut plan = Self {
            token: transcript.token_args()?,
            present,
            generation,
            root: match args.csr {
                true => None,
                false => Some(root_key(args.root_token, installation, transcript)?),
            },
            keys: of_each_generation(&key_args),
            ca_days: args.ca_days,
            ra_days: args.ra_days.unwrap_or(old.ra_days),
            switch: args.switch.or_default(SystemTime::now())?,
            notes: Vec::new(),
            ca_subject,
            ra_subject,
        };
        if plan.ca_subject == old_subject {
            plan.notes.push(format!(
                "both CAs have the subject {old_subject}: that is allowed, and people will take one for the other"
            ));
        }
        plan.check_times(installation)?;
        Ok(plan)
    }

    /// The switch against the present certificates, and against those that will be made.
    fn check_times(&mut self, installation: &Installation) -> Outcome {
        let now = SystemTime::now();
        let old = lives(installation, self.present)?;
        let root_end = self.root.as_ref().map(|root| root.issuer.not_after);
        let ends = |days: u32, above: Option<SystemTime>| {
            let end = now + DAY * days;
            above.map_or(end, |above| end.min(above))
        };
        // What an offline root will say is looked at when its answer is imported.
        let ca_end = root_end.map(|root_end| ends(self.ca_days, Some(root_end)));
        let ca = ca_end.map(|until| ("the next CA", until));
        let ra = ("the next RA", ends(self.ra_days, ca_end));
        let new = ca.into_iter().chain([ra]).map(|(what, until)| Life {
            what: what.to_owned(),
            from: now,
            until,
        });
        let all: Vec<Life> = old.iter().cloned().chain(new).collect();
        self.switch.check(now, &all)?;
        self.notes.extend(self.switch.short(&old));
        Ok(())
    }

    /// Its entry in the transcript, before anything is made.
    pub(super) fn begun(&self) -> Ca {
        Ca {
            generation: self.generation,
            assay_version: env!("CARGO_PKG_VERSION").to_owned(),
            started: now(),
            finished: None,
            abandoned: None,
            state: State::Started,
            root_token: self.root.as_ref().map(|root| root.token.to_string()),
            ca_subject: self.ca_subject.to_string(),
            ra_subject: self.ra_subject.to_string(),
            ra_days: self.ra_days,
            switch: Some(self.switch.planned()),
            keys: Vec::new(),
            certificates: Vec::new(),
        }
    }
}

/// One CA takes over at a time.
fn none_begun(file: &SignerToml, transcript: &Transcript, present: Generation) -> Outcome {
    if file.rollover().is_some() {
        return Err(Failure::failed(
            "signer.toml has the tables [rollover]: one CA takes over at a time",
        )
        .next("end that rollover with `assay-ceremony next finish`; where no device was told of that CA, take its tables out and give it up with `assay-ceremony next abandon`"));
    }
    let newest = transcript.newest();
    if newest <= present {
        return Ok(());
    }
    let (what, next) = match transcript.ca(newest)?.state {
        State::Started => (
            "was begun and not finished",
            "`assay-ceremony next abandon` gives it up and says what is left of it; then run this again",
        ),
        State::AwaitsCaCertificate => (
            "awaits its CA certificate",
            "`assay-ceremony import` takes the offline root's answer; `assay-ceremony next abandon` gives it up",
        ),
        State::Complete => (
            "is made, and signer.toml does not name it",
            "`assay-ceremony next tables` prints what to add; `assay-ceremony next abandon` gives it up",
        ),
    };
    Err(Failure::failed(format!("CA generation {newest} {what}")).next(next))
}

/// The kinds of the present keys, but for what the command line says.
fn key_args(args: &MakeArgs, file: &SignerToml, present: &Ca) -> Outcome<KeyArgs> {
    let made = |role| -> Outcome<Option<KeyAlgorithm>> {
        let entry = present.find_key(role);
        entry
            .map(|entry| entry.algorithm.parse())
            .transpose()
            .or_fail("the transcript names an unknown kind of key")
    };
    let defaults = KeyArgs::default();
    let ocsp = made(KeyRole::OcspSign)?;
    Ok(KeyArgs {
        ca_key: args
            .ca_key
            .or(made(KeyRole::CaSign)?)
            .unwrap_or(defaults.ca_key),
        ra_key: args
            .ra_key
            .or(made(KeyRole::RaDecrypt)?)
            .unwrap_or(defaults.ra_key),
        single_ra: made(KeyRole::RaSingle)?.is_some(),
        ocsp: ocsp.is_some() || file.has_ocsp(),
        ocsp_key: ocsp.unwrap_or(defaults.ocsp_key),
        ..defaults
    })
}

/// All but those that an installation has once.
fn of_each_generation(args: &KeyArgs) -> Vec<(KeyRole, KeyAlgorithm)> {
    let mut keys = keys::service_keys(args);
    keys.retain(|(role, _)| !matches!(role, KeyRole::LogSign | KeyRole::Probe));
    keys
}

fn subject(installation: &Installation, file: &str) -> Outcome<Dn> {
    let what = || format!("{file} cannot be read");
    let ca = Certificate::from_der(&read_der(installation, file)?).or_fail(what())?;
    Dn::from_name(ca.tbs_certificate().subject())
        .or_fail(format!("the subject of {file} cannot be read"))
}

/// The subject that was asked for, or the one of before with a mark.
fn own(generation: Generation, wanted: Option<Dn>, before: &Dn, option: &str) -> Outcome<Dn> {
    wanted.or_else(|| generation.mark(before)).ok_or_else(|| {
        Failure::usage(format!(
            "{before} has no common name that could bear the number of the generation"
        ))
        .next(format!("give the subject with {option}"))
    })
}

fn root_key(
    token: Option<TokenUri>,
    installation: &Installation,
    transcript: &Transcript,
) -> Outcome<RootKey> {
    let first = transcript.ca(Generation::FIRST)?;
    let Some(entry) = first.find_key(KeyRole::RootSign) else {
        return Err(Failure::usage(
            "the first ceremony made no root: the CA stands under an offline one",
        )
        .next("give --csr, and `assay-ceremony import` with the answer"));
    };
    let token = match (token, &first.root_token) {
        (Some(token), _) => token,
        (None, Some(token)) => {
            TokenUri::parse(token).or_fail("the transcript's root token is unreadable")?
        }
        (None, None) => {
            return Err(Failure::usage("where is the root key?").next("give its --root-token"));
        }
    };
    let file = Generation::FIRST.file(root::FILE);
    Ok(RootKey {
        token,
        entry: entry.clone(),
        issuer: Issuer::of_certificate(&read_der(installation, &file)?)?,
    })
}
