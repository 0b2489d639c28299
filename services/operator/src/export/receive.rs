use std::path::Path;

use assay_audit::Checkpoint;
use assay_audit::note::{Note, VerifierKey};
use assay_audit::tile::Tiler;
use assay_audit::tree::Frontier;
use assay_console::failure::{Failure, OrFail, Outcome};
use assay_console::progress::Progress;
use assay_proto::v1::export_item::Item;
use assay_proto::v1::{
    ExportHead, ExportInventoryChange, ExportIssuer, ExportItem, ExportLeaf, ExportPolicy,
    ExportRecovery,
};
use assay_types::Hash;
use assay_verify::layout::{BUNDLE, InventoryLine, Place, bundle_of};

use super::bundle::Bundle;
use super::folder::Folder;
use super::growing::Growing;
use super::inconsistent;

/// Takes an export item by item, and checks each against those before it: what the signer sends has to lead to the root
/// that the log's key signed.
pub struct Receiver {
    folder: Folder,
    head: Option<Head>,
    inventory: Option<Growing>,
    tree: Frontier,
    tiler: Tiler,
    bundle: Bundle,
    /// Of each recovery, the last record that its backup had, and its own record: those between are lost.
    lost: Vec<(u64, u64)>,
    received: Received,
}

struct Head {
    checkpoint: Checkpoint,
    progress: Progress,
}

/// What came, and what was written.
pub struct Received {
    /// Records under the checkpoint.
    pub size: u64,
    /// Of the tree over them.
    pub root: Hash,
    /// The name of the log.
    pub origin: String,
    /// Signatures of witnesses under the checkpoint.
    pub cosignatures: usize,
    /// Bundles whose records are held.
    bundles: Vec<u64>,
    /// Records that are held whole.
    pub records_held: u64,
    /// Decisions with their evidence.
    pub evidence: u64,
    /// Certificates.
    pub certificates: u64,
    /// Versions of the policy.
    pub policies: u64,
    /// CAs.
    pub issuers: u64,
    /// Files of the directory.
    pub files: usize,
    /// Their length in all.
    pub octets: u64,
}

impl Receiver {
    /// Begins the directory, which must not exist yet and appears under its name when it is whole.
    ///
    /// # Errors
    /// The directory exists, or cannot be written.
    pub fn create(directory: &Path) -> Outcome<Self> {
        let tree = Frontier::new();
        Ok(Self {
            folder: Folder::create(directory)?,
            head: None,
            inventory: None,
            received: Received {
                size: 0,
                root: tree.root(),
                origin: String::new(),
                cosignatures: 0,
                bundles: Vec::new(),
                records_held: 0,
                evidence: 0,
                certificates: 0,
                policies: 0,
                issuers: 0,
                files: 0,
                octets: 0,
            },
            tree,
            tiler: Tiler::new(),
            bundle: Bundle::default(),
            lost: Vec::new(),
        })
    }

    /// Takes the next item.
    ///
    /// # Errors
    /// It contradicts those before it, or cannot be written.
    pub fn take(&mut self, item: ExportItem) -> Outcome {
        let Some(item) = item.item else {
            return Err(newer());
        };
        match item {
            Item::Head(head) => self.head(head),
            Item::Issuer(issuer) => self.issuer(issuer),
            Item::Policy(policy) => self.policy(policy),
            Item::Recovery(recovery) => self.recovery(recovery),
            Item::InventoryChange(change) => self.inventory(change),
            Item::Leaf(leaf) => self.leaf(leaf),
        }
    }

    /// Ends the directory after the last item.
    ///
    /// # Errors
    /// Not everything under the checkpoint has come, or the directory cannot be written.
    pub fn finish(mut self) -> Outcome<Received> {
        self.end_inventory()?;
        let Some(Head { checkpoint, .. }) = self.head.take() else {
            return Err(inconsistent("it is empty"));
        };
        if self.tree.size() != checkpoint.size {
            return Err(inconsistent(format!(
                "{} records came, {} are under the checkpoint",
                self.tree.size(),
                checkpoint.size
            )));
        }
        let root = self.tree.root();
        if root != checkpoint.root {
            return Err(inconsistent(format!(
                "the records lead to root {root}, the checkpoint tells {}",
                checkpoint.root
            )));
        }
        if !self.tree.size().is_multiple_of(BUNDLE) {
            self.end_bundle()?;
        }
        for tile in self.tiler.finish() {
            self.folder.write(&tile.path(), &tile.to_bytes())?;
        }
        self.received.size = checkpoint.size;
        self.received.root = root;
        self.received.origin = checkpoint.origin;
        let bundles = std::mem::take(&mut self.received.bundles);
        (self.received.files, self.received.octets) =
            self.folder.close(checkpoint.size, bundles)?;
        Ok(self.received)
    }

    fn head(&mut self, head: ExportHead) -> Outcome {
        let ExportHead {
            checkpoint: text,
            size,
            log_key,
        } = head;
        let note: Note = text.parse().or_fail("the signer's checkpoint is no note")?;
        let key: VerifierKey = log_key.parse().or_fail("the signer's log key is none")?;
        let checkpoint = Checkpoint::open(&note, &key)
            .or_fail("the signer's checkpoint is not signed by its log key")?;
        if self.head.is_some() {
            return Err(inconsistent("it has two heads"));
        }
        if checkpoint.size != size {
            return Err(inconsistent(format!(
                "its head tells {size} records, its checkpoint {}",
                checkpoint.size
            )));
        }
        // The first signature is the log's own.
        self.received.cosignatures = note.signatures().len() - 1;
        self.write(&Place::Checkpoint, text.as_bytes())?;
        self.write(&Place::LogKey, format!("{log_key}\n").as_bytes())?;
        self.head = Some(Head {
            progress: Progress::new("records", checkpoint.size),
            checkpoint,
        });
        Ok(())
    }

    fn issuer(&mut self, issuer: ExportIssuer) -> Outcome {
        for (k, certificate) in (0..).zip(issuer.certificates) {
            let place = Place::Issuer(self.received.issuers, k);
            self.write(&place, &certificate)?;
        }
        self.received.issuers += 1;
        Ok(())
    }

    fn policy(&mut self, policy: ExportPolicy) -> Outcome {
        // When it was activated and by whom, the log tells.
        let ExportPolicy {
            number,
            activated_at: _,
            activated_by: _,
            proposal,
        } = policy;
        let proposal =
            proposal.ok_or_else(|| inconsistent(format!("policy {number} has no proposal")))?;
        self.write(&Place::Proposal(number), &proposal.proposal)?;
        self.write(&Place::Author(number), &proposal.author_signature)?;
        for (k, approval) in (1..).zip(proposal.approvals) {
            self.write(&Place::Approval(number, k), &approval)?;
        }
        for file in proposal.files {
            let name = file.name.strip_suffix(".toml").unwrap_or(&file.name);
            let place = Place::Policy(number, name.to_owned());
            // A name is a path here: it has to be one that an export has.
            let path = place.to_string();
            if path.parse::<Place>().ok() != Some(place) {
                return Err(inconsistent(format!(
                    "policy {number} has a file `{}`",
                    assay_console::output::printable(&file.name)
                )));
            }
            self.folder.write(&path, &file.content)?;
        }
        self.received.policies += 1;
        Ok(())
    }

    fn recovery(&mut self, recovery: ExportRecovery) -> Outcome {
        let ExportRecovery {
            sequence,
            restored,
            statement,
            approvals,
        } = recovery;
        self.write(&Place::Recovery(sequence), &statement)?;
        for (k, approval) in (1..).zip(approvals) {
            self.write(&Place::RecoveryApproval(sequence, k), &approval)?;
        }
        self.lost.push((restored, sequence));
        Ok(())
    }

    fn inventory(&mut self, change: ExportInventoryChange) -> Outcome {
        let ExportInventoryChange {
            profile,
            sequence,
            content,
            hash,
        } = change;
        let place = Place::Inventory(profile);
        let path = place.to_string();
        if path.parse::<Place>().ok() != Some(place) {
            return Err(inconsistent("an inventory has no profile's name"));
        }
        let hash = Hash::try_from(hash.as_slice())
            .map_err(|_| inconsistent("the head of an inventory has not 32 octets"))?;
        let line = InventoryLine {
            content,
            hash,
            sequence,
        };
        let line = line
            .to_canonical()
            .or_fail("a change of an inventory cannot be written")?;
        let mut file = match self.inventory.take() {
            Some(file) if file.path() == path => file,
            other => {
                self.inventory = other;
                self.end_inventory()?;
                Growing::create(&mut self.folder, path)?
            }
        };
        file.line(&line)?;
        self.inventory = Some(file);
        Ok(())
    }

    fn leaf(&mut self, leaf: ExportLeaf) -> Outcome {
        self.end_inventory()?;
        let Some(head) = &self.head else {
            return Err(inconsistent("records come before the head"));
        };
        let sequence = leaf.sequence;
        if sequence != self.tree.size() + 1 {
            return Err(inconsistent(format!(
                "record {sequence} comes after record {}",
                self.tree.size()
            )));
        }
        let hash = if leaf.record.is_empty() {
            Hash::try_from(leaf.leaf_hash.as_slice()).map_err(|_| {
                inconsistent(format!("record {sequence} has neither content nor hash"))
            })?
        } else {
            Hash::of_leaf(&leaf.record)
        };
        head.progress.add(1);
        self.tree.append(hash);
        for tile in self.tiler.push(hash) {
            self.folder.write(&tile.path(), &tile.to_bytes())?;
        }
        let mut lost = self.lost.iter();
        let is_lost = lost.any(|(from, to)| sequence > *from && sequence < *to);
        self.bundle.add(leaf, is_lost)?;
        if sequence.is_multiple_of(BUNDLE) {
            self.end_bundle()?;
        }
        Ok(())
    }

    fn end_bundle(&mut self) -> Outcome {
        let Some(index) = bundle_of(self.tree.size()) else {
            return Ok(());
        };
        let bundle = std::mem::take(&mut self.bundle);
        if let Some(counts) = bundle.write(index, &mut self.folder)? {
            self.received.bundles.push(index);
            self.received.records_held += counts.records;
            self.received.evidence += counts.evidence;
            self.received.certificates += counts.certificates;
        }
        Ok(())
    }

    fn end_inventory(&mut self) -> Outcome {
        match self.inventory.take() {
            Some(file) => file.finish(&mut self.folder),
            None => Ok(()),
        }
    }

    fn write(&mut self, place: &Place, content: &[u8]) -> Outcome {
        self.folder.write(&place.to_string(), content)
    }
}

fn newer() -> Failure {
    Failure::failed("the signer sends something that this release does not know")
        .next("use the assay of the signer's release")
}
