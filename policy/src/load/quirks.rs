//! The table `quirks`: a value, or `{ value = .., until = .. }`.

use std::time::Duration;

use super::certificate::MAX_BACKDATE;
use super::reader::{Item, Reader, Section};
use super::sections::positive_duration;
use crate::profile::{Exception, Quirk, QuirkRules};

pub(super) fn quirks(section: &mut Section<'_>, reader: &mut Reader<'_>) -> Option<QuirkRules> {
    let mut quirks = Some(QuirkRules::new());
    for quirk in Quirk::ALL {
        match exception(section, *quirk, reader) {
            Some(exception) => {
                if let Some(quirks) = &mut quirks {
                    quirks.extend(exception.map(|exception| (*quirk, exception)));
                }
            }
            None => quirks = None,
        }
    }
    quirks
}

/// `Some(None)` where it is off.
fn exception(
    section: &mut Section<'_>,
    quirk: Quirk,
    reader: &mut Reader<'_>,
) -> Option<Option<Exception>> {
    let Some(item) = section.optional(quirk.as_str()) else {
        return Some(None);
    };
    let (value, until) = if item.is_table() {
        let mut section = item.section(reader)?;
        let item = section.required("value", reader);
        let value = item.and_then(|item| value(quirk, &item, reader));
        let item = section.required("until", reader);
        let until = item.and_then(|item| item.time(reader));
        section.finish(reader);
        (value?, Some(until?))
    } else {
        (value(quirk, &item, reader)?, None)
    };
    Some(value.map(|value| Exception { value, until }))
}

fn value(quirk: Quirk, item: &Item<'_>, reader: &mut Reader<'_>) -> Option<Option<Duration>> {
    match quirk {
        Quirk::NotBeforeSkew => positive_duration(item, MAX_BACKDATE, reader).map(Some),
        Quirk::AllowSha1 | Quirk::Allow3Des | Quirk::SingleRa | Quirk::ChainInReply => {
            let on = item.boolean(reader)?;
            Some(on.then_some(Duration::ZERO))
        }
    }
}
