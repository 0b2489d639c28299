//! An export in memory, made of its parts by whoever holds the keys given to it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::sync::Arc;

use assay_types::Hash;
use assay_verify::layout::{
    EvidenceLine, InventoryLine, Manifest, ManifestFile, Place, bundles_of, first_of, records_in,
};
use assay_verify::{ExportFiles, Options, Report, Trust, verify};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openssl::x509::X509;
use tempfile::TempDir;

use crate::keys::{NoteKey, keys};
use crate::tiles;

/// All that an export is made of.
#[derive(Clone, Default)]
pub(crate) struct Parts {
    /// Canonical JSON; the sequence number is the place, from 1. Empty for one that a recovery lost.
    pub(crate) records: Vec<Vec<u8>>,
    /// Leaf hashes of those, by place from 0.
    pub(crate) lost: BTreeMap<usize, Hash>,
    /// By sequence number.
    pub(crate) evidence: BTreeMap<u64, EvidenceLine>,
    /// DER, by sequence number.
    pub(crate) certificates: BTreeMap<u64, Vec<u8>>,
    pub(crate) inventories: BTreeMap<String, Vec<InventoryLine>>,
    /// Files of versions of the policy.
    pub(crate) policies: BTreeMap<String, Vec<u8>>,
    /// Each CA with those above it, DER.
    pub(crate) issuers: Vec<Vec<Vec<u8>>>,
    /// `None` for all.
    pub(crate) bundles: Option<BTreeSet<u64>>,
}

/// Hashes of files.
pub(crate) type Hashes = BTreeMap<String, (Arc<Vec<u8>>, Hash)>;

/// Files by path.
#[derive(Clone, Default)]
pub(crate) struct Export(pub(crate) BTreeMap<String, Arc<Vec<u8>>>);

impl ExportFiles for Export {
    fn paths(&self) -> io::Result<Vec<String>> {
        Ok(self.0.keys().cloned().collect())
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn Read + '_>> {
        match self.0.get(path) {
            Some(bytes) => Ok(Box::new(bytes.as_slice())),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Parts {
    /// Signed by the log, and cosigned by the witness.
    pub(crate) fn export(&self) -> Export {
        let text = self.checkpoint_text();
        let keys = keys();
        self.with_checkpoint(note(&text, &[&keys.log, &keys.witness]))
    }

    /// As it is after a checkpoint that somebody else made.
    pub(crate) fn with_checkpoint(&self, checkpoint: Vec<u8>) -> Export {
        let mut export = Export::default();
        export.put(Place::Checkpoint, checkpoint);
        let key = format!("{}\n", keys().log.vkey());
        export.put(Place::LogKey, key.into_bytes());
        for (n, chain) in (0..).zip(&self.issuers) {
            for (k, der) in (0..).zip(chain) {
                export.put(Place::Issuer(n, k), der.clone());
            }
        }
        for (path, content) in &self.policies {
            export.put(path, content.clone());
        }
        for (profile, lines) in &self.inventories {
            let lines = lines.iter().map(|line| line.to_canonical().unwrap());
            export.put(Place::Inventory(profile.clone()), joined(lines));
        }
        let size = self.records.len() as u64;
        let held = |bundle: &u64| {
            self.bundles
                .as_ref()
                .is_none_or(|held| held.contains(bundle))
        };
        let bundles: Vec<u64> = (0..bundles_of(size)).filter(held).collect();
        for (path, tile) in tiles::all(&self.leaves(), &self.records, &bundles) {
            export.put(path, tile);
        }
        for &bundle in &bundles {
            let range = first_of(bundle)..first_of(bundle) + records_in(bundle, size);
            let lines = self.evidence.range(range.clone());
            let lines = lines.map(|(_, line)| line.to_canonical().unwrap());
            export.put(Place::Evidence(bundle), joined(lines));
            let mut pems = Vec::new();
            for (_, der) in self.certificates.range(range) {
                pems.append(&mut X509::from_der(der).unwrap().to_pem().unwrap());
            }
            export.put(Place::Certificates(bundle), pems);
        }
        export.list(size, bundles);
        export
    }

    pub(crate) fn leaves(&self) -> Vec<Hash> {
        let leaf = |(place, record): (usize, &Vec<u8>)| {
            let lost = self.lost.get(&place).copied();
            lost.unwrap_or_else(|| Hash::of_leaf(record))
        };
        self.records.iter().enumerate().map(leaf).collect()
    }

    /// The next record is one of which there is the hash alone.
    pub(crate) fn lose(&mut self, leaf: Hash) {
        self.lost.insert(self.records.len(), leaf);
        self.records.push(Vec::new());
    }

    /// The text of the checkpoint of these records.
    pub(crate) fn checkpoint_text(&self) -> String {
        let root = tiles::root(&self.leaves());
        let root = STANDARD.encode(root.as_bytes());
        format!("log.example.org/assay\n{}\n{root}\n", self.records.len())
    }
}

/// A C2SP note.
pub(crate) fn note(text: &str, signers: &[&NoteKey]) -> Vec<u8> {
    let lines: String = signers.iter().map(|key| key.line(text)).collect();
    format!("{text}\n{lines}").into_bytes()
}

impl Export {
    pub(crate) fn put(&mut self, path: impl std::fmt::Display, content: Vec<u8>) {
        if !content.is_empty() {
            self.0.insert(path.to_string(), Arc::new(content));
        }
    }

    /// In a directory.
    pub(crate) fn write(&self) -> TempDir {
        let folder = TempDir::new().unwrap();
        for (path, content) in &self.0 {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content.as_slice()).unwrap();
        }
        folder
    }

    pub(crate) fn get(&self, path: &str) -> &[u8] {
        &self.0[path]
    }

    /// Makes the manifest of what is there.
    pub(crate) fn list(&mut self, size: u64, bundles: Vec<u64>) {
        self.list_with(size, bundles, &Hashes::new());
    }

    /// The same, where the hashes of some files are known.
    pub(crate) fn list_with(&mut self, size: u64, bundles: Vec<u64>, known: &Hashes) {
        self.0.remove("manifest.json");
        let files = self.0.iter().map(|(path, content)| {
            let known = known
                .get(path)
                .filter(|(same, _)| Arc::ptr_eq(same, content));
            ManifestFile {
                octets: content.len() as u64,
                path: path.clone(),
                sha256: known.map_or_else(|| Hash::of(content), |(_, hash)| *hash),
            }
        });
        let manifest = Manifest::new(size, bundles, files.collect());
        self.put(Place::Manifest, manifest.to_canonical().unwrap());
    }

    /// Of every file.
    pub(crate) fn hashes(&self) -> Hashes {
        let files = self.0.iter();
        files
            .map(|(path, file)| (path.clone(), (Arc::clone(file), Hash::of(file))))
            .collect()
    }

    /// Makes the manifest right again after a change of one file.
    pub(crate) fn relist(&mut self) {
        let manifest = Manifest::parse(self.get("manifest.json")).unwrap();
        self.list(manifest.size, manifest.bundles);
    }

    pub(crate) fn verify(&self) -> Report {
        self.verify_with(Some(&keys().trust()), &Options::default())
    }

    pub(crate) fn verify_with(&self, trust: Option<&Trust>, options: &Options) -> Report {
        verify(self, trust, options, &|_, _| {})
    }
}

fn joined(lines: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut joined = Vec::new();
    for line in lines {
        joined.extend_from_slice(&line);
        joined.push(b'\n');
    }
    joined
}
