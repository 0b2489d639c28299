//! The same questions to GnuTLS.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use openssl::x509::X509;

use crate::judge::{Holder, Judge, Powers};

/// Whether GnuTLS reads these certificates, and each as that of an end entity of one of the forms.
pub(crate) fn are_leaves(dir: &Path, certificates: &[X509]) -> bool {
    let bundle: Vec<Vec<u8>> = certificates
        .iter()
        .map(|one| one.to_pem().unwrap())
        .collect();
    let path = write(dir, "leaves.pem", &bundle.concat());
    let said = certtool(&["--certificate-info", "--infile"], &path);
    let texts: Vec<&str> = said
        .1
        .split("X.509 Certificate Information:")
        .skip(1)
        .collect();
    assert_eq!(texts.len(), certificates.len(), "{}", said.1);
    texts.iter().all(|text| {
        let has = |what: &str| text.contains(what);
        let purposes = text.matches("TLS WWW").count();
        let usages = [
            "Certificate signing",
            "CRL signing",
            "Certificate Authority (CA): TRUE",
            "OCSP signing",
            "Any purpose",
        ];
        purposes == 1
            && has("Digital signature")
            && has("Version: 3")
            && !usages.into_iter().any(has)
    })
}

/// The powers of a holder by GnuTLS: with its own certificate as the trusted one for CRLs, which it finds no path for.
pub(crate) fn powers(dir: &Path, judge: &Judge<'_>, holder: &Holder) -> Powers {
    let own = holder.certificate.to_pem().unwrap();
    let chain = [judge.issued_by(holder).to_pem().unwrap(), own.clone()].concat();
    let chain = write(dir, "chain.pem", &chain);
    let ca = dir.join("ca.pem");
    let ca = ca.to_str().unwrap();
    let issues = certtool(
        &["--verify", "--load-ca-certificate", ca, "--infile"],
        &chain,
    );
    let name = holder.certificate.subject_name().to_der().unwrap();
    let list = judge.list_by(&name, &holder.key).to_pem().unwrap();
    let list = write(dir, "list.pem", &list);
    let own = write(dir, "own.pem", &own);
    let own = own.to_str().unwrap();
    let revokes = certtool(
        &["--verify-crl", "--load-ca-certificate", own, "--infile"],
        &list,
    );
    let response = write(dir, "response.der", &judge.response_by(holder));
    let answers = Command::new("ocsptool")
        .args(["--verify-response", "--load-trust", ca, "--load-response"])
        .arg(&response)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&answers.stdout).into_owned();
    Powers {
        issues: issues.0,
        revokes: revokes.0,
        answers: answers.status.success() && said.contains("Success"),
    }
}

/// Whether it verified something, and its standard output.
fn certtool(arguments: &[&str], file: &Path) -> (bool, String) {
    let output = Command::new("certtool")
        .args(arguments)
        .arg(file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let is_trusted = said.contains("Verified. The certificate is trusted.");
    (output.status.success() && is_trusted, said)
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, bytes).unwrap();
    path
}
