//! Whether a CRL shows a change. The signer says so, and that is not enough: the newest list is fetched and judged here.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, SystemTime};

use assay_console::failure::{Failure, Next, OrFail, Outcome};
use assay_operator::admin::Admin;
use assay_operator::installation::Installation;
use assay_proto::v1::GetCrlRequest;
use assay_proto::v1::administration_client::AdministrationClient;
use assay_types::{MAX_CRL, Serial, Timestamp};
use der::Decode;
use der::oid::AssociatedOid;
use openssl::x509::{X509, X509Crl};
use x509_cert::crl::CertificateList;
use x509_cert::ext::pkix::CrlNumber;

/// How much the clock of this machine may differ from the signer's.
const SKEW: Duration = Duration::from_secs(5 * 60);
/// Most CAs that an installation has certificates of.
const MAX_CAS: usize = 64;

/// Whether a list must have a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Listed,
    /// By a list that is not older than this. Lists from before the hold do not have it either.
    Absent {
        since: Timestamp,
    },
}

/// Why a list does not show a change.
#[derive(Debug, PartialEq, Eq)]
enum Unseen {
    TooLong(usize),
    Malformed,
    Signature,
    Ended(Timestamp),
    Number { found: Option<u64>, told: u64 },
    NotListed,
    StillListed,
    Old(Timestamp),
}

impl std::fmt::Display for Unseen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong(length) => write!(f, "the CRL has {length} bytes, more than {MAX_CRL}"),
            Self::Malformed => f.write_str("the signer sent something that is not a CRL"),
            Self::Signature => f.write_str(
                "no ca.pem below certificates/ has the key that signed the CRL of the signer",
            ),
            Self::Ended(at) => write!(f, "the newest CRL ended {at}"),
            Self::Number { found, told } => {
                let found = found.map_or("none".to_owned(), |found| found.to_string());
                write!(
                    f,
                    "the newest CRL has the number {found}, and the signer named {told}"
                )
            }
            Self::NotListed => f.write_str("the newest CRL does not list the certificate"),
            Self::StillListed => f.write_str("the newest CRL still lists the certificate"),
            Self::Old(at) => write!(f, "the newest CRL is of {at}, before the change"),
        }
    }
}

/// The certificates of the CAs of this installation, as the operator has them.
fn cas(installation: &Installation) -> Outcome<Vec<X509>> {
    let directory = installation.certificates();
    let what = || format!("cannot read the CA certificates in {}", directory.display());
    let hint = "put the certificate of the CA there as ca.pem, that of another CA into a directory below it; the ceremony writes both";
    let mut files = vec![directory.join("ca.pem")];
    for entry in fs::read_dir(&directory).or_usage(what()).next(hint)? {
        files.push(entry.or_usage(what())?.path().join("ca.pem"));
    }
    let mut cas = Vec::new();
    for file in files.iter().filter(|file| file.is_file()).take(MAX_CAS) {
        let pem = fs::read(file).or_usage(what())?;
        cas.push(X509::from_pem(&pem).or_usage(what())?);
    }
    if cas.is_empty() {
        return Err(Failure::usage(what()).next(hint));
    }
    Ok(cas)
}

/// Which of these certificates the newest CRL shows as they should be.
struct List(CertificateList);

impl List {
    fn open(der: &[u8], cas: &[X509], told: u64, now: Timestamp) -> Result<Self, Unseen> {
        if der.len() > MAX_CRL {
            return Err(Unseen::TooLong(der.len()));
        }
        let crl = X509Crl::from_der(der).map_err(|_| Unseen::Malformed)?;
        let signed = cas.iter().any(|ca| {
            let key = ca.public_key();
            key.is_ok_and(|key| crl.verify(&key).unwrap_or(false))
        });
        if !signed {
            return Err(Unseen::Signature);
        }
        drop(crl);
        let list = Self(CertificateList::from_der(der).map_err(|_| Unseen::Malformed)?);
        let found = list.number();
        // A newer list, which somebody else's change led to, shows this one as well.
        if found.is_none_or(|found| found < told) {
            return Err(Unseen::Number { found, told });
        }
        let end = list.0.tbs_cert_list.next_update;
        let end = end.map_or(Timestamp::LAST, |end| end.to_system_time().into());
        if end + SKEW < now {
            return Err(Unseen::Ended(end));
        }
        Ok(list)
    }

    fn number(&self) -> Option<u64> {
        let extensions = self.0.tbs_cert_list.crl_extensions.as_deref();
        let mut extensions = extensions.unwrap_or_default().iter();
        let found = extensions.find(|extension| extension.extn_id == CrlNumber::OID)?;
        u64::from_der(found.extn_value.as_bytes()).ok()
    }

    fn serials(&self) -> BTreeSet<Serial> {
        let revoked = self.0.tbs_cert_list.revoked_certificates.iter().flatten();
        let serials = revoked.map(|entry| Serial::try_from(entry.serial_number.as_bytes()));
        serials.filter_map(Result::ok).collect()
    }

    fn shows(&self, serial: &Serial, wanted: Wanted) -> Result<(), Unseen> {
        let is_listed = self.serials().contains(serial);
        let at: Timestamp = self.0.tbs_cert_list.this_update.to_system_time().into();
        match wanted {
            Wanted::Listed if is_listed => Ok(()),
            Wanted::Listed => Err(Unseen::NotListed),
            Wanted::Absent { .. } if is_listed => Err(Unseen::StillListed),
            Wanted::Absent { since } if at + SKEW < since => Err(Unseen::Old(at)),
            Wanted::Absent { .. } => Ok(()),
        }
    }
}

async fn fetch(admin: &mut Admin, serial: &Serial) -> Outcome<Vec<u8>> {
    let request = GetCrlRequest {
        serial: serial.to_string(),
    };
    let call = AdministrationClient::get_crl;
    Ok(admin.call(request, call).await?.crl)
}

fn unpublished(serial: &Serial, why: impl std::fmt::Display) -> Failure {
    Failure::failed(format!(
        "the change of {serial} is recorded and not yet published: {why}"
    ))
    .next("`assay cert show` tells its state; repeat the command to have a CRL signed. One that has expired is on no CRL")
}

fn unchecked(failure: &Failure) -> Failure {
    Failure::failed(format!(
        "the change is recorded, and whether a CRL shows it cannot be checked: {failure}"
    ))
    .next("put ca.pem of each CA below certificates/, and repeat the command")
}

/// The change is on the newest CRL, which is not older than the one that the signer named.
pub(super) async fn check(
    admin: &mut Admin,
    installation: &Installation,
    serial: &Serial,
    told: u64,
    wanted: Wanted,
) -> Outcome {
    let cas = cas(installation).map_err(|failure| unchecked(&failure))?;
    let der = fetch(admin, serial).await;
    let der = der.map_err(|failure| unpublished(serial, failure))?;
    let list = List::open(&der, &cas, told, SystemTime::now().into());
    let shown = list.and_then(|list| list.shows(serial, wanted));
    shown.map_err(|why| unpublished(serial, why))
}

/// All of these are on the newest CRL of their CA.
pub(super) async fn all_listed(
    admin: &mut Admin,
    installation: &Installation,
    mut revoked: BTreeSet<(Serial, u64)>,
) -> Outcome {
    let cas = cas(installation).map_err(|failure| unchecked(&failure))?;
    // One turn for each CA: each takes off what its list has, which is one at least.
    while let Some((serial, told)) = revoked.pop_first() {
        let der = fetch(admin, &serial).await;
        let der = der.map_err(|failure| unpublished(&serial, failure))?;
        let list = List::open(&der, &cas, told, SystemTime::now().into());
        let list = list.map_err(|why| unpublished(&serial, why))?;
        let listed = list.serials();
        if !listed.contains(&serial) {
            return Err(unpublished(&serial, Unseen::NotListed));
        }
        let number = list.number().unwrap_or_default();
        revoked.retain(|(serial, told)| *told > number || !listed.contains(serial));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    use openssl::asn1::Asn1Time;
    use openssl::hash::MessageDigest;
    use openssl::pkey::{PKey, Private};
    use openssl::sign::Signer;
    use openssl::x509::X509NameBuilder;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
    const DAY: Duration = Duration::from_secs(86_400);

    struct Ca {
        key: PKey<Private>,
        certificate: X509,
    }

    impl Ca {
        fn new() -> Self {
            let key = PKey::generate_ed25519().unwrap();
            let mut builder = X509::builder().unwrap();
            let mut name = X509NameBuilder::new().unwrap();
            name.append_entry_by_text("CN", "CA").unwrap();
            builder.set_subject_name(&name.build()).unwrap();
            builder.set_pubkey(&key).unwrap();
            let end = Asn1Time::days_from_now(1).unwrap();
            builder.set_not_after(&end).unwrap();
            builder.sign(&key, MessageDigest::null()).unwrap();
            let certificate = builder.build();
            Self { key, certificate }
        }

        /// A list of this number and day with these serial numbers.
        fn crl(&self, number: u8, at: Timestamp, serials: &[u8]) -> Vec<u8> {
            let sequence = |content: &[u8]| tlv(0x30, content);
            let time = |at: Timestamp| {
                let digits = at.to_string();
                let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
                tlv(0x17, format!("{}Z", &digits[2..]).as_bytes())
            };
            let algorithm = sequence(&[6, 3, 0x2b, 0x65, 0x70]);
            let entry = |serial: &u8| sequence(&[tlv(2, &[*serial]), time(at)].concat());
            let entries: Vec<u8> = serials.iter().flat_map(entry).collect();
            let entries = match serials {
                [] => Vec::new(),
                _ => sequence(&entries),
            };
            let number = [&[6, 3, 0x55, 0x1d, 20][..], &tlv(4, &tlv(2, &[number]))].concat();
            let extensions = tlv(0xa0, &sequence(&sequence(&number)));
            let name = self.certificate.subject_name().to_der().unwrap();
            let tbs = [
                &[2, 1, 1][..],
                &algorithm,
                &name,
                &time(at),
                &time(at + DAY),
                &entries,
                &extensions,
            ];
            let tbs = sequence(&tbs.concat());
            let mut signer = Signer::new_without_digest(&self.key).unwrap();
            let signature = signer.sign_oneshot_to_vec(&tbs).unwrap();
            let signature = tlv(3, &[&[0][..], &signature].concat());
            sequence(&[tbs, algorithm, signature].concat())
        }
    }

    fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        [&assay_types::der_header(tag, content.len()), content].concat()
    }

    fn serial(octet: u8) -> Serial {
        Serial::try_from([octet].as_slice()).unwrap()
    }

    #[test]
    fn a_signer_that_says_what_no_list_shows_is_found() {
        let ca = Ca::new();
        let cas = [Ca::new().certificate, ca.certificate.clone()];
        let shown = |der: &[u8], told, wanted| {
            let list = List::open(der, &cas, told, NOW)?;
            list.shows(&serial(5), wanted)
        };
        let since = NOW;
        let (listed, absent) = (Wanted::Listed, Wanted::Absent { since });
        let with = ca.crl(7, NOW, &[4, 5]);
        let without = ca.crl(8, NOW, &[4]);
        assert_eq!(shown(&with, 7, listed), Ok(()));
        assert_eq!(shown(&without, 7, absent), Ok(()));
        assert_eq!(shown(&ca.crl(8, NOW, &[]), 8, absent), Ok(()));
        // It names a change that the list does not have.
        assert_eq!(shown(&without, 8, listed), Err(Unseen::NotListed));
        assert_eq!(shown(&with, 7, absent), Err(Unseen::StillListed));
        // It hands out an older list.
        let number = Unseen::Number {
            found: Some(7),
            told: 8,
        };
        assert_eq!(shown(&with, 8, listed), Err(number));
        let old = NOW - DAY / 2;
        let before = ca.crl(6, old, &[4]);
        assert_eq!(shown(&before, 6, absent), Err(Unseen::Old(old)));
        let ended = NOW - DAY * 3;
        let before = ca.crl(6, ended, &[5]);
        assert_eq!(shown(&before, 6, listed), Err(Unseen::Ended(ended + DAY)));
        // It signs a list with another key, alters one, or sends none.
        let strange = Ca::new().crl(7, NOW, &[5]);
        assert_eq!(shown(&strange, 7, listed), Err(Unseen::Signature));
        let mut altered = ca.crl(7, NOW, &[4]);
        let at = altered.windows(3).position(|it| it == [2, 1, 4]).unwrap();
        altered[at + 2] = 5;
        assert_eq!(shown(&altered, 7, listed), Err(Unseen::Signature));
        assert_eq!(shown(b"", 0, listed), Err(Unseen::Malformed));
        let long = vec![0; MAX_CRL + 1];
        assert_eq!(shown(&long, 0, listed), Err(Unseen::TooLong(MAX_CRL + 1)));
    }
}
