//! What is checked: one list, which `docs/auditor.md` repeats.

use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! checks {
    ($($name:ident = $id:literal: $title:literal,)+) => {
        /// A check of the verifier.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Check {
            $(#[doc = $title] $name,)+
        }

        impl Check {
            /// All of them, in the order of their ids.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// `VER-01` and so on; stays the same for good.
            pub fn id(self) -> &'static str {
                match self {
                    $(Self::$name => $id,)+
                }
            }

            /// What must hold, in one line.
            pub fn title(self) -> &'static str {
                match self {
                    $(Self::$name => $title,)+
                }
            }
        }
    };
}

checks! {
    Manifest = "VER-01": "the manifest lists every file with its length and SHA-256, and nothing else is there",
    Checkpoint = "VER-02": "the checkpoint is signed by the log key",
    Witnesses = "VER-03": "the witnesses cosigned the checkpoint",
    Tree = "VER-04": "the hash tiles are one RFC 6962 tree, and its root is the checkpoint's",
    Leaves = "VER-05": "each record held is the leaf of its place in the tree",
    Earlier = "VER-06": "the tree continues that of the earlier checkpoint",
    Form = "VER-07": "a record is canonical JSON of this version and says its own place",
    Boots = "VER-08": "each run of the signer begins with service.started, keeps its binary and configuration, and does not come back",
    Clocks = "VER-09": "no clock goes backwards except by an accepted jump, runs in one boot of the machine continue each other's time, and a clock.step names each step of a wall clock that was set",
    Versions = "VER-10": "versions of the policy follow each other by number and hash, and are what their records say",
    Approvals = "VER-11": "each version was signed by its author and approved by enough others, for CAs of the export and for its time",
    InForce = "VER-12": "each record names a version of the policy that was in force",
    Stops = "VER-13": "a stopped profile issues nothing until an approved version resumes it",
    Inventories = "VER-14": "each inventory's changes are chained, and each is what its record says",
    Intents = "VER-15": "each certificate has one intent, which closes once and as it was opened",
    Issuer = "VER-16": "every CA and those above it are pinned ones",
    Certificates = "VER-17": "each certificate is signed by a CA of the export over the TBSCertificate of its intent",
    Evidence = "VER-18": "evidence is what the record's salted hash was made of, and agrees with the record",
    Decisions = "VER-19": "each decision made again under the policy of its record comes to the same refusal or TBSCertificate",
    Times = "VER-20": "each record was made when its decision was",
    Approved = "VER-21": "a request that waited was approved by enough operators before it was issued, once",
    Challenges = "VER-22": "a challenge was issued with the claims it authorised, used within its time, and a one-time challenge once",
    Names = "VER-23": "a static challenge was used for a name of the inventory, once, under the pinned key",
    Renewals = "VER-24": "a renewal is of a certificate of this log, in force at its permit and at its issue, with its names, supersedes it, and is the only one where the profile allows one",
    Revocations = "VER-25": "what is revoked, held or released was issued or imported, and was not so before",
    Crls = "VER-26": "the CRLs of each CA are numbered without gaps that the journal does not explain, follow each other in time, and list exactly what the records before say",
    References = "VER-27": "a record that tells of another certificate, CRL or waiting request tells of one that there is",
    Counters = "VER-28": "the CA keys made no more signatures than the log explains",
    Fields = "VER-29": "members of closed lists and of one form hold nothing else",
    IssuingCas = "VER-30": "each certificate is of a CA that the version of the policy in force at its decision names",
    Journal = "VER-31": "the journal of the HSM service is one chain of a pinned identity, and has each head that a checkpoint states",
    JournalCertificates = "VER-32": "each certificate of the journal is in the log and each of the log is in the journal, over the same TBSCertificate and with the same signature",
    JournalCrls = "VER-33": "each CRL is in the log and in the journal, and what each CRL of the journal adds and removes is what the log records",
    JournalCheckpoints = "VER-34": "each checkpoint of the log is in the journal, and the log does not end before the last checkpoint of the journal",
    HsmConfiguration = "VER-35": "the HSM service ran with the configuration that the version of the policy in force names, as a user other than the signer's",
    Counted = "VER-36": "a count of requests without a record of their own has a possible sum, and begins after the count before it in its run",
    Recoveries = "VER-37": "each recovery from a backup was signed by enough approvers over the trees of this log, has the records that it counts, and the records that it lost are supplied",
    JournalLeaves = "VER-38": "each record is the leaf that the journal of the HSM service has at its place, and no leaf of the journal is without its record",
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl Serialize for Check {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}
