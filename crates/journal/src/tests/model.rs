//! Random requests, restarts and crashes beside a model that a page of text could describe.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::verify;

#[derive(Debug, Clone)]
enum Step {
    Certificate {
        serial: u64,
        tbs: u64,
        is_signed: bool,
    },
    Crl {
        step: u64,
        listed: Vec<(u64, Reason)>,
    },
    Checkpoint {
        leaves: u64,
        is_rewritten: bool,
    },
    Suspend(bool),
    Restart,
    Crash {
        entries: usize,
        bodies: usize,
    },
}

#[derive(Debug, Default)]
struct Model {
    certificates: BTreeMap<u64, (u64, bool)>,
    number: u64,
    revoked: BTreeMap<u64, Reason>,
    last: Option<Vec<(u64, Reason)>>,
    leaves: u64,
    is_suspended: bool,
}

impl Model {
    /// Whether the step is allowed, and the model after it.
    fn step(&mut self, step: &Step) -> bool {
        match step {
            Step::Certificate {
                serial,
                tbs,
                is_signed,
            } => {
                let found = self.certificates.get(serial).copied();
                let is_allowed = match found {
                    Some((other, _)) if other != *tbs => false,
                    Some((_, true)) => true,
                    Some(_) | None => !self.is_suspended,
                };
                if is_allowed {
                    let was_signed = found.is_some_and(|(_, signed)| signed);
                    let entry = (*tbs, *is_signed || was_signed);
                    self.certificates.insert(*serial, entry);
                }
                is_allowed
            }
            Step::Crl { step, listed } => {
                // The last one again.
                if *step == 0 && self.last.as_ref() == Some(listed) {
                    return true;
                }
                let new: BTreeMap<_, _> = listed.iter().copied().collect();
                let is_hold = |reason: &Reason| *reason == Reason::CertificateHold;
                let is_allowed = (1..=1_000).contains(step)
                    && new.len() == listed.len()
                    && new
                        .keys()
                        .all(|serial| self.certificates.contains_key(serial))
                    && self
                        .revoked
                        .iter()
                        .all(|(serial, before)| is_hold(before) || new.get(serial) == Some(before));
                if is_allowed {
                    self.number += step;
                    self.revoked = new;
                    self.last = Some(listed.clone());
                }
                is_allowed
            }
            Step::Checkpoint {
                leaves,
                is_rewritten,
            } => {
                if !is_rewritten {
                    self.leaves += leaves;
                }
                // An empty tree cannot be rewritten.
                !is_rewritten
            }
            Step::Suspend(is_suspended) => {
                self.is_suspended = *is_suspended;
                true
            }
            Step::Restart | Step::Crash { .. } => true,
        }
    }
}

fn run(journal: &Journal, model: &Model, step: &Step) -> Result<(), Error> {
    match step {
        Step::Certificate {
            serial,
            tbs,
            is_signed,
        } => {
            let bytes = super::tbs(*tbs);
            let request = CertificateRequest {
                issuer: issuer(),
                serial: &super::serial(*serial),
                not_after: after(30 * DAY),
                form: "device",
                tbs: &bytes,
            };
            match journal.may_sign_certificate(&request, NOW)? {
                Admission::Signed(stored) => assert_eq!(stored, signature(*tbs)),
                Admission::Sign {
                    certificate,
                    pending,
                } => {
                    pending.wait()?;
                    if *is_signed {
                        let recorded = journal.signed(certificate, &signature(*tbs), NOW)?;
                        let Recorded::First(pending) = recorded else {
                            panic!("it was signed before");
                        };
                        pending.wait()?;
                    }
                }
            }
            Ok(())
        }
        Step::Crl { step, listed } => {
            let listed: Vec<_> = listed
                .iter()
                .map(|(n, reason)| super::listed(*n, *reason))
                .collect();
            journal.crl(model.number + step, &listed, NOW)
        }
        Step::Checkpoint {
            leaves,
            is_rewritten: false,
        } => journal.checkpoint(model.leaves, model.leaves + leaves, NOW),
        Step::Checkpoint {
            leaves,
            is_rewritten: true,
        } => {
            let leaves: Vec<_> = (0..*leaves).map(leaf).collect();
            let request = CheckpointRequest {
                size: model.leaves + leaves.len() as u64,
                root: leaf(1 << 50),
                leaves: &leaves,
            };
            journal
                .may_sign_checkpoint(&request, NOW)?
                .wait()
                .map(|_| ())
        }
        Step::Suspend(true) => journal.suspend(NOW)?.wait().map(|_| ()),
        Step::Suspend(false) => journal.resume(NOW)?.wait().map(|_| ()),
        Step::Restart | Step::Crash { .. } => Ok(()),
    }
}

fn reason() -> impl Strategy<Value = Reason> {
    prop_oneof![
        3 => Just(Reason::CertificateHold),
        1 => Just(Reason::KeyCompromise),
        1 => Just(Reason::Superseded),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let certificate = (0..6_u64, 0..2_u64, any::<bool>()).prop_map(|(serial, tbs, is_signed)| {
        Step::Certificate {
            serial,
            tbs: serial * 2 + tbs,
            is_signed,
        }
    });
    let crl = (
        prop_oneof![4 => 1..3_u64, 1 => Just(0), 1 => Just(1_001)],
        prop::collection::vec((0..6_u64, reason()), 0..4),
    )
        .prop_map(|(step, listed)| Step::Crl { step, listed });
    prop_oneof![
        6 => certificate,
        4 => crl,
        2 => (0..5_u64, any::<bool>())
            .prop_map(|(leaves, is_rewritten)| Step::Checkpoint { leaves, is_rewritten }),
        1 => any::<bool>().prop_map(Step::Suspend),
        1 => Just(Step::Restart),
        1 => (0..200_usize, 0..200_usize)
            .prop_map(|(entries, bodies)| Step::Crash { entries, bodies }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_journal_does_what_its_model_does(steps in prop::collection::vec(step(), 1..40)) {
        let place = Place::new();
        let mut model = Model::default();
        let mut journal = place.open();
        for step in &steps {
            let result = run(&journal, &model, step);
            let is_allowed = model.step(step);
            prop_assert_eq!(result.is_ok(), is_allowed, "{:?}: {:?}", step, result);
            match step {
                Step::Restart => {
                    drop(journal);
                    journal = place.open();
                }
                Step::Crash { entries, bodies } => {
                    // The beginning of a group that was never finished: it is cut, and nothing else.
                    drop(journal);
                    let mut files = contents(&place.dir);
                    files[0].extend(std::iter::repeat_n(0x41, *entries));
                    files[1].extend(std::iter::repeat_n(0x42, *bodies));
                    restore(&place.dir, &files);
                    let (opened, cut) = Journal::open(&place.dir, place.options()).unwrap();
                    prop_assert_eq!(cut.is_some(), *entries + *bodies > 0);
                    journal = opened;
                }
                Step::Certificate { .. }
                | Step::Crl { .. }
                | Step::Checkpoint { .. }
                | Step::Suspend(_) => {}
            }
            journal.read(|state| {
                prop_assert_eq!(state.certificates(), model.certificates.len());
                prop_assert_eq!(state.tree().size(), model.leaves);
                prop_assert_eq!(state.is_suspended(), model.is_suspended);
                let number = state.last_crl(&issuer()).map_or(0, |crl| crl.number);
                prop_assert_eq!(number, model.number);
                Ok(())
            })?;
        }
        let head = journal.head();
        drop(journal);
        prop_assert_eq!(verify(&place.dir).unwrap().head(), head);
    }
}
