//! The certificates that devices are given to talk to the CA.

use anyhow::Result;
use assay_tests::certificate::Judges;
use assay_tests::installation::Installation;

const KEY_USAGE: &str = "X509v3 Key Usage: critical";

/// RFC 8894 section 2.1.2: clients look at the usages to tell whom to encrypt to and whose signature to expect.
#[tokio::test]
async fn each_certificate_allows_what_its_key_is_for_and_no_more() -> Result<()> {
    let installation = Installation::start().await?;
    let ready = installation.ready();
    let judges = Judges::of(&installation);
    for (file, usage) in [
        (&ready.ra_enc_pem, "Key Encipherment"),
        (&ready.ra_sign_pem, "Digital Signature"),
        (&ready.ca_pem, "Certificate Sign, CRL Sign"),
    ] {
        let described = judges.describe(file).await?;
        let found = described.extension(KEY_USAGE);
        assert_eq!(found, Some(usage), "{}", file.display());
    }
    Ok(())
}
