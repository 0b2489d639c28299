//! What is wrong with a policy file, and where.

use std::fmt;

crate::algorithm::words! {
    /// Which rule of policy files is broken.
    LoadRule {
        /// The file as a whole: its name, its size, its place in the bundle.
        Bundle = "TOM-01",
        /// Not TOML, a key twice included.
        Syntax = "TOM-02",
        /// A key that no policy file has.
        UnknownKey = "TOM-03",
        /// A key that is missing.
        MissingKey = "TOM-04",
        /// A value of another type.
        Type = "TOM-05",
        /// A value that is not allowed.
        Value = "TOM-06",
        /// Values that contradict each other.
        Contradiction = "TOM-07",
        /// A URL in which the issuing CA has no place, or another than `{ca}`.
        Place = "TOM-08",
    }
}

/// One fault of a policy file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct LoadError {
    file: String,
    /// 1-based; 0 where the fault is of the file as a whole.
    line: usize,
    column: usize,
    key: String,
    rule: LoadRule,
    problem: String,
}

impl LoadError {
    pub(crate) fn of_file(file: &str, rule: LoadRule, problem: String) -> Self {
        Self {
            file: file.to_owned(),
            line: 0,
            column: 0,
            key: String::new(),
            rule,
            problem,
        }
    }

    /// A fault at a byte offset of the source.
    pub(super) fn at(
        file: &str,
        source: &str,
        offset: usize,
        key: &str,
        rule: LoadRule,
        problem: String,
    ) -> Self {
        let before = source.get(..offset).unwrap_or(source);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            key: key.to_owned(),
            rule,
            problem,
        }
    }

    /// File name.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Line and column, from 1; `None` where the fault is of the file as a whole.
    pub fn line_column(&self) -> Option<(usize, usize)> {
        (self.line > 0).then_some((self.line, self.column))
    }

    /// Dotted path of the key; empty where there is none.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Which rule is broken.
    pub fn rule(&self) -> LoadRule {
        self.rule
    }

    /// What is wrong and what would be right.
    pub fn problem(&self) -> &str {
        &self.problem
    }

    pub(crate) fn position(&self) -> (&str, usize, usize) {
        (&self.file, self.line, self.column)
    }
}

/// `devices.toml:12:1: enrolment.chalenge: TOM-03: unknown key; did you mean `challenge`?`
impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if let Some((line, column)) = self.line_column() {
            write!(f, "{line}:{column}:")?;
        }
        if !self.key.is_empty() {
            write!(f, " {}:", self.key)?;
        }
        write!(f, " {}: {}", self.rule, self.problem)
    }
}
