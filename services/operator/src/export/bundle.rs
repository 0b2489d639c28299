use assay_audit::tile::{entries_path, write_entries};
use assay_console::failure::{OrFail, Outcome};
use assay_proto::v1::ExportLeaf;
use assay_verify::layout::{EvidenceLine, Place};
use openssl::x509::X509;

use super::folder::Folder;
use super::inconsistent;

/// The records of one bundle with what is kept beside them.
#[derive(Default)]
pub(super) struct Bundle {
    records: Vec<Vec<u8>>,
    evidence: Vec<u8>,
    certificates: Vec<u8>,
    /// Leaves of which only the hash came.
    absent: usize,
    counts: Counts,
}

/// What a bundle holds.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) records: u64,
    pub(super) evidence: u64,
    pub(super) certificates: u64,
}

impl Bundle {
    /// Takes the next leaf; of one that a recovery lost there is nothing but the hash.
    pub(super) fn add(&mut self, leaf: ExportLeaf, is_lost: bool) -> Outcome {
        let ExportLeaf {
            sequence,
            leaf_hash: _,
            record,
            evidence_salt,
            evidence,
            certificate,
        } = leaf;
        if record.is_empty() && is_lost {
            self.records.push(record);
            return Ok(());
        }
        if record.is_empty() {
            self.absent += 1;
            return Ok(());
        }
        self.records.push(record);
        self.counts.records += 1;
        if !evidence.is_empty() {
            let line = EvidenceLine {
                sequence,
                salt: evidence_salt.try_into().map_err(|_| {
                    inconsistent(format!("the salt of record {sequence} has not 32 octets"))
                })?,
                content: evidence,
            };
            let line = line.to_canonical().or_fail(format!(
                "the evidence of record {sequence} is not canonical"
            ))?;
            self.evidence.extend(line);
            self.evidence.push(b'\n');
            self.counts.evidence += 1;
        }
        if !certificate.is_empty() {
            let pem = X509::from_der(&certificate)
                .and_then(|certificate| certificate.to_pem())
                .or_fail(format!("the certificate of record {sequence} is none"))?;
            self.certificates.extend(pem);
            self.counts.certificates += 1;
        }
        Ok(())
    }

    /// Writes the bundle, if it is held; `None` if it is not.
    pub(super) fn write(self, index: u64, folder: &mut Folder) -> Outcome<Option<Counts>> {
        if self.counts.records == 0 && self.absent > 0 {
            return Ok(None);
        }
        if self.absent > 0 {
            return Err(inconsistent(format!("bundle {index} is held in part")));
        }
        let entries =
            write_entries(&self.records).or_fail(format!("bundle {index} cannot be written"))?;
        folder.write(&entries_path(index, self.records.len()), &entries)?;
        for (place, content) in [
            (Place::Evidence(index), self.evidence),
            (Place::Certificates(index), self.certificates),
        ] {
            if !content.is_empty() {
                folder.write(&place.to_string(), &content)?;
            }
        }
        Ok(Some(self.counts))
    }
}
