//! Distinct RSA keys for devices that do not exist, made once and kept in a file.

use std::path::PathBuf;
use std::sync::Arc;

use assay_scep_client::{DeviceKey, KeyType};
use tokio::task::JoinSet;

use crate::failure::{Failure, OrFail, Outcome};
use crate::files;
use crate::installation::Installation;
use crate::progress::Progress;

/// What SCEP clients make most.
const BITS: u32 = 2_048;
/// Keys are slow to make: an interrupted run loses no more than these.
const SAVED_AT_ONCE: usize = 100;
/// Octets before each key in the file: the length of its DER, big-endian.
const LENGTH_OCTETS: usize = 4;

/// As many keys as asked for, from the cache as far as it reaches.
pub(super) async fn get(installation: &Installation, count: usize) -> Outcome<Vec<DeviceKey>> {
    let path = cache(installation);
    let mut keys = if path.exists() {
        read(&files::read(&path)?)?
    } else {
        Vec::new()
    };
    files::make_dir(&installation.path("bench"))?;
    let progress = Arc::new(Progress::new(
        "making keys",
        count.saturating_sub(keys.len()) as u64,
    ));
    while keys.len() < count {
        let missing = count - keys.len();
        keys.extend(generate(missing.min(SAVED_AT_ONCE), &progress).await?);
        files::replace(&path, &write(&keys)?, files::SECRET)?;
    }
    keys.truncate(count);
    Ok(keys)
}

fn cache(installation: &Installation) -> PathBuf {
    installation.path(format!("bench/rsa{BITS}.keys"))
}

async fn generate(count: usize, progress: &Arc<Progress>) -> Outcome<Vec<DeviceKey>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut tasks = JoinSet::new();
    for core in 0..cores {
        let share = count / cores + usize::from(core < count % cores);
        let progress = Arc::clone(progress);
        tasks.spawn_blocking(move || {
            (0..share)
                .map(|_| {
                    let key = DeviceKey::generate(KeyType::Rsa(BITS)).or_fail("cannot make a key");
                    progress.add(1);
                    key
                })
                .collect::<Outcome<Vec<_>>>()
        });
    }
    let mut keys = Vec::with_capacity(count);
    while let Some(made) = tasks.join_next().await {
        keys.extend(made.or_fail("key generation broke off")??);
    }
    Ok(keys)
}

fn write(keys: &[DeviceKey]) -> Outcome<Vec<u8>> {
    let mut text = Vec::new();
    for key in keys {
        let der = key.to_der().or_fail("cannot write a key")?;
        let length = u32::try_from(der.len()).or_fail("a key is too long")?;
        text.extend_from_slice(&length.to_be_bytes());
        text.extend_from_slice(&der);
    }
    Ok(text)
}

fn read(mut text: &[u8]) -> Outcome<Vec<DeviceKey>> {
    let damaged = || {
        Failure::failed("the cache of keys is damaged")
            .next("remove the directory bench/ and run it again")
    };
    let mut keys = Vec::new();
    while let Some((length, rest)) = text.split_first_chunk::<LENGTH_OCTETS>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| damaged())?;
        let (der, rest) = rest.split_at_checked(length).ok_or_else(damaged)?;
        keys.push(DeviceKey::from_der(der).or_fail("a cached key is unreadable")?);
        text = rest;
    }
    if text.is_empty() {
        Ok(keys)
    } else {
        Err(damaged())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_the_cache_and_damage_is_seen() {
        let keys = [
            DeviceKey::generate(KeyType::Rsa(BITS)).unwrap(),
            DeviceKey::generate(KeyType::Rsa(BITS)).unwrap(),
        ];
        let text = write(&keys).unwrap();
        let back = read(&text).unwrap();
        assert_eq!(back.len(), 2);
        assert_eq!(back[1].spki_der().unwrap(), keys[1].spki_der().unwrap());
        assert!(read(&text[..text.len() - 1]).is_err());
    }
}
