//! An export that was made before a recovery: it has records that the recovery lost.

use std::path::Path;

use assay_audit::Record;
use assay_audit::tile::{entries_path, read_entries};
use assay_types::Hash;

use crate::issuers::Issuers;
use crate::layout::{EvidenceLine, Place, first_of, records_in};
use crate::manifest::{self, Opened};
use crate::report::Findings;
use crate::tree::MAX_ENTRIES;
use crate::verify::{MAX_CERTIFICATES, MAX_EVIDENCE};
use crate::versions::Versions;
use crate::work::{Bench, Raw};
use crate::{Directory, Trust, certificate, export};

/// An earlier export, with what its decisions are made again by.
pub(crate) struct Earlier {
    export: Directory,
    opened: Opened,
    versions: Versions,
    issuers: Issuers,
}

impl Earlier {
    /// Opens the export in this directory; each of its files is held to its manifest.
    pub(crate) fn open(
        path: &Path,
        trust: Option<&Trust>,
        threads: usize,
        findings: &mut Findings,
    ) -> Option<Self> {
        let export = Directory::new(path);
        let opened = manifest::open(&export, threads, findings)?;
        let pinned = trust.map(|trust| trust.cas.as_slice());
        let issuers = Issuers::read(&export, &opened.places, pinned, findings);
        let approvers = trust.map(|trust| &trust.approvers);
        let versions = Versions::read(&export, &opened.places, approvers, &issuers, findings);
        Some(Self {
            export,
            opened,
            versions,
            issuers,
        })
    }

    pub(crate) fn bench(&self) -> Bench<'_> {
        Bench {
            versions: &self.versions,
            issuers: &self.issuers,
        }
    }

    /// Those of the wanted records of a bundle, by sequence number and leaf hash, that this export has; the others are empty.
    /// A record that is not the leaf of its hash is not taken.
    pub(crate) fn supply(&self, bundle: u64, wanted: &[(u64, Hash)]) -> Option<Raw> {
        if !self.opened.bundles.contains(&bundle) {
            return None;
        }
        let width = usize::try_from(records_in(bundle, self.opened.manifest.size)).ok()?;
        let read = |path: &str, most| export::read(&self.export, path, most).ok().flatten();
        let entries = read(&entries_path(bundle, width), MAX_ENTRIES)?;
        let entries = read_entries(&entries).ok()?;
        let mut records: Vec<Vec<u8>> = vec![Vec::new(); entries.len()];
        let mut certificates = Vec::new();
        let pems = read(&Place::Certificates(bundle).to_string(), MAX_CERTIFICATES);
        let pems = certificate::list(&pems.unwrap_or_default()).unwrap_or_default();
        let mut pems = pems.into_iter();
        let mut taken = Vec::new();
        for ((sequence, entry), record) in (first_of(bundle)..).zip(entries).zip(&mut records) {
            let own = Record::from_canonical(entry)
                .ok()
                .filter(|own| certificate::is_recorded(&own.draft.event))
                .and_then(|_| pems.next());
            let leaf = Hash::of_leaf(entry);
            if !wanted.contains(&(sequence, leaf)) {
                continue;
            }
            entry.clone_into(record);
            taken.push(sequence);
            if let Some(own) = own {
                certificates.extend(own.to_pem().ok()?);
            }
        }
        if taken.is_empty() {
            return None;
        }
        let evidence = read(&Place::Evidence(bundle).to_string(), MAX_EVIDENCE);
        let mut lines = Vec::new();
        for line in evidence
            .unwrap_or_default()
            .split_inclusive(|byte| *byte == b'\n')
        {
            let parsed = EvidenceLine::parse(line.strip_suffix(b"\n").unwrap_or(line));
            if parsed.is_ok_and(|parsed| taken.contains(&parsed.sequence)) {
                lines.extend(line);
            }
        }
        Some(Raw {
            bundle,
            gone: 0,
            records,
            evidence: (!lines.is_empty()).then_some(lines),
            certificates: (!certificates.is_empty()).then_some(certificates),
        })
    }
}
