//! The checkpoint: whose signatures it has, and whether the tree continues earlier ones.

use assay_audit::Checkpoint;
use assay_audit::note::{MAX_NOTE, Note, SignatureError, VerifierKey};
use assay_journal::Head;
use assay_types::Hash;

use crate::layout::Place;
use crate::report::{Finding, Findings};
use crate::tree::Roots;
use crate::{Check, ExportFiles, Options, Trust, export};

/// First word of the extension line that states the head of a journal.
const JOURNAL_WORD: &str = "assay-journal";

/// What the checkpoint says, and what earlier ones said.
#[derive(Default)]
pub(crate) struct Signed {
    /// The checkpoint of the export, where it can be read.
    pub(crate) own: Option<Stated>,
    /// The earlier checkpoints.
    pub(crate) earlier: Vec<Stated>,
}

/// A checkpoint that the log signed.
pub(crate) struct Stated {
    /// Where it is from.
    pub(crate) at: String,
    pub(crate) size: u64,
    pub(crate) root: Hash,
    /// The head of the HSM service's journal.
    pub(crate) journal: Option<Head>,
}

impl Signed {
    pub(crate) fn read(
        export: &dyn ExportFiles,
        size: u64,
        trust: Option<&Trust>,
        options: &Options,
        findings: &mut Findings,
    ) -> Self {
        let mut signed = Self::default();
        let Some(key) = key(export, trust, findings) else {
            return signed;
        };
        let pinned = trust.and_then(|trust| trust.earlier.as_ref());
        let given = options.earlier.as_ref();
        for (name, note) in [("trust/checkpoint", pinned), ("--earlier", given)] {
            if let Some(note) = note {
                signed.earlier(name, note, &key, findings);
            }
        }
        let check = Check::Checkpoint;
        let place = Place::Checkpoint;
        let Some(note) = text(export, &place, check, findings) else {
            return signed;
        };
        let Some((note, checkpoint)) = read(&place.to_string(), &note, &key, check, findings)
        else {
            return signed;
        };
        findings.same(check, &place, "size", &size, &checkpoint.size);
        signed.own = Some(Stated::new(&place.to_string(), &checkpoint, findings));
        witnesses(&note, trust, options, findings);
        signed
    }

    /// Sizes at which the root is asked for.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = u64> {
        self.earlier.iter().map(|earlier| earlier.size)
    }

    /// Of the checkpoint of the export.
    pub(crate) fn root(&self) -> Option<Hash> {
        Some(self.own.as_ref()?.root)
    }

    /// Holds the tree to the earlier checkpoints.
    pub(crate) fn finish(self, size: u64, roots: &Roots, findings: &mut Findings) {
        for earlier in self.earlier {
            let (check, name) = (Check::Earlier, earlier.at.as_str());
            let grown = earlier.size <= size;
            let wanted = format!("{} records or more, as there were before", earlier.size);
            findings.hold(grown, check, name, "size", wanted, size);
            if let Some(got) = roots.get(&earlier.size).copied().flatten() {
                findings.same(check, name, "root", &earlier.root, &got);
            }
        }
    }

    fn earlier(&mut self, name: &str, note: &str, key: &VerifierKey, findings: &mut Findings) {
        if let Some((_, checkpoint)) = read(name, note, key, Check::Earlier, findings) {
            self.earlier.push(Stated::new(name, &checkpoint, findings));
        }
    }
}

impl Stated {
    fn new(at: &str, checkpoint: &Checkpoint, findings: &mut Findings) -> Self {
        let lines: Vec<&String> = checkpoint
            .extensions
            .iter()
            .filter(|line| line.split(' ').next() == Some(JOURNAL_WORD))
            .collect();
        let journal = match lines.as_slice() {
            [line] => line.parse().ok(),
            _ => None,
        };
        if journal.is_none() && !lines.is_empty() {
            let wanted = "one line with the head of the journal";
            let got = lines.first().map(|line| line.as_str()).unwrap_or_default();
            findings.hold(false, Check::Journal, at, "extension", wanted, got);
        }
        Self {
            at: at.to_owned(),
            size: checkpoint.size,
            root: checkpoint.root,
            journal,
        }
    }
}

/// The pinned key of the log, or the export's own where none is pinned.
fn key(
    export: &dyn ExportFiles,
    trust: Option<&Trust>,
    findings: &mut Findings,
) -> Option<VerifierKey> {
    let check = Check::Checkpoint;
    let place = Place::LogKey;
    let own = text(export, &place, check, findings)
        .and_then(|text| text.strip_suffix('\n').map(str::to_owned))
        .and_then(|text| text.parse::<VerifierKey>().ok());
    let readable = own.is_some();
    let wanted = "a verifier key, one line";
    findings.hold(readable, check, &place, "key", wanted, "another form");
    match trust {
        Some(trust) => {
            let same = own.as_ref() == Some(&trust.log_key);
            let wanted = "the pinned key of the log";
            findings.hold(same, check, &place, "key", wanted, "another one");
            Some(trust.log_key.clone())
        }
        None => {
            let wanted = "the pinned key of the log";
            let got = "none to hold it to: the export's own key proves nothing";
            findings.open(Finding::new(check, &place, "key", wanted, got));
            own
        }
    }
}

/// A note that the log signed, and what it says.
fn read(
    name: &str,
    text: &str,
    key: &VerifierKey,
    check: Check,
    findings: &mut Findings,
) -> Option<(Note, Checkpoint)> {
    let note = match text.parse::<Note>() {
        Ok(note) => note,
        Err(error) => {
            let wanted = "a C2SP signed note";
            findings.hold(false, check, name, "note", wanted, error);
            return None;
        }
    };
    findings.made(check);
    match Checkpoint::open(&note, key) {
        Ok(checkpoint) => Some((note, checkpoint)),
        Err(error) => {
            let wanted = format!("a checkpoint signed by {}", key.name());
            findings.bad(Finding::new(check, name, "note", wanted, error));
            None
        }
    }
}

/// Each pinned witness, or as many as are asked for.
fn witnesses(note: &Note, trust: Option<&Trust>, options: &Options, findings: &mut Findings) {
    let check = Check::Witnesses;
    let place = Place::Checkpoint;
    let pinned = trust
        .map(|trust| trust.witnesses.as_slice())
        .unwrap_or_default();
    let mut cosigned = 0;
    for witness in pinned {
        findings.made(check);
        let wanted = format!("the cosignature of {}", witness.name());
        match witness.verify(note) {
            Ok(_) => cosigned += 1,
            Err(SignatureError::Missing) if options.witnesses.is_some() => {}
            Err(error @ SignatureError::Missing) => {
                findings.open(Finding::new(check, &place, "signatures", wanted, error));
            }
            Err(error @ (SignatureError::Twice | SignatureError::Wrong)) => {
                findings.bad(Finding::new(check, &place, "signatures", wanted, error));
            }
        }
    }
    if let Some(needed) = options.witnesses
        && cosigned < needed
    {
        let wanted = format!("{needed} cosignatures of pinned witnesses");
        findings.open(Finding::new(check, &place, "signatures", wanted, cosigned));
    }
}

fn text(
    export: &dyn ExportFiles,
    place: &Place,
    check: Check,
    findings: &mut Findings,
) -> Option<String> {
    let read = export::read(export, &place.to_string(), MAX_NOTE);
    let text = read
        .ok()
        .flatten()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let wanted = "a file of text";
    findings.hold(text.is_some(), check, place, "file", wanted, "none");
    text
}
