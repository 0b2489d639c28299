//! certmonger: its daemon, without a system bus, and its `scep-submit` helper.

use std::path::Path;

use anyhow::Result;
use assay_tests::audit::Record;
use assay_tests::device::{Anchors, Device};
use assay_tests::installation::{Installation, binary, pem};
use assay_tests::operator::Operator;
use assay_tests::tool::{Ran, command, existing, run};
use openssl::x509::X509;
use tokio::process::Command;

use crate::hold_to_policy;

const PACKAGE: &str = "certmonger";
const SCEP_SUBMIT: &str = "/usr/lib/certmonger/scep-submit";

/// Until the request is settled.
const WAIT: &str = "-w -v --wait-timeout=30";

/// What an administrator would type; the daemon runs it, with an environment of its own, and ends with it.
const REQUEST: &str = r#"
getcert add-scep-ca -c Assay -u "$url" || exit
getcert request $wait -I device -c Assay -N "$subject" -L "$challenge" \
    -f "$folder/device.pem" -k "$folder/device.key" $options
eval "$then"
getcert list
"#;

/// A request that an operator has to approve: certmonger waits for days before it asks again, unless it is told to.
const POLL: &str = r#"
await() {
    for look in $(seq 60); do
        getcert list | grep -q "status: $1" && return
        sleep 1
    done
}
await CA_WORKING
id=$($assay --json request list | sed -n "s/.*\"id\": *\"\([0-9a-f]*\)\".*/\1/p" | head -n 1)
$assay request approve "$id"
getcert refresh -i device
await MONITORING
"#;

#[tokio::test]
async fn the_daemon_enrols_a_device() -> Result<()> {
    let installation = Installation::start().await?;
    let challenge = installation
        .challenge("CN=printer-7,O=Example", &["dns:printer-7.example.com"])
        .await?;

    let ran = daemon(
        &installation,
        "O=Example,CN=printer-7",
        &challenge,
        "-D printer-7.example.com",
    )
    .await?;

    assert!(ran.all().contains("status: MONITORING"), "{}", ran.all());
    let certificate = installation.scratch().join("certmonger/device.pem");
    hold_to_policy(
        &installation,
        &certificate,
        "printer-7",
        &["printer-7.example.com"],
    )
    .await
}

/// `rekey` renews under the certificate that the daemon has; `resubmit` sends it the first request once more.
#[tokio::test]
async fn the_daemon_renews_over_a_new_key_and_resubmits() -> Result<()> {
    let installation = Installation::start().await?;
    let challenge = installation
        .challenge("CN=printer-7,O=Example", &[])
        .await?;
    let then = "cp $folder/device.pem $folder/first.pem; \
                getcert rekey -w -v --wait-timeout=30 -i device; \
                cp $folder/device.pem $folder/second.pem; \
                getcert resubmit -w -v --wait-timeout=30 -i device";
    let subject = "O=Example,CN=printer-7";
    let ran = daemon_then(&installation, "devices", subject, &challenge, "", then).await?;
    assert!(ran.all().contains("status: MONITORING"), "{}", ran.all());

    let folder = installation.scratch().join("certmonger");
    for file in ["first.pem", "second.pem", "device.pem"] {
        hold_to_policy(&installation, &folder.join(file), "printer-7", &[]).await?;
    }
    let key = |file| {
        X509::from_der(&pem(&folder.join(file))?)?
            .public_key()?
            .public_key_to_der()
            .map_err(anyhow::Error::from)
    };
    assert_ne!(key("first.pem")?, key("second.pem")?);
    assert_eq!(key("second.pem")?, key("device.pem")?);
    let records = Operator::connect(&installation.ready().dir)
        .await?
        .audit(0)
        .await?;
    let superseded = records
        .iter()
        .filter(|record| record.kind() == "certificate.superseded")
        .count();
    assert_eq!(superseded, 2, "{records:?}");
    Ok(())
}

#[tokio::test]
async fn the_daemon_comes_back_for_its_certificate_once_an_operator_approved() -> Result<()> {
    let installation = Installation::start().await?;
    let approval = "ticket = 'INTEROP-2'\n[approval]\nexpires = '1h'\n";
    installation
        .add_profile("approved", "devices", approval)
        .await?;
    let challenge = installation
        .challenge_of("approved", "CN=printer-7,O=Example")
        .await?;
    let subject = "O=Example,CN=printer-7";
    let ran = daemon_then(&installation, "approved", subject, &challenge, "", POLL).await?;
    assert!(ran.all().contains("status: MONITORING"), "{}", ran.all());
    let certificate = installation.scratch().join("certmonger/device.pem");
    hold_to_policy(&installation, &certificate, "printer-7", &[]).await?;
    let records = Operator::connect(&installation.ready().dir)
        .await?
        .audit(0)
        .await?;
    let of_printer: Vec<_> = records
        .iter()
        .filter(|record| record.text("profile") == "approved")
        .map(Record::kind)
        .filter(|kind| kind.starts_with("request."))
        .collect();
    assert_eq!(of_printer, ["request.pending", "request.issued"]);
    Ok(())
}

#[tokio::test]
async fn the_daemon_gets_no_certificate_for_another_name_than_its_challenges() -> Result<()> {
    let installation = Installation::start().await?;
    let challenge = installation
        .challenge("CN=printer-7,O=Example", &[])
        .await?;

    let ran = daemon(&installation, "O=Example,CN=printer-8", &challenge, "").await?;

    assert!(ran.all().contains("CA_REJECTED"), "{}", ran.all());
    assert!(
        !installation
            .scratch()
            .join("certmonger/device.pem")
            .exists()
    );
    let records = Operator::connect(&installation.ready().dir)
        .await?
        .audit(0)
        .await?;
    let refused = records
        .iter()
        .filter(|record| record.kind() == "request.refused")
        .count();
    assert_eq!(refused, 1, "{records:?}");
    Ok(())
}

#[tokio::test]
async fn the_helper_reads_capabilities_and_certificates_and_submits_a_message() -> Result<()> {
    let installation = Installation::start().await?;
    let ready = installation.ready();

    let capabilities = scep_submit(&installation, "-c", &[]).await?.text();
    for keyword in [
        "AES",
        "POSTPKIOperation",
        "SCEPStandard",
        "SHA-256",
        "SHA-384",
        "SHA-512",
    ] {
        assert!(
            capabilities.lines().any(|line| line == keyword),
            "{keyword}: {capabilities}"
        );
    }

    let certificates = scep_submit(&installation, "-C", &[]).await?.text();
    for file in [&ready.ra_enc_pem, &ready.ca_pem] {
        let pem = std::fs::read_to_string(file)?;
        assert!(
            certificates.contains(pem.trim()),
            "{} is missing: {certificates}",
            file.display()
        );
    }

    let challenge = installation
        .challenge("CN=scanner-3,O=Example", &[])
        .await?;
    let device = Device::new()?;
    let csr = device.csr("CN=scanner-3,O=Example", Some(&challenge), &[])?;
    let message = device.pkcs_req(&Anchors::of(&installation)?, &csr).await?;
    let file = installation.scratch().join("scanner.pkcs7");
    std::fs::write(&file, pkcs7_pem(&message.bytes))?;
    let envelope = scep_submit(&installation, "-p", &[&file]).await?;

    let certificate = open_envelope(&installation, &device, &envelope.stdout).await?;
    hold_to_policy(&installation, &certificate, "scanner-3", &[]).await
}

async fn daemon(
    installation: &Installation,
    subject: &str,
    challenge: &str,
    options: &str,
) -> Result<Ran> {
    daemon_then(installation, "devices", subject, challenge, options, "").await
}

/// As [`daemon`], and what the administrator does next.
pub(crate) async fn daemon_then(
    installation: &Installation,
    profile: &str,
    subject: &str,
    challenge: &str,
    options: &str,
    then: &str,
) -> Result<Ran> {
    let folder = installation.scratch().join("certmonger");
    for name in ["requests", "cas", "config", "tmp", "local"] {
        std::fs::create_dir_all(folder.join(name))?;
    }
    let script = folder.join("request.sh");
    // certmonger writes the RDNs into the CSR in the order of the argument.
    let assay = format!(
        "{} --dir {}",
        binary("assay")?.display(),
        installation.ready().dir.display()
    );
    let url = installation.url_of(profile)?;
    let values = [
        ("url", url.as_str()),
        ("assay", &assay),
        ("then", then),
        ("wait", if then == POLL { "" } else { WAIT }),
        ("subject", subject),
        ("challenge", challenge),
        ("folder", &folder.to_string_lossy()),
        ("options", options),
    ];
    let assignments: String = values
        .iter()
        .map(|(name, value)| format!("{name}='{value}'\n"))
        .collect();
    std::fs::write(&script, assignments + REQUEST)?;
    let mut daemon = command("certmonger", PACKAGE)?;
    daemon
        .args(["-L", "-n", "-d", "2", "-P"])
        .arg(folder.join("socket"));
    // Through sh: a file just written and still open in a process forked meanwhile cannot be executed.
    daemon
        .arg("-c")
        .arg(format!("/bin/sh {}", script.display()));
    daemon
        .env("CERTMONGER_REQUESTS_DIR", folder.join("requests"))
        .env("CERTMONGER_CAS_DIR", folder.join("cas"))
        .env("CERTMONGER_CONFIG_DIR", folder.join("config"))
        .env("CERTMONGER_LOCAL_CA_DIR", folder.join("local"))
        .env("CERTMONGER_TMPDIR", folder.join("tmp"))
        .env("CERTMONGER_SYSTEM_LOCK_FILE", folder.join("lock"));
    run(&mut daemon, &[]).await
}

async fn scep_submit(installation: &Installation, mode: &str, files: &[&Path]) -> Result<Ran> {
    let ready = installation.ready();
    let helper = existing(Path::new(SCEP_SUBMIT), PACKAGE)?;
    let mut helper = Command::new(helper);
    helper.args([mode, "-u", installation.url("devices")?]);
    helper
        .arg("-r")
        .arg(&ready.ra_sign_pem)
        .arg("-N")
        .arg(&ready.root_pem);
    helper.arg("-I").arg(&ready.ca_pem).args(files);
    run(&mut helper, &[]).await?.succeeded()
}

/// What the helper prints is the pkcsPKIEnvelope, for OpenSSL to open with the device's key.
async fn open_envelope(
    installation: &Installation,
    device: &Device,
    envelope: &[u8],
) -> Result<std::path::PathBuf> {
    let key = installation.scratch().join("scanner.key");
    std::fs::write(&key, device.private_key_pem()?)?;
    let mut decrypt = command("openssl", "openssl")?;
    decrypt
        .args(["cms", "-decrypt", "-inform", "PEM", "-inkey"])
        .arg(&key);
    let degenerate = run(&mut decrypt, &pem_armour("CMS", &payload(envelope)))
        .await?
        .succeeded()?;
    let mut list = command("openssl", "openssl")?;
    list.args(["pkcs7", "-inform", "DER", "-print_certs"]);
    let certificate = installation.scratch().join("scanner.pem");
    std::fs::write(
        &certificate,
        run(&mut list, &degenerate.stdout)
            .await?
            .succeeded()?
            .stdout,
    )?;
    Ok(certificate)
}

fn pkcs7_pem(der: &[u8]) -> Vec<u8> {
    use base64::Engine as _;
    pem_armour(
        "PKCS7",
        &base64::engine::general_purpose::STANDARD.encode(der),
    )
}

/// The base64 of a PEM file, on one line.
fn payload(pem: &[u8]) -> String {
    let text = String::from_utf8_lossy(pem);
    text.lines()
        .filter(|line| !line.starts_with("-----"))
        .collect()
}

fn pem_armour(label: &str, base64: &str) -> Vec<u8> {
    const COLUMNS: usize = 64;
    let mut pem = format!("-----BEGIN {label}-----\n").into_bytes();
    for line in base64.as_bytes().chunks(COLUMNS) {
        pem.extend_from_slice(line);
        pem.push(b'\n');
    }
    pem.extend(format!("-----END {label}-----\n").into_bytes());
    pem
}
