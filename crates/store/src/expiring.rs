use std::ops::RangeInclusive;

use assay_types::Timestamp;
use rusqlite::{Row, params};

use crate::certificates::{COLUMNS, read};
use crate::page::page;
use crate::sql::Connection;
use crate::{CertificateRow, Page, Store, StoreError};

/// Which certificates end in a span of time. All that is told is of certificates that were issued and are not revoked;
/// one on hold counts as revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiringQuery {
    /// Of this profile alone.
    pub profile: Option<String>,
    /// With this subject alone, RFC 4514 text.
    pub subject: Option<String>,
    /// With this typed subject alternative name among others.
    pub san: Option<String>,
    /// The span in which notAfter lies.
    pub span: RangeInclusive<Timestamp>,
    /// Also those that were renewed.
    pub renewed: bool,
    /// Only those that come after this notAfter and position in the order of the answer.
    pub after: Option<(Timestamp, u64)>,
    /// Rows of the page; at most [`crate::MAX_ROWS`], and 0 for as many.
    pub rows: u32,
}

/// What is to be counted of each profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpirySpan {
    /// The span in which notAfter lies.
    pub span: RangeInclusive<Timestamp>,
    /// Those that were renewed, or those that were not.
    pub renewed: bool,
}

/// Those without a successor, and if `?7` holds those with one, each by an index, merged. SQLite takes the other index to be
/// as good as that of the profile, and would then pass over the certificates of all other profiles.
fn list_sql(query: &ExpiringQuery) -> String {
    let (index, profile) = match &query.profile {
        None => ("certificates_by_end", "?1 IS NULL"),
        Some(_) => ("certificates_of_profile_by_end", "profile = ?1"),
    };
    let part = |successor: &str| {
        format!(
            "SELECT {COLUMNS},
                 (?2 IS NULL OR subject = ?2)
                 AND (?3 IS NULL OR EXISTS (SELECT 1 FROM main.json_each(sans) WHERE value = ?3)) AS hit
             FROM certificates INDEXED BY {index}
             WHERE {profile} AND state = 'issued' AND revoked_at IS NULL AND (superseded_by IS NULL) = {successor}
                 AND (not_after, position) > (?4, ?5) AND not_after <= ?6"
        )
    };
    let (without, with) = (part("true"), part("false AND ?7"));
    format!("{without} UNION ALL {with} ORDER BY not_after, position")
}

const COUNT: &str = "SELECT count(*) FROM certificates
     WHERE profile = ?1 AND state = 'issued' AND revoked_at IS NULL AND (superseded_by IS NULL) = ?2
         AND not_after BETWEEN ?3 AND ?4";

/// Steps from one name to the next, however many certificates lie between.
const PROFILES: &str = "WITH RECURSIVE names (name) AS (
         SELECT min(profile) FROM certificates
         UNION ALL
         SELECT (SELECT min(profile) FROM certificates WHERE profile > name) FROM names WHERE name IS NOT NULL
     )
     SELECT name FROM names WHERE name IS NOT NULL";

impl Store {
    /// What ends in a span of time, soonest first and then in the order of the permits.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn list_expiring(
        &self,
        query: ExpiringQuery,
    ) -> Result<Page<CertificateRow, (Timestamp, u64)>, StoreError> {
        self.read(move |connection| list(connection, query)).await
    }

    /// How many certificates of each profile end in each of these spans, by profile, in the order of `spans`. A profile is
    /// there if a certificate was ever permitted by it, or is the one that was asked for. Costs what ends in the spans,
    /// not what there is.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn count_expiring(
        &self,
        profile: Option<String>,
        spans: Vec<ExpirySpan>,
    ) -> Result<Vec<(String, Vec<u64>)>, StoreError> {
        self.read(move |connection| {
            let profiles = match profile {
                Some(profile) => vec![profile],
                None => connection.list(PROFILES, [], |row| row.get(0))?,
            };
            let count = |profile: String| {
                let counts = spans.iter().map(|span| count(connection, &profile, span));
                let counts = counts.collect::<Result<_, _>>()?;
                Ok((profile, counts))
            };
            profiles.into_iter().map(count).collect()
        })
        .await
    }
}

fn list(
    connection: &Connection,
    query: ExpiringQuery,
) -> Result<Page<CertificateRow, (Timestamp, u64)>, StoreError> {
    let sql = list_sql(&query);
    let ExpiringQuery {
        profile,
        subject,
        san,
        span,
        renewed,
        after,
        rows,
    } = query;
    let (from, until) = span.into_inner();
    // Positions begin at 1, so nothing of the span's first second is left out.
    let start = (from, 0);
    let after = after.map(|(at, position)| (at, position.cast_signed()));
    let (at, position) = after.map_or(start, |after| after.max(start));
    let params = params![profile, subject, san, at, position, until, renewed];
    let cursor = |row: &Row<'_>| {
        let position = row.get::<_, i64>("position")?;
        Ok((row.get("not_after")?, position.cast_unsigned()))
    };
    page(connection, &sql, params, rows, cursor, read)
}

fn count(connection: &Connection, profile: &str, span: &ExpirySpan) -> Result<u64, StoreError> {
    let (from, until) = (*span.span.start(), *span.span.end());
    let found = connection.find(COUNT, params![profile, !span.renewed, from, until], |row| {
        row.get::<_, i64>(0)
    })?;
    Ok(found.unwrap_or_default().cast_unsigned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

    use rusqlite::{Params, StatementStatus, ToSql, params_from_iter};

    use super::*;

    const DAY: i64 = 86_400;
    const WITHIN: i64 = 30 * DAY;

    /// `total` certificates of two profiles: every other one was renewed, and 1,000 end within the time.
    fn with(total: i64) -> Connection {
        let connection = crate::store::scratch();
        let der: &[u8] = &[0x30];
        connection
            .pragma_update(None, "foreign_keys", false)
            .unwrap();
        let later = total - 1_000;
        connection
            .execute(
                "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?1)
                 INSERT INTO certificates (serial, state, ca_id, profile, subject, sans, not_before, not_after, policy_hash,
                     signer_spki_sha256, transaction_id, request_digest, csr_digest, tbs_digest, created_at,
                     expires_at, closed_at, sha256, superseded_by)
                 SELECT CAST(n AS BLOB), 'issued', 'ca', iif(n % 4 < 2, 'devices', 'fleet'), 'CN=a', '[]', 1,
                     iif(n <= ?2, ?3 + n, n % ?3), zeroblob(32), zeroblob(32), 't', zeroblob(32), zeroblob(32),
                     zeroblob(32), 1, 2, 1, ?4, iif(n % 2, x'01', NULL)
                 FROM n",
                params![total, later, WITHIN, assay_types::Hash::of(der)],
            )
            .unwrap();
        let contents =
            "INSERT INTO file.certificate_contents SELECT position, ?1 FROM certificates";
        connection.execute(contents, [der]).unwrap();
        connection
    }

    fn query(profile: Option<&str>) -> ExpiringQuery {
        ExpiringQuery {
            profile: profile.map(str::to_owned),
            subject: None,
            san: None,
            span: Timestamp::default()..=Timestamp::from_seconds(WITHIN),
            renewed: false,
            after: None,
            rows: 0,
        }
    }

    fn list_params(profile: Option<&str>) -> [Box<dyn ToSql>; 7] {
        let none = || Box::new(None::<String>);
        let profile = Box::new(profile.map(str::to_owned));
        let (renewed, until) = (Box::new(true), Box::new(WITHIN));
        [
            profile,
            none(),
            none(),
            Box::new(0),
            Box::new(0),
            until,
            renewed,
        ]
    }

    fn plan(connection: &Connection, sql: &str, parameters: impl Params) -> String {
        let explained = format!("EXPLAIN QUERY PLAN {sql}");
        let mut statement = connection.prepare(&explained).unwrap();
        let lines = statement.query_map(parameters, |row| row.get::<_, String>("detail"));
        lines
            .unwrap()
            .map(Result::unwrap)
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn each_query_goes_by_its_index_and_sorts_nothing() {
        let connection = with(1_000);
        for (profile, search) in [
            (
                None,
                "SEARCH certificates USING INDEX certificates_by_end (<expr>=? AND not_after>? AND not_after<?)",
            ),
            (
                Some("devices"),
                "SEARCH certificates USING INDEX certificates_of_profile_by_end \
                 (profile=? AND state=? AND revoked_at=? AND <expr>=? AND not_after>? AND not_after<?)",
            ),
        ] {
            let sql = list_sql(&query(profile));
            let found = plan(&connection, &sql, params_from_iter(list_params(profile)));
            assert!(!found.contains("TEMP B-TREE"), "{found}");
            let searches: Vec<_> = found
                .lines()
                .filter(|line| line.contains(" certificates "))
                .collect();
            assert_eq!(searches, [search, search], "{found}");
        }
        let counted = plan(&connection, COUNT, params!["devices", true, 0, WITHIN]);
        assert_eq!(
            counted,
            "SEARCH certificates USING COVERING INDEX certificates_of_profile_by_end \
             (profile=? AND state=? AND revoked_at=? AND <expr>=? AND not_after>? AND not_after<?)"
        );
        let profiles = plan(&connection, PROFILES, []);
        assert!(!profiles.contains("SCAN certificates"), "{profiles}");
    }

    /// SQLite's own count of the instructions that it ran: no clock, so nothing beside the query can move it.
    #[test]
    fn an_answer_costs_the_same_however_much_there_is() {
        let cost = |total| {
            let connection = with(total);
            let list = |profile| {
                let sql = list_sql(&query(profile));
                steps(&connection, &sql, params_from_iter(list_params(profile)))
            };
            [
                list(None),
                list(Some("fleet")),
                steps(&connection, COUNT, params!["fleet", true, 0, WITHIN]),
                steps(&connection, PROFILES, []),
            ]
        };
        assert_eq!(cost(2_000), cost(40_000));
    }

    fn steps(connection: &Connection, sql: &str, parameters: impl Params) -> i32 {
        let mut statement = connection.prepare(sql).unwrap();
        let mut rows = statement.query(parameters).unwrap();
        let mut found = 0;
        while found < 100 && rows.next().unwrap().is_some() {
            found += 1;
        }
        drop(rows);
        assert!(found > 0);
        statement.get_status(StatementStatus::VmStep)
    }

    #[test]
    fn the_two_profiles_and_what_ends_of_them_are_found() {
        let connection = with(2_000);
        let found = |query| list(&connection, query).unwrap().rows.len();
        assert_eq!(found(query(None)), 500);
        assert_eq!(found(query(Some("fleet"))), 250);
        let names = connection.list(PROFILES, [], |row| row.get::<_, String>(0));
        assert_eq!(names.unwrap(), ["devices", "fleet"]);
    }

    #[test]
    fn a_filter_by_name_looks_through_a_bounded_number_of_rows_for_one_page() {
        let connection = with(40_000);
        let name = "UPDATE certificates SET subject = 'CN=b', sans = '[\"dns:b\"]' WHERE position IN (20001, 39001)";
        connection.execute(name, []).unwrap();
        let subject = |query: &mut ExpiringQuery| query.subject = Some("CN=b".to_owned());
        let san = |query: &mut ExpiringQuery| query.san = Some("dns:b".to_owned());
        for filter in [&subject as &dyn Fn(&mut ExpiringQuery), &san] {
            let mut query = query(None);
            query.span = Timestamp::default()..=Timestamp::from_seconds(WITHIN + 40_000);
            query.renewed = true;
            filter(&mut query);
            let mut pages = Vec::new();
            loop {
                let page = list(&connection, query.clone()).unwrap();
                pages.push(page.rows.iter().map(|row| row.position).collect::<Vec<_>>());
                query.after = page.next;
                if query.after.is_none() {
                    break;
                }
            }
            // 39,001 is among the 1,000 that end first, and 20,001 comes after 21,000 others.
            assert_eq!(pages, [vec![39_001], vec![], vec![20_001], vec![]]);
        }
    }
}
