use std::ops::RangeInclusive;

use assay_types::Timestamp;
use rusqlite::{Connection, params};

use crate::certificates::read;
use crate::sql::{Sql, limit};
use crate::{CertificateRow, Page, Store, StoreError};

/// Which certificates end in a span of time. All that is told is of certificates that were issued and are not revoked;
/// one on hold counts as revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiringQuery {
    /// Of this profile alone.
    pub profile: Option<String>,
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

const OF_ALL: &str = "SELECT * FROM certificates
     WHERE state = 'issued' AND revoked_at IS NULL AND (superseded_by IS NULL) = ?1
         AND (not_after, position) > (?2, ?3) AND not_after <= ?4
     ORDER BY not_after, position LIMIT ?5";

/// By name, as SQLite takes the other index to be as good, and would then pass over the certificates of all other profiles.
const OF_PROFILE: &str = "SELECT * FROM certificates INDEXED BY certificates_of_profile_by_end
     WHERE profile = ?6 AND state = 'issued' AND revoked_at IS NULL AND (superseded_by IS NULL) = ?1
         AND (not_after, position) > (?2, ?3) AND not_after <= ?4
     ORDER BY not_after, position LIMIT ?5";

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
        self.read(move |connection| {
            let size = limit(query.rows)? as usize;
            // One more than the page has tells whether it is the last.
            let mut rows = list(connection, &query, false, size + 1)?;
            if query.renewed {
                // Both lists begin with what is soonest, so what is left of both together does.
                rows.extend(list(connection, &query, true, size + 1)?);
                rows.sort_unstable_by_key(|row| (row.not_after, row.position));
            }
            let more = rows.len() > size;
            rows.truncate(size);
            let last = rows.last().filter(|_| more);
            let next = last.map(|row| (row.not_after, row.position));
            Ok(Page { rows, next })
        })
        .await
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
    query: &ExpiringQuery,
    renewed: bool,
    limit: usize,
) -> Result<Vec<CertificateRow>, StoreError> {
    let (from, until) = (*query.span.start(), *query.span.end());
    // Positions begin at 1, so nothing of the span's first second is left out.
    let start = (from, 0);
    let after = query
        .after
        .map(|(at, position)| (at, position.cast_signed()));
    let (at, position) = after.map_or(start, |after| after.max(start));
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    match &query.profile {
        None => connection.list(OF_ALL, params![!renewed, at, position, until, limit], read),
        Some(profile) => {
            let values = params![!renewed, at, position, until, limit, profile];
            connection.list(OF_PROFILE, values, read)
        }
    }
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

    use rusqlite::StatementStatus;

    use super::*;

    const DAY: i64 = 86_400;
    const WITHIN: i64 = 30 * DAY;

    /// `total` certificates of two profiles: every other one was renewed, and 1,000 end within the time.
    fn with(total: i64) -> (tempfile::TempDir, Connection) {
        let directory = tempfile::tempdir().unwrap();
        let connection = crate::schema::open_writer(&directory.path().join("signer.db")).unwrap();
        connection
            .pragma_update(None, "foreign_keys", false)
            .unwrap();
        let later = total - 1_000;
        connection
            .execute(
                "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?1)
                 INSERT INTO certificates (serial, state, ca_id, profile, subject, sans, not_before, not_after, policy_hash,
                     signer_spki_sha256, transaction_id, request_digest, csr_digest, request, tbs_digest, created_at,
                     expires_at, closed_at, der, sha256, superseded_by)
                 SELECT CAST(n AS BLOB), 'issued', 'ca', iif(n % 4 < 2, 'devices', 'fleet'), 'CN=a', '[]', 1,
                     iif(n <= ?2, ?3 + n, n % ?3), zeroblob(32), zeroblob(32), 't', zeroblob(32), zeroblob(32), '{}',
                     zeroblob(32), 1, 2, 1, x'30', zeroblob(32), iif(n % 2, x'01', NULL)
                 FROM n",
                [total, later, WITHIN],
            )
            .unwrap();
        (directory, connection)
    }

    fn query(profile: Option<&str>) -> ExpiringQuery {
        ExpiringQuery {
            profile: profile.map(str::to_owned),
            span: Timestamp::default()..=Timestamp::from_seconds(WITHIN),
            renewed: false,
            after: None,
            rows: 0,
        }
    }

    fn plan(connection: &Connection, sql: &str, parameters: &[&dyn rusqlite::ToSql]) -> String {
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
        let (_directory, connection) = with(1_000);
        let of_all = plan(&connection, OF_ALL, &[&true, &0, &0, &WITHIN, &10]);
        assert_eq!(
            of_all,
            "SEARCH certificates USING INDEX certificates_by_end (<expr>=? AND not_after>? AND not_after<?)"
        );
        let of_profile = plan(
            &connection,
            OF_PROFILE,
            &[&true, &0, &0, &WITHIN, &10, &"devices"],
        );
        assert_eq!(
            of_profile,
            "SEARCH certificates USING INDEX certificates_of_profile_by_end \
             (profile=? AND state=? AND revoked_at=? AND <expr>=? AND not_after>? AND not_after<?)"
        );
        let counted = plan(&connection, COUNT, &[&"devices", &true, &0, &WITHIN]);
        assert_eq!(
            counted,
            "SEARCH certificates USING COVERING INDEX certificates_of_profile_by_end \
             (profile=? AND state=? AND revoked_at=? AND <expr>=? AND not_after>? AND not_after<?)"
        );
        let profiles = plan(&connection, PROFILES, &[]);
        assert!(!profiles.contains("SCAN certificates"), "{profiles}");
    }

    /// SQLite's own count of the instructions that it ran: no clock, so nothing beside the query can move it.
    #[test]
    fn an_answer_costs_the_same_however_much_there_is() {
        let cost = |total| {
            let (_directory, connection) = with(total);
            [
                steps(&connection, OF_ALL, &[&true, &0, &0, &WITHIN, &100]),
                steps(
                    &connection,
                    OF_PROFILE,
                    &[&true, &0, &0, &WITHIN, &100, &"fleet"],
                ),
                steps(&connection, COUNT, &[&"fleet", &true, &0, &WITHIN]),
                steps(&connection, PROFILES, &[]),
            ]
        };
        assert_eq!(cost(2_000), cost(40_000));
    }

    fn steps(connection: &Connection, sql: &str, parameters: &[&dyn rusqlite::ToSql]) -> i32 {
        let mut statement = connection.prepare(sql).unwrap();
        let mut rows = statement.query(parameters).unwrap();
        let mut found = 0;
        while rows.next().unwrap().is_some() {
            found += 1;
        }
        drop(rows);
        assert!(found > 0);
        statement.get_status(StatementStatus::VmStep)
    }

    #[test]
    fn the_two_profiles_and_what_ends_of_them_are_found() {
        let (_directory, connection) = with(2_000);
        let found = list(&connection, &query(None), false, 1_000).unwrap();
        assert_eq!(found.len(), 500);
        let of_fleet = list(&connection, &query(Some("fleet")), false, 1_000).unwrap();
        assert_eq!(of_fleet.len(), 250);
        let names = connection.list(PROFILES, [], |row| row.get::<_, String>(0));
        assert_eq!(names.unwrap(), ["devices", "fleet"]);
    }
}
