//! The tables that a file may leave out.

use super::Lines;
use crate::profile::{Approval, Quirk, QuirkRules, Renewal, Sunset, Supersede};

pub(super) fn renewal(renewal: Option<&Renewal>, lines: &mut Lines) {
    let Some(Renewal {
        window,
        same_key,
        supersede,
    }) = renewal
    else {
        return;
    };
    lines.duration("renewal.window", *window);
    lines.raw("renewal.same_key", same_key);
    match supersede {
        Supersede::Keep => lines.text("renewal.supersede", "keep"),
        Supersede::RevokeAfter(grace) => {
            lines.text("renewal.supersede", "revoke");
            lines.duration("renewal.revoke_after", *grace);
        }
    }
}

pub(super) fn approval(approval: Option<&Approval>, lines: &mut Lines) {
    let Some(Approval { four_eyes, expires }) = approval else {
        return;
    };
    lines.raw("approval.four_eyes", four_eyes);
    lines.duration("approval.expires", *expires);
}

pub(super) fn quirks(quirks: &QuirkRules, lines: &mut Lines) {
    let QuirkRules {
        allow_sha1,
        allow_3des,
        single_ra,
        chain_in_reply,
        not_before_skew,
    } = quirks;
    for (quirk, switch) in [
        (Quirk::AllowSha1, allow_sha1),
        (Quirk::Allow3Des, allow_3des),
        (Quirk::SingleRa, single_ra),
        (Quirk::ChainInReply, chain_in_reply),
    ] {
        let path = format!("quirks.{quirk}");
        lines.raw(&path, switch.value);
        until_line(&path, switch, lines);
    }
    let path = format!("quirks.{}", Quirk::NotBeforeSkew);
    lines.duration(&path, not_before_skew.value);
    until_line(&path, not_before_skew, lines);
}

fn until_line<T>(path: &str, quirk: &Sunset<T>, lines: &mut Lines) {
    if let Some(until) = quirk.until {
        lines.time(&format!("{path}.until"), until);
    }
}
