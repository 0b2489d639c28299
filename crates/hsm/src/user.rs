//! Users of the operating system at either end of the socket.

use std::fmt;
use std::fs;

use rustix::process::geteuid;
use serde::{Deserialize, Deserializer};
use thiserror::Error;

const USERS: &str = "/etc/passwd";
/// Whom the kernel shows in place of a user that this user namespace does not map (user_namespaces(7)).
const OVERFLOW: &str = "/proc/sys/kernel/overflowuid";
const DEFAULT_OVERFLOW: u32 = 65_534;

/// A user that may be at the other end of the socket: the user of this process, or another one that is neither root nor
/// the kernel's overflow user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User(u32);

/// Why a user cannot be a peer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotAPeer {
    /// The name is unknown here.
    #[error(
        "no user `{0}` is in /etc/passwd: create it, or write the number of a user that comes from elsewhere"
    )]
    Unknown(String),
    /// Root may be at either end of everything, so its presence shows nothing.
    #[error("root cannot be a peer: give the service a user of its own")]
    Root,
    /// Every user of another user namespace shows as this one.
    #[error(
        "user {0} is the kernel's overflow user, as which every user of another user namespace shows: both sides need one user namespace, and users of their own in it"
    )]
    Overflow(u32),
}

impl User {
    /// The user of this name or number.
    ///
    /// # Errors
    /// [`NotAPeer`], whose text says how to fix it.
    pub fn find(name: &str) -> Result<Self, NotAPeer> {
        let uid = match name.parse() {
            Ok(uid) => uid,
            Err(_) => named(name).ok_or_else(|| NotAPeer::Unknown(name.to_owned()))?,
        };
        Self::from_uid(uid)
    }

    /// The user of this number. The user of this process passes, also where it is root: whether both ends may be of one user is
    /// another question, which the service answers ([`User::is_own`]).
    ///
    /// # Errors
    /// [`NotAPeer::Root`] and [`NotAPeer::Overflow`].
    pub fn from_uid(uid: u32) -> Result<Self, NotAPeer> {
        let user = Self(uid);
        if user.is_own() {
            return Ok(user);
        }
        if uid == 0 {
            return Err(NotAPeer::Root);
        }
        let overflow = fs::read_to_string(OVERFLOW).ok();
        let overflow = overflow.and_then(|text| text.trim().parse().ok());
        if uid == overflow.unwrap_or(DEFAULT_OVERFLOW) {
            return Err(NotAPeer::Overflow(uid));
        }
        Ok(user)
    }

    /// It is the user of this process.
    pub fn is_own(self) -> bool {
        self.0 == geteuid().as_raw()
    }

    /// Its number.
    pub fn uid(self) -> u32 {
        self.0
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A user as a configuration names it: a name, or a number as text or as a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserName(String);

impl UserName {
    /// The user of this name or number.
    ///
    /// # Errors
    /// [`NotAPeer`], whose text says how to fix it.
    pub fn find(&self) -> Result<User, NotAPeer> {
        User::find(&self.0)
    }
}

impl<'de> Deserialize<'de> for UserName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected the name or the number of a user")]
        enum Written {
            Number(u32),
            Name(String),
        }
        Ok(Self(match Written::deserialize(deserializer)? {
            Written::Number(uid) => uid.to_string(),
            Written::Name(name) => name,
        }))
    }
}

/// The name of a user by passwd(5).
pub fn name_of(uid: u32) -> Option<String> {
    let users = fs::read_to_string(USERS).ok()?;
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let found = fields.nth(1)?.parse() == Ok(uid);
        found.then(|| name.to_owned())
    })
}

/// The number of a user by passwd(5).
fn named(name: &str) -> Option<u32> {
    let users = fs::read_to_string(USERS).ok()?;
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next()? == name;
        let uid = fields.nth(1)?;
        found.then(|| uid.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_root_nor_the_overflow_user_can_be_a_peer() {
        let overflow = fs::read_to_string(OVERFLOW).unwrap();
        let overflow: u32 = overflow.trim().parse().unwrap();
        for (uid, refused) in [
            (0, NotAPeer::Root),
            (overflow, NotAPeer::Overflow(overflow)),
        ] {
            let user = User::from_uid(uid);
            if uid == geteuid().as_raw() {
                assert!(user.unwrap().is_own());
            } else {
                assert_eq!(user, Err(refused));
            }
        }
    }

    #[test]
    fn a_user_is_found_by_name_or_number() {
        assert_eq!(User::find("daemon").unwrap().uid(), 1);
        assert_eq!(User::find("1001").unwrap().uid(), 1001);
        assert_eq!(name_of(1).as_deref(), Some("daemon"));
        assert_eq!(name_of(u32::MAX), None);
        let unknown = User::find("no-such-user").unwrap_err();
        assert!(unknown.to_string().contains("`no-such-user`"), "{unknown}");
    }
}
