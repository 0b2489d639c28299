//! The table of SECURITY.md: of each kind of record, what nothing gives away when it is altered, and whether a missing one is
//! missed. The tests find it out and compare it; `ASSAY_BLESS=1 ASSAY_TESTS=all` writes it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use assay_audit::Event;

use crate::tier;

const BEGIN: &str = "<!-- unseen: written by ASSAY_BLESS=1 ASSAY_TESTS=all, test the_table_of_what_nothing_gives_away -->\n";
const END: &str = "<!-- end of unseen -->\n";
const HEADER: &str = "\
| record | members that can be altered unseen | a missing one is unseen | altered or missing, with the journal |
|---|---|---|---|
";
const NONE: &str = "none";
const SOMETIMES: &str = "in some places ";
const NOTHING: &str = "nothing unseen";

/// How many of the records that were tried it is unseen in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unseen {
    Never,
    /// In some, on which nothing rests.
    Sometimes,
    /// In all.
    Always,
}

/// The outcome for one kind of record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Row {
    /// A member that is left out has a note.
    pub(crate) members: BTreeMap<String, Unseen>,
    pub(crate) missing: Unseen,
    /// Members that are unseen with the journal too.
    pub(crate) with_journal: BTreeSet<String>,
}

impl Default for Row {
    fn default() -> Self {
        Self {
            members: BTreeMap::new(),
            missing: Unseen::Never,
            with_journal: BTreeSet::new(),
        }
    }
}

/// By the kind of record.
pub(crate) type Table = BTreeMap<String, Row>;

impl Unseen {
    /// Of the records that were tried, and those in which it was unseen.
    pub(crate) fn of(tried: usize, unseen: usize) -> Self {
        match unseen {
            0 => Self::Never,
            _ if unseen == tried => Self::Always,
            _ => Self::Sometimes,
        }
    }
}

/// In the order of the kinds; evidence comes last.
fn order(kind: &str) -> (usize, &str) {
    let place = Event::KINDS.iter().position(|it| *it == kind);
    (place.unwrap_or(usize::MAX), kind)
}

fn quoted(member: &str) -> String {
    match member.strip_suffix(LEFT_OUT) {
        Some(member) => format!("`{member}`{LEFT_OUT}"),
        None => format!("`{member}`"),
    }
}

pub(crate) const LEFT_OUT: &str = " (left out)";

impl Row {
    fn cells(&self) -> [String; 3] {
        let of = |which| {
            let members = self.members.iter().filter(|(_, it)| **it == which);
            let members: Vec<String> = members.map(|(member, _)| quoted(member)).collect();
            members.join(", ")
        };
        let (always, sometimes) = (of(Unseen::Always), of(Unseen::Sometimes));
        let members = match (always.is_empty(), sometimes.is_empty()) {
            (true, true) => NONE.to_owned(),
            (false, true) => always,
            (true, false) => format!("{SOMETIMES}{sometimes}"),
            (false, false) => format!("{always}; {SOMETIMES}{sometimes}"),
        };
        let missing = match self.missing {
            Unseen::Never => "no",
            Unseen::Sometimes => SOMETIMES.trim_end(),
            Unseen::Always => "yes",
        };
        let with_journal: Vec<String> = self.with_journal.iter().map(|it| quoted(it)).collect();
        let with_journal = match with_journal.is_empty() {
            true => NOTHING.to_owned(),
            false => with_journal.join(", "),
        };
        [members, missing.to_owned(), with_journal]
    }

    fn parse(cells: [&str; 3]) -> Self {
        let [members, missing, with_journal] = cells;
        let unquoted = |list: &str| -> Vec<String> {
            let list = list.split(", ").filter(|it| !it.is_empty());
            list.map(|it| it.replace('`', "")).collect()
        };
        let (always, sometimes) = match members.split_once(SOMETIMES) {
            Some((always, sometimes)) => (always.trim_end_matches("; "), sometimes),
            None => (members, ""),
        };
        let mut row = Self::default();
        for (list, which) in [(always, Unseen::Always), (sometimes, Unseen::Sometimes)] {
            let list = unquoted(list).into_iter().filter(|it| it != NONE);
            row.members.extend(list.map(|member| (member, which)));
        }
        row.missing = match missing {
            "yes" => Unseen::Always,
            "no" => Unseen::Never,
            _ => Unseen::Sometimes,
        };
        if with_journal != NOTHING {
            row.with_journal.extend(unquoted(with_journal));
        }
        row
    }
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../SECURITY.md")
}

/// The document before the table, the table and the rest.
fn split(text: &str) -> (&str, &str, &str) {
    let (before, rest) = text.split_once(BEGIN).expect("SECURITY.md has the table");
    let (table, after) = rest.split_once(END).expect("the table ends");
    (before, table, after)
}

fn render(table: &Table) -> String {
    let mut text = format!("\n{HEADER}");
    let mut kinds: Vec<&String> = table.keys().collect();
    kinds.sort_by_key(|kind| order(kind));
    for kind in kinds {
        let [members, missing, with_journal] = table[kind].cells();
        writeln!(
            text,
            "| `{kind}` | {members} | {missing} | {with_journal} |"
        )
        .unwrap();
    }
    text.push('\n');
    text
}

fn parse(text: &str) -> Table {
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|line| {
        let line = line.trim_start_matches("| ").trim_end_matches(" |");
        let cells: Vec<&str> = line.split(" | ").collect();
        let [kind, members, missing, with_journal] = cells[..] else {
            panic!("{line}")
        };
        let row = Row::parse([members, missing, with_journal]);
        (kind.replace('`', ""), row)
    })
    .collect()
}

/// Compares with the document what was found of the members that were tried, or writes it.
pub(crate) fn compare(found: &Table, tried: &BTreeSet<(String, String)>) {
    let text = fs::read_to_string(path()).unwrap();
    let (before, table, after) = split(&text);
    if std::env::var_os("ASSAY_BLESS").is_some() {
        assert!(tier::is_whole(), "the table is written by the whole suite");
        let text = format!("{before}{BEGIN}{}{END}{after}", render(found));
        fs::write(path(), text).unwrap();
        return;
    }
    let mut listed = parse(table);
    if tier::is_whole() {
        assert_eq!(render(&listed), table, "the table was written by hand");
    } else {
        for (kind, row) in &mut listed {
            row.members.retain(|member, _| {
                let member = member.trim_end_matches(LEFT_OUT).to_owned();
                tried.contains(&(kind.clone(), member))
            });
        }
    }
    for (kind, row) in found {
        let of_document = listed.get(kind);
        assert_eq!(
            of_document,
            Some(row),
            "SECURITY.md, {kind}: if the outcome is right, run the test with ASSAY_BLESS=1 ASSAY_TESTS=all"
        );
    }
    let kinds: Vec<&String> = listed.keys().collect();
    assert_eq!(kinds, found.keys().collect::<Vec<_>>());
}
