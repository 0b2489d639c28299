//! PROVISIONAL: stands in for the modules of assay-audit that another branch brings.
use assay_audit::Hash;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openssl::pkey::{Id, PKey};
use openssl::sign::Verifier;
use sha2::{Digest, Sha256};

/// A key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    /// Name.
    pub name: String,
    id: [u8; 4],
    alg: u8,
    key: Vec<u8>,
}
/// Bad.
#[derive(Debug, thiserror::Error)]
#[error("not a key")]
pub struct KeyError;

impl std::str::FromStr for VerifierKey {
    type Err = KeyError;
    fn from_str(s: &str) -> Result<Self, KeyError> {
        let mut it = s.splitn(3, '+');
        let (name, id, key) = (
            it.next().ok_or(KeyError)?,
            it.next().ok_or(KeyError)?,
            it.next().ok_or(KeyError)?,
        );
        let blob = STANDARD.decode(key).map_err(|_| KeyError)?;
        let (alg, key) = blob.split_first().ok_or(KeyError)?;
        let k = Self {
            name: name.to_owned(),
            id: key_id(name, &blob),
            alg: *alg,
            key: key.to_vec(),
        };
        if hex::encode(k.id) != id {
            return Err(KeyError);
        }
        Ok(k)
    }
}
fn key_id(name: &str, blob: &[u8]) -> [u8; 4] {
    let h: [u8; 32] = Sha256::new()
        .chain_update(name)
        .chain_update(b"\n")
        .chain_update(blob)
        .finalize()
        .into();
    [h[0], h[1], h[2], h[3]]
}
impl VerifierKey {
    fn check(&self, msg: &[u8], sig: &[u8]) -> bool {
        PKey::public_key_from_raw_bytes(&self.key, Id::ED25519)
            .and_then(|k| Verifier::new_without_digest(&k)?.verify_oneshot(sig, msg))
            .unwrap_or(false)
    }
}
/// A checkpoint.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// o
    pub origin: String,
    /// s
    pub size: u64,
    /// r
    pub root: Hash,
    text: String,
    sigs: Vec<(String, Vec<u8>)>,
}
impl Checkpoint {
    /// Parse.
    pub fn parse(note: &str) -> Result<Self, String> {
        let (text, sigs) = note.split_once("\n\n").ok_or("no signatures")?;
        let text = format!("{text}\n");
        let mut l = text.lines();
        let origin = l.next().ok_or("origin")?.to_owned();
        let size_text = l.next().ok_or("size")?;
        let size: u64 = size_text.parse().map_err(|_| "size")?;
        if size.to_string() != size_text {
            return Err("size".into());
        }
        let root_text = l.next().ok_or("root")?;
        let root: [u8; 32] = STANDARD
            .decode(root_text)
            .ok()
            .and_then(|b| b.try_into().ok())
            .ok_or("root")?;
        if l.next().is_some() {
            return Err("extension".into());
        }
        let mut out = Vec::new();
        if !sigs.ends_with('\n') {
            return Err("end".into());
        }
        for line in sigs.lines() {
            let rest = line.strip_prefix("\u{2014} ").ok_or("signature line")?;
            let (name, b) = rest.split_once(' ').ok_or("signature line")?;
            out.push((name.to_owned(), STANDARD.decode(b).map_err(|_| "base64")?));
        }
        Ok(Self {
            origin,
            size,
            root: root.into(),
            text,
            sigs: out,
        })
    }
    /// signature lines: name, key id
    pub fn signers(&self) -> Vec<(String, [u8; 4])> {
        self.sigs
            .iter()
            .filter_map(|(n, s)| Some((n.clone(), s.get(..4)?.try_into().ok()?)))
            .collect()
    }
    /// Whether key signed.
    pub fn signed_by(&self, key: &VerifierKey) -> bool {
        self.sigs.iter().any(|(n, s)| {
            *n == key.name
                && s.get(..4) == Some(&key.id[..])
                && match key.alg {
                    1 => key.check(self.text.as_bytes(), &s[4..]),
                    4 => s.get(4..12).is_some_and(|t| {
                        let ts = u64::from_be_bytes(t.try_into().unwrap_or_default());
                        key.check(
                            format!("cosignature/v1\ntime {ts}\n{}", self.text).as_bytes(),
                            &s[12..],
                        )
                    }),
                    _ => false,
                }
        })
    }
    /// Whether there is a line of it.
    pub fn names(&self, key: &VerifierKey) -> bool {
        self.signers()
            .iter()
            .any(|(n, id)| Self::is_of(key, n, *id))
    }
    /// id
    pub fn is_of(key: &VerifierKey, name: &str, id: [u8; 4]) -> bool {
        key.name == name && key.id == id
    }
}
fn node(l: &Hash, r: &Hash) -> Hash {
    Hash::from(<[u8; 32]>::from(
        Sha256::new()
            .chain_update([1])
            .chain_update(l.as_bytes())
            .chain_update(r.as_bytes())
            .finalize(),
    ))
}
/// Frontier.
#[derive(Default, Clone, Debug)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}
impl Frontier {
    /// a
    pub fn append(&mut self, leaf: Hash) {
        let mut h = leaf;
        let mut n = self.size;
        while n & 1 == 1 {
            h = node(&self.peaks.pop().unwrap_or(h), &h);
            n >>= 1;
        }
        self.peaks.push(h);
        self.size += 1;
    }
    /// s
    pub fn size(&self) -> u64 {
        self.size
    }
    /// r
    pub fn root(&self) -> Hash {
        let mut it = self.peaks.iter().rev();
        match it.next() {
            None => Hash::of(b""),
            Some(h) => it.fold(*h, |r, l| node(l, &r)),
        }
    }
}
/// root of up to 256
pub fn subtree(hashes: &[Hash]) -> Hash {
    let mut f = Frontier::default();
    for h in hashes {
        f.append(*h);
    }
    f.root()
}
/// path
pub fn tile_path(level: Option<u8>, n: u64, width: u64) -> String {
    let mut p = format!("{:03}", n % 1000);
    let mut n = n / 1000;
    while n > 0 {
        p = format!("x{:03}/{p}", n % 1000);
        n /= 1000;
    }
    let l = level.map_or("entries".to_owned(), |l| l.to_string());
    if width == 256 {
        format!("tile/{l}/{p}")
    } else {
        format!("tile/{l}/{p}.p/{width}")
    }
}
/// entries
pub fn entries(bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let mut rest = bytes;
    let mut out = Vec::new();
    while !rest.is_empty() {
        let (l, r) = rest.split_at_checked(2).ok_or("length")?;
        let n = usize::from(u16::from_be_bytes([l[0], l[1]]));
        let (e, r) = r.split_at_checked(n).ok_or("entry")?;
        out.push(e.to_vec());
        rest = r;
    }
    Ok(out)
}
/// hashes
pub fn hashes(bytes: &[u8]) -> Result<Vec<Hash>, String> {
    if bytes.len() % 32 != 0 {
        return Err("32".into());
    }
    Ok(bytes
        .chunks(32)
        .map(|c| Hash::from(<[u8; 32]>::try_from(c).unwrap_or_default()))
        .collect())
}
