//! The CAs that a version of the policy names: the one that issues, and the one that takes over from it.

use assay_policy::Proposal;
use assay_types::{Hash, Timestamp};

/// Settings of a proposal that approve the next CA: SHA-256 of its certificate in hex, when it takes over (RFC 3339), and how
/// long after that the CA before still issues.
const ISSUER: &str = "rollover.issuer";
const SWITCH_AT: &str = "rollover.switch_at";
const OVERLAP: &str = "rollover.overlap";

/// By the SHA-256 of their certificates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Named {
    pub(crate) issuer: Hash,
    pub(crate) next: Option<Next>,
}

/// The CA that takes over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Next {
    pub(crate) issuer: Hash,
    /// When it becomes the one that GetCACert names.
    pub(crate) switch_at: Timestamp,
    /// When the CA before ceases to issue.
    pub(crate) end: Timestamp,
}

/// A setting that does not say what it should.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) setting: &'static str,
    pub(crate) wanted: &'static str,
    pub(crate) got: String,
}

impl Named {
    /// What a proposal says; the present CA stands, whatever is wrong with the next one.
    pub(crate) fn read(proposal: &Proposal) -> (Self, Option<Wrong>) {
        let (next, wrong) = match next(proposal) {
            Ok(next) => (next, None),
            Err(wrong) => (None, Some(wrong)),
        };
        let issuer = proposal.issuer;
        (Self { issuer, next }, wrong)
    }

    /// One or two.
    pub(crate) fn all(&self) -> impl Iterator<Item = Hash> {
        std::iter::once(self.issuer).chain(self.next.map(|next| next.issuer))
    }
}

fn next(proposal: &Proposal) -> Result<Option<Next>, Wrong> {
    let said = |setting: &str| proposal.settings.get(setting);
    if said(ISSUER).or(said(SWITCH_AT)).or(said(OVERLAP)).is_none() {
        return Ok(None);
    }
    let read = |setting: &'static str, wanted: &'static str| {
        said(setting).ok_or_else(|| Wrong {
            setting,
            wanted,
            got: "none".to_owned(),
        })
    };
    let wrong = |setting: &'static str, wanted: &'static str, got: &str| Wrong {
        setting,
        wanted,
        got: got.to_owned(),
    };
    let wanted = "SHA-256 of the next CA's certificate, in hex";
    let text = read(ISSUER, wanted)?;
    let issuer: Hash = text.parse().map_err(|_| wrong(ISSUER, wanted, text))?;
    let wanted = "a time of RFC 3339";
    let text = read(SWITCH_AT, wanted)?;
    let switch_at = humantime::parse_rfc3339(text).map_err(|_| wrong(SWITCH_AT, wanted, text))?;
    let wanted = "a duration such as 30d";
    let text = read(OVERLAP, wanted)?;
    let end = assay_types::duration::parse(text)
        .ok()
        .and_then(|overlap| switch_at.checked_add(overlap))
        .ok_or_else(|| wrong(OVERLAP, wanted, text))?;
    Ok(Some(Next {
        issuer,
        switch_at: switch_at.into(),
        end: end.into(),
    }))
}
