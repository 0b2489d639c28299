//! The table `algorithms`.

use assay_types::Digest;

use super::reader::{Reader, Section};
use crate::algorithm::{ContentCipher, KeyTransport};
use crate::profile::{AlgorithmRules, Quirk};

/// Every value of a type, and the word of each.
type Words<T> = (&'static [T], fn(T) -> &'static str);
const DIGESTS: Words<Digest> = (&Digest::ALL, Digest::as_str);
const CIPHERS: Words<ContentCipher> = (ContentCipher::ALL, ContentCipher::as_str);
const KEY_TRANSPORTS: Words<KeyTransport> = (KeyTransport::ALL, KeyTransport::as_str);

pub(super) fn algorithms(
    section: &mut Section<'_>,
    reader: &mut Reader<'_>,
) -> Option<AlgorithmRules> {
    let message_digests = list(
        section,
        "message_digests",
        reader,
        DIGESTS,
        Quirk::of_digest,
    );
    let csr_digests = list(section, "csr_digests", reader, DIGESTS, Quirk::of_digest);
    let ciphers = list(
        section,
        "content_ciphers",
        reader,
        CIPHERS,
        Quirk::of_cipher,
    );
    let key_transports = list(section, "key_transports", reader, KEY_TRANSPORTS, |_| None);
    Some(AlgorithmRules {
        message_digests: message_digests?,
        csr_digests: csr_digests?,
        ciphers: ciphers?,
        key_transports: key_transports?,
    })
}

/// What only an exception allows cannot be listed: its use would not be counted, nor ever end.
fn list<T: Copy + PartialEq>(
    section: &mut Section<'_>,
    key: &'static str,
    reader: &mut Reader<'_>,
    (words, name): Words<T>,
    exception: impl Fn(T) -> Option<Quirk>,
) -> Option<Vec<T>> {
    section
        .required(key, reader)?
        .nonempty_set(reader, |item, reader| {
            let word = item.word(reader, words, name)?;
            match exception(word) {
                Some(quirk) => item.refuse(
                    reader,
                    format!(
                        "{} is an exception: wanted {quirk} = true in [quirks]",
                        name(word)
                    ),
                ),
                None => Some(word),
            }
        })
}
