//! The table `quirks`: a value, or `{ value = .., until = .. }`.

use super::certificate::MAX_BACKDATE;
use super::reader::{Item, Reader, Section};
use super::sections::positive_duration;
use crate::profile::{Quirk, QuirkRules, Sunset};

pub(super) fn quirks(section: &mut Section<'_>, reader: &mut Reader<'_>) -> Option<QuirkRules> {
    let allow_sha1 = quirk(section, Quirk::AllowSha1, reader, Item::boolean);
    let allow_3des = quirk(section, Quirk::Allow3Des, reader, Item::boolean);
    let single_ra = quirk(section, Quirk::SingleRa, reader, Item::boolean);
    let chain_in_reply = quirk(section, Quirk::ChainInReply, reader, Item::boolean);
    let not_before_skew = quirk(section, Quirk::NotBeforeSkew, reader, |item, reader| {
        positive_duration(item, MAX_BACKDATE, reader)
    });
    Some(QuirkRules {
        allow_sha1: allow_sha1?,
        allow_3des: allow_3des?,
        single_ra: single_ra?,
        chain_in_reply: chain_in_reply?,
        not_before_skew: not_before_skew?,
    })
}

fn quirk<'d, T: Default>(
    section: &mut Section<'d>,
    quirk: Quirk,
    reader: &mut Reader<'_>,
    read: impl Fn(&Item<'d>, &mut Reader<'_>) -> Option<T>,
) -> Option<Sunset<T>> {
    let Some(item) = section.optional(quirk.as_str()) else {
        return Some(Sunset::default());
    };
    if !item.is_table() {
        return Some(Sunset {
            value: read(&item, reader)?,
            until: None,
        });
    }
    let mut section = item.section(reader)?;
    let value = section
        .required("value", reader)
        .and_then(|item| read(&item, reader));
    let until = section
        .required("until", reader)
        .and_then(|item| item.time(reader));
    section.finish(reader);
    Some(Sunset {
        value: value?,
        until: Some(until?),
    })
}
