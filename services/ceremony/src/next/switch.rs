//! When the next CA takes over, and whether both CAs and both RAs are valid then.

use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use der::Decode;
use x509_cert::Certificate;

use crate::certify::{CA_FILE, RA};
use crate::generation::Generation;
use crate::record::read_der;
use crate::transcript::PlannedSwitch;
use assay_console::failure::{Failure, OrFail, Outcome};
use assay_operator::installation::Installation;

/// From now to the switch, where nobody says otherwise: devices have to learn of the next CA.
const NOTICE: Duration = Duration::from_hours(30 * 24);
const OVERLAP: &str = "30d";
const HOUR: u64 = 3_600;
/// The signer takes no longer one.
const MAX_OVERLAP: Duration = Duration::from_hours(2 * 366 * 24);

#[derive(Clone, Debug, Args)]
pub(crate) struct SwitchArgs {
    /// When the next CA takes over, such as 2027-01-15T02:00:00Z [default: in 30 days; later what was said first]
    #[arg(long, value_name = "TIME", value_parser = time)]
    switch_at: Option<SystemTime>,

    /// How long after that requests to the old RA are still answered [default: 30d; later what was said first]
    #[arg(long, value_name = "DURATION")]
    overlap: Option<Overlap>,
}

/// A duration as it was written.
#[derive(Clone, Debug)]
struct Overlap {
    text: String,
    length: Duration,
}

/// When the next CA takes over, and how long the old RA is answered after it.
#[derive(Clone, Debug)]
pub(crate) struct Switch {
    at: SystemTime,
    overlap: Overlap,
}

/// What has to be valid at the switch, and from when to when it is.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) what: String,
    pub(crate) from: SystemTime,
    pub(crate) until: SystemTime,
}

impl SwitchArgs {
    pub(crate) fn is_given(&self) -> bool {
        self.switch_at.is_some() || self.overlap.is_some()
    }

    pub(super) fn or_default(&self, now: SystemTime) -> Outcome<Switch> {
        self.or(&PlannedSwitch {
            at: full_hour(now + NOTICE),
            overlap: OVERLAP.to_owned(),
        })
    }

    /// What is not given is what was said before.
    pub(crate) fn or(&self, before: &PlannedSwitch) -> Outcome<Switch> {
        let what = "the transcript's time of the switch";
        Ok(Switch {
            at: match self.switch_at {
                Some(at) => at,
                None => humantime::parse_rfc3339(&before.at).or_fail(what)?,
            },
            overlap: match &self.overlap {
                Some(overlap) => overlap.clone(),
                None => before.overlap.parse().or_fail(what)?,
            },
        })
    }
}

impl Switch {
    /// For the transcript.
    pub(crate) fn planned(&self) -> PlannedSwitch {
        PlannedSwitch {
            at: text(self.at),
            overlap: self.overlap.text.clone(),
        }
    }

    /// Refuses a time that is past, or at which something of this is not valid.
    pub(crate) fn check(&self, now: SystemTime, lives: &[Life]) -> Outcome {
        let at = text(self.at);
        if self.at <= now {
            return Err(Failure::usage(format!("the switch at {at} is past"))
                .next("give with --switch-at a time to come, by which devices can have learned of the next CA"));
        }
        for Life { what, from, until } in lives {
            if self.at < *from {
                return Err(Failure::usage(format!(
                    "the switch at {at} is before {what} is valid: {}",
                    text(*from)
                ))
                .next("give a later --switch-at"));
            }
            if self.at >= *until {
                return Err(Failure::usage(format!(
                    "the switch at {at} is after the end of {what}: {}",
                    text(*until)
                ))
                .next("give an earlier --switch-at, or renew what ends"));
            }
        }
        Ok(())
    }

    /// What of this ends while the old RA is still to be answered.
    pub(crate) fn short(&self, lives: &[Life]) -> Vec<String> {
        let end = self.at + self.overlap.length;
        let ends = lives.iter().filter(|life| life.until < end);
        ends.map(|life| {
            format!(
                "{} ends {}, before the overlap does: {}",
                life.what,
                text(life.until),
                text(end)
            )
        })
        .collect()
    }
}

impl Life {
    /// Of a certificate, DER.
    pub(crate) fn of(what: String, der: &[u8]) -> Outcome<Self> {
        let certificate =
            Certificate::from_der(der).or_fail(format!("{what} is no certificate"))?;
        let validity = certificate.tbs_certificate().validity();
        Ok(Self {
            what,
            from: UNIX_EPOCH + validity.not_before.to_unix_duration(),
            until: UNIX_EPOCH + validity.not_after.to_unix_duration(),
        })
    }
}

/// The CA and RA certificates of a generation that is made.
pub(crate) fn lives(installation: &Installation, generation: Generation) -> Outcome<Vec<Life>> {
    let ra = RA.iter().map(|(_, _, file)| *file);
    std::iter::once(CA_FILE)
        .chain(ra)
        .map(|file| generation.file(file))
        .filter(|file| installation.path(file).exists())
        .map(|file| {
            let der = read_der(installation, &file)?;
            Life::of(file, &der)
        })
        .collect()
}

impl FromStr for Overlap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let length = assay_types::duration::parse(text)
            .map_err(|error| format!("wanted a duration such as 30d or 12h: {error}"))?;
        if length.is_zero() || length > MAX_OVERLAP {
            return Err("wanted a duration of at most two years".to_owned());
        }
        Ok(Self {
            text: text.to_owned(),
            length,
        })
    }
}

pub(super) fn text(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// The next full hour.
fn full_hour(time: SystemTime) -> String {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    text(UNIX_EPOCH + Duration::from_secs(seconds.next_multiple_of(HOUR)))
}

fn time(text: &str) -> Result<SystemTime, String> {
    humantime::parse_rfc3339(text)
        .or_else(|_| humantime::parse_rfc3339(&format!("{text}T00:00:00Z")))
        .map_err(|_| "wanted a time such as 2027-01-15 or 2027-01-15T02:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SystemTime {
        humantime::parse_rfc3339(text).unwrap()
    }

    fn switch(text: &str) -> Switch {
        let nothing = SwitchArgs {
            switch_at: None,
            overlap: None,
        };
        let before = PlannedSwitch {
            at: text.to_owned(),
            overlap: "30d".to_owned(),
        };
        nothing.or(&before).unwrap()
    }

    #[test]
    fn at_the_switch_everything_is_valid() {
        let now = at("2027-01-01T00:00:00Z");
        let life = Life {
            what: "ca.pem".to_owned(),
            from: at("2027-02-01T00:00:00Z"),
            until: at("2027-03-01T00:00:00Z"),
        };
        let check = |text: &str| {
            let checked = switch(text).check(now, std::slice::from_ref(&life));
            checked.map_err(|failure| failure.to_string())
        };
        for right in ["2027-02-01T00:00:00Z", "2027-02-28T23:59:59Z"] {
            check(right).unwrap();
        }
        for (wrong, told) in [
            ("2027-01-01T00:00:00Z", "is past"),
            ("2027-01-31T23:59:59Z", "is before ca.pem is valid"),
            ("2027-03-01T00:00:00Z", "is after the end of ca.pem"),
        ] {
            let error = check(wrong).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
        assert_eq!(
            switch("2027-02-01T00:00:00Z")
                .short(std::slice::from_ref(&life))
                .len(),
            1
        );
        assert!(switch("2027-01-29T00:00:00Z").short(&[life]).is_empty());
    }

    #[test]
    fn an_overlap_is_kept_as_it_was_written() {
        for right in ["30d", "12h", "90 days", "2y"] {
            assert_eq!(right.parse::<Overlap>().unwrap().text, right);
        }
        for wrong in ["", "0s", "30", "3y"] {
            assert!(wrong.parse::<Overlap>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_default_is_a_full_hour() {
        let nothing = SwitchArgs {
            switch_at: None,
            overlap: None,
        };
        let switch = nothing.or_default(at("2027-01-01T00:00:01Z")).unwrap();
        let planned = switch.planned();
        assert_eq!(planned.at, "2027-01-31T01:00:00Z");
        assert_eq!(planned.overlap, "30d");
    }
}
