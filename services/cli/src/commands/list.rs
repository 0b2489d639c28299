//! The parts that all lists of the signer have in common: how many rows, of what time, and where a list continues.

use std::time::SystemTime;

use assay_console::failure::Outcome;
use assay_console::output::{self, Column, Output};
use assay_operator::admin::{Admin, Client};
use assay_proto::v1::{PageReply, PageRequest, TimeRange};
use assay_proto::{MAX_PAGE, Named, Timestamp};
use assay_scep::{Limits, TransactionId};
use clap::Args;
use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser, TypedValueParser};
use serde::Serialize;
use tonic::{Request, Response, Status};

#[derive(Debug, Args)]
pub(crate) struct PageArgs {
    /// Maximum number of results
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) limit: u32,

    #[command(flatten)]
    pub(super) from: FromArgs,
}

#[derive(Debug, Args)]
pub(crate) struct FromArgs {
    /// Continue a list where it stopped: the token that it ended with. Repeat the filters
    #[arg(long = "page", value_name = "TOKEN", value_parser = filter())]
    pub(super) token: Option<String>,
}

/// A filter by time.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct RangeArgs {
    /// Only from this time on, UTC: 2026-10-01 or 2026-10-01T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Timestamp>,

    /// Only before this time, UTC
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<Timestamp>,
}

/// Names that a certificate, a request or a challenge has.
#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    /// Only what has this subject, RFC 4514
    #[arg(long, value_parser = filter())]
    pub(super) subject: Option<String>,

    /// Only what has this subject alternative name: dns:, ip:, email:, uri:, upn: or other:
    #[arg(long, value_name = "TYPE:VALUE", value_parser = filter())]
    pub(super) san: Option<String>,
}

/// Rows of one list, from one page or several.
pub(super) struct Listed<T> {
    pub(super) rows: Vec<T>,
    /// Where it continues; empty at its end.
    pub(super) next: String,
}

impl PageArgs {
    /// Asks for page after page until there are as many rows as are wanted. `rows` takes a reply apart.
    pub(super) async fn list<Q, A, T>(
        self,
        mut admin: Admin,
        call: impl AsyncFn(&mut Client, Request<Q>) -> Result<Response<A>, Status>,
        request: impl Fn(Option<PageRequest>) -> Q,
        rows: impl Fn(A) -> (Vec<T>, Option<PageReply>),
    ) -> Outcome<Listed<T>> {
        let page = async |page| Ok(rows(admin.call(request(Some(page)), &call).await?));
        fetch(
            self.limit as usize,
            self.from.token.unwrap_or_default(),
            page,
        )
        .await
    }
}

/// Asks for page after page until there are `limit` rows.
pub(super) async fn fetch<T>(
    limit: usize,
    mut token: String,
    mut page: impl AsyncFnMut(PageRequest) -> Outcome<(Vec<T>, Option<PageReply>)>,
) -> Outcome<Listed<T>> {
    let mut rows: Vec<T> = Vec::new();
    loop {
        let left = u32::try_from(limit.saturating_sub(rows.len())).unwrap_or(MAX_PAGE);
        let size = left.min(MAX_PAGE);
        let (more, reply) = page(PageRequest { size, token }).await?;
        rows.extend(more);
        token = reply.unwrap_or_default().next_token;
        // A page may be short, or empty, though the list continues.
        if token.is_empty() || rows.len() >= limit {
            return Ok(Listed { rows, next: token });
        }
    }
}

impl<T: Serialize> Listed<T> {
    /// The rows on standard output, and a note where the list continues.
    pub(super) fn print(&self, out: Output, columns: &[Column<T>]) -> Outcome {
        out.list(&self.rows, columns)?;
        self.note_more();
        Ok(())
    }
}

impl<T> Listed<T> {
    /// Says how to see the rest, where there is any.
    pub(super) fn note_more(&self) {
        if !self.next.is_empty() {
            output::note(&format!(
                "there are more: repeat the command with --page {}",
                self.next
            ));
        }
    }
}

impl From<RangeArgs> for Option<TimeRange> {
    fn from(RangeArgs { from, to }: RangeArgs) -> Self {
        (from.is_some() || to.is_some()).then_some(TimeRange { from, to })
    }
}

/// A filter by text. An empty one, as from a variable that is not set, would list everything, and is refused.
pub(super) fn filter() -> impl TypedValueParser<Value = String> {
    NonEmptyStringValueParser::new()
}

/// A filter by transaction: a value that a SCEP message can have.
pub(super) fn transaction(text: &str) -> Result<String, String> {
    let limits = Limits::default();
    match TransactionId::new(text, &limits) {
        Some(id) => Ok(id.as_str().to_owned()),
        None => Err(format!(
            "a transactionID has 1 to {} printable ASCII characters",
            limits.transaction_id
        )),
    }
}

/// A value of an enum of the contract by its name.
pub(super) fn named<E: Named + Send + Sync>() -> impl TypedValueParser<Value = E> {
    let names = E::ALL.iter().map(|value| value.as_str());
    PossibleValuesParser::new(names).try_map(|name| E::named(&name).ok_or("unknown"))
}

/// A time for people; empty where it is not set.
pub(super) fn time_text(time: Option<Timestamp>) -> String {
    time.map(|time| time.to_string()).unwrap_or_default()
}

/// A day or a second, in UTC.
fn time(text: &str) -> Result<Timestamp, String> {
    let whole = if text.len() == "2026-10-01".len() {
        format!("{text}T00:00:00Z")
    } else {
        text.to_owned()
    };
    let wrong = || "write a time as 2026-10-01 or 2026-10-01T08:00:00Z".to_owned();
    let time = humantime::parse_rfc3339_weak(&whole).map_err(|_| wrong())?;
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_err(|_| wrong())?;
    Ok(time.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

    use super::*;

    #[test]
    fn a_time_is_a_day_or_a_second_in_utc() {
        let at = |seconds| assay_types::Timestamp::from_seconds(seconds).into();
        assert_eq!(time("1970-01-02"), Ok(at(86_400)));
        assert_eq!(time("1970-01-01T00:00:01Z"), Ok(at(1)));
        for wrong in ["", "yesterday", "1969-12-31", "2026-13-01", "2026-10-1"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }

    /// A signer with numbers 0 to `total`, which gives `most` of them in a page.
    async fn list(limit: usize, total: u32, most: u32) -> (Vec<u32>, String) {
        let page = async |request: PageRequest| {
            let start: u32 = request.token.parse().unwrap_or_default();
            let end = (start + request.size.min(most)).min(total);
            let next_token = if end < total {
                end.to_string()
            } else {
                String::new()
            };
            Ok(((start..end).collect(), Some(PageReply { next_token })))
        };
        let listed = fetch(limit, String::new(), page).await.unwrap();
        (listed.rows, listed.next)
    }

    #[tokio::test]
    async fn pages_are_followed_up_to_the_limit_and_no_further() {
        assert_eq!(list(10, 5, 3).await, ((0..5).collect(), String::new()));
        assert_eq!(list(5, 5, 3).await, ((0..5).collect(), String::new()));
        assert_eq!(list(4, 5, 3).await, ((0..4).collect(), "4".to_owned()));
        let (rows, next) = list(2_500, 9_000, 10_000).await;
        assert_eq!((rows.len(), next.as_str()), (2_500, "2500"));
        assert_eq!(list(usize::MAX, 2_500, 10_000).await.0.len(), 2_500);
    }
}
