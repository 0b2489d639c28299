//! The same questions to GnuTLS.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use openssl::x509::{X509, X509Crl};

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

/// GnuTLS says this of a CRL of the CA, and of one of the near future, of which [`Judge`] says how near it must be.
const CRL_VERDICTS: [&str; 2] = [
    "Verified. The certificate is trusted.",
    "Not verified. The certificate is NOT trusted. The revocation or OCSP data are issued with a future date.",
];

/// Why GnuTLS does not read this as a CRL of the CA that lists the serial number and has no further extension.
pub(crate) fn fault_of_list(dir: &Path, list: &[u8], serial: &[u8]) -> Option<String> {
    let pem = X509Crl::from_der(list).unwrap().to_pem().unwrap();
    let file = write(dir, "one-list.pem", &pem);
    let ca = dir.join("ca.pem");
    let ca = ca.to_str().unwrap();
    let (_, said) = certtool(
        &["--verify-crl", "--load-ca-certificate", ca, "--infile"],
        &file,
    );
    let (text, verdict) = said.split_once("Verification output:").unwrap_or_default();
    let verdict: Vec<&str> = verdict.split_whitespace().collect();
    let extensions = text
        .lines()
        .filter_map(|line| line.split_once(" (not critical):"));
    let mut extensions: Vec<&str> = extensions.map(|(name, _)| name.trim()).collect();
    extensions.sort_unstable();
    let serial = format!("Serial Number (hex): {}\n", hex::encode(serial));
    let checks = [
        (
            CRL_VERDICTS.contains(&verdict.join(" ").as_str()),
            "its verdict",
        ),
        (text.contains("Version: 2\n"), "the version"),
        (
            extensions == ["Authority Key Identifier", "CRL Number"]
                && !text.contains("(critical)"),
            "the extensions",
        ),
        (text.contains(&serial), "the final entry"),
    ];
    let fault = checks.into_iter().find(|(holds, _)| !holds);
    fault.map(|(_, fault)| format!("{fault}: {said}"))
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
