//! Measures what a start costs: makes a journal of COUNT certificates with their signatures in DIR, unless it
//! is there, and opens it.
//!
//!     cargo run --release -p assay-journal --example rebuild -- DIR [COUNT]

#![allow(clippy::print_stdout, reason = "it prints figures")]

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use assay_journal::{
    Admission, CertificateRequest, CheckpointRequest, Floors, Frontier, Journal, Limits, Options,
    Pending, Recorded, create, verify,
};
use assay_types::{Hash, Serial, Timestamp};

type Failure = Box<dyn std::error::Error>;

const USAGE: &str = "usage: rebuild DIR [COUNT]";
const TBS: usize = 900;
const SIGNATURE: usize = 256;
const PER_CHECKPOINT: u64 = 100;
const PER_SECOND: u64 = 100;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().ok_or(USAGE)?;
    let dir = Path::new(&dir);
    let count: u64 = arguments
        .next()
        .map_or(Ok(1_000_000), |text| text.parse())?;
    if !dir.exists() {
        // The last one is made now, so that a service starts with the journal.
        let first = SystemTime::now() - Duration::from_secs(count / PER_SECOND);
        create(dir, &Floors::default(), first.into())?;
        let begin = Instant::now();
        fill(dir, count, first.into())?;
        println!("{count} certificates appended in {:?}", begin.elapsed());
    }
    for file in ["entries", "bodies"] {
        println!("{file}: {} bytes", std::fs::metadata(dir.join(file))?.len());
    }

    let before = resident()?;
    let (begin, processor) = (Instant::now(), on_processor()?);
    let (journal, cut) = Journal::open(dir, Options::new(Limits::unlimited()))?;
    let took = begin.elapsed();
    let processor = on_processor()?.saturating_sub(processor);
    let memory = resident()?.saturating_sub(before);
    println!("opened in {took:?}, {processor:?} of it on a processor; cut: {cut:?}");
    let certificates = journal.read(|state| state.certificates());
    println!("{certificates} certificates take {memory} kB in memory");
    latency(&journal)?;
    drop(journal);

    let begin = Instant::now();
    verify(dir)?;
    println!("verified in {:?}", begin.elapsed());
    Ok(())
}

fn fill(dir: &Path, count: u64, first: Timestamp) -> Result<(), Failure> {
    let (journal, _) = Journal::open(dir, Options::new(Limits::unlimited()))?;
    let mut tree = Frontier::default();
    let mut leaves = Vec::new();
    let mut last: Option<Pending> = None;
    for number in 0..count {
        let now = first + Duration::from_secs(number / PER_SECOND);
        let (_, pending) = sign(&journal, number, now)?;
        let leaf = Hash::of_leaf(&number.to_be_bytes());
        tree.push(leaf);
        leaves.push(leaf);
        last = Some(pending);
        if tree.size().is_multiple_of(PER_CHECKPOINT) {
            let request = CheckpointRequest {
                size: tree.size(),
                root: tree.root(),
                leaves: &leaves,
            };
            last = Some(journal.may_sign_checkpoint(&request, now)?);
            leaves.clear();
        }
    }
    if let Some(last) = last {
        last.wait()?;
    }
    Ok(())
}

/// The wait for the first entry, and what is to be waited for in the end.
fn sign(journal: &Journal, number: u64, now: Timestamp) -> Result<(Pending, Pending), Failure> {
    let serial = Hash::of(&number.to_be_bytes());
    let serial = Serial::try_from(serial.as_bytes().get(..16).ok_or(USAGE)?)?;
    let mut tbs = vec![0; TBS];
    if let Some(start) = tbs.first_chunk_mut() {
        *start = number.to_be_bytes();
    }
    let request = CertificateRequest {
        issuer: Hash::of(b"issuer"),
        serial: &serial,
        not_after: now + Duration::from_secs(365 * 24 * 3_600),
        form: "device",
        tbs: &tbs,
    };
    let Admission::Sign {
        certificate,
        pending: first,
    } = journal.may_sign_certificate(&request, now)?
    else {
        return Err("the certificate is there already".into());
    };
    match journal.signed(certificate, &[0x5a; SIGNATURE], now)? {
        Recorded::First(pending) => Ok((first, pending)),
        Recorded::Earlier(_) => Err("the signature is there already".into()),
    }
}

/// A certificate and its signature, each durable before the next step, by one thread and by eight.
fn latency(journal: &Journal) -> Result<(), Failure> {
    const EACH: u64 = 200;
    let begin = journal.head().size + 1_000_000_000;
    let now = journal.read(|state| state.clock());
    for threads in [1, 8] {
        let started = Instant::now();
        let run = |thread: u64| {
            let first = begin + threads * 100_000 + thread * EACH;
            for number in first..first + EACH {
                let (first, last) =
                    sign(journal, number, now).map_err(|error| error.to_string())?;
                first.wait().map_err(|error| error.to_string())?;
                last.wait().map_err(|error| error.to_string())?;
            }
            Ok::<(), String>(())
        };
        std::thread::scope(|scope| {
            let run = &run;
            let all: Vec<_> = (0..threads)
                .map(|thread| scope.spawn(move || run(thread)))
                .collect();
            all.into_iter().try_for_each(|one| match one.join() {
                Ok(result) => result,
                Err(_) => Err("a thread panicked".to_owned()),
            })
        })?;
        let took = started.elapsed() / u32::try_from(EACH)?;
        println!("{threads} threads: {took:?} per certificate and thread");
    }
    Ok(())
}

/// Time that the main thread has had on a processor; another thread reads ahead of it, and has as much.
fn on_processor() -> Result<Duration, Failure> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = stat.split_whitespace().next().ok_or("no schedstat")?;
    Ok(Duration::from_nanos(nanoseconds.parse()?))
}

/// Resident memory in kB.
fn resident() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(number.ok_or("no VmRSS")?.parse()?)
}
