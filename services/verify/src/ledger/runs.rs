//! Runs of the signer and their clocks.

use std::collections::HashSet;

use assay_audit::{Context, Event, Text};
use assay_types::{Hash, TimestampMillis};

use super::Seen;
use crate::Check;
use crate::entry::{SLACK, SLACK_MS};
use crate::report::{Finding, Findings, a_record};

/// Milliseconds by which the wall clock moves against the monotonic one where it was set by somebody.
const STEP_MS: i64 = 2_000;
/// The signer issues nothing while its clock is further than this from the expected time.
const JUMP_MS: i64 = 300_000;
/// A clock is slewed by less than a part in this many.
const SLEW: u64 = 500;
/// The signer looks at its clocks once a second; a step is told long before this, unless it stops first.
const TOLD_MS: u64 = 60_000;

#[derive(Default)]
pub(super) struct Runs {
    /// Boot ids that were seen, as hashes.
    seen: HashSet<Hash>,
    run: Option<Run>,
    /// The newest wall time of all records.
    latest: Option<TimestampMillis>,
    /// Records are missing since the last one.
    gap: bool,
}

struct Run {
    boot_id: Text,
    binary: Text,
    config_hash: Hash,
    latest_mono: u64,
    /// Wall minus monotonic time of the last record.
    offset: i64,
    last_mono: u64,
    /// The largest offset of the run: where the present one is less, the wall clock stood still.
    peak: i64,
    /// Moves of the wall clock that no record has told yet.
    untold: Vec<Move>,
    /// A step forwards was told, so that a record of before it may come after one of after it.
    stepped: bool,
    /// The boot of the machine and its time, if the run knew how the time before it continues.
    boot: Option<Boot>,
    /// A jump that was accepted: the time since the boot then, and the offset before.
    accepted: Option<(u64, i64)>,
}

/// A boot of the machine, as a run has it.
#[derive(Clone, Copy)]
struct Boot {
    id: Hash,
    /// Wall minus monotonic time that the clock is compared with.
    time: i64,
    /// The monotonic time at which it was that.
    mono: u64,
}

struct Move {
    sequence: u64,
    by: i64,
    mono: u64,
    /// Back by more than it can have stood still: the signer's clock does not do that.
    back: bool,
}

impl Runs {
    pub(super) fn take(&mut self, seen: &mut Seen<'_>) {
        let draft = &seen.entry.record.draft;
        let (context, moment) = (draft.context.clone(), draft.moment);
        let (starts, boot) = if let Event::ServiceStarted {
            kernel_boot,
            booted_ms,
            ..
        } = draft.event
        {
            seen.hold(
                kernel_boot.is_some() == booted_ms.is_some(),
                Check::Clocks,
                "booted_ms",
                "the time of the boot that kernel_boot names, or neither",
                "one of them",
            );
            let boot = kernel_boot.zip(booted_ms).map(|(id, booted)| Boot {
                id,
                time: booted.millis(),
                mono: moment.monotonic_ms,
            });
            (true, boot)
        } else {
            (matches!(draft.event, Event::StateRecovered { .. }), None)
        };
        let gap = std::mem::take(&mut self.gap);
        let offset = moment
            .wall_ms
            .millis()
            .saturating_sub(i64::try_from(moment.monotonic_ms).unwrap_or(i64::MAX));
        let same = self
            .run
            .as_ref()
            .is_some_and(|run| run.boot_id == context.boot_id);
        let lags = self
            .run
            .as_ref()
            .is_some_and(|run| same && run.is_of_before(moment.monotonic_ms, offset));
        if lags {
            // Drafted before a jump was accepted, and written after that.
            return;
        }
        self.wall(seen);
        if !same {
            if let Some(boot) = boot {
                boot.hold(seen, offset);
                let before = self.run.as_ref().filter(|_| !gap);
                if let Some(before) = before.and_then(|run| run.boot) {
                    before.hold_the_next(seen, &boot);
                }
            }
            self.begin(seen, &context, starts, gap);
            self.run = Some(Run {
                boot_id: context.boot_id,
                binary: context.binary,
                config_hash: context.config_hash,
                latest_mono: moment.monotonic_ms,
                offset,
                last_mono: moment.monotonic_ms,
                peak: offset,
                untold: Vec::new(),
                stepped: false,
                boot,
                accepted: None,
            });
            return;
        }
        let Some(run) = &mut self.run else { return };
        let check = Check::Boots;
        seen.hold(
            !starts,
            check,
            "kind",
            "service.started once a run",
            "another one in the same run",
        );
        seen.same(check, "binary", &run.binary, &context.binary);
        seen.same(check, "config_hash", &run.config_hash, &context.config_hash);
        run.clocks(seen, offset, gap);
    }

    /// Later records are of other runs, or of this one further on.
    pub(super) fn skip(&mut self) {
        self.gap = true;
    }

    pub(super) fn finish(&mut self, findings: &mut Findings) {
        if let Some(run) = self.run.take() {
            run.end(findings);
        }
    }

    fn begin(&mut self, seen: &mut Seen<'_>, context: &Context, starts: bool, gap: bool) {
        let check = Check::Boots;
        let known = Hash::of(context.boot_id.as_str().as_bytes());
        seen.hold(
            self.seen.insert(known),
            check,
            "boot_id",
            "a run that was not over yet",
            &context.boot_id,
        );
        if !gap {
            let event = seen.entry.event();
            let is_recovered = matches!(
                event,
                Event::CertificateRecovered { .. } | Event::StatusRecovered { .. }
            );
            let first = if is_recovered {
                "state.recovered"
            } else {
                "service.started"
            };
            seen.findings.made(check);
            if !starts {
                let at = seen.entry.sequence();
                let wanted = format!("{} as the first of a run", a_record(&[first]));
                let got = event.kind();
                let finding = Finding::new(check, at, "kind", wanted, got).lacks(&[first]);
                seen.findings.bad(finding);
            }
        }
        if let Some(run) = self.run.take() {
            run.end(seen.findings);
        }
    }

    fn wall(&mut self, seen: &mut Seen<'_>) {
        let wall_ms = seen.entry.wall_ms();
        if matches!(seen.entry.event(), Event::ClockAccepted { .. }) {
            self.latest = Some(wall_ms);
            return;
        }
        let latest = self.latest.unwrap_or(wall_ms);
        seen.hold_or_lacks(
            wall_ms + SLACK >= latest,
            Check::Clocks,
            "wall_ms",
            &["clock.accepted"],
            format_args!("{latest} or later, but for {SLACK_MS} ms"),
            wall_ms,
        );
        self.latest = Some(latest.max(wall_ms));
    }
}

impl Boot {
    /// A clock that is believed is within the tolerance of the time that the boot leads to.
    fn hold(&self, seen: &mut Seen<'_>, offset: i64) {
        let by = offset.saturating_sub(self.time);
        seen.hold(
            by.saturating_abs() <= JUMP_MS + STEP_MS,
            Check::Clocks,
            "booted_ms",
            format_args!(
                "the time since the boot before wall_ms, within {} ms",
                JUMP_MS + STEP_MS
            ),
            format_args!("{by} ms less"),
        );
    }

    /// The next run, in the same boot of the machine, continues the time of this one.
    fn hold_the_next(&self, seen: &mut Seen<'_>, next: &Self) {
        if next.id != self.id {
            return;
        }
        let slewed = i64::try_from(next.mono.abs_diff(self.mono) / SLEW).unwrap_or(i64::MAX);
        let by = next.time.saturating_sub(self.time);
        seen.hold_or_lacks(
            by.saturating_abs() <= slewed.saturating_add(1),
            Check::Clocks,
            "booted_ms",
            &["clock.accepted"],
            format_args!(
                "{} as the run before in this boot, give or take {slewed} ms",
                self.time
            ),
            next.time,
        );
    }
}

impl Run {
    /// Whether a record is of the time before a jump that was accepted just now.
    fn is_of_before(&self, mono: u64, offset: i64) -> bool {
        self.accepted.is_some_and(|(at, before)| {
            mono <= at.saturating_add(TOLD_MS)
                && offset.abs_diff(before) < offset.abs_diff(self.offset)
        })
    }

    /// An accepted jump is the one that it names. Where the journal of the HSM service was ahead, the wall clock did not move.
    fn accept(&mut self, seen: &mut Seen<'_>, offset: i64, jump: i64) {
        let mono = seen.entry.record.draft.moment.monotonic_ms;
        let by = offset.saturating_sub(self.offset);
        let near = |by: i64| by.saturating_abs() <= JUMP_MS + STEP_MS;
        seen.hold(
            (near(by.saturating_sub(jump)) || near(by)) && jump.saturating_abs() >= JUMP_MS,
            Check::Clocks,
            "to",
            format_args!("the jump of the wall clock by {by} ms"),
            format_args!("{jump} ms after from"),
        );
        self.accepted = Some((mono, self.offset));
        if let Some(boot) = &mut self.boot {
            (boot.time, boot.mono) = (offset, mono);
        }
        self.untold.clear();
        self.latest_mono = self.latest_mono.max(mono);
        (self.last_mono, self.offset, self.peak) = (mono, offset, offset);
    }

    fn clocks(&mut self, seen: &mut Seen<'_>, offset: i64, gap: bool) {
        let mono = seen.entry.record.draft.moment.monotonic_ms;
        seen.hold(
            mono.saturating_add(SLACK_MS) >= self.latest_mono,
            Check::Clocks,
            "monotonic_ms",
            format_args!("{} or later, but for {SLACK_MS} ms", self.latest_mono),
            mono,
        );
        if let Event::ClockAccepted { from, to, .. } = *seen.entry.event() {
            let jump = to.seconds_since(from).saturating_mul(1_000);
            return self.accept(seen, offset, jump);
        }
        let passed = mono.abs_diff(self.last_mono);
        let allowed = STEP_MS.saturating_add(i64::try_from(passed / SLEW).unwrap_or(i64::MAX));
        let by = offset.saturating_sub(self.offset);
        let stood = i64::try_from(mono.saturating_sub(self.last_mono)).unwrap_or(i64::MAX);
        let back = by.saturating_add(stood) < -allowed;
        // The wall clock stands still where it was set back: that is no move, whoever told it.
        if !gap && (by > allowed || back) {
            self.untold.push(Move {
                sequence: seen.entry.sequence(),
                by,
                mono,
                back,
            });
        }
        if let Event::ClockStep { delta_ms } = seen.entry.record.draft.event {
            seen.hold(
                delta_ms.saturating_abs() >= STEP_MS,
                Check::Clocks,
                "delta_ms",
                format_args!("{STEP_MS} or more either way"),
                delta_ms,
            );
            let stood = self.peak.saturating_sub(self.offset) > STEP_MS / 2;
            let matched = self.told(delta_ms, stood);
            seen.hold(
                matched || delta_ms < 0 || stood || gap,
                Check::Clocks,
                "delta_ms",
                format_args!("what the wall clock moved, but for {STEP_MS} ms"),
                delta_ms,
            );
        }
        self.latest_mono = self.latest_mono.max(mono);
        self.last_mono = mono;
        self.offset = offset;
        self.peak = self.peak.max(offset);
        if !self.untold.is_empty() {
            self.overdue(false, seen.findings);
        }
    }

    /// Whether the step is one that was seen. One backwards is not: the signer's wall clock stands still instead, and a part
    /// of one forwards is not seen where it `stood` still before.
    fn told(&mut self, delta_ms: i64, stood: bool) -> bool {
        self.stepped |= delta_ms > 0;
        let same = |moved: &Move| {
            let apart = delta_ms.saturating_sub(moved.by);
            apart.saturating_abs() <= STEP_MS || (stood && apart > 0 && moved.by > 0)
        };
        let found = self.untold.iter().position(same);
        if let Some(at) = found {
            self.untold.remove(at);
        }
        found.is_some()
    }

    fn overdue(&mut self, over: bool, findings: &mut Findings) {
        let now = self.latest_mono;
        let stepped = self.stepped;
        let due = |moved: &Move| {
            (moved.back && over && !stepped) || now.saturating_sub(moved.mono) > TOLD_MS
        };
        for moved in self.untold.extract_if(.., |moved| due(moved)) {
            findings.made(Check::Clocks);
            findings.bad(untold(&moved));
        }
    }

    /// What was not told when the run was over may be for want of time, but not a clock that went back.
    fn end(mut self, findings: &mut Findings) {
        self.overdue(true, findings);
    }
}

/// Of more than the signer issues certificates at, both kinds tell.
fn untold(moved: &Move) -> Finding {
    let kinds: &[&str] = if moved.by.saturating_abs() < JUMP_MS {
        &["clock.step"]
    } else {
        &["clock.accepted", "clock.step"]
    };
    let wanted = format!("{} of what the wall clock was moved by", a_record(kinds));
    let got = format!("{} ms and none", moved.by);
    Finding::new(Check::Clocks, moved.sequence, "wall_ms", wanted, got).lacks(kinds)
}
