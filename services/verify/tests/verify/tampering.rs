//! Whoever has the log's key alters one thing, or takes one out, and signs everything anew, on a log that no witness saw before.
//! What records, evidence, files and certificates say of each other gives it away, but for what SECURITY.md lists.

use std::collections::{BTreeMap, BTreeSet};

use assay_audit::{Attachment, Event};
use assay_types::{Timestamp, canonical};
use assay_verify::{Check, Verdict, Where};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::export::Parts;
use crate::logs::{Log, kind, logs, without, without_all};
use crate::tier;
use crate::unseen::{LEFT_OUT, Table, Unseen, compare};

/// Of a kind of record and a member this often: the first ones that occur.
const TIMES: u32 = 2;
/// Values that a member has in other records, which it gets.
const OTHERS: usize = 3;
/// Added to times: more than two minutes of milliseconds or seconds.
const LATER: i64 = 600_000;

/// The altered forms of a value; an empty list where it has no other form worth trying.
fn altered(member: &str, value: &Value) -> Vec<Value> {
    match value {
        Value::Bool(is) => vec![(!is).into()],
        Value::Number(number) => {
            let number = number.as_i64().unwrap();
            let is_time = ["_ms", "_at", "_update", "expires", "at"]
                .iter()
                .any(|end| member.ends_with(end));
            vec![if is_time { number + LATER } else { number + 1 }.into()]
        }
        Value::String(text) => vec![other(text).into()],
        Value::Array(items) => {
            let mut fewer = items.clone();
            fewer.pop();
            let mut more = items.clone();
            more.push("zed".into());
            vec![fewer.into(), more.into()]
        }
        Value::Null | Value::Object(_) => vec![],
    }
}

/// A text of the same form: its last letter or digit is the next one.
fn other(text: &str) -> String {
    let mut text: Vec<char> = text.chars().collect();
    match text.iter().rposition(char::is_ascii_alphanumeric) {
        Some(at) => {
            text[at] = match text[at] {
                '9' => '8',
                'f' => 'e',
                'z' => 'y',
                'Z' => 'Y',
                c => char::from(u8::try_from(c).unwrap() + 1),
            };
        }
        None => text.push('x'),
    }
    text.into_iter().collect()
}

/// One member of one record in another form.
struct Alteration {
    log: usize,
    at: usize,
    kind: String,
    /// With a note where it is left out.
    member: String,
    members: Map<String, Value>,
}

/// Members of records, by kind.
type Members = BTreeSet<(String, String)>;

/// Texts that a member has in other records: they are of its form, and of the closed list that it may be of.
#[derive(Default)]
struct Elsewhere {
    of_kind: BTreeMap<(String, String), BTreeSet<String>>,
    of_all: BTreeMap<String, BTreeSet<String>>,
}

impl Elsewhere {
    fn of(logs: &[Log]) -> Self {
        let mut elsewhere = Self::default();
        let records = logs.iter().flat_map(|log| &log.parts().records);
        for record in records.filter(|it| !it.is_empty()) {
            let kind = kind(record);
            let record: Value = serde_json::from_slice(record).unwrap();
            for (member, value) in record.as_object().unwrap() {
                let Some(text) = value.as_str() else { continue };
                let key = (kind.clone(), member.clone());
                let of_kind = elsewhere.of_kind.entry(key).or_default();
                of_kind.insert(text.to_owned());
                let of_all = elsewhere.of_all.entry(member.clone()).or_default();
                of_all.insert(text.to_owned());
            }
        }
        elsewhere
    }
}

/// Other values of a member: of the same kind in the same log first, then of that kind in any, then of the same log.
fn others(own: &Elsewhere, all: &Elsewhere, key: &(String, String), value: &Value) -> Vec<Value> {
    let of_kind = [own, all].into_iter().filter_map(|it| it.of_kind.get(key));
    let texts = of_kind.chain(own.of_all.get(&key.1)).flatten();
    let mut met = BTreeSet::from([value.as_str().unwrap_or_default()]);
    let is_text = value.is_string();
    let new = texts.filter(|text| is_text && met.insert(text.as_str()));
    let new = new.take(OTHERS).map(|text| text.as_str().into());
    new.collect()
}

/// Every alteration of the first records of each kind of each log, and of all records at an end, or those of every nth member (see `tier`); and the members that
/// they are of.
fn alterations(logs: &[Log]) -> (Vec<Alteration>, Members) {
    let stride = tier::size("altered members: stride");
    let mut numbers: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut all = Vec::new();
    let mut tried = Members::new();
    let elsewhere = Elsewhere::of(logs);
    for (number, log) in logs.iter().enumerate() {
        let mut times: BTreeMap<(String, String), u32> = BTreeMap::new();
        let own = Elsewhere::of(std::slice::from_ref(log));
        for (at, kind) in log.places() {
            let record: Value = serde_json::from_slice(&log.parts().records[at]).unwrap();
            let members = record.as_object().unwrap();
            for (member, value) in members {
                let key = (kind.clone(), member.clone());
                let next = numbers.len();
                let place = *numbers.entry(key.clone()).or_insert(next);
                let times = times.entry(key.clone()).or_insert(0);
                *times += 1;
                if (*times > TIMES && !log.is_end) || !place.is_multiple_of(stride) {
                    continue;
                }
                tried.insert(key.clone());
                let mut forms: Vec<Option<Value>> =
                    altered(member, value).into_iter().map(Some).collect();
                let others = others(&own, &elsewhere, &key, value);
                forms.extend(others.into_iter().map(Some));
                for form in forms.into_iter().chain([None]) {
                    let mut members = members.clone();
                    let note = if form.is_none() { LEFT_OUT } else { "" };
                    match form {
                        Some(form) => members.insert(member.clone(), form),
                        None => members.remove(member),
                    };
                    all.push(Alteration {
                        log: number,
                        at,
                        kind: kind.clone(),
                        member: format!("{member}{note}"),
                        members,
                    });
                }
            }
        }
    }
    (all, tried)
}

/// Whether it is unseen, without the journal and with it.
fn unseen(log: &Log, at: usize, parts: &Parts) -> (bool, bool) {
    if log.verify(parts).verdict != Verdict::Proven {
        return (false, false);
    }
    let report = log.verify_with_journal(parts);
    let is_unseen = report.verdict == Verdict::Proven;
    if !is_unseen {
        // Nothing else gave it away, so the journal has to name it.
        let first = &report.bad[0];
        assert_eq!(first.at, Where::Record(at as u64 + 1), "{first}");
        assert_eq!(first.check, Check::JournalLeaves, "{first}");
    }
    (true, is_unseen)
}

/// Outcomes of one thing that is done to records, by the kind of the record and the member.
#[derive(Default)]
struct Outcomes(BTreeMap<(String, Option<String>), Outcome>);

/// The records that were tried, by log and place; those in which it was unseen; and whether it was so with the journal.
#[derive(Default)]
struct Outcome {
    tried: BTreeSet<(usize, usize)>,
    unseen: BTreeSet<(usize, usize)>,
    with_journal: bool,
}

impl Outcomes {
    fn note(
        &mut self,
        kind: &str,
        member: Option<&str>,
        record: (usize, usize),
        (is_unseen, with_journal): (bool, bool),
    ) {
        let key = (kind.to_owned(), member.map(str::to_owned));
        let outcome = self.0.entry(key).or_default();
        outcome.tried.insert(record);
        outcome.with_journal |= with_journal;
        if is_unseen {
            outcome.unseen.insert(record);
        }
    }

    fn table(self) -> Table {
        let mut table = Table::new();
        for ((kind, member), outcome) in self.0 {
            let row = table.entry(kind).or_default();
            let unseen = Unseen::of(outcome.tried.len(), outcome.unseen.len());
            if outcome.with_journal {
                let what = member.as_deref().unwrap_or("the record");
                row.with_journal.insert(what.to_owned());
            }
            match member {
                None => row.missing = unseen,
                Some(member) if unseen != Unseen::Never => {
                    row.members.insert(member, unseen);
                }
                Some(_) => {}
            }
        }
        table
    }
}

/// On all processors; in the order of the jobs.
fn parallel<T: Sync, R: Send>(jobs: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().unwrap().get();
    let most = jobs.len().div_ceil(threads).max(1);
    let work = &work;
    std::thread::scope(|scope| {
        let share = |jobs: &'_ [T]| jobs.iter().map(work).collect::<Vec<R>>();
        let handles: Vec<_> = jobs
            .chunks(most)
            .map(|jobs| scope.spawn(move || share(jobs)))
            .collect();
        let done = handles.into_iter().map(|it| it.join().unwrap());
        done.flatten().collect()
    })
}

#[test]
fn the_table_of_what_nothing_gives_away() {
    let logs = logs();
    let mut outcomes = Outcomes::default();

    let (alterations, mut tried) = alterations(&logs);
    let found = parallel(&alterations, |it| {
        let log = &logs[it.log];
        let mut parts = log.parts().clone();
        parts.records[it.at] = canonical(&it.members).unwrap().into_bytes();
        unseen(log, it.at, &parts)
    });
    for (it, found) in alterations.iter().zip(found) {
        outcomes.note(&it.kind, Some(&it.member), (it.log, it.at), found);
    }

    let removals: Vec<(usize, usize, String)> = (0..)
        .zip(&logs)
        .flat_map(|(number, log)| log.places().map(move |(at, kind)| (number, at, kind)))
        .collect();
    let found = parallel(&removals, |(number, at, _)| {
        let log = &logs[*number];
        let forms = [
            Some(without(log.parts(), *at)),
            without_all(log.parts(), *at),
        ];
        let forms = forms.into_iter().flatten();
        let of = forms.map(|parts| unseen(log, *at, &parts));
        of.fold((false, false), |a, b| (a.0 || b.0, a.1 || b.1))
    });
    for ((number, at, kind), found) in removals.iter().zip(found) {
        outcomes.note(kind, None, (*number, *at), found);
    }

    let resealed = resealed(&logs[0]);
    let found = parallel(&resealed, |it| {
        let mut parts = logs[0].parts().clone();
        reseal(&mut parts, it.sequence, it.content.clone());
        unseen(&logs[0], place(it.sequence), &parts)
    });
    for (it, found) in resealed.iter().zip(found) {
        let kind = format!("evidence of {}", it.kind);
        outcomes.note(&kind, Some(&it.member), (0, place(it.sequence)), found);
        tried.insert((kind, it.member.clone()));
    }
    println!(
        "{} kinds, {} members, {} alterations of records, {} of evidence, {} removals",
        Event::KINDS.len(),
        tried.len(),
        alterations.len(),
        resealed.len(),
        removals.len()
    );
    compare(&outcomes.table(), &tried);
}

/// Where the record with this number is.
fn place(sequence: u64) -> usize {
    usize::try_from(sequence - 1).unwrap()
}

/// The evidence is other evidence, and its record's hash is of that.
fn reseal(parts: &mut Parts, sequence: u64, content: Vec<u8>) {
    let line = parts.evidence.get_mut(&sequence).unwrap();
    line.content = content;
    let attachment = Attachment {
        salt: line.salt,
        content: line.content.clone(),
        keep_until: Timestamp::default(),
    };
    let at = place(sequence);
    let mut record: Value = serde_json::from_slice(&parts.records[at]).unwrap();
    record["evidence"] = attachment.hash().to_string().into();
    parts.records[at] = canonical(&record).unwrap().into_bytes();
}

/// Evidence in another form.
struct Resealed {
    sequence: u64,
    kind: String,
    member: String,
    content: Vec<u8>,
}

/// Of a CSR whose challengePassword was taken out, signature and hash are what they are said to be: it does not verify any more.
fn resealed(log: &Log) -> Vec<Resealed> {
    let stride = tier::size("altered members: stride");
    let mut all = Vec::new();
    for (sequence, line) in &log.parts().evidence {
        let at = place(*sequence);
        let kind = kind(&log.parts().records[at]);
        let content: Value = serde_json::from_slice(&line.content).unwrap();
        for (number, pointer) in pointers(&content, "").into_iter().enumerate() {
            let member = pointer.rsplit('/').next().unwrap();
            // The members of a CSR are always tried.
            if !number.is_multiple_of(stride) && !member.starts_with("csr") {
                continue;
            }
            let value = content.pointer(&pointer).unwrap();
            let mut forms = altered(member, value);
            if member == "csr" {
                let mut der = STANDARD.decode(value.as_str().unwrap()).unwrap();
                *der.last_mut().unwrap() ^= 1;
                forms.push(STANDARD.encode(der).into());
            }
            for form in forms {
                let mut content = content.clone();
                *content.pointer_mut(&pointer).unwrap() = form;
                all.push(Resealed {
                    sequence: *sequence,
                    kind: kind.clone(),
                    member: pointer.trim_start_matches('/').to_owned(),
                    content: canonical(&content).unwrap().into_bytes(),
                });
            }
        }
    }
    all
}

/// JSON pointers to all that is no object.
fn pointers(value: &Value, path: &str) -> Vec<String> {
    match value {
        Value::Object(members) => members
            .iter()
            .flat_map(|(member, value)| pointers(value, &format!("{path}/{member}")))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            vec![path.to_owned()]
        }
    }
}
