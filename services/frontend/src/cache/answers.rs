//! What the signer says that this tier may answer by itself, checked.

use std::collections::BTreeMap;
use std::sync::Arc;

use assay_ocsp::Issuer;
use assay_proto::v1::{OcspHash, OcspIssuer, ProfileInfo, PublicFile, PublicInfoReply};
use assay_scep_http::{
    CA_CERTIFICATE_TYPE, CA_RA_CERTIFICATES_TYPE, CAPABILITIES_TYPE, NEXT_CA_CERTIFICATE_TYPE,
};
use assay_types::CertIdHash;
use assay_types::MAX_CRL;
use hyper::body::Bytes;

use super::file::{File, FileError};
use crate::answer::Answer;
use crate::route::select;

/// More profiles than any installation has; bounds memory and the values of a metric's label.
const MAX_PROFILES: usize = 1_000;
/// A CA has a certificate, a CRL and at times their successors.
const MAX_FILES: usize = 64;
/// A CA, its predecessor and its successor, under two hash algorithms each, and some to spare.
const MAX_OCSP_ISSUERS: usize = 16;

/// All files together: the largest CRLs of the present CA and of the one that takes over, and their certificates.
const MAX_CONTENT: u64 = 2 * MAX_CRL as u64 + (4 << 20);

/// The content of files by its SHA-256.
pub(super) type Contents = BTreeMap<Vec<u8>, Bytes>;

/// The answers of all profiles, and what relying parties fetch.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) revision: String,
    pub(super) profiles: BTreeMap<Arc<str>, Arc<Profile>>,
    pub(super) default: Option<Arc<Profile>>,
    /// By path, without the leading slash.
    pub(super) files: BTreeMap<String, Arc<File>>,
    pub(super) contents: Contents,
    /// `None` without OCSP.
    pub(super) ocsp_issuers: Option<Arc<[Issuer]>>,
}

/// The answers of one profile.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) name: Arc<str>,
    pub(crate) capabilities: Answer,
    pub(crate) ca_certificates: Answer,
    /// The body of GetNextCACert while there is a next CA.
    pub(crate) next_ca_certificates: Option<Answer>,
}

/// Why the signer's public answers are not taken over.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnswersError {
    #[error("more than {MAX_PROFILES} profiles")]
    TooMany,
    #[error("profile `{0}` has another content type than RFC 8894 allows for GetCACert")]
    ContentType(String),
    #[error("several default profiles")]
    SeveralDefaults,
    #[error("more than {MAX_FILES} files")]
    TooManyFiles,
    #[error("more than {MAX_OCSP_ISSUERS} issuers of OCSP")]
    TooManyIssuers,
    #[error("an issuer of OCSP has a hash algorithm other than SHA-1 and SHA-256")]
    OcspHash,
    #[error("file `{0}` lies at a path of SCEP or OCSP")]
    ScepPath(String),
    #[error("the files have more than {MAX_CONTENT} bytes together")]
    TooLarge,
    #[error("the content of file `{0}` is missing")]
    NoContent(String),
    #[error("file `{path}` cannot be served")]
    File {
        path: String,
        #[source]
        source: FileError,
    },
}

/// Checks the files before any content is asked for.
pub(super) fn check_files(files: &[PublicFile]) -> Result<(), AnswersError> {
    if files.len() > MAX_FILES {
        return Err(AnswersError::TooManyFiles);
    }
    let sizes = files.iter().map(|file| file.size);
    let sum = sizes.fold(0_u64, u64::saturating_add);
    if sum > MAX_CONTENT {
        return Err(AnswersError::TooLarge);
    }
    Ok(())
}

impl Answers {
    /// The signer's answer, with the content of each file.
    pub(super) fn new(reply: PublicInfoReply, contents: Contents) -> Result<Self, AnswersError> {
        let PublicInfoReply {
            revision,
            profiles,
            files,
            ocsp_issuers,
        } = reply;
        if profiles.len() > MAX_PROFILES {
            return Err(AnswersError::TooMany);
        }
        check_files(&files)?;
        if ocsp_issuers.len() > MAX_OCSP_ISSUERS {
            return Err(AnswersError::TooManyIssuers);
        }
        let mut answers = Self {
            revision,
            ..Self::default()
        };
        if !ocsp_issuers.is_empty() {
            let issuers: Result<Arc<[Issuer]>, _> = ocsp_issuers.into_iter().map(issuer).collect();
            answers.ocsp_issuers = Some(issuers?);
        }
        for info in profiles {
            let is_default = info.is_default;
            let profile = Arc::new(Profile::try_from(info)?);
            if is_default && answers.default.replace(Arc::clone(&profile)).is_some() {
                return Err(AnswersError::SeveralDefaults);
            }
            answers.profiles.insert(Arc::clone(&profile.name), profile);
        }
        for public in files {
            let path = public.path.clone();
            let paths: Vec<_> = std::iter::once(&path)
                .chain(&public.further_paths)
                .cloned()
                .collect();
            let content = contents.get(&public.sha256).cloned();
            let content = content.ok_or_else(|| AnswersError::NoContent(path.clone()))?;
            let file = File::new(public, content);
            let file = Arc::new(file.map_err(|source| AnswersError::File { path, source })?);
            for path in paths {
                let whole = format!("/{path}");
                if select(&whole).is_some() || crate::ocsp::path(&whole).is_some() {
                    return Err(AnswersError::ScepPath(path));
                }
                answers.files.insert(path, Arc::clone(&file));
            }
            if answers.files.len() > MAX_FILES {
                return Err(AnswersError::TooManyFiles);
            }
        }
        answers.contents = contents;
        Ok(answers)
    }
}

fn issuer(issuer: OcspIssuer) -> Result<Issuer, AnswersError> {
    let hash = match issuer.hash() {
        OcspHash::Sha1 => CertIdHash::Sha1,
        OcspHash::Sha256 => CertIdHash::Sha256,
        OcspHash::Unspecified => return Err(AnswersError::OcspHash),
    };
    let OcspIssuer {
        hash: _,
        name_hash,
        key_hash,
    } = issuer;
    Ok(Issuer {
        hash,
        name_hash,
        key_hash,
    })
}

impl TryFrom<ProfileInfo> for Profile {
    type Error = AnswersError;

    fn try_from(info: ProfileInfo) -> Result<Self, AnswersError> {
        let ProfileInfo {
            profile,
            capabilities,
            ca_certificates,
            ca_certificates_type,
            is_default: _,
            next_ca_certificates,
        } = info;
        let content_type = [CA_CERTIFICATE_TYPE, CA_RA_CERTIFICATES_TYPE]
            .into_iter()
            .find(|known| *known == ca_certificates_type)
            .ok_or_else(|| AnswersError::ContentType(profile.clone()))?;
        Ok(Self {
            name: profile.into(),
            capabilities: Answer {
                body: Bytes::from(capabilities),
                content_type: CAPABILITIES_TYPE,
            },
            ca_certificates: Answer {
                body: Bytes::from(ca_certificates),
                content_type,
            },
            next_ca_certificates: (!next_ca_certificates.is_empty()).then(|| Answer {
                body: Bytes::from(next_ca_certificates),
                content_type: NEXT_CA_CERTIFICATE_TYPE,
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use assay_types::Timestamp;

    use super::*;

    fn info(content_type: &str, is_default: bool) -> ProfileInfo {
        ProfileInfo {
            profile: "devices".to_owned(),
            capabilities: "AES\n".to_owned(),
            ca_certificates: vec![0x30],
            ca_certificates_type: content_type.to_owned(),
            is_default,
            next_ca_certificates: Vec::new(),
        }
    }

    fn reply(profiles: Vec<ProfileInfo>) -> PublicInfoReply {
        PublicInfoReply {
            revision: "1".to_owned(),
            profiles,
            files: Vec::new(),
            ocsp_issuers: Vec::new(),
        }
    }

    #[test]
    fn a_file_never_takes_a_path_of_scep() {
        let file = |path: &str| PublicFile {
            path: path.to_owned(),
            content_type: "application/pkix-crl".to_owned(),
            sha256: vec![1; 32],
            size: 1,
            max_age_seconds: 60,
            last_modified: Some(Timestamp::from_seconds(1_700_000_000).into()),
            further_paths: vec!["crl/other.crl".to_owned()],
        };
        let with = |path| PublicInfoReply {
            files: vec![file(path)],
            ..reply(Vec::new())
        };
        let contents = || Contents::from([(vec![1; 32], Bytes::from_static(b"0"))]);
        let answers = Answers::new(with("crl/ca.crl"), contents()).unwrap();
        let paths: Vec<_> = answers.files.keys().collect();
        assert_eq!(paths, ["crl/ca.crl", "crl/other.crl"]);
        assert_eq!(
            Answers::new(with("scep/devices"), contents()).unwrap_err(),
            AnswersError::ScepPath("scep/devices".to_owned())
        );
        assert_eq!(
            Answers::new(with("crl/ca.crl"), Contents::new()).unwrap_err(),
            AnswersError::NoContent("crl/ca.crl".to_owned())
        );
    }

    #[test]
    fn only_the_content_types_of_the_rfc_are_taken_over() {
        let answers = Answers::new(
            reply(vec![info(CA_RA_CERTIFICATES_TYPE, true)]),
            Contents::new(),
        )
        .unwrap();
        assert_eq!(
            answers.default.unwrap().ca_certificates.content_type,
            CA_RA_CERTIFICATES_TYPE
        );
        let refused =
            Answers::new(reply(vec![info("text/html", true)]), Contents::new()).unwrap_err();
        assert_eq!(refused, AnswersError::ContentType("devices".to_owned()));
    }

    #[test]
    fn two_defaults_are_refused() {
        let two = vec![
            info(CA_CERTIFICATE_TYPE, true),
            info(CA_CERTIFICATE_TYPE, true),
        ];
        assert_eq!(
            Answers::new(reply(two), Contents::new()).unwrap_err(),
            AnswersError::SeveralDefaults
        );
    }
}
