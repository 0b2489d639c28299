//! A witness under other hands, as real processes: it cosigns a log that grows, never one that contradicts what it saw, and
//! no kill makes it forget. What it and the log signed holds for programs of others, and for receipts offline.

mod cosigning;
mod journal;
mod log;
mod receipts;
mod refusals;
mod run;
mod scene;

use std::path::Path;

use anyhow::{Context, Result};

/// The witness's name.
const WITNESS: &str = "witness.example.org/a";

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path is not UTF-8")
}
