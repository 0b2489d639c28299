//! The tree of an export by itself, for a journal that begins after it.

use assay_audit::SignedTree;
use assay_audit::note::MAX_NOTE;

use crate::layout::{Place, bundles_of};
use crate::report::{Finding, Findings};
use crate::signed::Signed;
use crate::tree::Tree;
use crate::{ExportFiles, Options, export, manifest};

/// The checkpoint of an export and the frontier of the tree that its hash tiles are. The checkpoint is signed by the log key of
/// the export itself; a user of the tree verifies it under a pinned one.
///
/// # Errors
/// The first finding if the files are not those of the manifest, or the tiles do not give the root of the checkpoint.
pub fn signed_tree(export: &dyn ExportFiles, options: &Options) -> Result<SignedTree, Finding> {
    let mut findings = Findings::default();
    let read = read(export, options, &mut findings);
    let mut bad = findings.into_report(0, 0, 0).bad.into_iter();
    match (bad.next(), read) {
        (Some(finding), _) => Err(finding),
        (None, Some(tree)) => Ok(tree),
        (None, None) => {
            let (check, wanted) = (crate::Check::Checkpoint, "a checkpoint as text");
            let place = Place::Checkpoint;
            Err(Finding::new(check, &place, "file", wanted, "none"))
        }
    }
}

fn read(
    export: &dyn ExportFiles,
    options: &Options,
    findings: &mut Findings,
) -> Option<SignedTree> {
    let opened = manifest::open(export, options.threads, findings)?;
    let size = opened.manifest.size;
    let signed = Signed::read(export, size, None, options, findings);
    let mut tree = Tree::new(export, size, std::iter::empty());
    for bundle in 0..bundles_of(size) {
        tree.take(bundle, None, findings);
    }
    let frontier = tree.frontier().clone();
    tree.finish(signed.root(), findings);
    let note = export::read(export, &Place::Checkpoint.to_string(), MAX_NOTE);
    let note = String::from_utf8(note.ok().flatten()?).ok()?;
    Some(SignedTree::new(note, &frontier))
}
