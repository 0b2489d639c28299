//! The signer's own clock. Within a boot of the machine the wall clock is compared with the kernel's time since the boot, which nobody
//! can set; after a reboot with the newest record of the log. A wall clock that jumped is not believed until it is back or a person
//! accepts the jump: meanwhile the time continues from the last moment that was known to be right.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use assay_audit::Moment;
use assay_types::{Hash, Timestamp, TimestampMillis};

/// A wall clock that moved this far (in milliseconds) against the kernel's time since the last look was set by somebody.
const STEP: i64 = 2_000;
/// A wall clock that is further than this from the expected time jumped.
const TOLERANCE: Duration = Duration::from_secs(5 * 60);
/// A clock that is slewed moves by less than one part in this many (adjtimex: 500 parts in a million).
const SLEW: i64 = 2_000;
/// How long a machine may have been off before its clock has to be synchronised to be believed.
const MAX_DOWNTIME: Duration = Duration::from_secs(7 * 24 * 3_600);
/// The moment that is known to be right is taken anew after so many milliseconds, so that slewing does not add up to a jump.
const REBASE: i64 = 60_000;
/// For how long after an accepted jump nothing is pruned, and nothing is dropped from a CRL.
pub(crate) const SETTLING: Duration = Duration::from_secs(24 * 3_600);

/// Where the kernel shows the id of the boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// systemd-timesyncd makes this file with the first synchronisation after a boot; it is gone with the boot.
const SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// The time of day, which somebody may set.
    fn wall(&self) -> SystemTime;

    /// Time since the machine was booted, also while it slept. Nobody can set it.
    fn since_boot(&self) -> Duration;

    /// Tells this boot of the machine from others.
    fn boot(&self) -> Hash;

    /// Whether a time service says that it has synchronised the wall clock since the boot.
    fn is_synchronised(&self) -> bool;
}

/// The clocks of the operating system.
#[derive(Debug)]
pub struct SystemClock {
    boot: Hash,
}

/// The kernel does not say which boot this is.
#[derive(Debug, thiserror::Error)]
#[error(
    "{BOOT_ID} cannot be read, so that a jump of the clock would look like a reboot; mount /proc"
)]
pub struct NoBootId(#[from] io::Error);

impl SystemClock {
    /// Reads the id of the boot, for which a confined process may have no permission any more.
    ///
    /// # Errors
    /// Where the kernel does not show it.
    pub fn new() -> Result<Self, NoBootId> {
        let id = std::fs::read(BOOT_ID)?;
        Ok(Self {
            boot: Hash::of(id.trim_ascii()),
        })
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn since_boot(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
        Duration::new(seconds, nanoseconds)
    }

    fn boot(&self) -> Hash {
        self.boot
    }

    fn is_synchronised(&self) -> bool {
        Path::new(SYNCHRONISED).exists()
    }
}

/// The wall clock is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the clock jumped from {from} to {to}: set it right, or accept the jump with `assay clock accept --from {from} --to {to}` \
     (docs/clock.md)"
)]
pub struct ClockJumped {
    /// The expected time when the jump was found: of the log continued, or of the newest entry of the HSM service's journal.
    pub from: Timestamp,
    /// The wall clock at that moment.
    pub to: Timestamp,
}

/// Why a jump is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum NotAccepted {
    /// The wall clock is believed.
    #[error("there is no jump to accept: the clock says {now}, as expected")]
    NoJump {
        /// The time.
        now: Timestamp,
    },
    /// Another jump was named.
    #[error("the clock jumped from {} to {}, and another jump was named; name this one if it is right", .0.from, .0.to)]
    OtherJump(ClockJumped),
}

/// The clock as a person sees it.
#[derive(Debug, Clone, Copy)]
pub struct ClockState {
    /// The time that records get.
    pub now: Timestamp,
    /// The jump that is neither over nor accepted.
    pub jump: Option<ClockJumped>,
    /// Until when nothing is pruned or dropped, after an accepted jump.
    pub settling_until: Option<Timestamp>,
}

/// The last jump that was accepted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AcceptedJump {
    /// When it was accepted, by the accepted time.
    pub(crate) at: Timestamp,
    /// The earlier one of its times: nothing that was still due then is dropped.
    pub(crate) earliest: Timestamp,
}

/// The time before this run, by the log and the journal.
#[derive(Default)]
pub(crate) struct Past {
    /// The clocks of the newest record.
    pub(crate) newest: Option<Moment>,
    /// The last moment that was known to be right, and the boot of the machine then; absent where the last run did not know the time.
    pub(crate) right: Option<(Moment, Hash)>,
    /// The newest entry of the HSM service's journal.
    pub(crate) journal: Timestamp,
    pub(crate) accepted: Option<AcceptedJump>,
}

/// Wall time that is compared with the kernel's (all in milliseconds, since the Unix epoch or since the boot).
pub(crate) struct SignerClock {
    source: Arc<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    base: Base,
    journal: Timestamp,
    /// The newest time that was given.
    latest: i64,
    /// Wall time minus time since the boot when last looked at for a step.
    offset: i64,
    jump: Option<Found>,
    accepted: Option<AcceptedJump>,
}

/// The last moment that is known to be right.
#[derive(Clone, Copy)]
struct Base {
    wall: i64,
    since_boot: i64,
    /// It is of another boot, and how long the machine was off is not known.
    is_of_another_boot: bool,
}

/// A jump as it was found.
#[derive(Clone, Copy)]
struct Found {
    jump: ClockJumped,
    /// Wall time minus time since the boot.
    offset: i64,
}

impl SignerClock {
    pub(crate) fn new(source: Arc<dyn Clock>, past: &Past) -> Self {
        let (wall, since_boot) = (wall_ms(&*source), since_boot_ms(&*source));
        let at = |moment: Moment| i64::try_from(moment.monotonic_ms).unwrap_or(i64::MAX);
        // Not the newest record, whose time may be off by a step that is within the tolerance: such steps would add up from one run to
        // the next.
        let right = past
            .right
            .filter(|(moment, boot)| *boot == source.boot() && at(*moment) <= since_boot)
            .map(|(moment, _)| Base {
                wall: moment.wall_ms.millis(),
                since_boot: at(moment),
                is_of_another_boot: false,
            });
        let base = right.unwrap_or(Base {
            wall: past.newest.map_or(wall, |moment| moment.wall_ms.millis()),
            since_boot,
            is_of_another_boot: past.newest.is_some(),
        });
        Self {
            source,
            state: Mutex::new(State {
                base,
                journal: past.journal,
                latest: past.newest.map_or(0, |moment| moment.wall_ms.millis()),
                offset: wall.saturating_sub(since_boot),
                jump: None,
                accepted: past.accepted,
            }),
        }
    }

    /// Now. Never less than before, unless a jump backwards was accepted.
    pub(crate) fn now(&self) -> SystemTime {
        self.timestamp_millis().into()
    }

    /// The same in milliseconds.
    pub(crate) fn timestamp_millis(&self) -> TimestampMillis {
        self.moment().wall_ms
    }

    /// Both clocks, for a record.
    pub(crate) fn moment(&self) -> Moment {
        let mut state = self.state();
        let (now, since_boot) = self.look(&mut state);
        Moment {
            wall_ms: TimestampMillis::from_millis(now),
            monotonic_ms: since_boot.unsigned_abs(),
        }
    }

    /// Refuses while the wall clock is not believed.
    pub(crate) fn check(&self) -> Result<(), ClockJumped> {
        self.show().jump.map_or(Ok(()), Err)
    }

    pub(crate) fn show(&self) -> ClockState {
        let mut state = self.state();
        let (now, _) = self.look(&mut state);
        let now = TimestampMillis::from_millis(now).seconds();
        let until = state.accepted.map(|accepted| accepted.at + SETTLING);
        ClockState {
            now,
            jump: state.jump.map(|found| found.jump),
            settling_until: until.filter(|until| now < *until),
        }
    }

    /// Certificates that ended at this time or later are not dropped yet from a CRL of the time `at`, after a jump was accepted.
    pub(crate) fn keep_since(&self, at: Timestamp) -> Option<Timestamp> {
        let accepted = self.state().accepted?;
        (at < accepted.at + SETTLING).then_some(accepted.earliest)
    }

    /// The boot of the machine and its time, if this run knows how the time before it continues.
    pub(crate) fn known_boot(&self) -> Option<(Hash, TimestampMillis)> {
        let mut state = self.state();
        self.look(&mut state);
        let Base {
            wall,
            since_boot,
            is_of_another_boot,
        } = state.base;
        let booted = TimestampMillis::from_millis(wall.saturating_sub(since_boot));
        (!is_of_another_boot).then(|| (self.source.boot(), booted))
    }

    /// By how much the wall clock was stepped since the last call, if it was. A jump is not a step.
    pub(crate) fn step(&self) -> Option<i64> {
        let mut state = self.state();
        self.look(&mut state);
        if state.jump.is_some() {
            return None;
        }
        let offset = wall_ms(&*self.source) - since_boot_ms(&*self.source);
        let delta = offset - std::mem::replace(&mut state.offset, offset);
        (delta.abs() >= STEP).then_some(delta)
    }

    /// The moment at which a jump, which has to be named exactly, is accepted. [`Self::accepted`] follows once that is recorded.
    pub(crate) fn may_accept(&self, from: Timestamp, to: Timestamp) -> Result<Moment, NotAccepted> {
        let mut state = self.state();
        let (now, since_boot) = self.look(&mut state);
        let Some(found) = state.jump else {
            let now = TimestampMillis::from_millis(now).seconds();
            return Err(NotAccepted::NoJump { now });
        };
        if found.jump != (ClockJumped { from, to }) {
            return Err(NotAccepted::OtherJump(found.jump));
        }
        Ok(Moment {
            wall_ms: TimestampMillis::from_millis(since_boot.saturating_add(found.offset)),
            monotonic_ms: since_boot.unsigned_abs(),
        })
    }

    /// The time continues from `moment`.
    pub(crate) fn accepted(&self, jump: ClockJumped, moment: Moment) {
        let mut state = self.state();
        let wall = moment.wall_ms.millis();
        let since_boot = i64::try_from(moment.monotonic_ms).unwrap_or(i64::MAX);
        state.base = Base {
            wall,
            since_boot,
            is_of_another_boot: false,
        };
        state.latest = wall;
        state.offset = wall.saturating_sub(since_boot);
        state.journal = Timestamp::MIN;
        state.jump = None;
        state.accepted = Some(AcceptedJump {
            at: moment.wall_ms.seconds(),
            earliest: jump.from.min(jump.to),
        });
    }

    /// The time and the time since the boot, after the wall clock was compared.
    fn look(&self, state: &mut State) -> (i64, i64) {
        let (wall, since_boot) = (wall_ms(&*self.source), since_boot_ms(&*self.source));
        let passed = since_boot.saturating_sub(state.base.since_boot).max(0);
        let expected = state.base.wall.saturating_add(passed);
        let by = wall.saturating_sub(expected);
        let tolerance = millis(TOLERANCE);
        let ahead = match state.base.is_of_another_boot {
            true if self.source.is_synchronised() => i64::MAX,
            true => millis(MAX_DOWNTIME),
            false => tolerance.saturating_add(passed / SLEW),
        };
        let behind = tolerance.saturating_add(passed / SLEW);
        let journal = TimestampMillis::from(state.journal).millis();
        let against = if by > ahead || by < -behind {
            Some(expected)
        } else if wall.saturating_add(tolerance) < journal {
            Some(journal)
        } else {
            None
        };
        let Some(from) = against else {
            state.jump = None;
            if state.base.is_of_another_boot {
                state.base = Base {
                    wall,
                    since_boot,
                    is_of_another_boot: false,
                };
                // From the last run to this one the offset tells nothing.
                state.offset = wall.saturating_sub(since_boot);
            } else if passed >= REBASE {
                let slewed = by.clamp(-(passed / SLEW), passed / SLEW);
                state.base.wall = expected.saturating_add(slewed);
                state.base.since_boot = since_boot;
            }
            state.latest = state.latest.max(wall);
            return (state.latest, since_boot);
        };
        let offset = wall.saturating_sub(since_boot);
        let same = |found: &Found| offset.abs_diff(found.offset) <= tolerance.unsigned_abs();
        if !state.jump.is_some_and(|found| same(&found)) {
            let seconds = |millis| TimestampMillis::from_millis(millis).seconds();
            let (from, to) = (seconds(from), seconds(wall));
            let jump = ClockJumped { from, to };
            state.jump = Some(Found { jump, offset });
        }
        state.latest = state.latest.max(expected);
        (state.latest, since_boot)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wall_ms(source: &dyn Clock) -> i64 {
    TimestampMillis::from(source.wall()).millis()
}

fn since_boot_ms(source: &dyn Clock) -> i64 {
    millis(source.since_boot())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;
    const DAY: i64 = 24 * 60 * MINUTE;
    /// The wall clock and the time since the boot at the newest record.
    const WALL: i64 = 1_000 * DAY;
    const UP: i64 = 10 * DAY;

    struct Set(Mutex<Times>);

    #[derive(Clone, Copy)]
    struct Times {
        wall: i64,
        since_boot: i64,
        boot: &'static [u8],
        is_synchronised: bool,
    }

    impl Clock for Set {
        fn wall(&self) -> SystemTime {
            TimestampMillis::from_millis(self.0.lock().unwrap().wall).into()
        }

        fn since_boot(&self) -> Duration {
            Duration::from_millis(self.0.lock().unwrap().since_boot.unsigned_abs())
        }

        fn boot(&self) -> Hash {
            Hash::of(self.0.lock().unwrap().boot)
        }

        fn is_synchronised(&self) -> bool {
            self.0.lock().unwrap().is_synchronised
        }
    }

    impl Set {
        fn pass(&self, ms: i64) {
            let mut times = self.0.lock().unwrap();
            times.wall += ms;
            times.since_boot += ms;
        }

        fn step(&self, ms: i64) {
            self.0.lock().unwrap().wall += ms;
        }
    }

    /// A start so long after the newest record by both clocks.
    fn start(times: Times) -> (Arc<Set>, SignerClock) {
        start_beside(times, Timestamp::MIN)
    }

    fn start_beside(times: Times, journal: Timestamp) -> (Arc<Set>, SignerClock) {
        let set = Arc::new(Set(Mutex::new(times)));
        let newest = Moment {
            wall_ms: TimestampMillis::from_millis(WALL),
            monotonic_ms: UP.unsigned_abs(),
        };
        let past = Past {
            newest: Some(newest),
            right: Some((newest, Hash::of(b"one"))),
            journal,
            accepted: None,
        };
        (Arc::clone(&set), SignerClock::new(set, &past))
    }

    fn same_boot(after: i64) -> Times {
        Times {
            wall: WALL + after,
            since_boot: UP + after,
            boot: b"one",
            is_synchronised: false,
        }
    }

    fn rebooted(after: i64, is_synchronised: bool) -> Times {
        Times {
            wall: WALL + after,
            since_boot: MINUTE,
            boot: b"two",
            is_synchronised,
        }
    }

    #[test]
    fn a_restart_in_the_same_boot_is_held_to_the_time_since_the_boot() {
        for after in [0, DAY / 2, 7 * DAY, 30 * DAY] {
            let (_, clock) = start(same_boot(after));
            assert_eq!(clock.check(), Ok(()), "{after}");
            assert_eq!(clock.moment().wall_ms.millis(), WALL + after);
            for jump in [45 * DAY, 100 * DAY, 90 * MINUTE, -90 * MINUTE] {
                let (set, clock) = start(same_boot(after));
                set.step(jump);
                set.pass(3_000);
                let jumped = clock.check().unwrap_err();
                let apart = jumped.to.seconds_since(jumped.from);
                assert_eq!(apart, jump / 1_000);
                // The time continues as if nothing had happened.
                assert_eq!(clock.moment().wall_ms.millis(), WALL + after + 3_000);
                set.step(-jump);
                assert_eq!(clock.check(), Ok(()));
                assert_eq!(clock.moment().wall_ms.millis(), WALL + after + 3_000);
                assert_eq!(clock.step(), None);
            }
        }
    }

    #[test]
    fn after_a_reboot_a_long_gap_is_believed_of_a_synchronised_clock_alone() {
        for (after, is_synchronised, believed) in [
            (DAY / 2, false, true),
            (7 * DAY, false, true),
            (8 * DAY, false, false),
            (8 * DAY, true, true),
            (-4 * MINUTE, false, true),
            (-6 * MINUTE, true, false),
        ] {
            let (_, clock) = start(rebooted(after, is_synchronised));
            assert_eq!(clock.check().is_ok(), believed, "{after}");
            assert_eq!(clock.known_boot().is_some(), believed);
        }
        // The time service comes later.
        let (set, clock) = start(rebooted(8 * DAY, false));
        assert_eq!(clock.moment().wall_ms.millis(), WALL);
        set.0.lock().unwrap().is_synchronised = true;
        assert_eq!(clock.check(), Ok(()));
        assert_eq!(clock.moment().wall_ms.millis(), WALL + 8 * DAY);
        // From then on this boot is measured.
        set.step(DAY);
        clock.check().unwrap_err();
    }

    #[test]
    fn a_journal_that_is_ahead_of_the_clock_is_a_jump() {
        let ahead = |minutes: i64| TimestampMillis::from_millis(WALL + minutes * MINUTE).seconds();
        let (_, clock) = start_beside(same_boot(0), ahead(4));
        assert_eq!(clock.check(), Ok(()));
        let (set, clock) = start_beside(same_boot(0), ahead(6));
        assert_eq!(clock.check().unwrap_err().from, ahead(6));
        set.pass(2 * MINUTE);
        assert_eq!(clock.check(), Ok(()));
    }

    #[test]
    fn small_steps_are_told_and_do_not_add_up() {
        let (set, clock) = start(same_boot(0));
        set.pass(60_000);
        assert_eq!(clock.step(), None);
        set.step(-5_000);
        assert_eq!(clock.step(), Some(-5_000));
        assert_eq!(clock.step(), None);
        // A clock that is set back stands still.
        let before = clock.timestamp_millis();
        set.step(-4 * MINUTE);
        assert_eq!(clock.check(), Ok(()));
        assert_eq!(clock.timestamp_millis(), before);
        set.step(4 * MINUTE);
        for _ in 0..2 {
            set.step(3 * MINUTE);
            set.pass(2 * MINUTE);
        }
        clock.check().unwrap_err();
    }

    #[test]
    fn small_steps_do_not_add_up_over_restarts() {
        let (set, mut clock) = start(same_boot(0));
        for restart in 1.. {
            set.pass(1_000);
            set.step(4 * MINUTE + 50_000);
            let newest = clock.moment();
            let (boot, booted) = clock.known_boot().unwrap();
            if clock.check().is_err() {
                assert_eq!(restart, 2);
                break;
            }
            let monotonic_ms = newest.monotonic_ms;
            let wall = booted.millis() + i64::try_from(monotonic_ms).unwrap();
            let right = Moment {
                wall_ms: TimestampMillis::from_millis(wall),
                monotonic_ms,
            };
            let past = Past {
                newest: Some(newest),
                right: Some((right, boot)),
                ..Past::default()
            };
            clock = SignerClock::new(Arc::clone(&set) as Arc<dyn Clock>, &past);
        }
    }

    #[test]
    fn a_clock_that_is_slewed_as_fast_as_possible_never_jumps() {
        let (set, clock) = start(same_boot(0));
        for _ in 0..30 * 24 {
            set.pass(3_600_000);
            set.step(3_600_000 / 2_000);
            assert_eq!(clock.check(), Ok(()));
        }
    }

    #[test]
    fn a_jump_is_accepted_by_its_exact_times_and_the_clock_settles_for_a_day() {
        for by in [45 * DAY, -45 * DAY] {
            let (set, clock) = start(same_boot(0));
            let now = clock.timestamp_millis().seconds();
            let none = clock.may_accept(now, now);
            assert!(matches!(none, Err(NotAccepted::NoJump { .. })));
            set.step(by);
            let jump = clock.check().unwrap_err();
            // Time passes until somebody reads it.
            set.pass(60 * MINUTE);
            let later = jump.to + Duration::from_secs(1);
            for (from, to) in [(jump.from, later), (later, jump.to), (jump.to, jump.from)] {
                let refused = clock.may_accept(from, to);
                assert!(matches!(refused, Err(NotAccepted::OtherJump(_))));
            }
            let moment = clock.may_accept(jump.from, jump.to).unwrap();
            assert_eq!(moment.wall_ms.millis(), WALL + by + 60 * MINUTE);
            clock.accepted(jump, moment);
            assert_eq!(clock.check(), Ok(()));
            assert_eq!(clock.moment(), moment);
            assert_eq!(clock.step(), None);
            let end = moment.wall_ms.seconds() + SETTLING;
            let before = end - Duration::from_secs(1);
            assert_eq!(clock.keep_since(before), Some(jump.from.min(jump.to)));
            assert_eq!(clock.keep_since(end), None);
            set.pass(DAY - 1_000);
            assert!(clock.show().settling_until.is_some());
            set.pass(1_000);
            assert_eq!(clock.show().settling_until, None);
        }
    }
}
