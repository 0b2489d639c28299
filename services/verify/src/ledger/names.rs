//! Inventories: their chained changes, and which names a static challenge was used for.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read};

use assay_audit::{Event, InventoryChange, Text};
use assay_policy::{Dn, DnAttribute, Rdn};
use assay_types::{Hash, Timestamp, TimestampMillis};
use serde::{Deserialize, Serialize};

use super::{GIVEN_UP, Seen, given_up};
use crate::entry::SLACK;
use crate::layout::{InventoryLine, MAX_LINE, Place};
use crate::report::{Finding, Findings};
use crate::{Check, ExportFiles};

pub(super) struct Names<'a> {
    export: &'a dyn ExportFiles,
    inventories: HashMap<Text, Inventory<'a>>,
    /// What each serial, and each request that waits, uses: it may come to nothing.
    uses: HashMap<Text, Use>,
    /// Profiles whose inventory the export holds.
    held: HashSet<Text>,
}

/// Kinds of records that make a name free.
const FREES: [&str; 4] = [
    "inventory.changed",
    "intent.abandoned",
    "pending.denied",
    "pending.expired",
];

struct Use {
    profile: Text,
    name: String,
    /// The request that waited for it.
    pending: Option<Text>,
}

/// The inventory of one profile.
struct Inventory<'a> {
    lines: Option<Lines<'a>>,
    sequence: u64,
    head: Hash,
    heads: HashSet<Hash>,
    /// By [`key`].
    names: HashMap<String, Name>,
}

/// Names of an inventory are one device whatever the case of their ASCII letters.
fn key(name: &str) -> String {
    name.to_ascii_lowercase()
}

struct Name {
    pin: Option<Hash>,
    state: State,
    /// A certificate that came to nothing freed it; once until it is reset.
    freed: bool,
}

#[derive(Clone, PartialEq, Eq)]
enum State {
    Free,
    Reserved(Text),
    Used(Text),
    /// Struck off.
    Gone(Timestamp),
}

/// What is hashed of a change.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    at: Timestamp,
    by: String,
    names: Vec<(String, Option<Hash>)>,
    operation: InventoryChange,
}

struct Lines<'a>(BufReader<Box<dyn Read + 'a>>);

impl<'a> Names<'a> {
    /// `held` are the profiles whose inventory the export holds.
    pub(super) fn new(export: &'a dyn ExportFiles, held: HashSet<Text>) -> Self {
        Self {
            export,
            inventories: HashMap::new(),
            uses: HashMap::new(),
            held,
        }
    }

    /// Whether the inventory of a profile ever had this head.
    pub(super) fn had(&self, profile: &str, head: &Hash) -> bool {
        self.inventories
            .get(&Text::from(profile))
            .is_some_and(|inventory| inventory.heads.contains(head))
    }

    /// Follows the changes.
    pub(super) fn take(&mut self, seen: &mut Seen<'_>) {
        if let Event::StateRecovered { .. } = seen.entry.event() {
            self.recovered();
        } else if let Event::CertificateRecovered {
            serial, subject, ..
        } = seen.entry.event()
        {
            self.used_by(serial, subject);
        }
        let Event::InventoryChanged {
            profile,
            names,
            inventory_sequence,
            inventory_hash,
            ..
        } = seen.entry.event()
        else {
            return;
        };
        let export = self.export;
        let inventory = self
            .inventories
            .entry(profile.clone())
            .or_insert_with(|| Inventory::open(export, profile));
        let check = Check::Inventories;
        if *names == 0 {
            // Nothing was changed, so the head is the one before.
            if seen.whole || inventory.sequence == *inventory_sequence {
                told(seen, inventory.sequence, *inventory_sequence);
                seen.same(check, "inventory_hash", &inventory.head, inventory_hash);
            }
            return;
        }
        if seen.whole {
            let next = inventory.sequence.saturating_add(1);
            told(seen, next, *inventory_sequence);
        }
        inventory.advance(seen);
    }

    /// Names that were kept for requests are free, as these are closed, and what is given up from here on frees nothing.
    fn recovered(&mut self) {
        self.uses.clear();
        for inventory in self.inventories.values_mut() {
            for name in inventory.names.values_mut() {
                if let State::Reserved(_) = name.state {
                    name.state = State::Free;
                }
            }
        }
    }

    /// Any value of the subject of a certificate that a recovery took up may be the name that it was issued for.
    fn used_by(&mut self, serial: &Text, subject: &Text) {
        let Ok(subject) = Dn::parse_rfc4514(subject.as_str()) else {
            return;
        };
        let attributes = subject.rdns().iter().flat_map(Rdn::attributes);
        for value in attributes.map(DnAttribute::value) {
            for inventory in self.inventories.values_mut() {
                if let Some(name) = inventory.names.get_mut(&key(value))
                    && name.state == State::Free
                {
                    name.state = State::Used(serial.clone());
                }
            }
        }
    }

    /// What a permit, or a request that waits, uses up.
    pub(super) fn use_up(&mut self, seen: &mut Seen<'_>) {
        self.free(seen);
        let Some(evidence) = seen.entry.evidence() else {
            return;
        };
        let Some(grant) = &evidence.grant else { return };
        let Some(entry) = &grant.claims().inventory else {
            return;
        };
        let profile = Text::from(evidence.profile.as_str());
        let known = self
            .inventories
            .get_mut(&profile)
            .and_then(|inventory| inventory.names.get_mut(&key(&entry.name)));
        let check = Check::Names;
        let Some(name) = known else {
            let of = format!("of {profile} that adds {}", entry.name);
            seen.absent(check, "claims.inventory.name", &["inventory.changed"], of);
            return;
        };
        let shown = |pin: Option<Hash>| pin.map_or("none".to_owned(), |pin| pin.to_string());
        let (pin, got) = (shown(name.pin), shown(entry.spki_sha256));
        if pin != got {
            let (member, kinds) = ("claims.inventory.spki_sha256", ["inventory.changed"]);
            seen.lacks(check, member, &kinds, pin, got);
        }
        if let State::Gone(at) = name.state
            && seen.entry.wall_ms() > TimestampMillis::from(at) + SLACK
        {
            let got = format!("`{}`, which was struck off", entry.name);
            let (member, kinds) = ("claims.inventory.name", ["inventory.changed"]);
            seen.lacks(check, member, &kinds, "a name that is there", got);
        }
        if !grant.source().is_shared() || !seen.entry.is_permit() {
            return;
        }
        seen.hold(
            !entry.already_issued,
            check,
            "claims.inventory.already_issued",
            "false, as a static challenge is used once for a name",
            entry.already_issued,
        );
        let pending = evidence.pending_id.as_deref().map(Text::from);
        let mut place = Use {
            profile,
            name: entry.name.clone(),
            pending: None,
        };
        let (free, next) = if let Event::IntentOpened { issuance, .. } = seen.entry.event() {
            place.pending.clone_from(&pending);
            self.uses.insert(issuance.serial.clone(), place);
            let free = pending.map_or(State::Free, State::Reserved);
            (free, State::Used(issuance.serial.clone()))
        } else {
            let id = pending.unwrap_or_default();
            self.uses.insert(id.clone(), place);
            (State::Free, State::Reserved(id))
        };
        if name.state != free {
            let wanted = "a name that is free, or kept for this request";
            let got = format!("`{}`, {}", entry.name, name.state);
            let kinds: &[&str] = match free {
                State::Reserved(_) => &["request.pending"],
                State::Free | State::Used(_) | State::Gone(_) => &FREES,
            };
            seen.lacks(check, "claims.inventory.name", kinds, wanted, got);
        }
        name.state = next;
    }

    /// What came to nothing gives its name back.
    fn free(&mut self, seen: &mut Seen<'_>) {
        let Some(over) = given_up(seen.entry.event()) else {
            return;
        };
        let Some(place) = self.uses.remove(over) else {
            return;
        };
        let inventory = self.inventories.get_mut(&place.profile);
        let Some(name) = inventory.and_then(|it| it.names.get_mut(&key(&place.name))) else {
            return;
        };
        if name.state == State::Reserved(over.clone()) {
            name.state = State::Free;
        } else if name.state == State::Used(over.clone()) && !name.freed {
            name.freed = true;
            name.state = place.pending.map_or(State::Free, State::Reserved);
        }
    }

    pub(super) fn finish(self, whole: bool, findings: &mut Findings) {
        let mut inventories = self.inventories;
        for profile in &self.held {
            let told = inventories.get_mut(profile);
            let changes = told.as_ref().map_or(0, |inventory| inventory.sequence);
            let lines = told.map(|inventory| inventory.lines.as_mut());
            // What nobody told of is more, whatever it holds.
            let more = lines.is_none_or(|lines| lines.is_some_and(|it| !it.at_end()));
            if more {
                let finding = Finding::new(
                    Check::Inventories,
                    &Place::Inventory(profile.to_string()),
                    "sequence",
                    format_args!("{changes} changes, each with an inventory.changed record"),
                    "more",
                );
                findings.missing(whole, finding.lacks(&["inventory.changed"]));
            }
        }
    }
}

impl<'a> Inventory<'a> {
    fn open(export: &'a dyn ExportFiles, profile: &Text) -> Self {
        let path = Place::Inventory(profile.to_string()).to_string();
        Self {
            lines: export.open(&path).ok().map(Lines::new),
            sequence: 0,
            head: Hash::ZERO,
            heads: HashSet::new(),
            names: HashMap::new(),
        }
    }

    /// Reads on to the change that the record tells of; those between are of records that are not held.
    fn advance(&mut self, seen: &mut Seen<'_>) {
        let Event::InventoryChanged {
            inventory_sequence, ..
        } = seen.entry.event()
        else {
            return;
        };
        let wanted = format!("change {inventory_sequence} in the inventory file");
        let check = Check::Inventories;
        if self.sequence >= *inventory_sequence {
            let got = format!("change {}, which was told of before", self.sequence);
            seen.hold(false, check, "inventory_sequence", wanted, got);
            return;
        }
        while self.sequence < *inventory_sequence {
            let line = self.lines.as_mut().map_or(Ok(None), Lines::next);
            let line = match line {
                Ok(Some(line)) => line,
                Ok(None) => {
                    seen.hold(false, check, "inventory_sequence", wanted, "the end of it");
                    return;
                }
                Err(text) => {
                    seen.hold(false, check, "inventory file", wanted, text);
                    return;
                }
            };
            let last = line.sequence == *inventory_sequence;
            if !self.link(seen, &line, last) {
                return;
            }
        }
    }

    /// The next change; `told` says whether it is the one of the record.
    fn link(&mut self, seen: &mut Seen<'_>, line: &InventoryLine, told: bool) -> bool {
        let check = Check::Inventories;
        let linked = Hash::of(&[self.head.as_bytes(), line.content.as_bytes()].concat());
        let next = self.sequence + 1;
        seen.same(check, "sequence of the change", &next, &line.sequence);
        seen.same(check, "hash of the change", &linked, &line.hash);
        self.sequence = next;
        self.head = linked;
        self.heads.insert(linked);
        let content = serde_json::from_str::<Content>(&line.content);
        let written = content
            .as_ref()
            .ok()
            .and_then(|it| serde_json::to_string(it).ok());
        let Ok(content) = content else {
            seen.hold(
                false,
                check,
                "content",
                "a change of an inventory",
                &line.content,
            );
            return false;
        };
        let same = written.as_deref() == Some(line.content.as_str());
        seen.hold(
            same,
            check,
            "content",
            "sorted keys, no spaces",
            &line.content,
        );
        if told {
            as_told(seen, &content, linked);
        }
        self.apply(seen, content);
        true
    }

    fn apply(&mut self, seen: &mut Seen<'_>, content: Content) {
        let check = Check::Inventories;
        for (text, pin) in content.names {
            let text = key(&text);
            let known = self.names.get_mut(&text);
            let state = known.as_ref().map(|name| name.state.clone());
            let there = !matches!(state, None | Some(State::Gone(_)));
            match content.operation {
                InventoryChange::Add => {
                    let got = format!("`{text}`, which is there");
                    seen.hold(!there, check, "names", "new names", got);
                    let state = State::Free;
                    let freed = false;
                    self.names.insert(text, Name { pin, state, freed });
                }
                InventoryChange::Reset => {
                    let used = matches!(state, Some(State::Used(_)));
                    if !used {
                        let got = format!("`{text}`");
                        let wanted = "names that were used";
                        seen.lacks(check, "names", &["intent.opened"], wanted, got);
                    }
                    if let Some(name) = known {
                        name.state = State::Free;
                        name.freed = false;
                    }
                }
                InventoryChange::Remove => {
                    if !there || matches!(state, Some(State::Reserved(_))) {
                        let got = format!("`{text}`");
                        let wanted = "names that are there and not kept";
                        seen.lacks(check, "names", &GIVEN_UP, wanted, got);
                    }
                    if let Some(name) = known {
                        name.state = State::Gone(content.at);
                    }
                }
            }
        }
    }
}

/// The number of a change; a larger one follows records that are missing.
fn told(seen: &mut Seen<'_>, wanted: u64, got: u64) {
    let (check, member) = (Check::Inventories, "inventory_sequence");
    if got > wanted {
        let kinds = ["inventory.changed"];
        seen.hold_or_lacks(false, check, member, &kinds, wanted, got);
    } else {
        seen.same(check, member, &wanted, &got);
    }
}

/// The change is what its record says.
fn as_told(seen: &mut Seen<'_>, content: &Content, head: Hash) {
    let Event::InventoryChanged {
        actor,
        change,
        names,
        inventory_hash,
        ..
    } = seen.entry.event()
    else {
        return;
    };
    let check = Check::Inventories;
    seen.same(check, "inventory_hash", &head, inventory_hash);
    seen.same(check, "actor", &Text::from(content.by.as_str()), actor);
    seen.same(check, "names", &(content.names.len() as u64), names);
    seen.hold(
        content.operation == *change,
        check,
        "change",
        format_args!("{:?}", content.operation),
        format_args!("{change:?}"),
    );
    let apart = seen.entry.wall_ms().abs_diff(content.at.into());
    seen.hold(
        apart <= SLACK,
        Check::Times,
        "wall_ms",
        format_args!("about {}, when the change was made", content.at),
        seen.entry.wall_ms(),
    );
}

impl<'a> Lines<'a> {
    fn new(file: Box<dyn Read + 'a>) -> Self {
        Self(BufReader::new(file))
    }

    fn at_end(&mut self) -> bool {
        self.0.fill_buf().is_ok_and(<[u8]>::is_empty)
    }

    fn next(&mut self) -> Result<Option<InventoryLine>, String> {
        let mut line = Vec::new();
        let most = u64::try_from(MAX_LINE)
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        let read = self.0.by_ref().take(most).read_until(b'\n', &mut line);
        read.map_err(|error| error.to_string())?;
        if line.is_empty() {
            return Ok(None);
        }
        let line = line.strip_suffix(b"\n").ok_or("a line without its end")?;
        let line = InventoryLine::parse(line).map_err(|error| error.to_string())?;
        Ok(Some(line))
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Free => f.write_str("which is free"),
            Self::Reserved(id) => write!(f, "kept for request {id}"),
            Self::Used(serial) => write!(f, "used for {serial}"),
            Self::Gone(_) => f.write_str("struck off"),
        }
    }
}
