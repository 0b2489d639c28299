//! A request field by field: what was wanted, what came, and which rules judged it.
//!
//! The verdicts are those of the rules: what a rule refuses stands at one field at least, and no field is refused by
//! a rule that holds.

mod grant;
mod key;
mod names;

use std::collections::{BTreeMap, BTreeSet};

use super::{Case, RULES, Verdict, extensions, list};
use crate::algorithm::extended_key_usage_name;
use crate::facts::Facts;
use crate::profile::Profile;
use crate::refusal::{Refusal, RuleId};

crate::algorithm::words! {
    /// What became of a field.
    FieldState {
        /// Every rule that judged it holds.
        Good = "good",
        /// A rule refused it.
        Refused = "refused",
        /// The certificate gets the signer's own value, whatever was asked for.
        Ignored = "ignored",
    }
}

/// One field of a request, or of what authorises it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// `subject CN (RDN 2)`, `SAN`, `key length`.
    pub name: String,
    /// What the profile wants there.
    pub wanted: String,
    /// What came.
    pub got: String,
    /// What became of it.
    pub state: FieldState,
    /// The rules that judged it.
    pub rules: Vec<RuleId>,
    /// Those that refused it, with their reasons.
    pub refusals: Vec<Refusal>,
}

/// Every field of a request with its verdict, in the order of the rules. Refused by the same rules as
/// [`super::explain`] gives.
pub fn fields(profile: &Profile, facts: &Facts) -> Vec<Field> {
    let case = Case::new(profile, facts);
    let mut sheet = Sheet::of(&case);
    grant::rows(&case, &mut sheet);
    key::digests(&case, &mut sheet);
    structure(&case, &mut sheet);
    names::subject(&case, &mut sheet);
    names::sans(&case, &mut sheet);
    requested_extensions(&case, &mut sheet);
    key::rows(&case, &mut sheet);
    sheet.finish()
}

/// The table while it is filled.
struct Sheet {
    /// What [`super::explain`] gives.
    refused: BTreeMap<RuleId, Refusal>,
    fields: Vec<Field>,
}

impl Sheet {
    fn of(case: &Case<'_>) -> Self {
        let refusals = case.verdicts().into_iter();
        Self {
            refused: refusals
                .filter_map(|verdict| verdict.refusal)
                .map(|refusal| (refusal.rule, refusal))
                .collect(),
            fields: Vec::new(),
        }
    }

    /// A field that rules judge as a whole.
    fn row(
        &mut self,
        name: impl Into<String>,
        wanted: impl Into<String>,
        got: impl Into<String>,
        rules: &[&'static str],
    ) {
        let refusals = rules
            .iter()
            .filter_map(|rule| self.refused.get(&RuleId(rule)).cloned())
            .collect();
        let rules = rules.iter().copied().map(RuleId).collect();
        self.push(name.into(), wanted.into(), got.into(), rules, refusals);
    }

    /// One of several values that the same rules judge, with what each says of it.
    fn item(
        &mut self,
        name: impl Into<String>,
        wanted: impl Into<String>,
        got: impl Into<String>,
        judged: Vec<(&'static str, Verdict)>,
    ) {
        let rules = judged.iter().map(|(rule, _)| RuleId(rule)).collect();
        let refusals = judged
            .into_iter()
            .filter(|(rule, _)| self.refused.contains_key(&RuleId(rule)))
            .filter_map(|(rule, verdict)| Some(Refusal::new(RuleId(rule), &verdict.err()?)))
            .collect();
        self.push(name.into(), wanted.into(), got.into(), rules, refusals);
    }

    fn push(
        &mut self,
        name: String,
        wanted: String,
        got: String,
        mut rules: Vec<RuleId>,
        refusals: Vec<Refusal>,
    ) {
        rules.sort();
        let state = if refusals.is_empty() {
            FieldState::Good
        } else {
            FieldState::Refused
        };
        self.fields.push(Field {
            name,
            wanted,
            got,
            state,
            rules,
            refusals,
        });
    }

    /// What no field has said is said by a field of its own.
    fn finish(mut self) -> Vec<Field> {
        let told: BTreeSet<RuleId> = self
            .fields
            .iter()
            .flat_map(|field| &field.refusals)
            .map(|refusal| refusal.rule)
            .collect();
        for rule in RULES {
            if let Some(refusal) = self.refused.get(&rule.id)
                && !told.contains(&rule.id)
            {
                let refusal = refusal.clone();
                let got = refusal.detail.clone();
                self.push(
                    "request".to_owned(),
                    rule.title.to_owned(),
                    got,
                    vec![rule.id],
                    vec![refusal],
                );
            }
        }
        self.fields
    }
}

fn structure(case: &Case<'_>, sheet: &mut Sheet) {
    const RULE: &str = "REQ-01";
    let wanted = "what its standard says";
    if case.facts.malformed.is_empty() {
        sheet.row("form", wanted, "that", &[RULE]);
    }
    for part in &case.facts.malformed {
        let verdict = Err(format!("{}: {}", part.field, part.reason));
        let name = format!("form of {}", part.field);
        sheet.item(name, wanted, &part.reason, vec![(RULE, verdict)]);
    }
}

fn requested_extensions(case: &Case<'_>, sheet: &mut Sheet) {
    let (profile, facts) = (case.profile, case.facts);
    let asked = |got: Option<String>| got.unwrap_or_else(|| "not asked for".to_owned());
    sheet.row(
        "keyUsage",
        extensions::usage_names(profile.key_usage()),
        asked(facts.key_usage.map(extensions::usage_names)),
        &["EXT-01"],
    );
    let usages = |oids: &[const_oid::ObjectIdentifier]| {
        let mut names: Vec<String> = oids.iter().map(extended_key_usage_name).collect();
        names.sort();
        list(names)
    };
    sheet.row(
        "extendedKeyUsage",
        usages(profile.extended_key_usage()),
        asked(facts.extended_key_usage.as_deref().map(usages)),
        &["EXT-02"],
    );
    let constraints = facts.basic_constraints_ca.map(|ca| {
        let word = if ca { "CA:TRUE" } else { "CA:FALSE" };
        word.to_owned()
    });
    sheet.row(
        "basicConstraints",
        "CA:FALSE",
        asked(constraints),
        &["EXT-03"],
    );
    for oid in &facts.other_extensions {
        if profile.ignores(oid) {
            sheet.row(format!("extension {oid}"), "none", "asked for", &[]);
            if let Some(field) = sheet.fields.last_mut() {
                field.state = FieldState::Ignored;
            }
            continue;
        }
        let verdict = Err(format!("extension {oid}: wanted none"));
        sheet.item(
            format!("extension {oid}"),
            "none",
            "asked for",
            vec![("EXT-04", verdict)],
        );
    }
    if facts.ignored_extensions > 0 {
        sheet.row("key identifiers", "the signer's own", "asked for", &[]);
        if let Some(field) = sheet.fields.last_mut() {
            field.state = FieldState::Ignored;
        }
    }
}
