//! The CSR of a file.

use std::path::Path;

use assay_console::failure::{Exit, Failure, OrFail, Outcome};
use assay_console::files;
use assay_scep::{Csr, Limits};

/// Largest file of a request or certificate: some hundred times what a device sends.
const MAX_FILE: usize = 1024 * 1024;
/// RFC 7468 section 7; the older label is in use too.
const LABELS: [&str; 2] = ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"];

/// Reads a CSR whose signature is its key's: the signer looks at no other.
pub(super) fn read(path: &Path) -> Outcome<Csr> {
    let der = der(path, &LABELS)?;
    let csr = Csr::parse(&der, &Limits::default())
        .or_usage(format!("{} is no CSR that is taken", path.display()))
        .map_err(|failure| failure.next("give a PKCS#10 request in PEM or DER"))?;
    csr.verify_proof_of_possession()
        .or_usage(format!(
            "{}: the signer refuses it before any rule of the policy",
            path.display()
        ))
        .map_err(|failure| failure.next("make the CSR again with the device's own key"))?;
    Ok(csr)
}

/// DER, or the first PEM block with one of these labels.
pub(super) fn der(path: &Path, labels: &[&str]) -> Outcome<Vec<u8>> {
    let bytes = files::read(path).map_err(|failure| failure.with_exit(Exit::Usage))?;
    if bytes.len() > MAX_FILE {
        return Err(Failure::usage(format!(
            "{} is longer than {} KiB",
            path.display(),
            MAX_FILE >> 10
        )));
    }
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return Ok(bytes);
    };
    if !text.contains("-----BEGIN ") {
        return Ok(bytes);
    }
    let block = labels.iter().find_map(|label| block(text, label));
    let Some(block) = block else {
        return Err(Failure::usage(format!(
            "{} has no PEM block {}",
            path.display(),
            labels.join(" or ")
        )));
    };
    openssl::base64::decode_block(&block)
        .or_usage(format!("{}: the PEM block is not base64", path.display()))
}

/// The base64 between the two lines of a label, without line breaks.
fn block(text: &str, label: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    Some(body.split_whitespace().collect())
}
