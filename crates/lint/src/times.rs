//! Lints of the validity.

use std::time::SystemTime;

use der::Tag;

use crate::parse::{Tbs, Time};
use crate::{Expectation, Verdict};

pub(crate) fn encoding(tbs: &Tbs<'_>, _: &Expectation<'_>) -> Verdict {
    for (field, time) in [("NotBefore", &tbs.not_before), ("NotAfter", &tbs.not_after)] {
        let moment = moment(field, time)?;
        let wanted = if moment < year_2050() {
            Tag::UtcTime
        } else {
            Tag::GeneralizedTime
        };
        if time.tag != wanted {
            return Err(format!("{field}: wanted {wanted}, got {}", time.tag));
        }
    }
    Ok(())
}

pub(crate) fn order(tbs: &Tbs<'_>, _: &Expectation<'_>) -> Verdict {
    let (not_before, not_after) = validity(tbs)?;
    if not_before < not_after {
        Ok(())
    } else {
        Err("wanted NotBefore before NotAfter".to_owned())
    }
}

pub(crate) fn now(tbs: &Tbs<'_>, expectation: &Expectation<'_>) -> Verdict {
    let (not_before, not_after) = validity(tbs)?;
    if not_before <= expectation.now && expectation.now < not_after {
        Ok(())
    } else {
        Err("wanted a certificate that is valid at the time of issue".to_owned())
    }
}

pub(crate) fn nested(tbs: &Tbs<'_>, expectation: &Expectation<'_>) -> Verdict {
    let (not_before, not_after) = validity(tbs)?;
    if not_before < expectation.issuer.not_before {
        return Err("wanted NotBefore not before the issuer's".to_owned());
    }
    if not_after > expectation.issuer.not_after {
        return Err("wanted NotAfter not after the issuer's".to_owned());
    }
    Ok(())
}

pub(crate) fn length(tbs: &Tbs<'_>, expectation: &Expectation<'_>) -> Verdict {
    let (not_before, not_after) = validity(tbs)?;
    let length = not_after.duration_since(not_before).unwrap_or_default();
    if length <= expectation.max_validity {
        Ok(())
    } else {
        Err(format!(
            "wanted at most {} s, got {} s",
            expectation.max_validity.as_secs(),
            length.as_secs()
        ))
    }
}

fn validity(tbs: &Tbs<'_>) -> Result<(SystemTime, SystemTime), String> {
    Ok((
        moment("NotBefore", &tbs.not_before)?,
        moment("NotAfter", &tbs.not_after)?,
    ))
}

fn moment(field: &str, time: &Time<'_>) -> Result<SystemTime, String> {
    time.moment().ok_or_else(|| {
        format!("{field}: wanted YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ in its own time type")
    })
}

/// 2050-01-01T00:00:00Z.
fn year_2050() -> SystemTime {
    SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(2_524_608_000)
}
