//! The tables `renewal` and `approval`.

use std::time::Duration;

use super::certificate::MAX_VALIDITY;
use super::reader::{Reader, Section};
use super::sections::{flag, positive_duration};
use crate::profile::{Approval, Renewal, Supersede};

/// A request whose device has long given up is no longer worth a person's time.
const MAX_PENDING: Duration = Duration::from_secs(90 * 24 * 3600);

/// A device that was away for longer is onboarded anew.
const MAX_GRACE: Duration = Duration::from_secs(366 * 24 * 3600);

#[derive(Clone, Copy)]
enum Word {
    Keep,
    Revoke,
}

pub(super) fn renewal(section: &mut Section<'_>, reader: &mut Reader<'_>) -> Option<Renewal> {
    let window = section
        .required("window", reader)
        .and_then(|item| positive_duration(&item, MAX_VALIDITY, reader));
    let grace = section
        .optional("grace")
        .map_or(Some(Duration::ZERO), |item| {
            item.duration(reader, MAX_GRACE)
        });
    let same_key = flag(section, "same_key", false, reader);
    let once = flag(section, "once", false, reader);
    let supersede = supersede(section, reader);
    Some(Renewal {
        window: window?,
        grace: grace?,
        same_key: same_key?,
        once: once?,
        supersede: supersede?,
    })
}

fn supersede(section: &mut Section<'_>, reader: &mut Reader<'_>) -> Option<Supersede> {
    let word = section
        .optional("supersede")
        .map_or(Some(Word::Keep), |item| {
            item.word(reader, &[Word::Keep, Word::Revoke], |word| match word {
                Word::Keep => "keep",
                Word::Revoke => "revoke",
            })
        });
    match word {
        Some(Word::Revoke) => section
            .required("revoke_after", reader)
            .and_then(|item| positive_duration(&item, MAX_VALIDITY, reader))
            .map(Supersede::RevokeAfter),
        Some(Word::Keep) => {
            if section.optional("revoke_after").is_some() {
                section.contradiction(
                    reader,
                    "revoke_after belongs to supersede = \"revoke\"; leave it out",
                );
            }
            Some(Supersede::Keep)
        }
        None => {
            section.optional("revoke_after");
            None
        }
    }
}

pub(super) fn approval(section: &mut Section<'_>, reader: &mut Reader<'_>) -> Option<Approval> {
    let four_eyes = flag(section, "four_eyes", false, reader);
    let expires = section
        .required("expires", reader)
        .and_then(|item| positive_duration(&item, MAX_PENDING, reader));
    Some(Approval {
        four_eyes: four_eyes?,
        expires: expires?,
    })
}
