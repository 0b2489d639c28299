//! CRLs: numbered without gaps, one after the other in time.

use assay_audit::Event;

use super::Seen;
use super::index::Index;
use crate::Check;
use crate::entry::SLACK_MS;

/// Seconds of [`SLACK_MS`].
const SLACK: i64 = SLACK_MS / 1_000;

#[derive(Default)]
pub(super) struct Crls {
    number: u64,
    this_update: i64,
}

impl Crls {
    pub(super) fn take(&mut self, seen: &mut Seen<'_>, index: &Index) {
        let check = Check::Crls;
        if let Event::RequestQueried {
            crl_number: Some(number),
            ..
        } = seen.entry.event()
        {
            // Others may have been signed since it was read.
            if !(1..=self.number).contains(number) {
                let wanted = format!("{} at most, the latest CRL", self.number);
                seen.missing(Check::References, "crl_number", wanted, number);
            }
            return;
        }
        let Event::CrlIssued {
            number,
            this_update,
            next_update,
            entries,
            ..
        } = seen.entry.event()
        else {
            return;
        };
        let next = self.number.saturating_add(1);
        if *number != next {
            seen.missing(check, "number", next, number);
        }
        seen.hold(
            *this_update >= self.this_update,
            check,
            "this_update",
            format_args!("{} or later", self.this_update),
            this_update,
        );
        let now = seen.entry.wall();
        seen.hold(
            (now - SLACK..=now).contains(this_update),
            check,
            "this_update",
            format_args!("about {now}, the time of the record"),
            this_update,
        );
        let later = next_update > this_update;
        seen.hold(
            later,
            check,
            "next_update",
            "after this_update",
            next_update,
        );
        if *entries > index.revoked() {
            let wanted = format!("at most {}, all that is revoked", index.revoked());
            seen.missing(check, "entries", wanted, entries);
        }
        self.number = *number;
        self.this_update = *this_update;
    }
}
