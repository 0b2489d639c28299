//! The tokens of a ceremony, opened in this process: the people who run a ceremony hold the PIN, and can end it.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use assay_console::failure::{Exit, Failure, OrFail, Outcome};
use assay_pkcs11::{
    Access, FoundKey, GenerateKey, GeneratedKey, KeyHandle, KeyRole, KeyUri, Module, Session,
    Token, TokenUri,
};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::args::TokenArgs;
use crate::certificate::Issuer;
use crate::structure::{check_certificate, check_request};

/// Exit code of a process that ends at the second signal: that of an interrupted ceremony.
const INTERRUPTED: i32 = Exit::Interrupted as i32;
/// This executable, also after an upgrade has replaced its file.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// The library of a ceremony, loaded once for all of its tokens.
pub(crate) struct Library {
    module: Module,
    interrupted: Arc<AtomicBool>,
}

impl Library {
    /// Loads the library. From now on SIGINT and SIGTERM end the ceremony before its next key or signature, and a second
    /// one ends the process at once.
    ///
    /// A library reads its variables from the environment, which a process cannot safely change for itself: where one is
    /// not as it has to be, this program starts over with it. So nothing may have been made or printed before.
    pub(crate) fn load(args: &TokenArgs) -> Outcome<Self> {
        let set = |(name, value): &(String, String)| {
            std::env::var_os(name).is_some_and(|present| present == value.as_str())
        };
        if !args.environment.iter().all(set) {
            let error = Command::new(THIS_PROGRAM)
                .arg0(std::env::args_os().next().unwrap_or_default())
                .args(std::env::args_os().skip(1))
                .envs(args.environment.iter().cloned())
                .exec();
            return Err(Failure::failed("cannot set the library's environment").because(error));
        }
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            flag::register_conditional_shutdown(signal, INTERRUPTED, Arc::clone(&interrupted))
                .and_then(|_| flag::register(signal, Arc::clone(&interrupted)))
                .or_fail("cannot take signals")?;
        }
        Ok(Self {
            module: Module::load(&args.module).or_fail("cannot open the token")?,
            interrupted,
        })
    }

    /// Opens a token, with one try of the PIN.
    pub(crate) fn open(&self, uri: &TokenUri) -> Outcome<OpenToken> {
        let what = "cannot open the token";
        let token = self.module.open(uri, Access::ReadWrite).or_fail(what)?;
        Ok(OpenToken {
            session: token.session().or_fail(what)?,
            token,
            interrupted: Arc::clone(&self.interrupted),
        })
    }
}

/// A token that can make keys, and sign what a ceremony has to sign.
pub(crate) struct OpenToken {
    session: Session,
    token: Token,
    interrupted: Arc<AtomicBool>,
}

impl OpenToken {
    /// The token's objects.
    pub(crate) fn list(&self, wanted: impl Fn(&FoundKey) -> bool) -> Outcome<Vec<FoundKey>> {
        self.session
            .list(wanted)
            .or_fail("cannot list the token's keys")
    }

    /// Generates a key pair with every attribute set, and reads them back.
    pub(crate) fn generate(&self, key: &GenerateKey) -> Outcome<GeneratedKey> {
        self.go_on()?;
        self.session
            .generate(&self.token, key)
            .or_fail(format!("cannot make the {} key", key.label))
    }

    /// The SubjectPublicKeyInfo DER of a key of this token.
    pub(crate) fn public_key(&self, uri: &KeyUri) -> Outcome<Vec<u8>> {
        self.find(uri)?;
        let what = || format!("cannot read the {} key", uri.object());
        self.session.spki_der(uri).or_fail(what())
    }

    /// Signs a TBSCertificate of this issuer: root-sign signs certificates of CAs only, ca-sign all but those.
    pub(crate) fn sign_certificate(
        &self,
        key: &KeyUri,
        role: KeyRole,
        issuer: &Issuer,
        tbs: &[u8],
    ) -> Outcome<Vec<u8>> {
        check_certificate(tbs, role, issuer)?;
        self.sign(key, tbs)
    }

    /// Signs a CertificationRequestInfo (RFC 2986, section 4.1) that holds the key's public half.
    pub(crate) fn sign_request(&self, key: &KeyUri, info: &[u8]) -> Outcome<Vec<u8>> {
        check_request(info, &self.public_key(key)?)?;
        self.sign(key, info)
    }

    fn sign(&self, uri: &KeyUri, data: &[u8]) -> Outcome<Vec<u8>> {
        self.go_on()?;
        let what = || format!("the {} key did not sign", uri.object());
        let key = self.find(uri)?;
        let algorithm = self.session.algorithm(key).or_fail(what())?;
        let algorithm = algorithm.ok_or_else(|| {
            Failure::failed(what()).because("it is neither RSA, P-256, P-384 nor Ed25519")
        })?;
        self.session.sign(key, algorithm, data).or_fail(what())
    }

    fn find(&self, uri: &KeyUri) -> Outcome<KeyHandle> {
        let what = || format!("cannot use the {} key", uri.object());
        self.token.expect_holds(uri).or_fail(what())?;
        match self.session.private_keys(uri).or_fail(what())?.as_slice() {
            [key] => Ok(*key),
            found => Err(Failure::failed(what()).because(format!(
                "{} private keys match {uri}: exactly one must",
                found.len()
            ))),
        }
    }

    fn go_on(&self) -> Outcome {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(Failure::new(
                Exit::Interrupted,
                "the ceremony was interrupted",
            ));
        }
        Ok(())
    }
}
