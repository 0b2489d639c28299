//! A proposal on disk: `proposal.toml`, `author.p7s`, `approvals/NAME.p7s` and `files/*.toml`.

use std::path::{Path, PathBuf};

use assay_console::failure::{Failure, OrFail, Outcome};
use assay_console::files;
use assay_policy::{Bundle, PolicyFile, Proposal, sign_proposal};
use assay_proto::v1::PolicyProposal;
use clap::Args;
use openssl::pkey::{PKey, Private};
use openssl::x509::X509;

use super::files::load;

/// The directory of a proposal.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

/// A certificate and its key, both PEM.
#[derive(Clone, Debug, Args)]
pub(crate) struct Credential {
    /// Certificate that is pinned in signer.toml, PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate: PathBuf,

    /// Its private key, PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
}

impl Credential {
    pub(crate) fn sign(&self, proposal: &[u8]) -> Outcome<Vec<u8>> {
        let certificate = X509::from_pem(&files::read(&self.certificate)?).or_fail(format!(
            "{} holds no PEM certificate",
            self.certificate.display()
        ))?;
        let key: PKey<Private> = PKey::private_key_from_pem(&files::read(&self.key)?)
            .or_fail(format!("{} holds no PEM private key", self.key.display()))?;
        sign_proposal(proposal, &certificate, &key).or_fail(format!(
            "cannot sign with {} and {}",
            self.certificate.display(),
            self.key.display()
        ))
    }
}

impl Folder {
    pub(crate) fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Whether it looks like one: a directory of policy files may hold a profile named proposal.
    pub(super) fn is_proposal(&self) -> bool {
        self.text_file().is_file() && self.0.join("files").is_dir()
    }

    pub(super) fn text_file(&self) -> PathBuf {
        self.0.join("proposal.toml")
    }

    pub(super) fn approval_file(&self, name: &str) -> PathBuf {
        self.0.join("approvals").join(format!("{name}.p7s"))
    }

    /// Makes the directory, which must not exist, with the author's signature.
    pub(super) fn create(&self, policy: &[PolicyFile], text: &[u8], author: &[u8]) -> Outcome {
        files::make_new_dir(&self.0)?;
        let folder = self.0.join("files");
        files::make_dir(&folder)?;
        files::make_dir(&self.0.join("approvals"))?;
        for file in policy {
            files::create(&folder.join(&file.name), &file.content, files::PUBLIC)?;
        }
        files::create(&self.text_file(), text, files::PUBLIC)?;
        if author.is_empty() {
            return Ok(());
        }
        files::create(&self.0.join("author.p7s"), author, files::PUBLIC)
    }

    pub(super) fn text(&self) -> Outcome<Vec<u8>> {
        files::read(&self.text_file())
            .map_err(|failure| failure.next("name a directory that `assay policy propose` made"))
    }

    /// The proposal, its text, and files that are the ones it names.
    pub(super) fn read(&self) -> Outcome<(Proposal, Vec<u8>, Vec<PolicyFile>)> {
        let text = self.text()?;
        let proposal = Proposal::parse(&text).or_fail("the proposal cannot be read")?;
        let policy = self.files()?;
        let bundle = load(&policy)?;
        if bundle.file_hash() != proposal.files || bundle.model_hash() != proposal.model {
            return Err(Failure::failed(format!(
                "the files in {} are not those of the proposal",
                self.0.join("files").display()
            ))
            .next("propose the files again"));
        }
        Ok((proposal, text, policy))
    }

    /// As it goes to the signer, which judges it.
    pub(super) fn to_proto(&self) -> Outcome<PolicyProposal> {
        let author = self.0.join("author.p7s");
        Ok(PolicyProposal {
            files: self
                .files()?
                .into_iter()
                .map(|file| assay_proto::v1::PolicyFile {
                    name: file.name,
                    content: file.content,
                })
                .collect(),
            proposal: self.text()?,
            author_signature: files::read(&author)?,
            approvals: self
                .approvals()?
                .iter()
                .map(|path| files::read(path))
                .collect::<Outcome<_>>()?,
        })
    }

    pub(super) fn files(&self) -> Outcome<Vec<PolicyFile>> {
        let folder = self.0.join("files");
        Bundle::read_dir(&folder).or_fail(format!("cannot read {}", folder.display()))
    }

    /// By name, so that the signer's "approval 2" can be found.
    pub(super) fn approvals(&self) -> Outcome<Vec<PathBuf>> {
        let folder = self.0.join("approvals");
        let what = || format!("cannot read {}", folder.display());
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&folder).or_fail(what())? {
            let path = entry.or_fail(what())?.path();
            if path.extension().is_some_and(|extension| extension == "p7s") {
                found.push(path);
            }
        }
        found.sort();
        Ok(found)
    }
}
