//! Certificates out of an export of the HSM service's journal, which has each of them in two entries: the TBSCertificate
//! first, and the signature in a later one.

use std::fs::File;
use std::path::Path;

use assay_console::failure::{Failure, OrFail, Outcome};
use assay_journal::{Event, ExportReader, Item};
use assay_types::{Serial, Timestamp};
use der::asn1::{Any, BitString};
use der::{Decode, Encode, Sequence};

/// Entries of an export, in order. The whole file is proven once the last one was read.
pub(super) struct Entries<'a> {
    file: &'a Path,
    reader: ExportReader<File>,
}

/// An entry that says something of a certificate.
pub(super) enum Step {
    /// The service was asked for one.
    Asked(Asked),
    /// It was signed.
    Signed {
        /// The entry in which it was asked for.
        asked: u64,
        /// `None` if it was pruned.
        signature: Option<Vec<u8>>,
    },
}

/// A certificate that the service was asked for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) entry: u64,
    pub(super) serial: Serial,
    pub(super) not_after: Timestamp,
    /// `None` if it was pruned.
    tbs: Option<Vec<u8>>,
}

/// RFC 5280 section 4.1, with parts that are already DER.
#[derive(Sequence)]
struct Certificate {
    tbs_certificate: Any,
    signature_algorithm: Any,
    signature: BitString,
}

impl<'a> Entries<'a> {
    pub(super) fn open(file: &'a Path) -> Outcome<Self> {
        let wrong = || {
            format!(
                "{}: not the export of a journal that can be read",
                file.display()
            )
        };
        let opened = File::open(file).or_usage(wrong())?;
        let reader = ExportReader::new(opened).or_fail(wrong())?;
        Ok(Self { file, reader })
    }
}

impl Iterator for Entries<'_> {
    type Item = Outcome<Step>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = self.reader.head().size;
            let item = match self.reader.next()? {
                Ok(item) => item,
                Err(error) => {
                    let file = self.file.display();
                    let failure = Failure::failed(format!("{file}: entry {entry}")).because(error);
                    return Some(Err(failure));
                }
            };
            if let Some(step) = step(item) {
                return Some(Ok(step));
            }
        }
    }
}

fn step(item: Item) -> Option<Step> {
    match item.entry.event {
        Event::Certificate {
            serial, not_after, ..
        } => Some(Step::Asked(Asked {
            entry: item.number,
            serial,
            not_after,
            tbs: item.body,
        })),
        Event::Signed { certificate, .. } => Some(Step::Signed {
            asked: certificate,
            signature: item.body,
        }),
        Event::Created { .. }
        | Event::Started(_)
        | Event::Reloaded(_)
        | Event::Crl { .. }
        | Event::Checkpoint { .. }
        | Event::Counted { .. }
        | Event::Suspended
        | Event::Resumed
        | Event::Lifted { .. }
        | Event::Known { .. }
        | Event::ClockAccepted { .. }
        | Event::Pruned { .. } => None,
    }
}

/// The certificate with this serial number, DER. The whole export was proven then.
pub(super) fn find(file: &Path, serial: &Serial) -> Outcome<Vec<u8>> {
    let mut found: Option<(Asked, Option<Option<Vec<u8>>>)> = None;
    for step in Entries::open(file)? {
        match step? {
            Step::Asked(asked) if asked.serial == *serial => {
                if let Some((first, _)) = &found {
                    return Err(Failure::failed(format!(
                        "{}: entries {} and {} have the serial number {serial}, each of another CA",
                        file.display(),
                        first.entry,
                        asked.entry
                    ))
                    .next("only one of the two can be in the signer's store: see SECURITY.md"));
                }
                found = Some((asked, None));
            }
            Step::Signed { asked, signature } => {
                if let Some((found, its)) = &mut found
                    && found.entry == asked
                {
                    *its = Some(signature);
                }
            }
            Step::Asked(_) => {}
        }
    }
    let Some((asked, signature)) = found else {
        return Err(Failure::failed(format!(
            "{}: no entry has the serial number {serial}",
            file.display()
        ))
        .next("export the journal again if the certificate is newer than the file"));
    };
    let entry = asked.entry;
    asked
        .certificate(signature)
        .map_err(|why| Failure::failed(format!("{}: entry {entry}: {why}", file.display())))
}

impl Asked {
    /// The certificate, DER; `signature` is `None` if the journal has none, and has none in it if it was pruned.
    pub(super) fn certificate(self, signature: Option<Option<Vec<u8>>>) -> Result<Vec<u8>, String> {
        let serial = self.serial;
        let signature = signature.ok_or_else(|| {
            format!("the journal has no signature of {serial}, so there is nothing to revoke")
        })?;
        let (Some(tbs), Some(signature)) = (self.tbs, signature) else {
            return Err(format!(
                "{serial} was pruned from the journal, as it expired at {}",
                self.not_after
            ));
        };
        assemble(&tbs, &signature)
            .map_err(|error| format!("{serial} is not a certificate in DER: {error}"))
    }
}

fn assemble(tbs: &[u8], signature: &[u8]) -> der::Result<Vec<u8>> {
    let algorithm = x509_cert::TbsCertificate::from_der(tbs)?
        .signature()
        .to_der()?;
    Certificate {
        tbs_certificate: Any::from_der(tbs)?,
        signature_algorithm: Any::from_der(&algorithm)?,
        signature: BitString::from_bytes(signature)?,
    }
    .to_der()
}

#[cfg(test)]
mod tests;
