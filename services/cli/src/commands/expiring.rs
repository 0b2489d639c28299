//! `assay cert expiring`: who has to renew, and who did not in time.

use std::time::Duration;

use assay_console::failure::{Exit, Failure, Outcome};
use assay_console::output::{self, Column, Output};
use assay_operator::admin::Admin;
use assay_proto::Timestamp;
use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::{
    CertificateInfo, CountExpiringRequest, ExpiringCount, ListExpiringRequest, PageRequest,
};
use clap::Args;
use serde::Serialize;

use super::list::{FromArgs, Listed, NameArgs, fetch, filter, time_text};

const EXAMPLES: &str = "\
Certificates that were renewed are left out, as are those that are revoked or on hold. Renewed means by their holder, under the \
old certificate; a device that enrolled anew by a challenge still has its old one here.

Examples:
  assay cert expiring --within 30d
  assay cert expiring --within 7d --profile devices --json
  assay cert expiring --expired --within 7d
  assay cert expiring --within 400d --san dns:box-1.example
  assay cert expiring --summary
  assay cert expiring --within 3d --fail-if-any     (for a timer whose failure is the alarm)";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExpiringArgs {
    /// How far from now, as in 12h, 30d or 8w
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "30d")]
    within: Duration,

    /// Only certificates of this profile
    #[arg(long, value_parser = filter())]
    profile: Option<String>,

    #[command(flatten)]
    names: NameArgs,

    /// Also those that were renewed already
    #[arg(long)]
    renewed: bool,

    /// Those that ended within the time, in place of those that will
    #[arg(long)]
    expired: bool,

    /// Numbers by profile, of those that will end within the time and of those that ended
    #[arg(long, conflicts_with_all = ["renewed", "expired", "subject", "san", "token", "limit"])]
    summary: bool,

    #[command(flatten)]
    from: FromArgs,

    /// Maximum number of results [default: all]
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
    let listed = certificates(args, admin).await?;
    if out.is_json() || !listed.rows.is_empty() {
        listed.print(out, COLUMNS)?;
    } else {
        output::note(&args.nothing());
    }
    Ok(!listed.rows.is_empty())
}

/// Page by page, all of one span of time.
async fn certificates(args: &ExpiringArgs, admin: &mut Admin) -> Outcome<Listed<Expiring>> {
    let limit = args.limit.map_or(usize::MAX, |limit| limit as usize);
    let page = async |page: PageRequest| {
        let request = ListExpiringRequest {
            page: Some(page),
            profile: args.profile.clone().unwrap_or_default(),
            within: Some(args.within.into()),
            renewed: args.renewed,
            expired: args.expired,
            subject: args.names.subject.clone().unwrap_or_default(),
            san: args.names.san.clone().unwrap_or_default(),
        };
        let call = AdministrationClient::list_expiring;
        let reply = admin.call(request, call).await?;
        let at = seconds(reply.at);
        let rows = reply.certificates.into_iter().map(|certificate| Expiring {
            left_seconds: seconds(certificate.not_after).saturating_sub(at),
            certificate,
        });
        Ok((rows.collect(), reply.page))
    };
    fetch(limit, args.from.token.clone().unwrap_or_default(), page).await
}

fn seconds(time: Option<Timestamp>) -> i64 {
    time.map_or(0, |time| time.seconds)
}

/// Whether any will end that was not renewed.
async fn summarise(args: &ExpiringArgs, admin: &mut Admin, out: Output) -> Outcome<bool> {
    let request = CountExpiringRequest {
        profile: args.profile.clone().unwrap_or_default(),
        within: Some(args.within.into()),
    };
    let reply = admin
        .call(request, AdministrationClient::count_expiring)
        .await?;
    let rows = reply.counts;
    if out.is_json() || !rows.is_empty() {
        out.list(&rows, SUMMARY_COLUMNS)?;
    } else {
        output::note("there is no profile, and no certificate");
    }
    Ok(rows.iter().any(|row| row.not_renewed > 0))
}

impl ExpiringArgs {
    /// Says it of an empty list.
    fn nothing(&self) -> String {
        let of = match &self.profile {
            None => String::new(),
            Some(profile) => format!(" of profile {profile}"),
        };
        let named = if self.names.subject.is_none() && self.names.san.is_none() {
            ""
        } else {
            " of this name"
        };
        let unless = if self.renewed {
            ""
        } else {
            " without having been renewed"
        };
        let further = if self.from.token.is_none() {
            ""
        } else {
            " further"
        };
        let within = span(self.within.as_secs());
        if self.expired {
            format!("no{further} certificate{of}{named} ended in the last {within}{unless}")
        } else {
            format!("no{further} certificate{of}{named} ends within {within}{unless}")
        }
    }
}

#[derive(Debug, Serialize)]
struct Expiring {
    #[serde(flatten)]
    certificate: CertificateInfo,
    /// By the signer's clock; below 0 where it has ended.
    left_seconds: i64,
}

const COLUMNS: &[Column<Expiring>] = &[
    ("NOT AFTER", |row| time_text(row.certificate.not_after)),
    ("LEFT", |row| left(row.left_seconds)),
    ("SERIAL", |row| row.certificate.serial.clone()),
    ("PROFILE", |row| row.certificate.profile.clone()),
    ("SUBJECT", |row| row.certificate.subject.clone()),
    ("SANS", |row| row.certificate.sans.join(" ")),
    ("RENEWED", renewed),
];

fn renewed(row: &Expiring) -> String {
    match row.certificate.superseded_by.as_str() {
        "" => "-".to_owned(),
        successor => successor.to_owned(),
    }
}

const SUMMARY_COLUMNS: &[Column<ExpiringCount>] = &[
    ("PROFILE", |count| count.profile.clone()),
    ("ENDING", |count| count.ending.to_string()),
    ("RENEWED", |count| count.renewed.to_string()),
    ("NOT RENEWED", |count| count.not_renewed.to_string()),
    ("LAPSED", |count| count.lapsed.to_string()),
];

/// Whole seconds, 1 or more.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = "write a time as 12h, 30d or 8w";
    let duration =
        assay_types::duration::parse(text).map_err(|error| format!("{error}; {wrong}"))?;
    match duration.as_secs() {
        0 => Err(format!("at least 1s; {wrong}")),
        seconds => Ok(Duration::from_secs(seconds)),
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
            assert_eq!(duration(text), Ok(Duration::from_secs(found)), "{text}");
        }
        for wrong in ["0", "0d", "500ms", "", "abc", "-1d", "30", "30 dogs"] {
            let told = duration(wrong).err().unwrap_or_default();
            assert!(
                told.ends_with("write a time as 12h, 30d or 8w"),
                "{wrong}: {told}"
            );
        }
    }
}
