//! From path and query to profile, operation and message. Pure: bytes in, borrowed parts out.

/// The profile that a path selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selector<'a> {
    /// The path names none.
    Default,
    /// As it stands in the path; whether it exists is for the signer's answers to say.
    Named(&'a str),
}

/// What Cisco and Windows clients append to whatever URL they are given.
const PKICLIENT: &str = "pkiclient.exe";

/// Finds the profile in a path. A trailing slash and a trailing `/pkiclient.exe` mean nothing; the fixed paths of
/// Cisco and Microsoft NDES, in any case as IIS has it, stand for the default profile. `None`: no SCEP path.
pub(crate) fn select(path: &str) -> Option<Selector<'_>> {
    let path = path.strip_prefix('/')?;
    let path = path.strip_suffix('/').unwrap_or(path);
    let path = match path.rsplit_once('/') {
        Some((rest, last)) if last.eq_ignore_ascii_case(PKICLIENT) => rest,
        Some(_) | None => path,
    };
    if ["cgi-bin", "certsrv/mscep/mscep.dll", "certsrv/mscep"]
        .iter()
        .any(|fixed| path.eq_ignore_ascii_case(fixed))
    {
        return Some(Selector::Default);
    }
    match path.split_once('/') {
        None if path == "scep" => Some(Selector::Default),
        Some(("scep", profile)) if !profile.is_empty() && !profile.contains('/') => {
            Some(Selector::Named(profile))
        }
        None | Some(_) => None,
    }
}

/// The parameters of a SCEP URL, undecoded: `+` in a raw base64 message must stay `+`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Query<'a> {
    /// `operation=`; of several the first.
    pub(crate) operation: Option<&'a str>,
    /// `message=`; of several the first. Base64 padding may follow a further `=`.
    pub(crate) message: Option<&'a str>,
}

impl<'a> Query<'a> {
    pub(crate) fn parse(query: &'a str) -> Self {
        let value = |name| {
            query
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .find_map(|(key, value)| (key == name).then_some(value))
        };
        Self {
            operation: value("operation"),
            message: value("message"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_path_selects_its_profile() {
        for (path, selected) in [
            ("/scep", Some(Selector::Default)),
            ("/scep/", Some(Selector::Default)),
            ("/scep/pkiclient.exe", Some(Selector::Default)),
            ("/scep/devices", Some(Selector::Named("devices"))),
            ("/scep/devices/", Some(Selector::Named("devices"))),
            (
                "/scep/devices/pkiclient.exe",
                Some(Selector::Named("devices")),
            ),
            (
                "/scep/devices/pkiclient.exe/",
                Some(Selector::Named("devices")),
            ),
            (
                "/scep/devices/PKIClient.exe",
                Some(Selector::Named("devices")),
            ),
            ("/cgi-bin/pkiclient.exe", Some(Selector::Default)),
            ("/certsrv/mscep/mscep.dll", Some(Selector::Default)),
            (
                "/CertSrv/mscep/mscep.dll/pkiclient.exe",
                Some(Selector::Default),
            ),
            ("/", None),
            ("", None),
            ("*", None),
            ("/scep//", None),
            ("/scep/devices/more", None),
            ("/scepter", None),
            ("/pkiclient.exe", None),
        ] {
            assert_eq!(select(path), selected, "{path}");
        }
    }

    #[test]
    fn a_raw_message_keeps_plus_slash_and_padding() {
        let query = Query::parse("operation=PKIOperation&message=MII+a/b==&message=other");
        assert_eq!(
            query,
            Query {
                operation: Some("PKIOperation"),
                message: Some("MII+a/b==")
            }
        );
        assert_eq!(
            Query::parse("message=x"),
            Query {
                operation: None,
                message: Some("x")
            }
        );
        assert_eq!(Query::parse(""), Query::default());
    }
}
