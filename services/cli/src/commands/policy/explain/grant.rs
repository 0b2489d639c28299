//! What authorises the request, as the command line says.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use assay_console::failure::{Failure, OrFail, Outcome};
use assay_console::files;
use assay_decision::read_grant;
use assay_policy::{
    ClaimedNames, Dn, Grant, InventoryEntry, Profile, PublicKeyFacts, Renewed, SubjectAltName,
};
use assay_types::Hash;
use clap::Args;
use der::{Decode, Encode};
use x509_cert::Certificate;
use x509_cert::ext::pkix::SubjectAltName as SanExtension;

use super::request;

/// How a challenge of the command line is named in a refusal.
const GIVEN: &str = "given";

#[derive(Debug, Args)]
#[command(next_help_heading = "What authorises the request [default: nothing]")]
pub(super) struct GrantArgs {
    /// The grant of a record's evidence, JSON: an object with `source` and `claims`
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["challenge_subject", "challenge_sans", "renewal_of", "inventory_name"]
    )]
    grant: Option<PathBuf>,

    /// A one-time challenge for this subject, RFC 4514, most specific first; '' for none
    #[arg(long, value_name = "DN", value_parser = Dn::parse_rfc4514, conflicts_with_all = ["renewal_of", "inventory_name"])]
    challenge_subject: Option<Dn>,

    /// and for this subject alternative name: dns:, ip:, email:, uri:, upn: or other:; repeat for more
    #[arg(
        long = "challenge-san",
        value_name = "TYPE:VALUE",
        requires = "challenge_subject"
    )]
    challenge_sans: Vec<SubjectAltName>,

    /// A renewal of this certificate, PEM or DER
    #[arg(long, value_name = "CERT")]
    renewal_of: Option<PathBuf>,

    /// It was renewed before, by the certificate with this serial number, hex
    #[arg(long, value_name = "SERIAL", requires = "renewal_of")]
    renewed_by: Option<String>,

    /// The profile that it was issued under, or that the challenge was issued for [default: the one that decides]
    #[arg(long, value_name = "NAME")]
    issued_profile: Option<String>,

    /// A static challenge, or with --renewal-of a renewal, with this name in the profile's inventory
    #[arg(long, value_name = "NAME")]
    inventory_name: Option<String>,

    /// SHA-256 of the SubjectPublicKeyInfo that the inventory pins for the name, hex
    #[arg(long, value_name = "HEX", requires = "inventory_name")]
    pinned_key: Option<Hash>,

    /// The name had its certificate under the static challenge already
    #[arg(long, requires = "inventory_name")]
    already_issued: bool,
}

impl GrantArgs {
    pub(super) fn read(&self, profile: &Profile, now: SystemTime) -> Outcome<Option<Grant>> {
        if let Some(path) = &self.grant {
            return grant(path).map(Some);
        }
        let issued_profile = match &self.issued_profile {
            Some(name) => name.clone(),
            None => profile.name().to_string(),
        };
        if let Some(path) = &self.renewal_of {
            let successor = self.renewed_by.clone();
            return renewal(path, successor, issued_profile, self.entry()).map(Some);
        }
        if let Some(subject) = &self.challenge_subject {
            let names = ClaimedNames {
                subject: subject.clone(),
                sans: self.challenge_sans.clone(),
            };
            let expires = now
                .checked_add(profile.challenge_ttl_max())
                .ok_or_else(|| Failure::usage("the time is out of reach"))?;
            let grant = Grant::one_time(GIVEN.to_owned(), issued_profile, names, expires);
            return Ok(Some(grant));
        }
        let entry = self.entry();
        Ok(entry.map(|entry| Grant::shared(GIVEN.to_owned(), issued_profile, Some(entry))))
    }

    fn entry(&self) -> Option<InventoryEntry> {
        self.inventory_name.as_ref().map(|name| InventoryEntry {
            name: name.clone(),
            spki_sha256: self.pinned_key,
            already_issued: self.already_issued,
        })
    }
}

fn grant(path: &Path) -> Outcome<Grant> {
    let hint = "give the `grant` of a line of evidence, such as {\"source\": {\"kind\": \"one-time\", \"id\": \"c-1\"}, \
        \"claims\": {\"profile\": \"wifi\", \"names\": {\"subject\": \"CN=sn-17,O=Example\", \
        \"sans\": [\"dns:sn-17.example.org\"]}, \"expires\": 1795305660}}";
    read_grant(&files::read(path)?)
        .or_usage(format!("{} does not hold a grant", path.display()))
        .map_err(|failure| failure.next(hint))
}

/// What the issued index would say of a certificate: its names are those that it has.
fn renewal(
    path: &Path,
    successor: Option<String>,
    profile: String,
    inventory: Option<InventoryEntry>,
) -> Outcome<Grant> {
    let der = request::der(path, &["CERTIFICATE"])?;
    let unfit = |what: &str| format!("{}: {what}", path.display());
    let certificate = Certificate::from_der(&der).or_usage(unfit("no certificate"))?;
    let tbs = certificate.tbs_certificate();
    let spki = tbs
        .subject_public_key_info()
        .to_der()
        .or_usage(unfit("its key cannot be read"))?;
    let sans = tbs
        .get_extension::<SanExtension>()
        .or_usage(unfit("its subjectAltName cannot be read"))?;
    let sans = match sans {
        Some((_, names)) => {
            let der = names
                .to_der()
                .or_usage(unfit("its subjectAltName cannot be read"))?;
            SubjectAltName::list_from_der(&der).or_usage(unfit("its subjectAltName"))?
        }
        None => Vec::new(),
    };
    let renewed = Renewed {
        serial: hex::encode(tbs.serial_number().as_bytes()),
        spki_sha256: PublicKeyFacts::from_spki(&spki).spki_sha256(),
        successor,
    };
    let names = ClaimedNames {
        subject: Dn::from_name(tbs.subject()).or_usage(unfit("its subject is none of ours"))?,
        sans,
    };
    let not_after = UNIX_EPOCH + tbs.validity().not_after.to_unix_duration();
    Ok(Grant::renewal(
        renewed, profile, names, not_after, inventory,
    ))
}
