//! The witness's key: Ed25519 in a file that only its owner may read, with the name that it signs under.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use assay_audit::note::{Algorithm, Signature, VerifierKey, cosigned};
use assay_console::failure::{Failure, OrFail, Outcome};
use assay_console::files;
use assay_console::output::Output;
use assay_types::Timestamp;
use clap::Args;
use openssl::pkey::{Id, PKey, Private};
use openssl::sign::Signer;
use serde::Serialize;
use zeroize::Zeroizing;

/// What the first line of the file begins with; the PEM follows, which `openssl pkey` reads as well.
const NAME: &str = "Name: ";
/// Octets of a key file: a name, and 119 octets of PEM.
const MAX_FILE: u64 = 4096;
/// Permission bits of everyone but the owner.
const OTHERS: u32 = 0o077;

/// Make a witness's key and print its verifier key
///
/// The key is Ed25519 and stays in the file, mode 0600. The verifier key (vkey, type 0x04) is public: pin it as one of
/// [audit] witnesses in signer.toml and hand it to those who verify.
#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    /// Name of the witness, by custom a URL without scheme: witness.example.org/a
    #[arg(long, value_name = "NAME")]
    name: String,

    /// File to write; nothing is overwritten
    #[arg(long, value_name = "FILE", default_value = "witness.key")]
    out: PathBuf,
}

#[derive(Debug, Serialize)]
struct Made {
    vkey: String,
    file: String,
}

pub(super) fn run(args: &KeyArgs, out: Output) -> Outcome {
    let what = "cannot make a key";
    let key = PKey::generate_ed25519().or_fail(what)?;
    let made = WitnessKey::new(&args.name, key)?;
    let pem = Zeroizing::new(made.private.private_key_to_pem_pkcs8().or_fail(what)?);
    let mut file = Zeroizing::new(format!("{NAME}{}\n", args.name).into_bytes());
    file.reserve_exact(pem.len());
    file.extend_from_slice(&pem);
    files::create(&args.out, &file, files::SECRET)?;
    let made = Made {
        vkey: made.public.to_string(),
        file: args.out.display().to_string(),
    };
    out.one(&made, |made| vec![made.vkey.clone()])
}

#[cfg(test)]
impl KeyArgs {
    pub(super) fn new(name: &str, out: &Path) -> Self {
        Self {
            name: name.to_owned(),
            out: out.to_owned(),
        }
    }
}

/// A key that cosigns.
pub(super) struct WitnessKey {
    private: PKey<Private>,
    public: VerifierKey,
}

impl WitnessKey {
    fn new(name: &str, private: PKey<Private>) -> Outcome<Self> {
        let raw = private.raw_public_key().or_fail("the key is unreadable")?;
        let public = VerifierKey::ed25519(name, Algorithm::CosignatureV1, &raw)
            .or_usage(format!("`{name}` can name no witness"))?;
        Ok(Self { private, public })
    }

    /// Reads what `assay-audit witness key` wrote.
    pub(super) fn read(path: &Path) -> Outcome<Self> {
        let what = || format!("cannot read {}", path.display());
        let file = File::open(path)
            .or_usage(what())
            .map_err(|failure| failure.next("`assay-audit witness key --name NAME` makes one"))?;
        let mode = file.metadata().or_fail(what())?.mode();
        if mode & OTHERS != 0 {
            return Err(Failure::usage(format!(
                "{} has mode {:04o}: others can read the witness's key",
                path.display(),
                mode & 0o7777
            ))
            .next(format!("chmod 600 {}", path.display())));
        }
        let mut text = Zeroizing::new(String::new());
        file.take(MAX_FILE)
            .read_to_string(&mut text)
            .or_fail(what())?;
        let wrong = || {
            Failure::usage(format!("{} is no key of a witness", path.display()))
                .next("its first line is `Name: NAME`, then comes the PEM of an Ed25519 key")
        };
        let (name, pem) = text
            .strip_prefix(NAME)
            .and_then(|rest| rest.split_once('\n'))
            .ok_or_else(wrong)?;
        let private = PKey::private_key_from_pem(pem.as_bytes()).map_err(|_| wrong())?;
        if private.id() != Id::ED25519 {
            return Err(wrong());
        }
        Self::new(name, private)
    }

    pub(super) fn public(&self) -> &VerifierKey {
        &self.public
    }

    /// The line of a cosignature at `time` on the text of a checkpoint.
    pub(super) fn cosign(
        &self,
        time: Timestamp,
        text: &str,
    ) -> Result<Signature, openssl::error::ErrorStack> {
        let mut signer = Signer::new_without_digest(&self.private)?;
        let mut octets = time.seconds().to_be_bytes().to_vec();
        octets.extend(signer.sign_oneshot_to_vec(cosigned(time, text).as_bytes())?);
        Ok(Signature::new(&self.public, octets))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_read_back_unless_others_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let args = KeyArgs::new("witness.example/a", &dir.path().join("witness.key"));
        run(&args, Output::new(true)).unwrap();
        let mode = fs::metadata(&args.out).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let key = WitnessKey::read(&args.out).unwrap();
        assert_eq!(key.public().name(), "witness.example/a");
        let line = key
            .cosign(Timestamp::from_seconds(7), "log\n1\nroot\n")
            .unwrap();
        let time = key.public().verify_line("log\n1\nroot\n", &line);
        assert_eq!(time.unwrap(), Some(Timestamp::from_seconds(7)));
        assert!(key.public().verify_line("log\n2\nroot\n", &line).is_err());

        run(&args, Output::new(true)).unwrap_err();
        for mode in [0o640, 0o604, 0o660] {
            fs::set_permissions(&args.out, fs::Permissions::from_mode(mode)).unwrap();
            let failure = WitnessKey::read(&args.out).err().unwrap().to_string();
            assert!(failure.contains("chmod 600"), "{failure}");
        }
    }

    #[test]
    fn what_is_no_key_of_a_witness_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("witness.key");
        let pem = |key: PKey<Private>| {
            String::from_utf8(key.private_key_to_pem_pkcs8().unwrap()).unwrap()
        };
        let good = pem(PKey::generate_ed25519().unwrap());
        let other = pem(PKey::generate_x25519().unwrap());
        for text in [
            String::new(),
            good.clone(),
            format!("Name: a b\n{good}"),
            format!("Name: \n{good}"),
            format!("Name: a\n{other}"),
            "Name: a\nno PEM\n".to_owned(),
        ] {
            let _ = fs::remove_file(&path);
            files::create(&path, text.as_bytes(), files::SECRET).unwrap();
            assert!(WitnessKey::read(&path).is_err(), "{text}");
        }
    }
}
