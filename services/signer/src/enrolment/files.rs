//! The files that relying parties fetch, and their content in parts: a CRL is shared by all that ask for it, and a caller who
//! reads slowly keeps one part of it in memory.

use std::pin::Pin;
use std::sync::Arc;

use assay_issuance::{Generation, Generations};
use assay_proto::Timestamp;
use assay_proto::v1::{FileContentPart, PublicFile};
use assay_store::CrlRow;
use assay_types::Hash;
use tokio_stream::Stream;
use tonic::Status;

/// A CA certificate does not change under its name.
const CA_MAX_AGE_SECONDS: u32 = 86_400;
/// A revocation is to be seen within this by whoever asks through an HTTP cache.
const CRL_MAX_AGE_SECONDS: u32 = 300;
/// Bytes of a file in one message.
const PART: usize = 64 << 10;

/// The content of one file.
pub(crate) type Parts = Pin<Box<dyn Stream<Item = Result<FileContentPart, Status>> + Send>>;

/// One file, whose content is shared.
struct File {
    content: Content,
    path: String,
    content_type: &'static str,
    max_age_seconds: u32,
    last_modified: Timestamp,
    further_paths: Vec<String>,
}

enum Content {
    Certificate(Arc<Generation>),
    Crl(Arc<CrlRow>),
}

impl Content {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Certificate(generation) => generation.ca().certificate(),
            Self::Crl(crl) => &crl.der,
        }
    }

    fn sha256(&self) -> Hash {
        match self {
            Self::Certificate(generation) => Hash::of(generation.ca().certificate()),
            Self::Crl(crl) => crl.sha256,
        }
    }
}

impl From<File> for PublicFile {
    fn from(file: File) -> Self {
        Self {
            sha256: file.content.sha256().as_bytes().to_vec(),
            size: file.content.bytes().len() as u64,
            path: file.path,
            content_type: file.content_type.to_owned(),
            max_age_seconds: file.max_age_seconds,
            last_modified: Some(file.last_modified),
            further_paths: file.further_paths,
        }
    }
}

/// The files that can be fetched, under the paths that profiles name in crl_distribution_points and ca_issuers: by the key identifier
/// of the CA, which `{ca}` stands for there, and as `ca` of the one that was first.
pub(super) fn all(generations: &Generations) -> Vec<PublicFile> {
    files(generations).map(PublicFile::from).collect()
}

/// The content with this hash, while it is that of a file.
pub(super) fn content(generations: &Generations, sha256: &[u8]) -> Option<Parts> {
    let content = files(generations)
        .map(|file| file.content)
        .find(|content| content.sha256().as_bytes() == sha256)?;
    let starts = (0..content.bytes().len()).step_by(PART);
    let parts = starts.map(move |start| {
        let part = content.bytes().get(start..).unwrap_or_default();
        let part = part.get(..PART).unwrap_or(part);
        Ok(FileContentPart {
            content: part.to_vec(),
        })
    });
    Some(Box::pin(tokio_stream::iter(parts)))
}

fn files(generations: &Generations) -> impl Iterator<Item = File> {
    generations.all().flat_map(|generation| {
        let name = hex::encode(&generation.ca().issuer().key_identifier);
        let further_paths = |plain: &str| {
            if generation.is_first() {
                vec![plain.to_owned()]
            } else {
                Vec::new()
            }
        };
        let certificate = File {
            path: format!("aia/{name}.cer"),
            content_type: "application/pkix-cert",
            max_age_seconds: CA_MAX_AGE_SECONDS,
            last_modified: generation.ca().issuer().not_before.into(),
            further_paths: further_paths("aia/ca.cer"),
            content: Content::Certificate(Arc::clone(generation)),
        };
        let crl = generation.latest_crl().map(|crl| File {
            path: format!("crl/{name}.crl"),
            content_type: "application/pkix-crl",
            max_age_seconds: CRL_MAX_AGE_SECONDS,
            last_modified: crl.this_update.into(),
            further_paths: further_paths("crl/ca.crl"),
            content: Content::Crl(crl),
        });
        std::iter::once(certificate).chain(crl)
    })
}
