//! CRLs: those of each CA numbered without gaps that the journal does not explain, one after the other in time.

use assay_audit::Event;

use super::index::Index;
use super::issuing_keys::IssuingKeys;
use super::{CrlGaps, Seen};
use crate::Check;
use crate::entry::SLACK;
use crate::report::Finding;

pub(super) struct Crls {
    /// The largest number of all.
    number: u64,
    gaps: CrlGaps,
}

impl Crls {
    pub(super) fn new(gaps: CrlGaps) -> Self {
        Self { number: 0, gaps }
    }

    pub(super) fn take(
        &mut self,
        seen: &mut Seen<'_>,
        index: &Index,
        issuing_keys: &mut IssuingKeys<'_>,
    ) {
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
        if let Event::StateRecovered { crls, .. } = seen.entry.event() {
            for crl in crls {
                self.number = self.number.max(crl.number);
                issuing_keys.recovered(&crl.key_id, crl.issuer, crl.number);
            }
            return;
        }
        let Event::CrlIssued {
            number,
            this_update,
            next_update,
            entries,
            key_id,
            ..
        } = seen.entry.event()
        else {
            return;
        };
        self.number = self.number.max(*number);
        let Some(line) = issuing_keys.of_crl(seen, key_id, *number) else {
            return;
        };
        let next = line.crl_number.saturating_add(1);
        let at = seen.entry.sequence();
        match self.gaps {
            CrlGaps::ExplainedAfter(before) if *number > next && at > before => {}
            CrlGaps::Open | CrlGaps::ExplainedAfter(_) if *number > next => {
                let wanted = format!("{next}, or a journal that explains the gap");
                let finding = Finding::new(check, at, "number", wanted, number);
                seen.findings.open(finding);
            }
            CrlGaps::Bad | CrlGaps::Open | CrlGaps::ExplainedAfter(_) => {
                if *number != next {
                    seen.missing(check, "number", next, number);
                }
            }
        }
        seen.hold(
            *this_update >= line.this_update,
            check,
            "this_update",
            format_args!("{} or later", line.this_update),
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
        let revoked = index.revoked(line.key_sha256);
        if *entries > revoked {
            let wanted = format!("at most {revoked}, all that is revoked");
            seen.missing(check, "entries", wanted, entries);
        }
        line.crl_number = *number;
        line.this_update = *this_update;
    }
}
