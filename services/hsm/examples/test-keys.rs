//! For the tests of this crate: makes keys in a token and signs with them, one command per line of standard input, each
//! answered by one line. It is a process of its own because SoftHSM reads its configuration's path from the environment.
//!
//! `test-keys MODULE TOKEN-URI`, then `generate ROLE LABEL ID-HEX ALGORITHM`, answered by `KEY-URI SPKI-HEX`, or
//! `sign KEY-URI DATA-HEX`, answered by the signature in hex.

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::path::Path;

use assay_pkcs11::{Access, GenerateKey, KeyUri, Module, Session, Token, TokenUri};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [module, token] = arguments.as_slice() else {
        return Err("usage: test-keys MODULE TOKEN-URI".into());
    };
    let token =
        Module::load(Path::new(module))?.open(&TokenUri::parse(token)?, Access::ReadWrite)?;
    let session = token.session()?;
    for line in io::stdin().lock().lines() {
        let answer = answer(&token, &session, &line?)?;
        writeln!(io::stdout(), "{answer}")?;
    }
    Ok(())
}

fn answer(token: &Token, session: &Session, line: &str) -> Result<String, Box<dyn Error>> {
    let words: Vec<&str> = line.split(' ').collect();
    match words.as_slice() {
        ["generate", role, label, id, algorithm] => {
            let key = GenerateKey {
                role: role.parse()?,
                label: (*label).to_owned(),
                id: hex::decode(id)?,
                algorithm: algorithm.parse()?,
            };
            let made = session.generate(token, &key)?;
            Ok(format!("{} {}", made.uri, hex::encode(made.spki_der)))
        }
        ["sign", uri, data] => {
            let uri = KeyUri::parse(uri)?;
            let key = session.private_keys(&uri)?;
            let key = key.first().ok_or("no such key")?;
            let algorithm = session.algorithm(*key)?.ok_or("no such kind of key")?;
            let signature = session.sign(*key, algorithm, &hex::decode(data)?)?;
            Ok(hex::encode(signature))
        }
        _ => Err(format!("not a command: {line}").into()),
    }
}
