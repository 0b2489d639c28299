//! A refused request: which rule, which field, what was wanted and what came.

use std::fmt;

/// Longest detail kept, in characters: a log line stays a line, whatever a request holds.
const MAX_DETAIL: usize = 512;

/// Identifier of a rule, listed in RULES.md: `SUB-02`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(pub(crate) &'static str);

impl RuleId {
    /// The identifier.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Why nothing is issued. The detail names field, wanted and got; it never holds a challenge.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule}: {detail}")]
pub struct Refusal {
    /// The first rule that refused.
    pub rule: RuleId,
    /// One line of printable text.
    pub detail: String,
}

impl Refusal {
    pub(crate) fn new(rule: RuleId, detail: &str) -> Self {
        let mut line: String = detail
            .chars()
            .take(MAX_DETAIL)
            .map(|character| {
                if character.is_control() {
                    '\u{fffd}'
                } else {
                    character
                }
            })
            .collect();
        if detail.chars().nth(MAX_DETAIL).is_some() {
            line.push('…');
        }
        Self { rule, detail: line }
    }
}
