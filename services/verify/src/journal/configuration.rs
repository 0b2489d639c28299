//! Which configuration the service ran with, under which version of the policy.

use std::time::Duration;

use assay_types::{Hash, Timestamp};

use super::{AT, Agreement, Interval, Started};
use crate::Check;
use crate::report::{Finding, Findings};
use crate::versions::Versions;

const CHECK: Check = Check::HsmConfiguration;
/// How long before or after a new version comes into force the service may run with the configuration of the other one.
const CHANGEOVER: Duration = Duration::from_secs(3_600);

/// The intervals from the first start to `end`, each with one configuration and one version.
pub(super) fn intervals(
    starts: &[Started],
    activations: &[(Timestamp, u64)],
    versions: &Versions,
    end: Timestamp,
) -> Vec<Interval> {
    let names = |number: Option<u64>| versions.get(number?)?.proposal.hsm_configuration;
    let mut intervals: Vec<Interval> = Vec::new();
    for (place, started) in starts.iter().enumerate() {
        let until = starts.get(place + 1).map_or(end, |next| next.time);
        let until = until.max(started.time);
        let from = activations.partition_point(|(at, _)| *at <= started.time);
        let (before, after) = activations.split_at(from);
        let within = after.iter().filter(|(at, _)| *at < until);
        let first = (started.time, before.last().map(|(_, number)| *number));
        let mut parts: Vec<(Timestamp, Option<u64>)> = vec![first];
        parts.extend(within.map(|(at, number)| (*at, Some(*number))));
        for (place, (from, version)) in parts.iter().enumerate() {
            let until = parts.get(place + 1).map_or(until, |(at, _)| *at);
            let approved = names(*version);
            let configuration = started.start.configuration;
            let interval = Interval {
                from: *from,
                until,
                entry: started.entry,
                configuration,
                version: *version,
                approved,
                agreement: match (version, approved) {
                    (None, _) => Agreement::NoVersion,
                    (Some(_), None) => Agreement::NotNamed,
                    (Some(_), Some(approved)) if approved == configuration => Agreement::Approved,
                    (Some(_), Some(_)) => Agreement::Differs,
                },
                allow_same_user: started.start.allow_same_user,
            };
            match intervals
                .last_mut()
                .filter(|last| continues(last, &interval))
            {
                Some(last) => last.until = until,
                None => intervals.push(interval),
            }
        }
    }
    for interval in &mut intervals {
        if interval.agreement == Agreement::Differs && is_changeover(interval, activations, &names)
        {
            interval.agreement = Agreement::Changeover;
        }
    }
    intervals
}

/// Another start with the same configuration.
fn continues(last: &Interval, next: &Interval) -> bool {
    (last.configuration, last.version, last.allow_same_user)
        == (next.configuration, next.version, next.allow_same_user)
}

/// Around the time at which a version comes into force, the configuration that the other one names.
fn is_changeover(
    interval: &Interval,
    activations: &[(Timestamp, u64)],
    names: &impl Fn(Option<u64>) -> Option<Hash>,
) -> bool {
    let is_short = interval.until.since(interval.from) <= CHANGEOVER;
    let is_named = |number: u64| names(Some(number)) == Some(interval.configuration);
    let mut pairs = activations.windows(2);
    is_short
        && pairs.any(|pair| {
            let [(_, before), (at, after)] = pair else {
                return false;
            };
            let is_late = interval.from == *at && is_named(*before);
            let is_early = interval.until == *at && is_named(*after);
            is_late || is_early
        })
}

/// The findings of an interval.
pub(super) fn judge(interval: &Interval, findings: &mut Findings) {
    findings.made(CHECK);
    let member = format!("entry {}", interval.entry);
    let span = format!("from {} until {}", interval.from, interval.until);
    if let (Agreement::Differs, Some(version), Some(approved)) =
        (interval.agreement, interval.version, interval.approved)
    {
        let wanted = format!("configuration {approved}, which version {version} names, {span}");
        let got = interval.configuration;
        findings.bad(Finding::new(CHECK, AT, &member, wanted, got));
    }
    if interval.allow_same_user {
        let wanted = "a signer that is another user than the HSM service";
        let got = format!("allow_same_user {span}");
        findings.open(Finding::new(CHECK, AT, &member, wanted, got));
    }
}
