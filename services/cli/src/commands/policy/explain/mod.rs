//! `assay policy explain`: a request field by field, by files alone.

mod grant;
mod request;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use assay_console::failure::{Exit, Failure, Outcome};
use assay_console::output::{self, Column, Output};
use assay_decision::facts;
use assay_operator::installation::Installation;
use assay_policy::{
    Approval, Bundle, Facts, Field, Issuer, Profile, Refusal, decide, explain, fields,
};
use assay_types::{Digest, Timestamp};
use clap::Args;
use serde::Serialize;

use self::grant::GrantArgs;
use super::files::{Named, count};

const EXAMPLES: &str = "\
The table has every field of the request, and of what authorises it: what the profile wants there, what came, and the
rules that judged it; of a refused field those that refused it. policy/RULES.md explains each rule. Every rule is
evaluated; the signer's answer names the first that refuses. What the signer alone knows is not judged: whether the
challenge was used or revoked, whether a renewed certificate is in force, quotas, stopped profiles (rules SIG and POL-03,
POL-04). In URLs {ca} stands for the CA that will issue.

Exit code 0 where the request would be permitted, 1 where it would be refused, 2 where the input cannot be read.

Examples:
  A device that holds a one-time challenge:
    assay policy explain --policy policy/ --profile wifi --csr device.csr \\
        --challenge-subject 'CN=sn-17,OU=Wireless,O=Example GmbH,C=DE' --challenge-san dns:sn-17.wifi.example.com
  A gateway of an inventory, with its key pinned there:
    assay policy explain --policy policy/ --profile vpn --csr gw.csr --inventory-name gw1.example.com --pinned-key HEX
  The renewal of a certificate, on a day to come:
    assay policy explain --policy policy/ --profile wifi --csr new.csr --renewal-of old.pem --at 2027-02-01
  A request with what authorised one of the log:
    assay policy explain --policy policy/ --profile wifi --csr device.csr --grant grant.json --json";

/// Some 1,000 years: later than any validity that a profile may have.
const FAR: Duration = Duration::from_secs(1_000 * 365 * 86_400);

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExplainArgs {
    /// A file PROFILE.toml, a directory of them, or a proposal [default: the installation's policy directory]
    #[arg(long, value_name = "DIR|FILE")]
    policy: Option<PathBuf>,

    /// The profile that is to decide
    #[arg(long, value_name = "NAME")]
    profile: String,

    /// The request: PKCS#10, PEM or DER
    #[arg(long, value_name = "FILE")]
    csr: PathBuf,

    #[command(flatten)]
    grant: GrantArgs,

    /// Decide as at this time, such as 2027-02-01 or 2027-02-01T12:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<SystemTime>,

    /// Hash of the signature over the SCEP message that brings the CSR
    #[arg(long, value_name = "HASH", default_value = "sha256", value_parser = hash)]
    message_hash: Digest,
}

pub(super) fn run(args: &ExplainArgs, dir: Option<&Path>, out: Output) -> Outcome {
    let policy = match (&args.policy, dir) {
        (Some(policy), _) => policy.clone(),
        (None, Some(dir)) => Installation::at(dir).policy(),
        (None, None) => Installation::find(None)?.policy(),
    };
    let bundle = Named::read(&policy)
        .map_err(|failure| failure.with_exit(Exit::Usage))?
        .bundle;
    let profile = profile(&bundle, &args.profile)?;
    let csr = request::read(&args.csr)?;
    let now = args.at.unwrap_or_else(SystemTime::now);
    let grant = args.grant.read(profile, now)?;
    let facts = facts(&csr, &args.profile, now, args.message_hash, grant);
    let explained = Explained::of(profile, &facts);
    explained.print(out)?;
    if explained.refused.is_empty() {
        Ok(())
    } else {
        Err(Failure::reported(Exit::Failed))
    }
}

fn profile<'a>(bundle: &'a Bundle, name: &str) -> Outcome<&'a Profile> {
    bundle.profile(name).ok_or_else(|| {
        let known: Vec<String> = bundle.profiles.keys().map(ToString::to_string).collect();
        Failure::usage(format!("the policy has no profile `{name}`"))
            .next(format!("its profiles are {}", known.join(", ")))
    })
}

/// A date, or a time in UTC.
fn time(text: &str) -> Result<SystemTime, String> {
    humantime::parse_rfc3339(text)
        .or_else(|_| humantime::parse_rfc3339(&format!("{text}T00:00:00Z")))
        .map_err(|_| "wanted a time such as 2027-02-01 or 2027-02-01T12:00:00Z".to_owned())
}

fn hash(text: &str) -> Result<Digest, String> {
    Digest::named(text).ok_or_else(|| {
        let known: Vec<&str> = Digest::ALL.iter().map(|hash| hash.as_str()).collect();
        format!("wanted one of {}", known.join(", "))
    })
}

#[derive(Debug, Serialize)]
struct Explained {
    profile: String,
    version: u64,
    at: String,
    /// `permitted`, `waits for approval` or `refused`.
    outcome: &'static str,
    fields: Vec<FieldView>,
    /// What would be issued, or queued; null for a refusal.
    certificate: Option<Certificate>,
    /// The first is the one that the signer names.
    refused: Vec<Reason>,
    #[serde(skip)]
    approvers: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct FieldView {
    field: String,
    wanted: String,
    got: String,
    verdict: &'static str,
    /// Those that refused the field, else those that judged it.
    rules: Vec<String>,
    reasons: Vec<Reason>,
}

#[derive(Debug, Serialize)]
struct Reason {
    rule: String,
    detail: String,
}

#[derive(Debug, Serialize)]
struct Certificate {
    subject: String,
    sans: Vec<String>,
    /// Where the CA's own validity cuts neither.
    not_before: String,
    not_after: String,
    /// As the policy has them: the tool has no CA to put in the place of `{ca}`.
    crl_distribution_points: Vec<String>,
    ca_issuers: Vec<String>,
    ocsp: Vec<String>,
}

impl Explained {
    fn of(profile: &Profile, facts: &Facts) -> Self {
        let refused: Vec<Reason> = explain(profile, facts).iter().map(Reason::from).collect();
        let (not_before, not_after) = profile.validity(facts.now, &boundless());
        let certificate = decide(profile, facts).ok().map(|permit| Certificate {
            subject: permit.subject().to_string(),
            sans: permit.sans().iter().map(ToString::to_string).collect(),
            not_before: Timestamp::from(not_before).to_string(),
            not_after: Timestamp::from(not_after).to_string(),
            crl_distribution_points: profile.crl_distribution_points().to_vec(),
            ca_issuers: profile.ca_issuers().to_vec(),
            ocsp: profile.ocsp().to_vec(),
        });
        let (outcome, approvers) = match (refused.first(), profile.approval()) {
            (Some(_), _) => ("refused", None),
            (None, Some(Approval { four_eyes, .. })) => (
                "waits for approval",
                Some(if *four_eyes {
                    "two operators"
                } else {
                    "an operator"
                }),
            ),
            (None, None) => ("permitted", None),
        };
        Self {
            profile: profile.name().to_string(),
            version: profile.version(),
            at: Timestamp::from(facts.now).to_string(),
            outcome,
            fields: fields(profile, facts).iter().map(FieldView::from).collect(),
            certificate,
            refused,
            approvers,
        }
    }

    fn print(&self, out: Output) -> Outcome {
        if out.is_json() {
            return out.json(self);
        }
        out.table(&self.fields, COLUMNS)?;
        out.line("")?;
        self.lines()
            .iter()
            .try_for_each(|line| out.line(&output::printable(line)))
    }

    fn lines(&self) -> Vec<String> {
        let Self {
            profile,
            version,
            at,
            outcome,
            ..
        } = self;
        let by = self
            .approvers
            .map(|who| format!(" by {who}"))
            .unwrap_or_default();
        let mut lines = vec![format!(
            "{outcome}{by}, under profile {profile} version {version} at {at}"
        )];
        if let Some(certificate) = &self.certificate {
            let Certificate {
                subject,
                sans,
                not_before,
                not_after,
                crl_distribution_points,
                ca_issuers,
                ocsp,
            } = certificate;
            lines.push(format!("subject   {subject}"));
            lines.push(format!("SANs      {}", sans.join(" ")));
            lines.push(format!(
                "validity  {not_before} to {not_after}, within the CA's own"
            ));
            for (what, urls) in [
                ("CRL     ", crl_distribution_points),
                ("CA      ", ca_issuers),
                ("OCSP    ", ocsp),
            ] {
                lines.extend(urls.iter().map(|url| format!("{what}  {url}")));
            }
        }
        for reason in &self.refused {
            lines.push(format!("{}: {}", reason.rule, reason.detail));
        }
        if let [first, _, ..] = self.refused.as_slice() {
            lines.push(format!(
                "{} refuse; the signer names {}",
                count(self.refused.len(), "rule"),
                first.rule
            ));
        }
        lines
    }
}

/// An issuer whose validity cuts none: the tool has no CA.
fn boundless() -> Issuer {
    Issuer {
        subject_der: Vec::new(),
        key_identifier: Vec::new(),
        not_before: SystemTime::UNIX_EPOCH,
        not_after: SystemTime::UNIX_EPOCH + FAR,
        signature_algorithm_der: Vec::new(),
    }
}

impl From<&Field> for FieldView {
    fn from(field: &Field) -> Self {
        let Field {
            name,
            wanted,
            got,
            state,
            rules,
            refusals,
        } = field;
        let shown: Vec<String> = if refusals.is_empty() {
            rules.iter().map(ToString::to_string).collect()
        } else {
            refusals
                .iter()
                .map(|refusal| refusal.rule.to_string())
                .collect()
        };
        Self {
            field: name.clone(),
            wanted: wanted.clone(),
            got: got.clone(),
            verdict: state.as_str(),
            rules: shown,
            reasons: refusals.iter().map(Reason::from).collect(),
        }
    }
}

impl From<&Refusal> for Reason {
    fn from(refusal: &Refusal) -> Self {
        Self {
            rule: refusal.rule.to_string(),
            detail: refusal.detail.clone(),
        }
    }
}

const COLUMNS: &[Column<FieldView>] = &[
    ("FIELD", |view| view.field.clone()),
    ("WANTED", |view| view.wanted.clone()),
    ("GOT", |view| view.got.clone()),
    ("VERDICT", verdict),
    ("RULE", |view| view.rules.join(" ")),
];

fn verdict(view: &FieldView) -> String {
    if view.reasons.is_empty() {
        view.verdict.to_owned()
    } else {
        view.verdict.to_uppercase()
    }
}
