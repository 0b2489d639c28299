//! A throw-away SoftHSM 2: configuration, PINs, and a token each for the service and the root.

use std::path::{Path, PathBuf};

use assay_console::failure::{Failure, Next, OrFail, Outcome};
use assay_console::files;
use tokio::process::Command;

use super::home::Home;

pub(super) const SERVICE_TOKEN: &str = "assay-demo";
const ROOT_TOKEN: &str = "assay-demo-root";
/// SoftHSM's own tool, and the environment variable by which SoftHSM finds its configuration.
const UTIL: &str = "softhsm2-util";
const VARIABLE: &str = "SOFTHSM2_CONF";
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

/// The two tokens as PKCS#11 URIs (RFC 7512), with the environment that makes SoftHSM find them.
pub(super) struct Tokens {
    pub(super) service: String,
    pub(super) root: String,
    /// NAME=VALUE.
    pub(super) environment: String,
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
    let so_pin = pin(home, "so.pin")?;
    let token = async |label: &str, file: &str| {
        let user_pin = pin(home, file)?;
        let what = format!("cannot make the token {label}");
        // The tokens lie in a directory that nobody else can open, so that the PINs are of no use to others.
        let made = Command::new(UTIL)
            .arg("--module")
            .arg(module)
            .args(["--init-token", "--free", "--label", label])
            .args(["--so-pin", &so_pin, "--pin", &user_pin])
            .env(VARIABLE, &config)
            .output()
            .await
            .or_fail(&what)
            .next("apt-get install softhsm2")?;
        if !made.status.success() {
            let said = String::from_utf8_lossy(&made.stderr);
            return Err(Failure::failed(what).because(said.trim()));
        }
        let file = escaped(&home.path(&format!("token/{file}")));
        Ok(format!("pkcs11:token={label}?pin-source=file:{file}"))
    };
    Ok(Tokens {
        service: token(SERVICE_TOKEN, "user.pin").await?,
        root: token(ROOT_TOKEN, "root.pin").await?,
        environment: format!("{VARIABLE}={}", config.display()),
    })
}

/// A path as it stands in the query of a PKCS#11 URI: every byte in hex but those that need not be.
fn escaped(path: &Path) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(byte);
    path.as_os_str()
        .as_encoded_bytes()
        .iter()
        .map(|byte| match byte {
            byte if plain(byte) => char::from(*byte).to_string(),
            byte => format!("%{byte:02x}"),
        })
        .collect()
}

fn pin(home: &Home, file: &str) -> Outcome<String> {
    let mut octets = [0; PIN_OCTETS];
    openssl::rand::rand_bytes(&mut octets).or_fail("no random numbers to be had")?;
    let pin = hex::encode(octets);
    files::create(
        &home.path(&format!("token/{file}")),
        pin.as_bytes(),
        files::SECRET,
    )?;
    Ok(pin)
}
