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

/// The paths of Cisco IOS and of Microsoft NDES, which clients append too, without a last `/pkiclient.exe`.
const FIXED: [&str; 4] = [
    "cgi-bin",
    "cgi-bin/pkiclient.exe",
    "certsrv/mscep",
    "certsrv/mscep/mscep.dll",
];

/// Finds the profile in a path. A trailing slash and a trailing `/pkiclient.exe` mean nothing. The fixed paths of
/// Cisco and Microsoft NDES, in any case as IIS has it, select the default profile at the root, and below the path of
/// a profile that profile. `None`: not a SCEP path.
pub(crate) fn select(path: &str) -> Option<Selector<'_>> {
    let path = path.strip_prefix('/')?;
    let path = path.strip_suffix('/').unwrap_or(path);
    let path = match path.rsplit_once('/') {
        Some((rest, last)) if last.eq_ignore_ascii_case(PKICLIENT) => rest,
        Some(_) | None => path,
    };
    if path == "scep" || is_fixed(path) {
        return Some(Selector::Default);
    }
    let own = path.strip_prefix("scep/")?;
    let profile = match own.split_once('/') {
        Some((profile, below)) => is_fixed(below).then_some(profile)?,
        None => own,
    };
    (!profile.is_empty()).then_some(Selector::Named(profile))
}

fn is_fixed(path: &str) -> bool {
    FIXED.iter().any(|fixed| path.eq_ignore_ascii_case(fixed))
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
            (
                "/cgi-bin/pkiclient.exe/pkiclient.exe",
                Some(Selector::Default),
            ),
            (
                "/certsrv/mscep/mscep.dll/pkiclient.exe/",
                Some(Selector::Default),
            ),
            ("/", None),
            ("", None),
            ("*", None),
            ("/scep//", None),
            ("/scep/devices/more", None),
            ("/scepter", None),
            ("/pkiclient.exe", None),
            ("/certsrv", None),
            ("/certsrv/mscep/other.dll", None),
        ] {
            assert_eq!(select(path), selected, "{path}");
        }
    }

    #[test]
    fn the_fixed_paths_below_a_profile_select_that_profile() {
        for below in [
            "cgi-bin/pkiclient.exe",
            "cgi-bin/pkiclient.exe/pkiclient.exe",
            "CGI-BIN/PKIClient.exe",
            "certsrv/mscep/mscep.dll",
            "certsrv/mscep/mscep.dll/pkiclient.exe",
            "CertSrv/mscep/mscep.dll/PKIClient.exe",
        ] {
            for path in [
                format!("/scep/devices/{below}"),
                format!("/scep/devices/{below}/"),
            ] {
                let selected = Some(Selector::Named("devices"));
                assert_eq!(select(&path), selected, "{path}");
            }
        }
        for path in [
            "/scep//cgi-bin/pkiclient.exe",
            "/scep/devices//cgi-bin/pkiclient.exe",
            "/scep/devices/more/cgi-bin/pkiclient.exe",
            "/scep/devices/cgi-bin/more/pkiclient.exe",
            "/scep/devices/cgi-bin/other.exe",
            "/scep/devices/certsrv",
            "/scep/devices/certsrv/mscep/other.dll",
            "/scep/devices/certsrv/mscep/mscep.dll/more",
            "/scep/devices/pkiclient.exe/pkiclient.exe",
            "/scep/certsrv/mscep/mscep.dll",
            "/devices/cgi-bin/pkiclient.exe",
        ] {
            assert_eq!(select(path), None, "{path}");
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
