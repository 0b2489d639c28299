//! What reaches standard output: tables for people, one JSON value for programs.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use comfy_table::presets;
use comfy_table::{Attribute, Cell, ContentArrangement, Table};
use serde::Serialize;

use crate::failure::{OrFail, Outcome};

/// A column of a table: its head, and what it says of a row.
pub type Column<T> = (&'static str, fn(&T) -> String);

/// Where and how a command prints.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
}

impl Output {
    /// Text for people, or one JSON value.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether one JSON value is wanted.
    pub fn is_json(self) -> bool {
        self.json
    }

    /// Text that is the answer itself, such as a challenge: not decorated, ends with a line feed.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn line(self, text: &str) -> Outcome {
        write_out(format!("{text}\n").as_bytes())
    }

    /// Bytes as they are, such as a certificate.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn bytes(self, bytes: &[u8]) -> Outcome {
        write_out(bytes)
    }

    /// A list: a table, or an array.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn list<T: Serialize>(self, rows: &[T], columns: &[Column<T>]) -> Outcome {
        if self.json {
            return self.json(rows);
        }
        self.table(rows, columns)
    }

    /// A table for people, one part of a longer answer.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn table<'a, T: 'a>(
        self,
        rows: impl IntoIterator<Item = &'a T>,
        columns: &[Column<T>],
    ) -> Outcome {
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_header(columns.iter().map(|(head, _)| self.header(head)));
        if !io::stdout().is_terminal() {
            // A pipe gets each row on one line, however long.
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
        for row in rows {
            table.add_row(
                columns
                    .iter()
                    .map(|(_, text)| printable(&text(row)).into_owned()),
            );
        }
        table
            .lines()
            .try_for_each(|line| self.line(line.trim_end()))
    }

    /// One thing: `text` for people, `value` for programs.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn one<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> Vec<String>) -> Outcome {
        if self.json {
            return self.json(value);
        }
        text(value)
            .iter()
            .try_for_each(|line| self.line(&printable(line)))
    }

    /// A value as indented JSON.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Outcome {
        let mut text = serde_json::to_string_pretty(value).or_fail("cannot print JSON")?;
        text.push('\n');
        write_out(text.as_bytes())
    }

    fn header(self, text: &str) -> Cell {
        let cell = Cell::new(text);
        if colour(&io::stdout()) {
            cell.add_attribute(Attribute::Bold)
        } else {
            cell
        }
    }
}

/// Colour only on a terminal, and never where `NO_COLOR` is set (no-color.org).
pub fn colour(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Bold on a terminal.
pub fn strong(text: &str) -> String {
    if colour(&io::stdout()) {
        format!("\u{1b}[1m{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}

/// A note about the work for the person who runs it; the answer goes to standard output.
pub fn note(text: &str) {
    // With standard error closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Text from outside (names, refusal details) must not move the cursor or forge lines on a terminal.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(char::is_control) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(
        text.chars()
            .map(|c| {
                if c.is_control() {
                    c.escape_unicode().to_string()
                } else {
                    c.to_string()
                }
            })
            .collect(),
    )
}

fn write_out(bytes: &[u8]) -> Outcome {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        // `assay audit list | head` is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.or_fail("cannot write to standard output"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\u{a}");
        assert_eq!(printable("Ä ok"), "Ä ok");
    }
}
