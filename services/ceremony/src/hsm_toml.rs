//! hsm.toml: what the HSM service needs to know of the keys. A ceremony writes it, and keeps its tables `[[ca]]` in step with
//! the CAs that it makes.

use assay_console::failure::{Failure, OrFail, Outcome};
use assay_console::{files, output};
use assay_operator::installation::Installation;
use assay_pkcs11::KeyRole;
use clap::Args;
use rustix::process::geteuid;
use toml_edit::{ArrayOfTables, DocumentMut, InlineTable, Item, Table};

use super::certify::{CA_FILE, RA};
use super::generation::Generation;
use super::layout::{self, quoted};
use super::ocsp;
use super::transcript::{Ca, Transcript};

/// The users of the two services.
#[derive(Clone, Debug, Args)]
pub(crate) struct Users {
    /// Configure signer and HSM service for one user, that of the ceremony: for trials only, as that user can read the PIN
    #[arg(long)]
    same_user: bool,

    /// The signer's user on the host of the HSM service, by name or number
    #[arg(
        long,
        value_name = "USER",
        default_value = "assay-signer",
        conflicts_with = "same_user"
    )]
    signer_user: String,

    /// The HSM service's user, by name or number
    #[arg(
        long,
        value_name = "USER",
        default_value = "assay-hsm",
        conflicts_with = "same_user"
    )]
    hsm_user: String,
}

impl Users {
    /// The signer's and the HSM service's, as TOML.
    fn toml(&self) -> (String, String) {
        if self.same_user {
            let own = geteuid().as_raw().to_string();
            (own.clone(), own)
        } else {
            (quoted(&self.signer_user), quoted(&self.hsm_user))
        }
    }

    /// The table of signer.toml.
    pub(super) fn signer_table(&self) -> String {
        let (_, hsm) = self.toml();
        format!("[hsm]\nsocket = {}\nuser = {hsm}\n", quoted(SOCKET))
    }
}

/// Where SoftHSM finds its configuration.
pub(super) const SOFTHSM_CONFIG: &str = "SOFTHSM2_CONF";
/// Relative to the installation.
const SOCKET: &str = "run/hsm/hsm.sock";

/// The whole file for the first CA of an installation.
pub(super) fn first(
    installation: &Installation,
    transcript: &Transcript,
    users: &Users,
) -> Outcome<String> {
    let ca = transcript.ca(Generation::FIRST)?;
    let environment: Vec<_> = transcript
        .environment
        .iter()
        .map(|(name, value)| format!("{name} = {}", quoted(value)))
        .collect();
    let (signer, _) = users.toml();
    let same_user = if users.same_user {
        "# For trials only: this user can read the PIN and use the keys without the service.\nallow_same_user = true\n"
    } else {
        ""
    };
    Ok(format!(
        "\
# assay-hsm. Paths are relative to this file's directory; `assay config check --hsm FILE` checks it. Everything here but
# the socket belongs to a user of its own, which alone can read the PIN.

# Its directory belongs to that user, and is writable by nobody else.
socket = {socket}
# Directory of the service's own files; made with mode 0700.
state = \"hsm\"
# Only processes of this user may connect.
peer = {signer}
{same_user}
[module]
path = {module}
environment = {{ {environment} }}
# What the library needs beyond its own directory and those of the system: read, write, connect_tcp, resolve_names,
# unix_sockets, shared_memory. The process can use nothing else.
{needs}
# The audit log, under the name that signer.toml has in [audit].
[log]
origin = {origin}
key = {log}

[probe]
key = {probe}

# Ceilings have defaults; `assay-hsm lift` raises one for a time.
[limits]
{ca}
# Each form that certificates of devices may have is a table [[form]] here; without one, none is signed. `assay policy
# forms` writes those that a policy needs.
",
        socket = quoted(SOCKET),
        module = quoted(&transcript.module),
        environment = environment.join(", "),
        needs = softhsm_needs(transcript).unwrap_or_default(),
        origin = quoted(&layout::origin(installation)?),
        log = quoted(&ca.key(KeyRole::LogSign)?.uri),
        probe = quoted(&ca.key(KeyRole::Probe)?.uri),
        ca = table(ca)?,
    ))
}

/// The files of SoftHSM, whose configuration the environment names: it reads that and writes the directory of its tokens.
fn softhsm_needs(transcript: &Transcript) -> Option<String> {
    let mut environment = transcript.environment.iter();
    let (_, config) = environment.find(|(name, _)| *name == SOFTHSM_CONFIG)?;
    let text = std::fs::read_to_string(config).ok()?;
    let mut settings = text.lines().filter_map(|line| line.split_once('='));
    let (_, tokens) = settings.find(|(name, _)| name.trim() == "directories.tokendir")?;
    Some(format!(
        "read = [{}]\nwrite = [{}]\n",
        quoted(config),
        quoted(tokens.trim())
    ))
}

/// The table of a CA, with an empty line before it.
pub(super) fn table(ca: &Ca) -> Outcome<String> {
    let file = |name: &str| quoted(&ca.generation.file(name));
    let chain: Vec<_> = ca.chain().iter().map(|file| quoted(file)).collect();
    let mut text = format!(
        "\n[[ca]]\nname = {}\ncertificate = {}\nkey = {}\nchain = [{}]\n\n[ca.ra]\n",
        quoted(&ca.generation.name()),
        file(CA_FILE),
        quoted(&ca.key(KeyRole::CaSign)?.uri),
        chain.join(", "),
    );
    for (role, _, name) in RA {
        let key = match ca.find_key(role) {
            None if role == KeyRole::RaSingle => continue,
            _ => ca.key(role)?,
        };
        let short = role.as_str().trim_start_matches("ra-");
        text += &format!(
            "{short} = {{ key = {}, certificate = {} }}\n",
            quoted(&key.uri),
            file(name)
        );
    }
    if let Some(key) = ca.find_key(KeyRole::OcspSign) {
        text += &format!(
            "\n[ca.ocsp]\nkey = {}\ncertificate = {}\n",
            quoted(&key.uri),
            file(ocsp::FILE)
        );
    }
    Ok(text)
}

/// Adds a CA, at the end of the file, as the next one of the CA that was the last there.
pub(super) fn add(installation: &Installation, ca: &Ca) -> Outcome {
    let (text, name) = (table(ca)?, ca.generation.name());
    let wanted = format!(
        "{text}\nand in the [[ca]] before it: next = {}\n",
        quoted(&name)
    );
    edit(installation, &wanted, |mut document| {
        remove_from(&mut document, ca)?;
        let present = tables_mut(&mut document)?.iter_mut().last()?;
        present.insert("next", toml_edit::value(name.as_str()));
        Some(document.to_string() + &text)
    })
}

/// Takes a CA out, if it is there.
pub(super) fn remove(installation: &Installation, ca: &Ca) -> Outcome {
    let what = format!(
        "without the table [[ca]] of {}",
        ca.generation.file(CA_FILE)
    );
    edit(installation, &what, |mut document| {
        remove_from(&mut document, ca)?;
        Some(document.to_string())
    })
}

/// Names the responder of a CA that is there, unless it does.
pub(super) fn set_ocsp(installation: &Installation, ca: &Ca) -> Outcome {
    let key = ca.key(KeyRole::OcspSign)?;
    let certificate = ca.generation.file(ocsp::FILE);
    let wanted = format!(
        "[ca.ocsp]\nkey = {}\ncertificate = {}\n",
        quoted(&key.uri),
        quoted(&certificate)
    );
    edit(installation, &wanted, |mut document| {
        let own = own_table(&mut document, ca)?;
        if !own.contains_key("ocsp") {
            // Within the table's own lines, which come before those of its other tables.
            let mut pair = InlineTable::new();
            pair.insert("key", key.uri.as_str().into());
            pair.insert("certificate", certificate.as_str().into());
            own.insert("ocsp", Item::Value(pair.into()));
        }
        Some(document.to_string())
    })
}

fn tables_mut(document: &mut DocumentMut) -> Option<&mut ArrayOfTables> {
    document.get_mut("ca")?.as_array_of_tables_mut()
}

fn own_table<'a>(document: &'a mut DocumentMut, ca: &Ca) -> Option<&'a mut Table> {
    let mut all = tables_mut(document)?.iter_mut();
    all.find(|table| is_of(table, ca))
}

fn remove_from(document: &mut DocumentMut, ca: &Ca) -> Option<()> {
    let tables = tables_mut(document)?;
    tables.retain(|table| !is_of(table, ca));
    let name = ca.generation.name();
    for table in tables.iter_mut() {
        if table.get("next").and_then(Item::as_str) == Some(&*name) {
            table.remove("next");
        }
    }
    Some(())
}

fn is_of(table: &Table, ca: &Ca) -> bool {
    let certificate = table.get("certificate").and_then(Item::as_str);
    certificate == Some(&*ca.generation.file(CA_FILE))
}

/// Changes the file where it is; where it is not, or is written otherwise than a ceremony does, says what it has to say.
fn edit(
    installation: &Installation,
    wanted: &str,
    change: impl FnOnce(DocumentMut) -> Option<String>,
) -> Outcome {
    let path = installation.hsm_config();
    if !path.exists() {
        output::note(&format!(
            "note: {} is not here; on the host of the HSM service make it say\n{wanted}",
            path.display()
        ));
        return Ok(());
    }
    let document: DocumentMut = files::read_text(&path)?
        .parse()
        .or_usage(format!("{} is not TOML", path.display()))?;
    let changed = change(document).filter(|text| text.parse::<DocumentMut>().is_ok());
    let changed = changed.ok_or_else(|| {
        Failure::failed(format!(
            "{} is not written as the ceremony writes it, and is left alone; by hand make it say\n{wanted}",
            path.display()
        ))
    })?;
    files::rewrite(&path, changed.as_bytes())
}
