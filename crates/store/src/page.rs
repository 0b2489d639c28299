use assay_types::Timestamp;
use rusqlite::{Params, Row};

use crate::StoreError;
use crate::sql::{Connection, limit};

/// Rows that one page looks through at most, where its filters have no index: a few tens of milliseconds of one reader.
const MAX_SCAN: usize = 10_000;

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, C = u64> {
    /// In the order of the list. There may be fewer than were asked for, or none, though the list continues.
    pub rows: Vec<T>,
    /// The row after which the list continues; `None` where this is its end.
    pub next: Option<C>,
}

/// A filter by time. What is not set does not bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span<T = Timestamp> {
    /// The first moment.
    pub from: Option<T>,
    /// The first moment that is too late.
    pub to: Option<T>,
}

/// Steps through the rows of `sql`, which have their filters' verdict in the column `hit`, until the page is full or
/// enough rows were looked at.
pub(crate) fn page<T, C>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    asked: u32,
    cursor: impl Fn(&Row<'_>) -> rusqlite::Result<C>,
    read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Page<T, C>, StoreError> {
    let size = limit(asked)? as usize;
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query(params)?;
    let mut rows = Vec::new();
    let mut last = None;
    let mut looked_at = 0;
    while let Some(row) = found.next()? {
        let hit: bool = row.get("hit")?;
        // A full page continues to the next hit, so that the last page is known to be the last.
        if looked_at == MAX_SCAN || (hit && rows.len() == size) {
            return Ok(Page { rows, next: last });
        }
        if hit {
            rows.push(read(row)?);
        }
        last = Some(cursor(row)?);
        looked_at += 1;
    }
    Ok(Page { rows, next: None })
}

/// A position as SQLite takes it: beyond the newest row where there is none.
pub(crate) fn before(position: Option<u64>) -> i64 {
    position
        .and_then(|position| i64::try_from(position).ok())
        .unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

    use super::*;

    /// The numbers below `end` that are divisible by `step`, largest first, of a table of 25,000.
    fn numbers(step: i64, end: i64) -> Page<i64, i64> {
        let connection = Connection::new(rusqlite::Connection::open_in_memory().unwrap());
        let sql = "WITH RECURSIVE n (n) AS (SELECT 24999 UNION ALL SELECT n - 1 FROM n WHERE n > 0)
             SELECT n, n % ?1 = 0 AS hit FROM n WHERE n < ?2";
        let number = |row: &Row<'_>| row.get("n");
        page(&connection, sql, [step, end], 2, number, number).unwrap()
    }

    #[test]
    fn a_page_looks_through_a_bounded_number_of_rows_and_the_next_one_goes_on_there() {
        let mut end = 25_000;
        let mut pages = Vec::new();
        loop {
            let page = numbers(25_000, end);
            pages.push((page.rows, page.next));
            match page.next {
                Some(next) => end = next,
                None => break,
            }
        }
        assert_eq!(
            pages,
            [
                (vec![], Some(15_000)),
                (vec![], Some(5_000)),
                (vec![0], None)
            ]
        );
    }

    #[test]
    fn a_full_page_is_the_last_where_no_hit_follows() {
        assert_eq!(numbers(1, 2).next, None);
        assert_eq!(numbers(1, 3).next, Some(1));
        assert_eq!(
            numbers(3, 5),
            Page {
                rows: vec![3, 0],
                next: None
            }
        );
    }
}
