//! What the command-line programs share: tables and JSON on standard output, failures with exit codes, a progress line,
//! files written safely, and the manual pages and completions made from a program's own arguments.

pub mod failure;
pub mod files;
pub mod generated;
pub mod output;
pub mod program;
pub mod progress;
