//! The statuses that an OCSP response may state.

use assay_types::Timestamp;

use super::{Revoked, State, Status, StatusRequest};
use crate::Refusal;
use crate::certificates::key;
use crate::entry::Reason;

impl State {
    /// Rule 8. The times of the response are not checked here. Nothing is recorded of a status, so it says no more than the last
    /// CRL, which is.
    ///
    /// # Errors
    /// [`Refusal::Status`], [`Refusal::StatusAhead`], and those of the clock.
    pub fn may_sign_status(
        &self,
        request: &StatusRequest<'_>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        self.check_clock(now, false)?;
        let serial = key(request.serial);
        let found = self.issuer(&request.issuer);
        let revoked = found.and_then(|(_, issuer)| issuer.revoked.get(&serial));
        let end = found.and_then(|(place, issuer)| self.end_of(place, issuer, &serial));
        let verdict = match request.status {
            Status::Good => may_be_good(revoked, end, now),
            Status::Revoked { reason, date } => may_be_revoked(revoked, end, reason, date),
            Status::Unknown if revoked.is_some_and(|revoked| revoked.is_listed) => {
                Err(Contradiction::Always("it is revoked, so it is not unknown"))
            }
            Status::Unknown => Ok(()),
        };
        verdict.map_err(|contradiction| {
            let serial = request.serial.clone();
            match contradiction {
                Contradiction::Always(problem) => Refusal::Status { serial, problem },
                Contradiction::UntilNextCrl(problem) => Refusal::StatusAhead { serial, problem },
            }
        })
    }
}

/// Whether a later CRL may make it right.
enum Contradiction {
    Always(&'static str),
    UntilNextCrl(&'static str),
}

fn may_be_good(
    revoked: Option<&Revoked>,
    end: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), Contradiction> {
    use Contradiction::{Always, UntilNextCrl};
    match (revoked, end) {
        (Some(revoked), _) if revoked.reason == Reason::CertificateHold => {
            Err(UntilNextCrl("it is on hold, so it is not good"))
        }
        (Some(_), _) => Err(Always("it is revoked, so it is not good")),
        (None, None) => Err(Always("it was never issued, so it is not good")),
        (None, Some(end)) if end < now => Err(Always("it has expired, so it is not good")),
        (None, Some(_)) => Ok(()),
    }
}

fn may_be_revoked(
    revoked: Option<&Revoked>,
    end: Option<Timestamp>,
    reason: Reason,
    date: Timestamp,
) -> Result<(), Contradiction> {
    use Contradiction::{Always, UntilNextCrl};
    const OTHER: &str = "it was revoked with another reason or date";
    match revoked {
        None if end.is_none() => Err(Always("it was never issued, so it is not revoked")),
        None => Err(UntilNextCrl("the last CRL does not list it")),
        Some(revoked) if !revoked.is_listed => {
            Err(Always("it has expired and is not listed any more"))
        }
        Some(revoked) if revoked.date != date => Err(Always(OTHER)),
        Some(revoked) if revoked.reason == reason => Ok(()),
        Some(revoked) if revoked.reason == Reason::CertificateHold => {
            Err(UntilNextCrl("the last CRL lists it as on hold"))
        }
        Some(_) => Err(Always(OTHER)),
    }
}
