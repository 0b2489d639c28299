//! `assay cert expiring`: who has to renew, and who did not in time.

use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::{CountExpiringRequest, ExpiringCount, ListExpiringRequest};
use clap::Args;
use serde::Serialize;

use super::certificates::CertificateView;
use crate::admin::Admin;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{self, Output, Row};

/// Certificates of one call; the signer sends no more.
const PAGE: u32 = 1_000;

const EXAMPLES: &str = "\
Certificates that were renewed are left out, as are those that are revoked or on hold. Renewed means by their holder, under the \
old certificate; a device that enrolled anew by a challenge still has its old one here.

Examples:
  assay cert expiring --within 30d
  assay cert expiring --within 7d --profile devices --json
  assay cert expiring --expired --within 7d
  assay cert expiring --summary
  assay cert expiring --within 3d --fail-if-any     (for a timer whose failure is the alarm)";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExpiringArgs {
    /// How far from now, as in 12h, 30d or 8w
    #[arg(long, value_name = "DURATION", value_parser = seconds, default_value = "30d")]
    within: u64,

    /// Only this profile's
    #[arg(long, default_value = "")]
    profile: String,

    /// Also those that were renewed already
    #[arg(long)]
    renewed: bool,

    /// Those that ended within the time, in place of those that will
    #[arg(long)]
    expired: bool,

    /// Numbers by profile, of those that will end within the time and of those that ended
    #[arg(long, conflicts_with_all = ["renewed", "expired", "after", "limit"])]
    summary: bool,

    /// Only those after the one with this serial, for the next page
    #[arg(
        long,
        value_name = "SERIAL",
        default_value = "",
        hide_default_value = true
    )]
    after: String,

    /// At most so many [default: all]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,

    /// End with code 1 if one was not renewed; of a summary, if one will end that was not
    #[arg(long, conflicts_with = "renewed")]
    fail_if_any: bool,
}

pub(crate) async fn run(args: ExpiringArgs, mut admin: Admin, out: Output) -> Outcome {
    let found = if args.summary {
        summarise(&args, &mut admin, out).await?
    } else {
        list(&args, &mut admin, out).await?
    };
    if found && args.fail_if_any {
        return Err(Failure::reported(Exit::Failed));
    }
    Ok(())
}

/// Whether there is any.
async fn list(args: &ExpiringArgs, admin: &mut Admin, out: Output) -> Outcome<bool> {
    let limit = args.limit.map_or(usize::MAX, |limit| limit as usize);
    // One more, to know whether the list ends there.
    let mut rows = fetch(args, admin, limit.saturating_add(1)).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    if out.is_json() || !rows.is_empty() {
        out.list(&rows)?;
    } else {
        output::note(&args.nothing());
    }
    if let (true, Some(last)) = (more, rows.last()) {
        let serial = &last.certificate.serial;
        output::note(&format!(
            "there are more: the same with --after {serial} goes on"
        ));
    }
    Ok(!rows.is_empty())
}

/// Page by page, all of one span of time.
async fn fetch(args: &ExpiringArgs, admin: &mut Admin, wanted: usize) -> Outcome<Vec<Expiring>> {
    let mut rows: Vec<Expiring> = Vec::new();
    let mut request = ListExpiringRequest {
        profile: args.profile.clone(),
        within_seconds: args.within,
        renewed: args.renewed,
        expired: args.expired,
        after: args.after.clone(),
        limit: PAGE,
        at: 0,
    };
    while rows.len() < wanted {
        let left = u32::try_from(wanted - rows.len()).unwrap_or(PAGE);
        request.limit = left.min(PAGE);
        let call = AdministrationClient::list_expiring;
        let reply = admin.call(request.clone(), call).await?;
        request.at = reply.at;
        let Some(last) = reply.certificates.last() else {
            break;
        };
        request.after.clone_from(&last.serial);
        let rows_of_page = reply.certificates.into_iter().map(|info| Expiring {
            left_seconds: info.not_after.saturating_sub(reply.at),
            certificate: info.into(),
        });
        rows.extend(rows_of_page);
    }
    Ok(rows)
}

/// Whether any will end that was not renewed.
async fn summarise(args: &ExpiringArgs, admin: &mut Admin, out: Output) -> Outcome<bool> {
    let request = CountExpiringRequest {
        profile: args.profile.clone(),
        within_seconds: args.within,
    };
    let reply = admin
        .call(request, AdministrationClient::count_expiring)
        .await?;
    let rows: Vec<_> = reply.counts.into_iter().map(Summary::from).collect();
    if out.is_json() || !rows.is_empty() {
        out.list(&rows)?;
    } else {
        output::note("there is no profile, and no certificate");
    }
    Ok(rows.iter().any(|row| row.not_renewed > 0))
}

impl ExpiringArgs {
    /// Says it of an empty list.
    fn nothing(&self) -> String {
        let of = match self.profile.as_str() {
            "" => String::new(),
            profile => format!(" of profile {profile}"),
        };
        let unless = if self.renewed {
            ""
        } else {
            " without having been renewed"
        };
        let further = if self.after.is_empty() {
            ""
        } else {
            " further"
        };
        let within = span(self.within);
        if self.expired {
            format!("no{further} certificate{of} ended in the last {within}{unless}")
        } else {
            format!("no{further} certificate{of} ends within {within}{unless}")
        }
    }
}

#[derive(Debug, Serialize)]
struct Expiring {
    #[serde(flatten)]
    certificate: CertificateView,
    /// By the signer's clock; below 0 where it has ended.
    left_seconds: i64,
}

impl Row for Expiring {
    const HEADERS: &'static [&'static str] = &[
        "NOT AFTER",
        "LEFT",
        "SERIAL",
        "PROFILE",
        "SUBJECT",
        "SANS",
        "RENEWED",
    ];

    fn cells(&self) -> Vec<String> {
        let certificate = &self.certificate;
        vec![
            certificate.not_after.clone(),
            left(self.left_seconds),
            certificate.serial.clone(),
            certificate.profile.clone(),
            certificate.subject.clone(),
            certificate.sans.join(" "),
            match certificate.superseded_by.as_str() {
                "" => "-".to_owned(),
                successor => successor.to_owned(),
            },
        ]
    }
}

#[derive(Debug, Serialize)]
struct Summary {
    profile: String,
    ending: u64,
    renewed: u64,
    not_renewed: u64,
    /// Ended, and neither renewed nor revoked.
    lapsed: u64,
}

impl From<ExpiringCount> for Summary {
    fn from(count: ExpiringCount) -> Self {
        let ExpiringCount {
            profile,
            ending,
            renewed,
            lapsed,
        } = count;
        Self {
            profile,
            ending,
            renewed,
            not_renewed: ending.saturating_sub(renewed),
            lapsed,
        }
    }
}

impl Row for Summary {
    const HEADERS: &'static [&'static str] =
        &["PROFILE", "ENDING", "RENEWED", "NOT RENEWED", "LAPSED"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.profile.clone(),
            self.ending.to_string(),
            self.renewed.to_string(),
            self.not_renewed.to_string(),
            self.lapsed.to_string(),
        ]
    }
}

/// Whole seconds, 1 or more.
fn seconds(text: &str) -> Result<u64, String> {
    let wrong = "write a time as 12h, 30d or 8w";
    let duration = humantime::parse_duration(text).map_err(|error| format!("{error}; {wrong}"))?;
    match duration.as_secs() {
        0 => Err(format!("at least 1s; {wrong}")),
        seconds => Ok(seconds),
    }
}

/// `3d 4h`, or `3d 4h ago`.
fn left(seconds: i64) -> String {
    let text = span(seconds.unsigned_abs());
    if seconds < 0 {
        format!("{text} ago")
    } else {
        text
    }
}

/// The largest unit that there is one of, and the next.
fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let ((large, unit), (small, next)) = if days > 0 {
        ((days, "d"), (hours % 24, "h"))
    } else if hours > 0 {
        ((hours, "h"), (minutes % 60, "m"))
    } else if minutes > 0 {
        ((minutes, "m"), (seconds % 60, "s"))
    } else {
        ((seconds, "s"), (0, ""))
    };
    match small {
        0 => format!("{large}{unit}"),
        small => format!("{large}{unit} {small}{next}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_in_two_units() {
        for (seconds, told) in [
            (0, "0s"),
            (59, "59s"),
            (61, "1m 1s"),
            (3_600, "1h"),
            (5_430, "1h 30m"),
            (86_400, "1d"),
            (3 * 86_400 + 4 * 3_600 + 59, "3d 4h"),
            (400 * 86_400, "400d"),
            (-90, "1m 30s ago"),
            (-86_400, "1d ago"),
        ] {
            assert_eq!(left(seconds), told, "{seconds}");
        }
    }

    #[test]
    fn a_time_is_one_second_or_more() {
        for (text, found) in [
            ("1s", 1),
            ("12h", 43_200),
            ("30d", 2_592_000),
            ("8w", 4_838_400),
        ] {
            assert_eq!(seconds(text), Ok(found), "{text}");
        }
        for wrong in ["0", "0d", "500ms", "", "abc", "-1d", "30", "30 dogs"] {
            let told = seconds(wrong).err().unwrap_or_default();
            assert!(
                told.ends_with("write a time as 12h, 30d or 8w"),
                "{wrong}: {told}"
            );
        }
    }
}
