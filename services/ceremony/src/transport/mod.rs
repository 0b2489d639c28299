//! `assay-ceremony transport`: the certificates with which the tiers know each other.
//!
//! Each tier is trusted through a bundle of its own, so that no frontend can pass for an operator. The anchor of a
//! run signs that run's certificates and is thrown away: no CA key is ever on disk.

mod identity;
mod import;
mod make;

use std::path::PathBuf;

use assay_runtime::identity::{Identity, Role};
use clap::Args;
use serde::Serialize;

use assay_console::failure::{Failure, OrFail, Outcome};
use assay_console::files;
use assay_console::output::{Column, Output};
use assay_operator::installation::Installation;

/// Name of the one signer, frontend and operator of an installation that names none.
pub(crate) const DEFAULT_NAME: &str = "main";
/// Stolen transport keys are of use until then.
const DEFAULT_DAYS: u32 = 90;

#[derive(Debug, Args)]
#[command(about = "Make, or import, the certificates with which the tiers know each other")]
#[command(long_about = "\
Makes a certificate and a key for each tier (identity: one URI SAN, assay://ROLE/NAME), and a bundle of trust anchors \
for each role. Without names: one of each, all called main. With names: just those, \
added to the bundles. The key that signs them lives for this run only. \
Or takes a certificate of another PKI with --import. Nothing is overwritten.")]
pub(crate) struct TransportArgs {
    /// Make a frontend's certificate; repeat for more
    #[arg(long = "frontend", value_name = "NAME", conflicts_with = "import")]
    frontends: Vec<String>,

    /// Make the signer's certificate
    #[arg(long = "signer", value_name = "NAME", conflicts_with = "import")]
    signers: Vec<String>,

    /// Make an operator's certificate; repeat for more
    #[arg(long = "operator", value_name = "NAME", conflicts_with = "import")]
    operators: Vec<String>,

    /// Make an approver's certificate, who may bring policy into force; repeat for more
    #[arg(long = "approver", value_name = "NAME", conflicts_with = "import")]
    approvers: Vec<String>,

    /// Make an auditor's certificate, who may read and export and nothing else; repeat for more
    #[arg(long = "auditor", value_name = "NAME", conflicts_with = "import")]
    auditors: Vec<String>,

    /// Days that they are valid
    #[arg(long, default_value_t = DEFAULT_DAYS, value_parser = clap::value_parser!(u32).range(1..=825))]
    days: u32,

    /// Take this foreign certificate (PEM, intermediates after it) for the identity in its URI SAN
    #[arg(long, value_name = "CERTIFICATE", requires_all = ["private_key", "trust_anchors"])]
    import: Option<PathBuf>,

    /// Private key of the imported certificate, PEM
    #[arg(long, value_name = "FILE", requires = "import")]
    private_key: Option<PathBuf>,

    /// Anchors of the imported certificate, PEM
    #[arg(long, value_name = "FILE", requires = "import")]
    trust_anchors: Option<PathBuf>,
}

pub(crate) fn run(args: &TransportArgs, installation: &Installation, out: Output) -> Outcome {
    let made = match (&args.import, &args.private_key, &args.trust_anchors) {
        (Some(certificate), Some(key), Some(anchors)) => {
            vec![import::import(installation, certificate, key, anchors)?]
        }
        (None, _, _) | (Some(_), None, _) | (Some(_), _, None) => {
            make::make(installation, &args.identities()?, args.days)?
        }
    };
    out.list(&made, COLUMNS)
}

fn default_identities() -> Outcome<Vec<Identity>> {
    Role::ALL
        .into_iter()
        .map(|role| Identity::new(role, DEFAULT_NAME).or_fail("no identity"))
        .collect()
}

impl TransportArgs {
    fn identities(&self) -> Outcome<Vec<Identity>> {
        let named: Vec<_> = [
            (Role::Frontend, &self.frontends),
            (Role::Signer, &self.signers),
            (Role::Operator, &self.operators),
            (Role::Approver, &self.approvers),
            (Role::Auditor, &self.auditors),
        ]
        .into_iter()
        .flat_map(|(role, names)| names.iter().map(move |name| (role, name)))
        .map(|(role, name)| {
            Identity::new(role, name.clone()).or_usage(format!("{name:?} is no {role} name"))
        })
        .collect::<Outcome<_>>()?;
        if named.is_empty() {
            return default_identities();
        }
        Ok(named)
    }
}

/// An identity with its files.
#[derive(Debug, Serialize)]
pub(super) struct Installed {
    identity: String,
    certificate: String,
    private_key: String,
    trust_anchors: String,
    not_after: String,
    sha256: String,
}

const COLUMNS: &[Column<Installed>] = &[
    ("IDENTITY", |made| made.identity.clone()),
    ("CERTIFICATE", |made| made.certificate.clone()),
    ("KEY", |made| made.private_key.clone()),
    ("TRUSTED THROUGH", |made| made.trust_anchors.clone()),
    ("NOT AFTER", |made| made.not_after.clone()),
];

/// People of all roles come by one listener, which knows them by one bundle.
fn anchors_of(role: Role) -> &'static str {
    match role {
        Role::Frontend => "anchors-frontends.pem",
        Role::Signer => "anchors-signers.pem",
        Role::Operator | Role::Approver | Role::Auditor => "anchors-operators.pem",
    }
}

/// Where an identity's files go: `ROLE.pem` for the first of its role, `ROLE-NAME.pem` for further ones.
struct Place {
    certificate: PathBuf,
    private_key: PathBuf,
    anchors: PathBuf,
}

impl Place {
    fn of(installation: &Installation, whose: &Identity) -> Outcome<Self> {
        let dir = installation.transport();
        let role = whose.role();
        let first = dir.join(format!("{role}.pem"));
        let stem = if first.exists() {
            identity::refuse_same(&first, whose)?;
            format!("{role}-{}", whose.name())
        } else {
            role.to_string()
        };
        let place = Self {
            certificate: dir.join(format!("{stem}.pem")),
            private_key: dir.join(format!("{stem}.key")),
            anchors: dir.join(anchors_of(role)),
        };
        for path in [&place.certificate, &place.private_key] {
            if path.exists() {
                return Err(Failure::failed(format!("{} exists", path.display())).next(
                    "nothing is overwritten: to renew, move the old certificate and key away first",
                ));
            }
        }
        Ok(place)
    }

    /// Writes the files; the anchor joins those that the bundle holds already.
    fn write(&self, certificate: &[u8], key: &[u8], anchors: &[u8]) -> Outcome {
        let mut bundle = if self.anchors.exists() {
            files::read(&self.anchors)?
        } else {
            Vec::new()
        };
        let known = bundle
            .windows(anchors.len().max(1))
            .any(|part| part == anchors);
        if !known {
            bundle.extend_from_slice(anchors);
            files::replace(&self.anchors, &bundle, files::PUBLIC)?;
        }
        files::create(&self.private_key, key, files::SECRET)?;
        files::create(&self.certificate, certificate, files::PUBLIC)
    }
}
