//! A throw-away SoftHSM 2: configuration, PINs, and a token each for the service and the root.

use std::path::{Path, PathBuf};

use assay_hsm::{Pin, TokenUri, init_token};

use super::home::Home;
use crate::failure::{Failure, OrFail, Outcome};
use crate::files;

pub(super) const SERVICE_TOKEN: &str = "assay-demo";
const ROOT_TOKEN: &str = "assay-demo-root";
/// Random octets of a PIN, written in hex.
const PIN_OCTETS: usize = 12;

/// Where distributions put the library.
const MODULES: [&str; 5] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
];

/// The two tokens, with the environment that makes SoftHSM find them.
pub(super) struct Tokens {
    pub(super) service: TokenUri,
    pub(super) root: TokenUri,
    pub(super) environment: Vec<(String, String)>,
}

pub(super) fn module(named: Option<&Path>) -> Outcome<PathBuf> {
    if let Some(path) = named {
        return files::absolute(path);
    }
    MODULES
        .iter()
        .map(PathBuf::from)
        .find(|path| path.is_file())
        .ok_or_else(|| {
            Failure::failed("SoftHSM 2 is not installed")
                .next("apt-get install softhsm2, or name libsofthsm2.so with --module")
        })
}

pub(super) async fn make(home: &Home, module: &Path) -> Outcome<Tokens> {
    let directory = home.path("token/tokens");
    files::make_dir(&directory)?;
    let config = home.path("token/softhsm2.conf");
    // DEBUG halves the rate; slots.removable would make tokens come and go with their slot.
    let text = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n",
        directory.display()
    );
    files::create(&config, text.as_bytes(), files::PUBLIC)?;
    let environment = vec![("SOFTHSM2_CONF".to_owned(), config.display().to_string())];
    let so_pin = pin(home, "so.pin")?;
    let token = async |label: &str, file: &str| {
        let user_pin = pin(home, file)?;
        init_token(module, &environment, None, label, &so_pin, &user_pin)
            .await
            .or_fail(format!("cannot make the token {label}"))
            .map(|token| token.with_pin_file(&home.path(&format!("token/{file}"))))
    };
    Ok(Tokens {
        service: token(SERVICE_TOKEN, "user.pin").await?,
        root: token(ROOT_TOKEN, "root.pin").await?,
        environment,
    })
}

fn pin(home: &Home, file: &str) -> Outcome<Pin> {
    let mut octets = [0; PIN_OCTETS];
    openssl::rand::rand_bytes(&mut octets).or_fail("no random numbers to be had")?;
    let pin = hex::encode(octets);
    files::create(
        &home.path(&format!("token/{file}")),
        pin.as_bytes(),
        files::SECRET,
    )?;
    Ok(Pin::new(pin))
}
