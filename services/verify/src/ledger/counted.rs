//! Counts of requests that have no record of their own: possible sums, and times that follow each other in a run.

use std::collections::HashMap;

use assay_audit::{Event, MAX_SIGNER_KEYS, RequestClass, Text};
use assay_types::{Hash, TimestampMillis};

use super::Seen;
use crate::Check;
use crate::entry::{SLACK, SLACK_MS};

const CHECK: Check = Check::Counted;

#[derive(Default)]
pub(super) struct Counted {
    run: Text,
    /// Time of the run's first record that is held.
    begin: TimestampMillis,
    /// The end of the last count of each kind in this run. Profiles and frontends are few.
    ends: HashMap<Key, TimestampMillis>,
}

type Key = (RequestClass, Text, Option<Text>, Option<Hash>);

impl Counted {
    pub(super) fn take(&mut self, seen: &mut Seen<'_>) {
        let context = &seen.entry.record.draft.context;
        if context.boot_id != self.run {
            self.run = context.boot_id.clone();
            self.begin = seen.entry.wall_ms();
            self.ends.clear();
        }
        let Event::RequestsCounted {
            peer,
            class,
            profile,
            from_ms,
            to_ms,
            requests,
            signer_keys,
            more_signer_keys,
        } = seen.entry.event()
        else {
            return;
        };
        sums(seen, *class, *requests, *signer_keys, *more_signer_keys);
        // Of an unknown profile there is no name that the policy knows.
        let named = profile.is_none() || context.policy_hash.is_some();
        let wanted = "none without a version of the policy";
        seen.hold(named, CHECK, "profile", wanted, "one");

        let wall_ms = seen.entry.wall_ms();
        let right = from_ms <= to_ms && *to_ms <= wall_ms;
        let wanted = "from_ms, then to_ms, then wall_ms";
        seen.hold(right, CHECK, "to_ms", wanted, to_ms);
        let key = (*class, peer.clone(), profile.clone(), context.policy_hash);
        let before = self.ends.insert(key, *to_ms).unwrap_or(self.begin);
        seen.hold(
            *from_ms + SLACK >= before,
            CHECK,
            "from_ms",
            format_args!(
                "{before} or later, within {SLACK_MS} ms: the count before it, or its run"
            ),
            from_ms,
        );
    }
}

fn sums(seen: &mut Seen<'_>, class: RequestClass, requests: u64, signer_keys: u64, more: bool) {
    seen.hold(requests > 0, CHECK, "requests", "1 or more", requests);
    let most = requests.min(MAX_SIGNER_KEYS);
    let least = match class {
        RequestClass::Unverified | RequestClass::Deferred => 0,
        RequestClass::Unauthorised
        | RequestClass::ChallengeFailed
        | RequestClass::Refused
        | RequestClass::Replayed
        | RequestClass::Polled
        | RequestClass::Queried => 1,
    };
    let most = if class == RequestClass::Unverified {
        0
    } else {
        most
    };
    let right = (least..=most).contains(&signer_keys);
    let wanted = format_args!("{least} to {most} for this class and number of requests");
    seen.hold(right, CHECK, "signer_keys", wanted, signer_keys);
    let possible = signer_keys == MAX_SIGNER_KEYS && requests > signer_keys;
    let wanted =
        format_args!("false below {MAX_SIGNER_KEYS} keys or where each request has its own");
    seen.hold(!more || possible, CHECK, "more_signer_keys", wanted, more);
}
