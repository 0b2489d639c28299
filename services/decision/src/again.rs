//! A decision made again from what was kept of it.

use assay_lint::IssuerCertificate;
use assay_policy::{Bundle, Facts, Issuer, Permit, Profile, Refusal, decide, tbs};
use assay_scep::{Csr, Limits};
use assay_types::Hash;

use crate::ca::{Ca, expectation};
use crate::deviation::Deviation;
use crate::evidence::{Evidence, Permitted, Verdict};
use crate::facts::facts;

/// What the evidence and the policy come to: the same as was recorded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Derived {
    /// The TBSCertificate, byte for byte; it passed its lints.
    Permit {
        /// DER.
        tbs: Vec<u8>,
        /// SHA-256 of it.
        tbs_digest: Hash,
    },
    /// The rule that refuses, and why.
    Refusal(Refusal),
    /// Permitted, once an operator approves.
    Pending,
}

/// Makes a decision again under `bundle`, the policy of that day, and compares each part of it with what was recorded.
///
/// # Errors
/// The first [`Deviation`].
pub fn decide_again(evidence: &Evidence, bundle: &Bundle, ca: &Ca) -> Result<Derived, Deviation> {
    let (profile, facts) = recorded(evidence, bundle)?;
    match (&evidence.verdict, decide(profile, &facts)) {
        (Verdict::Refusal { rule }, Err(refusal)) => same_rule(rule, refusal),
        (Verdict::Pending, Ok(_)) => {
            if profile.approval().is_none() || evidence.pending_id.is_none() {
                return Err(Deviation::Queued(evidence.profile.clone()));
            }
            Ok(Derived::Pending)
        }
        (Verdict::Permit(permitted), Ok(permit)) => {
            if profile.approval().is_some() && evidence.pending_id.is_none() {
                return Err(Deviation::Unapproved(evidence.profile.clone()));
            }
            rebuild(evidence, permitted, profile, permit, ca)
        }
        (Verdict::Permit(_) | Verdict::Pending, Err(refusal)) => Err(Deviation::Decision {
            recorded: "a permit".to_owned(),
            derived: format!("a refusal by {refusal}"),
        }),
        (Verdict::Refusal { rule }, Ok(_)) => Err(Deviation::Decision {
            recorded: format!("a refusal by {rule}"),
            derived: "a permit".to_owned(),
        }),
    }
}

/// Lints a TBSCertificate that was permitted: what the profile of `bundle` expects of it is derived from the evidence anew.
/// Nothing is built, so that a release with another builder lints it too.
///
/// # Errors
/// The first [`Deviation`].
pub fn lint_again(
    evidence: &Evidence,
    bundle: &Bundle,
    lint_issuer: &IssuerCertificate,
    issuer: &Issuer,
    tbs: &[u8],
) -> Result<(), Deviation> {
    let (profile, facts) = recorded(evidence, bundle)?;
    let permit = decide(profile, &facts).map_err(|refusal| Deviation::Decision {
        recorded: "a permit".to_owned(),
        derived: format!("a refusal by {refusal}"),
    })?;
    let expected = profile.expected(&permit)?;
    let expectation = expectation(lint_issuer, issuer, &expected, evidence.decided_ms.into());
    assay_lint::check(tbs, &expectation).map_err(Deviation::Lint)?;
    Ok(())
}

/// The profile that decided, and what it decided on.
fn recorded<'a>(
    evidence: &Evidence,
    bundle: &'a Bundle,
) -> Result<(&'a Profile, Facts), Deviation> {
    if !evidence.semantics.is_known() {
        return Err(Deviation::Semantics(evidence.semantics));
    }
    let profile = bundle
        .profile(&evidence.profile)
        .ok_or_else(|| Deviation::Profile(evidence.profile.clone()))?;
    let csr = read_csr(evidence)?;
    let facts = facts(
        &csr,
        &evidence.profile,
        std::time::SystemTime::from(evidence.decided_ms),
        evidence.message_hash,
        evidence.grant.clone(),
    );
    Ok((profile, facts))
}

pub(crate) fn read_csr(evidence: &Evidence) -> Result<Csr, Deviation> {
    let csr = Csr::parse(&evidence.csr, &Limits::default()).map_err(Deviation::Csr)?;
    if csr.challenge_password().is_some() {
        return Err(Deviation::Challenge);
    }
    if evidence.csr_whole() {
        csr.verify_proof_of_possession()
            .map_err(Deviation::ProofOfPossession)?;
    }
    let found = csr.signature_digest();
    if found != evidence.csr_hash {
        return Err(Deviation::CsrHash {
            recorded: evidence.csr_hash.as_str(),
            found: found.as_str(),
        });
    }
    Ok(csr)
}

fn same_rule(recorded: &str, refusal: Refusal) -> Result<Derived, Deviation> {
    if refusal.rule.as_str() == recorded {
        Ok(Derived::Refusal(refusal))
    } else {
        Err(Deviation::Rule {
            recorded: recorded.to_owned(),
            derived: refusal.to_string(),
        })
    }
}

/// The TBSCertificate of a permit, with the recorded serial: validity, digest and lints must be right.
fn rebuild(
    evidence: &Evidence,
    permitted: &Permitted,
    profile: &Profile,
    permit: Permit,
    ca: &Ca,
) -> Result<Derived, Deviation> {
    if permitted.issuer_sha256 != ca.sha256 {
        return Err(Deviation::Issuer {
            recorded: permitted.issuer_sha256,
            given: ca.sha256,
        });
    }
    let (not_before, not_after) = profile.validity(evidence.decided_ms.into(), &ca.issuer);
    let derived = (not_before.into(), not_after.into());
    let recorded = (permitted.not_before, permitted.not_after);
    if derived != recorded {
        return Err(Deviation::Validity { recorded, derived });
    }
    let expected = profile.expected(&permit)?;
    let tbs = tbs(
        profile,
        permit,
        &ca.issuer,
        &permitted.serial,
        not_before,
        not_after,
    )?;
    let digest = tbs.digest();
    if digest != permitted.tbs_digest {
        return Err(Deviation::TbsDigest {
            recorded: permitted.tbs_digest,
            derived: digest,
            builder: permitted.builder.clone(),
        });
    }
    let decided = evidence.decided_ms.into();
    let expectation = expectation(&ca.lint_issuer, &ca.issuer, &expected, decided);
    assay_lint::check(tbs.der(), &expectation).map_err(Deviation::Lint)?;
    Ok(Derived::Permit {
        tbs: tbs.der().to_vec(),
        tbs_digest: digest,
    })
}
