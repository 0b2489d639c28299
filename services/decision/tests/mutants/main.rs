//! Pairs of policy and request, each changed in one or two places, decided here and by `tests/python/matcher`, which was
//! written from policy/RULES.md and reads the DER for itself.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod change;
mod claims;
mod dice;
mod judge;
mod keys;
mod pair;
#[path = "../../../../tests/shared/tier.rs"]
mod tier;
mod writer;

use std::collections::BTreeMap;

use change::{CLASSES, Class};
use dice::Dice;
use judge::{Ours, Theirs};
use pair::Pair;

/// Of each class of change, where the whole suite is run: less would leave a part of the comparison without weight.
const PERMITTED_AT_LEAST: usize = 20;
const REFUSED_AT_LEAST: usize = 20;
/// Every run has the same mutants.
const SEED: u64 = 0x5eed;

struct Mutant {
    pair: Pair,
    classes: Vec<Class>,
    /// The changes, for whoever reads a failure.
    what: Vec<&'static str>,
    ours: Ours,
}

/// Mutants that are decided; those whose policy does not load, or whose claims no store would hold, are not counted.
fn mutants() -> Vec<Mutant> {
    let count = tier::size("mutants");
    let good = pair::good();
    let mut dice = Dice::new(SEED);
    let mut mutants = Vec::with_capacity(count);
    while mutants.len() < count {
        let mut pair = good[mutants.len() % good.len()].clone();
        let (mut classes, mut what) = (Vec::new(), Vec::new());
        for _ in 0..=dice.below(2) {
            let class = *dice.one_of(CLASSES);
            if let Some(name) = change::apply(class, &mut pair, &mut dice) {
                classes.push(class);
                what.push(name);
            }
        }
        if let (false, Some(ours)) = (classes.is_empty(), judge::decide(&pair)) {
            mutants.push(Mutant {
                pair,
                classes,
                what,
                ours,
            });
        }
    }
    mutants
}

#[test]
fn the_good_pairs_are_permitted_by_both_and_their_certificates_agree() {
    let good = pair::good();
    let ours: Vec<Ours> = good
        .iter()
        .map(|pair| judge::decide(pair).unwrap())
        .collect();
    let theirs = judge::ask_python(good.iter().zip(&ours));
    for ((pair, ours), theirs) in good.iter().zip(&ours).zip(&theirs) {
        assert_eq!(ours.rule, None, "{}", pair.what);
        assert!(ours.tbs.is_some());
        assert_eq!(
            (theirs.rule.as_deref(), theirs.differs.as_deref()),
            (None, None),
            "{}",
            pair.what
        );
    }
}

/// The comparison of certificates would be worth nothing if it passed whatever it is given.
#[test]
fn a_certificate_with_a_bit_flipped_is_never_taken_for_the_permitted_one() {
    let stride = tier::size("flipped certificates: stride");
    let good = pair::good();
    let mut flipped = Vec::new();
    for pair in &good {
        let tbs = judge::decide(pair).unwrap().tbs.unwrap();
        for at in (0..tbs.len()).step_by(stride) {
            let mut tbs = tbs.clone();
            tbs[at] ^= 1 << (at % 8);
            let ours = Ours {
                rule: None,
                tbs: Some(tbs),
            };
            flipped.push((pair, at, ours));
        }
    }
    let theirs = judge::ask_python(flipped.iter().map(|(pair, _, ours)| (*pair, ours)));
    for ((pair, at, _), theirs) in flipped.iter().zip(&theirs) {
        assert!(theirs.differs.is_some(), "{}: octet {at}", pair.what);
    }
}

#[test]
fn no_mutant_is_permitted_that_an_independent_matcher_refuses_and_each_certificate_agrees() {
    let mutants = mutants();
    let theirs = judge::ask_python(mutants.iter().map(|mutant| (&mutant.pair, &mutant.ours)));
    assert_eq!(theirs.len(), mutants.len());
    let mut permitted: BTreeMap<Class, usize> = BTreeMap::new();
    let mut refused: BTreeMap<Class, usize> = BTreeMap::new();
    let mut rules: BTreeMap<String, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (index, (mutant, theirs)) in mutants.iter().zip(&theirs).enumerate() {
        let Theirs { rule, differs } = theirs;
        let counted = if mutant.ours.rule.is_none() {
            &mut permitted
        } else {
            &mut refused
        };
        for class in &mutant.classes {
            *counted.entry(*class).or_default() += 1;
        }
        if let Some(rule) = rule {
            *rules.entry(rule.clone()).or_default() += 1;
        }
        // What the codec refuses has no rule of the policy's: the other only has to refuse too.
        let same = match (&mutant.ours.rule, rule) {
            (Some(ours), Some(_)) if ours.starts_with("SCEP:") => true,
            (ours, theirs) => ours == theirs,
        };
        if !same || differs.is_some() {
            let (what, ours) = (&mutant.what, &mutant.ours.rule);
            wrong.push(format!(
                "{index} {} {what:?}: here {ours:?}, there {rule:?}, differs {differs:?}",
                mutant.pair.what
            ));
        }
    }
    println!("permitted {permitted:?}\nrefused {refused:?}\nrules {rules:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!permitted.is_empty() && !refused.is_empty());
    if !tier::is_whole() {
        return;
    }
    for class in CLASSES {
        let count = |counts: &BTreeMap<Class, usize>| counts.get(class).copied().unwrap_or(0);
        assert!(count(&permitted) >= PERMITTED_AT_LEAST, "{class:?}");
        assert!(count(&refused) >= REFUSED_AT_LEAST, "{class:?}");
    }
    // Every rule of the decision had mutants that it refused, so that each was compared.
    for rule in assay_policy::RULES {
        assert!(rules.contains_key(rule.id.as_str()), "{}", rule.id);
    }
}
