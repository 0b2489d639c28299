use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;

use assay_types::Timestamp;

const SECONDS_PER_MINUTE: i64 = 60;
const MINUTES_PER_HOUR: i64 = 60;
const MINUTES_PER_DAY: i64 = 24 * MINUTES_PER_HOUR;

/// A ceiling on what may happen in an hour or a day. Displays as configuration files and commands write it:
/// `certificates_per_hour`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Limit {
    /// Certificates in 60 minutes.
    CertificatesPerHour,
    /// Certificates in 24 hours.
    CertificatesPerDay,
    /// CRLs of all issuers in 60 minutes.
    CrlsPerHour,
    /// CRLs of all issuers in 24 hours.
    CrlsPerDay,
    /// Decryptions in 60 minutes.
    DecryptionsPerHour,
    /// Decryptions in 24 hours.
    DecryptionsPerDay,
    /// Leaf hashes of the log in 60 minutes.
    LeavesPerHour,
    /// Leaf hashes of the log in 24 hours.
    LeavesPerDay,
    /// Serial numbers that are newly listed on CRLs of all issuers in 60 minutes.
    RevocationsPerHour,
}

/// The word names no ceiling.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is not the name of a ceiling; the names are {}", names())]
pub struct UnknownLimit {
    word: String,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::CertificatesPerHour,
        Self::CertificatesPerDay,
        Self::CrlsPerHour,
        Self::CrlsPerDay,
        Self::DecryptionsPerHour,
        Self::DecryptionsPerDay,
        Self::LeavesPerHour,
        Self::LeavesPerDay,
        Self::RevocationsPerHour,
    ];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CertificatesPerHour => "certificates_per_hour",
            Self::CertificatesPerDay => "certificates_per_day",
            Self::CrlsPerHour => "crls_per_hour",
            Self::CrlsPerDay => "crls_per_day",
            Self::DecryptionsPerHour => "decryptions_per_hour",
            Self::DecryptionsPerDay => "decryptions_per_day",
            Self::LeavesPerHour => "leaves_per_hour",
            Self::LeavesPerDay => "leaves_per_day",
            Self::RevocationsPerHour => "revocations_per_hour",
        }
    }

    /// Its number in entries of the journal.
    pub(crate) fn code(self) -> u8 {
        self as u8 + 1
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|limit| limit.code() == code)
    }

    fn place(self) -> usize {
        self as usize
    }

    fn kind(self) -> Kind {
        match self {
            Self::CertificatesPerHour | Self::CertificatesPerDay => Kind::Certificates,
            Self::CrlsPerHour | Self::CrlsPerDay => Kind::Crls,
            Self::DecryptionsPerHour | Self::DecryptionsPerDay => Kind::Decryptions,
            Self::LeavesPerHour | Self::LeavesPerDay => Kind::Leaves,
            Self::RevocationsPerHour => Kind::Revocations,
        }
    }

    fn minutes(self) -> i64 {
        match self {
            Self::CertificatesPerHour
            | Self::CrlsPerHour
            | Self::DecryptionsPerHour
            | Self::LeavesPerHour
            | Self::RevocationsPerHour => MINUTES_PER_HOUR,
            Self::CertificatesPerDay
            | Self::CrlsPerDay
            | Self::DecryptionsPerDay
            | Self::LeavesPerDay => MINUTES_PER_DAY,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Limit {
    type Err = UnknownLimit;

    fn from_str(word: &str) -> Result<Self, UnknownLimit> {
        let found = Self::ALL.into_iter().find(|limit| limit.as_str() == word);
        found.ok_or_else(|| UnknownLimit {
            word: word.to_owned(),
        })
    }
}

fn names() -> String {
    Limit::ALL.map(Limit::as_str).join(", ")
}

/// The number for each ceiling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits([u64; 9]);

impl Limits {
    /// No ceiling at all: what readers of a journal use.
    #[must_use]
    pub fn unlimited() -> Self {
        Self([u64::MAX; 9])
    }

    /// With `ceiling` for `limit`.
    #[must_use]
    pub fn with(mut self, limit: Limit, ceiling: u64) -> Self {
        if let Some(place) = self.0.get_mut(limit.place()) {
            *place = ceiling;
        }
        self
    }

    /// The ceiling for `limit`.
    #[must_use]
    pub fn get(&self, limit: Limit) -> u64 {
        self.0.get(limit.place()).copied().unwrap_or_default()
    }
}

/// How much of a ceiling is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Which ceiling.
    pub limit: Limit,
    /// Number in the last hour or day.
    pub used: u64,
    /// The number that may not be exceeded, lifted or configured.
    pub ceiling: u64,
}

impl Usage {
    /// Whether 80 % of the ceiling are used.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        u128::from(self.used) * 5 >= u128::from(self.ceiling) * 4
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (limit, used, ceiling) = (self.limit, self.used, self.ceiling);
        write!(f, "{used} of {ceiling} {limit} are used")
    }
}

/// Kinds of events that are counted against ceilings.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Certificates,
    Crls,
    Decryptions,
    Leaves,
    Revocations,
}

/// All ceilings and what is used of them.
#[derive(Debug)]
pub(crate) struct Ceilings {
    pub(crate) limits: Limits,
    lifted: [Option<(u64, Timestamp)>; 9],
    used: [Window; 5],
}

impl Ceilings {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            lifted: [None; 9],
            used: [const { Window(VecDeque::new()) }; 5],
        }
    }

    pub(crate) fn add(&mut self, kind: Kind, now: Timestamp, count: u64) {
        if let Some(window) = self.used.get_mut(kind as usize) {
            window.add(now, count);
        }
    }

    pub(crate) fn lift(&mut self, limit: Limit, to: u64, until: Timestamp) {
        if let Some(lifted) = self.lifted.get_mut(limit.place()) {
            *lifted = Some((to, until));
        }
    }

    /// The counts of the last hour and day become those of the hour and day before the new time.
    pub(crate) fn clock_moved(&mut self, from: Timestamp, to: Timestamp) {
        let minutes = minute(to).saturating_sub(minute(from));
        for window in &mut self.used {
            window.shift(minutes);
        }
    }

    pub(crate) fn usage(&self, limit: Limit, now: Timestamp) -> Usage {
        let window = self.used.get(limit.kind() as usize);
        let lifted = self.lifted.get(limit.place()).copied().flatten();
        let lifted = lifted.filter(|(_, until)| now < *until);
        Usage {
            limit,
            used: window.map_or(u64::MAX, |window| window.sum(now, limit.minutes())),
            ceiling: self
                .limits
                .get(limit)
                .max(lifted.map_or(0, |(ceiling, _)| ceiling)),
        }
    }

    /// The first ceiling that `more` of this kind would exceed.
    pub(crate) fn exceeded(&self, kind: Kind, more: u64, now: Timestamp) -> Option<Usage> {
        Limit::ALL
            .into_iter()
            .filter(|limit| limit.kind() as u8 == kind as u8)
            .map(|limit| self.usage(limit, now))
            .find(|usage| usage.used.saturating_add(more) > usage.ceiling)
    }
}

/// Numbers by minute, over at most a day, oldest first.
#[derive(Debug)]
struct Window(VecDeque<(i64, u64)>);

impl Window {
    /// A time before the newest minute is counted in the newest.
    fn add(&mut self, now: Timestamp, count: u64) {
        let now = minute(now);
        match self.0.back_mut() {
            Some((newest, sum)) if *newest >= now => *sum = sum.saturating_add(count),
            Some(_) | None => self.0.push_back((now, count)),
        }
        while let Some((oldest, _)) = self.0.front()
            && *oldest < now.saturating_sub(MINUTES_PER_DAY)
        {
            self.0.pop_front();
        }
    }

    /// Counts whole minutes: the span is up to one minute longer, never shorter.
    fn sum(&self, now: Timestamp, minutes: i64) -> u64 {
        let first = minute(now).saturating_sub(minutes);
        let recent = self
            .0
            .iter()
            .rev()
            .take_while(|(minute, _)| *minute >= first);
        recent.fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    fn shift(&mut self, minutes: i64) {
        for (minute, _) in &mut self.0 {
            *minute = minute.saturating_add(minutes);
        }
    }
}

fn minute(time: Timestamp) -> i64 {
    time.seconds().div_euclid(SECONDS_PER_MINUTE)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

    use std::time::Duration;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

    fn after(seconds: u64) -> Timestamp {
        NOW + Duration::from_secs(seconds)
    }

    #[test]
    fn what_was_used_counts_for_an_hour_and_for_a_day() {
        let mut ceilings = Ceilings::new(Limits::unlimited());
        ceilings.add(Kind::Certificates, NOW, 3);
        ceilings.add(Kind::Certificates, after(1_800), 4);
        let used = |limit, seconds| ceilings.usage(limit, after(seconds)).used;
        assert_eq!(used(Limit::CertificatesPerHour, 3_600), 7);
        assert_eq!(used(Limit::CertificatesPerHour, 3_661), 4);
        assert_eq!(used(Limit::CertificatesPerHour, 7_200), 0);
        assert_eq!(used(Limit::CertificatesPerDay, 86_400), 7);
        assert_eq!(used(Limit::CertificatesPerDay, 86_461), 4);
        assert_eq!(used(Limit::CrlsPerDay, 3_600), 0);
    }

    #[test]
    fn a_window_keeps_a_day_at_most() {
        let mut window = Window(VecDeque::new());
        for step in 0..5_000 {
            window.add(after(step * 60), 1);
        }
        assert_eq!(window.0.len(), 1_441);
    }

    #[test]
    fn a_lifted_ceiling_falls_back_at_its_time() {
        let limit = Limit::CrlsPerHour;
        let mut ceilings = Ceilings::new(Limits::unlimited().with(limit, 1));
        ceilings.add(Kind::Crls, NOW, 1);
        assert!(ceilings.exceeded(Kind::Crls, 1, NOW).is_some());
        ceilings.lift(limit, 2, after(10));
        assert!(ceilings.exceeded(Kind::Crls, 1, after(9)).is_none());
        assert!(ceilings.exceeded(Kind::Crls, 2, after(9)).is_some());
        assert!(ceilings.exceeded(Kind::Crls, 1, after(10)).is_some());
    }

    #[test]
    fn a_warning_comes_at_four_fifths() {
        let usage = |used, ceiling| Usage {
            limit: Limit::CrlsPerDay,
            used,
            ceiling,
        };
        assert!(!usage(79, 100).is_warning());
        assert!(usage(80, 100).is_warning());
        assert!(!usage(u64::MAX / 2, u64::MAX).is_warning());
        assert!(usage(u64::MAX, u64::MAX).is_warning());
    }

    #[test]
    fn an_accepted_jump_of_the_clock_resets_no_ceiling() {
        let limit = Limit::CertificatesPerHour;
        for to in [NOW - Duration::from_secs(1 << 30), after(1 << 30)] {
            let mut ceilings = Ceilings::new(Limits::unlimited());
            ceilings.add(Kind::Certificates, NOW, 9);
            ceilings.clock_moved(NOW, to);
            assert_eq!(ceilings.usage(limit, to).used, 9);
            let later = to + Duration::from_secs(3_700);
            assert_eq!(ceilings.usage(limit, later).used, 0);
        }
    }

    #[test]
    fn each_ceiling_has_one_name() {
        for limit in Limit::ALL {
            assert_eq!(limit.as_str().parse(), Ok(limit));
            assert_eq!(Limit::from_code(limit.code()), Some(limit));
        }
        let error = "certificates".parse::<Limit>().unwrap_err().to_string();
        assert!(error.contains("certificates_per_hour"), "{error}");
    }
}
