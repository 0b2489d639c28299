use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use assay_types::{Serial, Timestamp};

use crate::ceiling::Usage;
use crate::entry::MAX_BODY;

/// The way out of an error of the system.
#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "the standard library's kinds of errors are not exhaustive"
)]
fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        ErrorKind::NotFound => "restore it",
        ErrorKind::PermissionDenied => "make it the service's user's (chown)",
        ErrorKind::ReadOnlyFilesystem => {
            "its file system is read-only; look at the disk, then make it writable again (remount)"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "its disk is full; free some space",
        _ => "look at its disk and its mount",
    }
}

/// Why the journal could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call on a file of the journal failed.
    #[error("cannot {action} {}: {}", .path.display(), remedy(.source))]
    Io {
        /// The attempted action.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The kernel's error.
        #[source]
        source: io::Error,
    },

    /// Something else than a file.
    #[error("{} is {found} and not a file of the journal; move it away and restore the file", .path.display())]
    NotAFile {
        /// Its path.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },

    /// There is no journal.
    #[error(
        "{} has no journal. Create one, with the last CRL and the cosigned head of the log as floors if the CA was used before; nothing is signed until then", .dir.display()
    )]
    Missing {
        /// The directory.
        dir: PathBuf,
    },

    /// A journal is to be created where one is.
    #[error(
        "{} has files of a journal already. A journal is never replaced: choose an empty directory, or move this one away to start a recovery", .dir.display()
    )]
    Exists {
        /// The directory.
        dir: PathBuf,
    },

    /// The directory is not private to the service.
    #[error("{} {problem}", .dir.display())]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// The fault, with advice.
        problem: &'static str,
    },

    /// Another process has the journal open.
    #[error(
        "another process has the journal in {} open; stop the other service first", .dir.display()
    )]
    Locked {
        /// The directory.
        dir: PathBuf,
    },

    /// The journal is read by another command.
    #[error(
        "the journal in {} is being verified or exported; prune it when that has finished", .dir.display()
    )]
    BeingRead {
        /// The directory.
        dir: PathBuf,
    },

    /// The contents of a file do not hold.
    #[error(
        "{} is damaged at offset {offset}: {problem}. Nothing is signed with it: restore the file, or create a new journal with floors", .file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where the entry, header or body begins.
        offset: u64,
        /// What does not hold.
        problem: String,
    },

    /// An export cannot be read.
    #[error("cannot read the export at byte {offset}")]
    ReadExport {
        /// Position in the stream.
        offset: u64,
        /// The reader's error.
        #[source]
        source: io::Error,
    },

    /// An export cannot be written.
    #[error("cannot write the export")]
    WriteExport(#[source] io::Error),

    /// An export does not hold.
    #[error("the export does not hold at byte {offset}: {problem}; export the journal again")]
    Export {
        /// Position in the stream.
        offset: u64,
        /// What does not hold.
        problem: String,
    },

    /// An entry could not be made durable. The state in memory may be ahead of the disk and is not used again.
    #[error(
        "the journal failed ({0}) and refuses everything; fix the cause and restart the service"
    )]
    Failed(Arc<str>),

    /// The rules refuse it.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn damaged(file: &Path, offset: u64, problem: impl Into<String>) -> Self {
        Self::Damaged {
            file: file.to_owned(),
            offset,
            problem: problem.into(),
        }
    }
}

/// Why something is not signed or not recorded. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Certificates are suspended.
    #[error("certificates are suspended; `assay-hsm resume` on this host ends that")]
    Suspended,

    /// The serial number belongs to another certificate.
    #[error(
        "serial number {serial} is in the journal with another TBSCertificate; choose a new serial number"
    )]
    SerialTaken {
        /// The serial number.
        serial: Serial,
    },

    /// The serial number belongs to a certificate that the service did not sign.
    #[error(
        "serial number {serial} belongs to a certificate of a ceremony or a recovery; choose a new serial number"
    )]
    SerialKnown {
        /// The serial number.
        serial: Serial,
    },

    /// A ceiling is reached.
    #[error("{0} and there is no room for this request; wait, or lift the ceiling on this host")]
    Ceiling(Usage),

    /// The file system is full, apart from what is reserved for CRLs and checkpoints.
    #[error(
        "the file system of the journal is full; certificates are refused until there is space"
    )]
    DiskFull,

    /// Not even the reserve is left.
    #[error(
        "the file system of the journal is full and its reserve is used up; nothing is signed until there is space"
    )]
    ReserveUsed,

    /// The clock is behind the journal.
    #[error(
        "the clock says {now}, but the journal has an entry of {last}; set the clock, or accept the jump on this host"
    )]
    ClockBehind {
        /// The clock.
        now: Timestamp,
        /// Latest time of the journal.
        last: Timestamp,
    },

    /// The clock is far ahead of the journal.
    #[error(
        "the clock says {now}, but the last entry of the journal is of {last}; set the clock, or accept the jump on this host"
    )]
    ClockAhead {
        /// The clock.
        now: Timestamp,
        /// Latest time of the journal.
        last: Timestamp,
    },

    /// An accepted jump is not the one that there is.
    #[error(
        "the jump to accept is from {last} to {now}, not from {from} to {to}; name the exact jump"
    )]
    OtherJump {
        /// As named.
        from: Timestamp,
        /// As named.
        to: Timestamp,
        /// The clock.
        now: Timestamp,
        /// Latest time of the journal.
        last: Timestamp,
    },

    /// A jump of the clock was accepted less than 24 hours ago.
    #[error(
        "a jump of the clock was accepted at {accepted}; nothing is pruned or dropped from a CRL for 24 hours"
    )]
    Settling {
        /// When.
        accepted: Timestamp,
    },

    /// The CRL's number does not continue.
    #[error(
        "a CRL numbered {number} cannot follow one numbered {last}; the next numbers are {last} + 1 to {last} + 1000"
    )]
    CrlNumber {
        /// Asked for.
        number: u64,
        /// Of the last CRL.
        last: u64,
    },

    /// The CRL is older than the last one.
    #[error(
        "thisUpdate {this_update} of the CRL is before {last}, that of the last one; sign a current CRL"
    )]
    CrlTime {
        /// Asked for.
        this_update: Timestamp,
        /// Of the last CRL.
        last: Timestamp,
    },

    /// A serial number is listed twice.
    #[error("the CRL lists serial number {serial} twice; list it once")]
    ListedTwice {
        /// The serial number.
        serial: Serial,
    },

    /// A serial number is listed that the issuer never used.
    #[error(
        "the CRL lists serial number {serial}, which is not in the journal; if it is older than the journal, name its certificate in `ceremony_certificates` of hsm.toml and restart the service, or recover with a new journal"
    )]
    ListedUnknown {
        /// The serial number.
        serial: Serial,
    },

    /// A revocation is taken back before the certificate expired.
    #[error(
        "the CRL does not list serial number {serial}, which was revoked for good and has not expired by the last CRL; list it again"
    )]
    RevocationDropped {
        /// The serial number.
        serial: Serial,
    },

    /// A revocation is altered.
    #[error(
        "the CRL alters the reason or date of serial number {serial}; the reason may change from certificateHold only, the date never"
    )]
    RevocationAltered {
        /// The serial number.
        serial: Serial,
    },

    /// A revocation is dated after the CRL.
    #[error(
        "the CRL dates the revocation of serial number {serial} after its own thisUpdate; date it before"
    )]
    RevocationAhead {
        /// The serial number.
        serial: Serial,
    },

    /// A status is not what journal and CRL say.
    #[error("the status of serial number {serial} contradicts the journal: {problem}")]
    Status {
        /// The serial number.
        serial: Serial,
        /// The contradiction.
        problem: &'static str,
    },

    /// A status is not yet what the last CRL says.
    #[error(
        "the status of serial number {serial} is ahead of the last CRL: {problem}; sign the CRL that says so first"
    )]
    StatusAhead {
        /// The serial number.
        serial: Serial,
        /// The contradiction.
        problem: &'static str,
    },

    /// The tree does not continue the last one.
    #[error(
        "a tree of {size} leaves with {leaves} new ones does not continue the last one, of {last}; send all leaf hashes since then"
    )]
    TreeSize {
        /// Asked for.
        size: u64,
        /// Sent with it.
        leaves: usize,
        /// Of the last checkpoint.
        last: u64,
    },

    /// The root does not follow from the last tree and the leaf hashes.
    #[error(
        "the root of the tree of {size} leaves does not follow from the last tree and the new leaf hashes; the log was rewritten"
    )]
    TreeRoot {
        /// Asked for.
        size: u64,
    },

    /// A signature for a certificate that is not in the journal.
    #[error(
        "entry {certificate} of the journal is not a certificate; record the certificate first"
    )]
    NoCertificate {
        /// Number of the entry.
        certificate: u64,
    },

    /// The certificate was pruned.
    #[error(
        "the signature of the certificate in entry {certificate} was pruned after its time; ask for a new certificate"
    )]
    SignaturePruned {
        /// Number of the certificate's entry.
        certificate: u64,
    },

    /// The stored signature of a certificate cannot be read.
    #[error(
        "the signature of this certificate cannot be read ({problem}); ask for a new certificate, and find out by `assay-hsm journal verify` what else is damaged"
    )]
    SignatureLost {
        /// The fault.
        problem: String,
    },

    /// A floor does not hold.
    #[error("the floors cannot be used: {problem}")]
    Floor {
        /// The fault.
        problem: &'static str,
    },

    /// A name is not usable in an entry.
    #[error("{name:?} is not a name of at most 64 printable characters; use a shorter one")]
    Name {
        /// The name.
        name: String,
    },

    /// A body is too large.
    #[error(
        "the request needs an entry of {length} bytes, more than {MAX_BODY}; send less at once"
    )]
    TooLarge {
        /// Length in bytes.
        length: usize,
    },

    /// The journal has as many entries or issuers as it can.
    #[error("the journal has reached its largest number of {what}; create a new one with floors")]
    Exhausted {
        /// Of what.
        what: &'static str,
    },
}

impl Refusal {
    /// Whether the same request may be granted later: when a brake is released, a ceiling has room, the disk has space, the
    /// clock is right, or a CRL says what a status is to say.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Suspended
            | Self::Ceiling(_)
            | Self::DiskFull
            | Self::ReserveUsed
            | Self::ClockBehind { .. }
            | Self::ClockAhead { .. }
            | Self::Settling { .. }
            | Self::StatusAhead { .. } => true,
            Self::SerialTaken { .. }
            | Self::SerialKnown { .. }
            | Self::OtherJump { .. }
            | Self::CrlNumber { .. }
            | Self::CrlTime { .. }
            | Self::ListedTwice { .. }
            | Self::ListedUnknown { .. }
            | Self::RevocationDropped { .. }
            | Self::RevocationAltered { .. }
            | Self::RevocationAhead { .. }
            | Self::Status { .. }
            | Self::TreeSize { .. }
            | Self::TreeRoot { .. }
            | Self::NoCertificate { .. }
            | Self::SignaturePruned { .. }
            | Self::SignatureLost { .. }
            | Self::Floor { .. }
            | Self::Name { .. }
            | Self::TooLarge { .. }
            | Self::Exhausted { .. } => false,
        }
    }
}
