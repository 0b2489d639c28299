//! Prometheus metrics of a service, read as a scraper reads them.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use crate::http;

/// One scrape.
#[derive(Debug)]
pub struct Metrics(String);

impl Metrics {
    /// Scrapes a service.
    ///
    /// # Errors
    ///
    /// When it does not answer 200.
    pub async fn scrape(url: &str) -> Result<Self> {
        let response = http::get(url).await?;
        ensure!(response.status == 200, "{url}: {}", response.status);
        Ok(Self(response.text()))
    }

    /// Sum over the series of `name` whose labels include all of `labels`, each as `key="value"`.
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        self.series(name)
            .filter(|(series, _)| labels.iter().all(|label| series.contains(label)))
            .map(|(_, value)| value)
            .sum()
    }

    /// Whether any series has this name.
    pub fn has(&self, name: &str) -> bool {
        self.series(name).next().is_some()
    }

    /// Every series that counts events, with its labels; how long they took is left out.
    pub fn counts(&self) -> BTreeMap<String, f64> {
        self.all()
            .filter(|(series, _)| {
                let name = series.split('{').next().unwrap_or_default();
                name.ends_with("_total") || name.ends_with("_count")
            })
            .map(|(series, value)| (series.to_owned(), value))
            .collect()
    }

    fn series<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.all()
            .filter(move |(series, _)| series.split('{').next() == Some(name))
    }

    fn all(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
            .filter_map(|(series, value)| Some((series, value.parse().ok()?)))
    }
}
