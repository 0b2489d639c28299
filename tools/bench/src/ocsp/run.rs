//! The run itself: signing all, a quiet while, refreshing all, and the token alone.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use assay_scep_client::{CaCertificates, Url};
use assay_types::Timestamp;

use super::http::Http;
use super::lookups::{Lookups, Requester};
use super::meter::{Meter, Reading};
use super::party::Party;
use super::report::{Cost, Cycle, Enrolments, Phase, Report, Scale};
use super::stand::{Ready, Stand};
use super::store::{self, OcspSurvey};
use super::{HASHES, OcspBench, Plan, fill, floor};
use crate::admin::Admin;
use crate::failure::{Failure, OrFail, Outcome};
use crate::keys;
use crate::load::{self, Loaded, Sent};
use crate::report::Latency;
use crate::settings::Signer;
use crate::{output, server};

/// Between two looks at the whole store, which takes a moment each.
const LOOK: Duration = Duration::from_secs(1);
/// A machine that takes longer than so many times what the rate says is too slow to be measured.
const PATIENCE: f64 = 4.0;
const LEAST_PATIENCE: f64 = 60.0;
/// Parts of the refresh: enrolments begin past the first, where it is in full swing, and the store is looked at past the
/// second.
const IN_FULL_SWING: f64 = 0.3;
const NEARLY_DONE: f64 = 0.95;
/// Enrolments that tell how long the others will take.
const TRIAL: usize = 40;

/// The same number of requests twice, each with a key and a name of its own, and a few to see how long they take.
struct Loads {
    url: Url,
    ca: CaCertificates,
    trial: Arc<Vec<Loaded>>,
    alone: Arc<Vec<Loaded>>,
    beside: Arc<Vec<Loaded>>,
}

/// Requests sent, to be judged when nothing is measured any more.
struct Wave {
    sent: Vec<Sent>,
    elapsed: Duration,
    responses: f64,
}

/// All that is at work while it is measured.
struct Scene<'a> {
    plan: &'a Plan,
    stand: &'a Stand,
    meter: Meter,
    lookups: Lookups,
}

/// The result of the first signing.
struct First {
    phase: Phase,
    survey: OcspSurvey,
}

pub(super) async fn measure(args: &OcspBench, stand: &mut Stand) -> Outcome<Report> {
    output::note("making an installation and the devices' keys");
    let ready = stand.start().await?;
    let loads = Loads::prepare(args, stand, &ready).await?;
    let plan = &Plan::of(args, loads.try_out(args).await?);
    stand.stop().await?;
    output::note(&format!("enrolling {} devices", plan.certificates));
    let serials = fill::fill(stand, plan.certificates).await?;
    stand.set(plan)?;

    let ready = stand.start().await?;
    let http = Http::new();
    let signer = Signer::read(&stand.installation())?;
    let responder = signer.ocsp;
    let responder =
        responder.ok_or_else(|| Failure::failed("the installation has no responder"))?;
    let mut scene = Scene {
        plan,
        stand,
        meter: Meter::start(stand, &ready, http.clone()).await?,
        lookups: Lookups::start(Requester {
            http,
            url: ready.ocsp_url,
            party: Party::new(&signer.ca, responder)?,
            serials: Arc::new(serials),
        }),
    };
    let first = scene.sign_all().await?;
    let alone = scene.enrol(&loads.url, &loads.alone).await?;
    let idle = scene.idle(&first.survey).await?;
    let (refreshing, cycle, beside) = scene.refresh_all(&first.survey, &loads).await?;
    scene.meter.check(stand).await?;
    let scale = Scale {
        store_octets: std::fs::metadata(stand.state()).map_or(0, |file| file.len()),
        wal_octets_at_most: scene.meter.extremes().wal_octets,
        signer_octets_at_most: scene.meter.memory()?,
    };
    let Scene { meter, lookups, .. } = scene;
    drop(meter);
    let (statuses, data) = lookups.stop();
    stand.stop().await?;

    output::note("the token alone");
    let signatures = u64::from(plan.certificates) * HASHES;
    let floor = floor::measure(&stand.installation(), data, signatures).await?;
    let alone = loads.judge(plan, alone, &loads.alone).await;
    let beside = loads.judge(plan, beside, &loads.beside).await;
    Ok(Report::new(
        plan,
        [first.phase, refreshing],
        idle,
        cycle,
        statuses,
        [alone, beside],
        scale,
        floor,
    ))
}

impl Loads {
    async fn prepare(args: &OcspBench, stand: &Stand, ready: &Ready) -> Outcome<Self> {
        let installation = stand.installation();
        let url = server::parse(&ready.scep_url)?;
        let ca = server::own_certificates(&url).await?;
        let requests = args.requests();
        let mut keys = keys::get(&installation, TRIAL + 2 * requests).await?;
        let (beside, alone) = (keys.split_off(TRIAL + requests), keys.split_off(TRIAL));
        let mut admin = Admin::connect(&installation).await?;
        let mut load = async |keys| -> Outcome<_> {
            Ok(Arc::new(
                load::prepare(&mut admin, "devices", keys, &ca).await?,
            ))
        };
        let (trial, alone, beside) = (load(keys).await?, load(alone).await?, load(beside).await?);
        Ok(Self {
            url,
            ca,
            trial,
            alone,
            beside,
        })
    }

    /// How long a wave of enrolments will take about.
    async fn try_out(&self, args: &OcspBench) -> Outcome<Duration> {
        let (sent, elapsed) = load::send(&self.url, &self.trial, args.connections.into()).await?;
        if let Some(failure) = load::judge(sent, &self.trial, &self.ca).await.pop() {
            return Err(failure);
        }
        let waves = f64::from(args.requests) / f64::from(u32::try_from(TRIAL).unwrap_or(1));
        Ok(elapsed.mul_f64(waves.max(1.0)))
    }

    async fn judge(&self, plan: &Plan, wave: Wave, loaded: &[Loaded]) -> Enrolments {
        let latency = Latency::of(wave.sent.iter().map(|sent| sent.latency).collect());
        let failures = load::judge(wave.sent, loaded, &self.ca).await;
        Enrolments::new(
            plan.requests,
            wave.elapsed,
            &latency,
            &failures,
            wave.responses,
        )
    }
}

impl Scene<'_> {
    async fn sign_all(&mut self) -> Outcome<First> {
        output::note(&format!(
            "signing all: {:.0} s at {} a second",
            self.plan.signing_seconds(),
            self.plan.rate
        ));
        let before = self.meter.read().await?;
        let patience = (self.plan.signing_seconds() * PATIENCE).max(LEAST_PATIENCE);
        let deadline = before.at + Duration::from_secs_f64(patience);
        let wanted = f64::from(self.plan.certificates);
        let mut signed = self.meter.wait_for(wanted, deadline).await?;
        let mut survey = self.survey(Timestamp::default()).await?;
        while signed && (survey.unsigned > 0 || survey.all <= u64::from(self.plan.certificates)) {
            signed = Instant::now() < deadline;
            tokio::time::sleep(LOOK / 4).await;
            survey = self.survey(Timestamp::default()).await?;
        }
        if !signed {
            return Err(Failure::failed(format!(
                "of {} responses {} are not signed after {patience:.0} s",
                survey.all, survey.unsigned
            ))
            .next("give a lower --rate, or fewer --certificates"));
        }
        let after = self.meter.settled(HASHES).await?;
        self.lookups.all_are_signed();
        output::note(&format!(
            "all are signed, {} s after the first; enrolling without a refresh",
            survey.this_update.1.seconds_since(survey.this_update.0)
        ));
        let phase = Phase::new(
            // Whole seconds, the last of them included.
            seconds_between(survey.this_update.0, survey.this_update.1) + 1.0,
            after.signed,
            after.operations,
            Cost::between(&before, &after),
            self.meter.extremes().due,
            self.lookups.latency(before.at, after.at),
        );
        Ok(First { phase, survey })
    }

    async fn enrol(&mut self, url: &Url, loaded: &Arc<Vec<Loaded>>) -> Outcome<Wave> {
        let before = self.meter.read().await?;
        let (sent, elapsed) = load::send(url, loaded, self.plan.connections.into()).await?;
        let after = self.meter.read().await?;
        Ok(Wave {
            sent,
            elapsed,
            responses: after.signed - before.signed,
        })
    }

    /// Nothing is signed until the first response is due again. Returns the latency of statuses meanwhile.
    async fn idle(&mut self, first: &OcspSurvey) -> Outcome<(usize, Latency)> {
        let begin = Instant::now();
        let next = first.this_update.0 + self.plan.quiet();
        let left = next.seconds_since(now());
        let Ok(left @ 1..) = u64::try_from(left) else {
            return Err(Failure::failed(format!(
                "refreshing began {} s before the enrolments without it were done",
                -left
            ))
            .next("give fewer --requests, or a machine that does nothing else"));
        };
        tokio::time::sleep(Duration::from_secs(left)).await;
        let end = Instant::now();
        Ok(self.lookups.latency(begin, end))
    }

    async fn refresh_all(
        &mut self,
        first: &OcspSurvey,
        loads: &Loads,
    ) -> Outcome<(Phase, Cycle, Wave)> {
        output::note(&format!(
            "refreshing all, within {} s",
            self.plan.validity.as_secs()
        ));
        self.meter.reset();
        let begin = self.meter.read().await?;
        let wanted = f64::from(self.plan.certificates);
        let patience = seconds_between(now(), first.next_update).max(1.0) + LEAST_PATIENCE;
        let deadline = begin.at + Duration::from_secs_f64(patience);
        let late = || Failure::failed("the responses are not signed again in time");

        let swing = begin.signed + wanted * IN_FULL_SWING;
        if !self.meter.wait_for(swing, deadline).await? {
            return Err(late().next("give a lower --rate"));
        }
        let before_wave = self.meter.read().await?;
        let wave = self.enrol(&loads.url, &loads.beside).await?;
        let after_wave = self.meter.read().await?;
        let still = self.survey(first.this_update.1).await?;
        if still.old == 0 {
            return Err(Failure::failed(
                "all was refreshed before the enrolments beside it were done",
            )
            .next("give fewer --requests, or more --certificates"));
        }
        self.meter
            .wait_for(begin.signed + wanted * NEARLY_DONE, deadline)
            .await?;
        let mut survey = self.survey(first.this_update.1).await?;
        while survey.old > 0 && Instant::now() < deadline {
            tokio::time::sleep(LOOK).await;
            survey = self.survey(first.this_update.1).await?;
        }
        let replaced_at = now();
        let end = self.meter.settled(HASHES).await?;
        let extremes = self.meter.extremes();
        // The enrolments are operations of the token too: what they took is left out.
        let cost = Cost::between(&begin, &before_wave).and(&Cost::between(&after_wave, &end));
        let phase = Phase::new(
            (end.at - begin.at).as_secs_f64(),
            end.signed - begin.signed,
            end.operations - begin.operations,
            cost,
            extremes.due,
            self.lookups.latency(begin.at, end.at),
        );
        let cycle = Cycle {
            old_left: survey.old,
            first_next_update: first.next_update,
            replaced_at,
            least_left_seconds: extremes.left_seconds,
            operations_in_all: end.operations,
            signed_in_all: end.signed,
        };
        Ok((phase, cycle, wave))
    }

    async fn survey(&self, until: Timestamp) -> Outcome<OcspSurvey> {
        let (state, key) = (self.stand.state(), self.stand.state_key()?);
        tokio::task::spawn_blocking(move || store::survey(&state, &key, until))
            .await
            .or_fail("looking at the store broke off")?
    }
}

impl Cost {
    fn between(before: &Reading, after: &Reading) -> Self {
        let cpu = after.cpu.since(before.cpu);
        Self {
            seconds: (after.at - before.at).as_secs_f64(),
            signed: after.signed - before.signed,
            hsm_cpu: cpu.hsm,
            signer_cpu: cpu.signer,
            frontend_cpu: cpu.frontend,
        }
    }

    fn and(&self, other: &Self) -> Self {
        Self {
            seconds: self.seconds + other.seconds,
            signed: self.signed + other.signed,
            hsm_cpu: self.hsm_cpu + other.hsm_cpu,
            signer_cpu: self.signer_cpu + other.signer_cpu,
            frontend_cpu: self.frontend_cpu + other.frontend_cpu,
        }
    }
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    to.since(from).as_secs_f64()
}
