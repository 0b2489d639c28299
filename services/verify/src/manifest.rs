//! The manifest against what is there.

use std::collections::{BTreeSet, HashSet};
use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use assay_types::Hash;
use sha2::{Digest, Sha256};

use crate::layout::{MAX_MANIFEST, Manifest, ManifestFile, Place};
use crate::report::{Finding, Findings};
use crate::tree::tiles;
use crate::{Check, ExportFiles, export};

const CHECK: Check = Check::Manifest;
/// Octets that are read at a time.
const BUFFER: usize = 64 * 1024;

/// An export whose files are known.
pub(crate) struct Opened {
    pub(crate) manifest: Manifest,
    /// Every file but the tiles.
    pub(crate) places: Vec<Place>,
    pub(crate) bundles: BTreeSet<u64>,
}

/// Reads the manifest and holds every file to it.
pub(crate) fn open(
    export: &dyn ExportFiles,
    threads: usize,
    findings: &mut Findings,
) -> Option<Opened> {
    let path = Place::Manifest.to_string();
    let read = export::read(export, &path, MAX_MANIFEST).map_err(|error| error.to_string());
    let parsed = read.and_then(|bytes| {
        let bytes = bytes.ok_or("no such file")?;
        Manifest::parse(&bytes).map_err(|error| error.to_string())
    });
    let manifest = match parsed {
        Ok(manifest) => manifest,
        Err(text) => {
            let wanted = "the manifest of an export";
            findings.hold(false, CHECK, path, "file", wanted, text);
            return None;
        }
    };
    findings.hold(
        manifest.size > 0,
        CHECK,
        path,
        "size",
        "one record or more",
        manifest.size,
    );
    listed(export, &manifest, findings);
    hashes(export, &manifest, threads, findings);
    let bundles: BTreeSet<u64> = manifest.bundles.iter().copied().collect();
    let places = places(&manifest, &bundles, findings);
    Some(Opened {
        manifest,
        places,
        bundles,
    })
}

/// Nothing is there but what is listed; that what is listed is there shows when it is hashed.
fn listed(export: &dyn ExportFiles, manifest: &Manifest, findings: &mut Findings) {
    let listed: HashSet<&str> = manifest
        .files
        .iter()
        .map(|file| file.path.as_str())
        .collect();
    let manifest_path = Place::Manifest.to_string();
    match export.paths() {
        Ok(paths) => {
            for path in paths {
                let known = listed.contains(path.as_str()) || path == manifest_path;
                let wanted = "only files that the manifest lists";
                findings.hold(known, CHECK, path, "path", wanted, "one more");
            }
        }
        Err(error) => {
            let wanted = "a directory that can be listed";
            findings.hold(false, CHECK, manifest_path, "path", wanted, error);
        }
    }
}

/// Every file has its length and hash; on as many threads as are given.
fn hashes(export: &dyn ExportFiles, manifest: &Manifest, threads: usize, findings: &mut Findings) {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut findings = Findings::default();
        let mut buffer = vec![0; BUFFER];
        while let Some(file) = manifest.files.get(next.fetch_add(1, Ordering::Relaxed)) {
            hash(export, file, &mut buffer, &mut findings);
        }
        findings
    };
    thread::scope(|scope| {
        let handles: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        for handle in handles {
            if let Ok(found) = handle.join() {
                findings.merge(found);
            }
        }
    });
    let unread = manifest.files.len() > next.load(Ordering::Relaxed);
    let path = Place::Manifest.to_string();
    findings.hold(!unread, CHECK, path, "files", "all of them read", "some");
}

fn hash(export: &dyn ExportFiles, file: &ManifestFile, buffer: &mut [u8], findings: &mut Findings) {
    let path = file.path.as_str();
    match digest(export, file, buffer) {
        Ok((octets, sha256)) => {
            findings.same(CHECK, path, "octets", &file.octets, &octets);
            if octets == file.octets {
                findings.same(CHECK, path, "sha256", &file.sha256, &sha256);
            }
        }
        Err(error) => {
            let wanted = "a file that can be read";
            findings.hold(false, CHECK, path, "file", wanted, error);
        }
    }
}

/// Length and hash, of one octet more than there should be at most.
fn digest(
    export: &dyn ExportFiles,
    file: &ManifestFile,
    buffer: &mut [u8],
) -> io::Result<(u64, Hash)> {
    let mut content = export.open(&file.path)?.take(file.octets.saturating_add(1));
    let mut hasher = Sha256::new();
    let mut octets = 0;
    loop {
        let read = content.read(buffer)?;
        let Some(part) = buffer.get(..read).filter(|part| !part.is_empty()) else {
            break;
        };
        hasher.update(part);
        octets += read as u64;
    }
    Ok((octets, Hash::from(hasher)))
}

/// The files by what they are; each must have a place in an export of this size.
fn places(manifest: &Manifest, bundles: &BTreeSet<u64>, findings: &mut Findings) -> Vec<Place> {
    let tiles: HashSet<String> = tiles(manifest.size, bundles).collect();
    let mut held = 0;
    let mut places = Vec::new();
    for file in &manifest.files {
        let path = file.path.as_str();
        if tiles.contains(path) {
            held += 1;
            continue;
        }
        let place = path.parse::<Place>().ok().filter(|place| {
            if let Place::Evidence(bundle) | Place::Certificates(bundle) = place {
                bundles.contains(bundle) && file.octets > 0
            } else {
                *place != Place::Manifest
            }
        });
        match place {
            Some(place) => places.push(place),
            None => {
                let wanted = "files that an export of these bundles has";
                findings.hold(false, CHECK, path, "path", wanted, "another one");
            }
        }
    }
    let wanted = format!("{} tiles of a log of this size", tiles.len());
    let complete = held == tiles.len();
    let path = Place::Manifest.to_string();
    findings.hold(complete, CHECK, path, "files", wanted, held);
    places
}

impl Opened {
    /// Whether the export has this file.
    pub(crate) fn has(&self, place: &Place) -> bool {
        self.places.contains(place)
    }

    /// What is wrong with an export that lacks what every export has.
    pub(crate) fn complete(&self, findings: &mut Findings) {
        for place in [Place::Checkpoint, Place::LogKey, Place::Issuer(0, 0)] {
            if !self.has(&place) {
                let wanted = "a file that every export has";
                findings.made(CHECK);
                findings.bad(Finding::new(CHECK, &place, "file", wanted, "none"));
            }
        }
    }
}
