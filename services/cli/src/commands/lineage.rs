//! Renewals around a certificate, as a tree: those that it descends from, and those that descend from it.

use std::collections::{BTreeMap, BTreeSet};

use assay_console::failure::Outcome;
use assay_console::output;
use assay_operator::admin::Admin;
use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::{CertificateInfo, GetLineageReply, GetLineageRequest};
use serde::Serialize;

use super::certificates::state;
use super::list::{PageArgs, fetch, time_text};

/// Generations that are indented; a line that was renewed for years stays on the screen.
const MAX_INDENT: usize = 12;
/// Ancestors that the signer sends at most.
const MAX_ANCESTORS: usize = 100;

#[derive(Debug, Serialize)]
pub(super) struct Lineage {
    /// The nearest first.
    ancestors: Vec<CertificateInfo>,
    /// Each after the one that it renews.
    descendants: Vec<CertificateInfo>,
    /// Where the descendants continue; absent at their end.
    #[serde(skip_serializing_if = "String::is_empty")]
    next_page: String,
}

impl Lineage {
    pub(super) async fn fetch(serial: String, page: PageArgs, admin: &mut Admin) -> Outcome<Self> {
        let mut ancestors = Vec::new();
        let token = page.from.token.unwrap_or_default();
        let listed = fetch(page.limit as usize, token, async |page| {
            let request = GetLineageRequest {
                page: Some(page),
                serial: serial.clone(),
            };
            let reply: GetLineageReply = admin
                .call(request, AdministrationClient::get_lineage)
                .await?;
            ancestors = reply.ancestors;
            Ok((reply.descendants, reply.page))
        })
        .await?;
        Ok(Self {
            ancestors,
            descendants: listed.rows,
            next_page: listed.next,
        })
    }

    /// A line for each certificate, from the oldest ancestor on; none where nothing was renewed.
    pub(super) fn lines(&self, of: &CertificateInfo) -> Vec<String> {
        if self.ancestors.is_empty() && self.descendants.is_empty() {
            return Vec::new();
        }
        let mut lines = vec![
            String::new(),
            "renewals, each below the one that it renews:".to_owned(),
        ];
        if self.ancestors.len() >= MAX_ANCESTORS
            && let Some(first) = self.ancestors.last()
            && !first.renewal_of.is_empty()
        {
            lines.push(format!(
                "  ... `assay cert show {}` shows its ancestors",
                first.serial
            ));
        }
        let mut depth = 0;
        for ancestor in self.ancestors.iter().rev() {
            lines.push(line(depth, ancestor, ""));
            depth += 1;
        }
        lines.push(line(depth, of, "  <- this certificate"));

        let mut below: BTreeMap<&str, Vec<&CertificateInfo>> = BTreeMap::new();
        let here: BTreeSet<&str> = self
            .descendants
            .iter()
            .map(|it| it.serial.as_str())
            .collect();
        let mut stack = Vec::new();
        for one in self.descendants.iter().rev() {
            if here.contains(one.renewal_of.as_str()) {
                below.entry(&one.renewal_of).or_default().push(one);
            } else {
                stack.push((depth + 1, one));
            }
        }
        // Each is on the stack once, as it renews one certificate.
        while let Some((depth, one)) = stack.pop() {
            let elsewhere = one.renewal_of != of.serial && !here.contains(one.renewal_of.as_str());
            let note = if elsewhere {
                format!("  (renews {}, on an earlier page)", one.renewal_of)
            } else {
                String::new()
            };
            lines.push(line(depth, one, &note));
            let next = below.remove(one.serial.as_str()).unwrap_or_default();
            stack.extend(next.into_iter().map(|next| (depth + 1, next)));
        }
        lines
    }

    /// Says how to see the rest, where there is any.
    pub(super) fn note_more(&self) {
        if !self.next_page.is_empty() {
            output::note(&format!(
                "there are more renewals: repeat the command with --page {}",
                self.next_page
            ));
        }
    }
}

fn line(depth: usize, one: &CertificateInfo, note: &str) -> String {
    let indent = "  ".repeat(depth.min(MAX_INDENT));
    format!(
        "  {indent}{}  {}, until {}{note}",
        one.serial,
        state(one),
        time_text(one.not_after)
    )
}

#[cfg(test)]
mod tests {
    use assay_proto::v1::CertificateState;

    use super::*;

    fn info(serial: &str, renewal_of: &str) -> CertificateInfo {
        CertificateInfo {
            serial: serial.to_owned(),
            renewal_of: renewal_of.to_owned(),
            state: CertificateState::Issued.into(),
            not_after: Some(assay_types::Timestamp::from_seconds(0).into()),
            ..CertificateInfo::default()
        }
    }

    fn shown(ancestors: &[(&str, &str)], descendants: &[(&str, &str)]) -> Vec<String> {
        let infos = |list: &[(&str, &str)]| list.iter().map(|(a, b)| info(a, b)).collect();
        let lineage = Lineage {
            ancestors: infos(ancestors),
            descendants: infos(descendants),
            next_page: String::new(),
        };
        let lines = lineage.lines(&info("c", "b")).into_iter().skip(2);
        let rest = "  issued, until 1970-01-01T00:00:00Z";
        lines.map(|line| line.replace(rest, "")).collect()
    }

    #[test]
    fn each_certificate_is_below_the_one_that_it_renews() {
        let lines = shown(
            &[("b", "a"), ("a", "")],
            &[("d", "c"), ("e", "c"), ("f", "d"), ("g", "f")],
        );
        assert_eq!(
            lines,
            [
                "  a",
                "    b",
                "      c  <- this certificate",
                "        d",
                "          f",
                "            g",
                "        e",
            ]
        );
    }

    #[test]
    fn a_renewal_of_one_on_an_earlier_page_says_so_and_nothing_is_left_out() {
        let lines = shown(&[], &[("h", "d"), ("i", "c")]);
        assert_eq!(
            lines,
            [
                "  c  <- this certificate",
                "    h  (renews d, on an earlier page)",
                "    i",
            ]
        );
    }

    #[test]
    fn a_long_line_does_not_leave_the_screen() {
        let names: Vec<String> = (0..200).map(|number| format!("n{number}")).collect();
        let mut pairs = vec![("n0", "c")];
        pairs.extend(
            names
                .windows(2)
                .map(|pair| (pair[1].as_str(), pair[0].as_str())),
        );
        let lines = shown(&[], &pairs);
        assert_eq!(lines.len(), 201);
        assert!(lines.iter().all(|line| line.len() < 60));
    }
}
