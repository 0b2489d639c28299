//! A walk over a TOML document that collects every fault with its place and knows every key it was asked for.

use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{LoadError, LoadRule};

const SECONDS_A_DAY: u64 = 24 * 3600;

/// Above this a misspelt key is not guessed at.
const SIMILAR: f64 = 0.7;

pub(super) struct Reader<'s> {
    file: &'s str,
    source: &'s str,
    errors: Vec<LoadError>,
}

impl<'s> Reader<'s> {
    pub(super) fn new(file: &'s str, source: &'s str) -> Self {
        Self {
            file,
            source,
            errors: Vec::new(),
        }
    }

    pub(super) fn error(
        &mut self,
        at: Range<usize>,
        key: &str,
        rule: LoadRule,
        problem: impl Into<String>,
    ) {
        let error = LoadError::at(self.file, self.source, at.start, key, rule, problem.into());
        self.errors.push(error);
    }

    pub(super) fn into_errors(self) -> Vec<LoadError> {
        let mut errors = self.errors;
        errors.sort_by(|a, b| a.position().cmp(&b.position()));
        errors
    }
}

/// A table being read: remembers which keys it was asked for; any other is unknown.
pub(super) struct Section<'d> {
    path: String,
    table: &'d DeTable<'d>,
    span: Range<usize>,
    asked: Vec<&'static str>,
}

/// A value being read.
#[derive(Clone)]
pub(super) struct Item<'d> {
    pub(super) path: String,
    value: &'d DeValue<'d>,
    pub(super) span: Range<usize>,
}

impl<'d> Section<'d> {
    pub(super) fn root(document: &'d Spanned<DeTable<'d>>) -> Self {
        Self {
            path: String::new(),
            table: document.get_ref(),
            span: 0..0,
            asked: Vec::new(),
        }
    }

    pub(super) fn optional(&mut self, key: &'static str) -> Option<Item<'d>> {
        self.asked.push(key);
        let value = self.table.get(key)?;
        Some(Item {
            path: self.path_of(key),
            value: value.get_ref(),
            span: value.span(),
        })
    }

    pub(super) fn required(
        &mut self,
        key: &'static str,
        reader: &mut Reader<'_>,
    ) -> Option<Item<'d>> {
        let item = self.optional(key);
        if item.is_none() {
            let path = self.path_of(key);
            reader.error(
                self.span.clone(),
                &path,
                LoadRule::MissingKey,
                "the key is missing",
            );
        }
        item
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// A fault of the table as a whole.
    pub(super) fn contradiction(&self, reader: &mut Reader<'_>, problem: impl Into<String>) {
        reader.error(
            self.span.clone(),
            &self.path,
            LoadRule::Contradiction,
            problem,
        );
    }

    /// Names every key that nothing asked for.
    pub(super) fn finish(self, reader: &mut Reader<'_>) {
        for key in self.table.keys() {
            let name = key.get_ref().as_ref();
            if self.asked.contains(&name) {
                continue;
            }
            let nearest = self
                .asked
                .iter()
                .map(|known| (strsim::jaro_winkler(known, name), *known))
                .filter(|(score, _)| *score >= SIMILAR)
                .max_by(|a, b| a.0.total_cmp(&b.0));
            let problem = match nearest {
                Some((_, known)) => format!("unknown key; did you mean `{known}`?"),
                None => format!("unknown key; the keys here are {}", self.asked.join(", ")),
            };
            reader.error(
                key.span(),
                &self.path_of(name),
                LoadRule::UnknownKey,
                problem,
            );
        }
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }
}

impl<'d> Item<'d> {
    /// A value that is not allowed.
    pub(super) fn refuse<T>(
        &self,
        reader: &mut Reader<'_>,
        problem: impl Into<String>,
    ) -> Option<T> {
        reader.error(self.span.clone(), &self.path, LoadRule::Value, problem);
        None
    }

    fn wrong_type<T>(&self, reader: &mut Reader<'_>, wanted: &str) -> Option<T> {
        let problem = format!("wanted {wanted}, got {}", self.value.type_str());
        reader.error(self.span.clone(), &self.path, LoadRule::Type, problem);
        None
    }

    pub(super) fn is_table(&self) -> bool {
        self.value.is_table()
    }

    pub(super) fn section(&self, reader: &mut Reader<'_>) -> Option<Section<'d>> {
        match self.value.as_table() {
            Some(table) => Some(Section {
                path: self.path.clone(),
                table,
                span: self.span.clone(),
                asked: Vec::new(),
            }),
            None => self.wrong_type(reader, "a table"),
        }
    }

    pub(super) fn items(&self, reader: &mut Reader<'_>) -> Option<Vec<Self>> {
        let Some(array) = self.value.as_array() else {
            return self.wrong_type(reader, "an array");
        };
        let item = |(index, value): (usize, &'d Spanned<DeValue<'d>>)| Item {
            path: format!("{}[{index}]", self.path),
            value: value.get_ref(),
            span: value.span(),
        };
        Some(array.iter().enumerate().map(item).collect())
    }

    pub(super) fn text(&self, reader: &mut Reader<'_>) -> Option<&'d str> {
        self.value
            .as_str()
            .or_else(|| self.wrong_type(reader, "a string"))
    }

    pub(super) fn boolean(&self, reader: &mut Reader<'_>) -> Option<bool> {
        self.value
            .as_bool()
            .or_else(|| self.wrong_type(reader, "true or false"))
    }

    /// A whole number within bounds, which the problem names.
    pub(super) fn number(&self, reader: &mut Reader<'_>, min: u64, max: u64) -> Option<u64> {
        let Some(integer) = self.value.as_integer() else {
            return self.wrong_type(reader, "an integer");
        };
        u64::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .filter(|number| (min..=max).contains(number))
            .or_else(|| {
                self.refuse(
                    reader,
                    format!("wanted {min} to {max}, got {}", integer.as_str()),
                )
            })
    }

    /// A duration such as `90d` or `1h 30m`, at most `max`.
    pub(super) fn duration(&self, reader: &mut Reader<'_>, max: Duration) -> Option<Duration> {
        let text = self.text(reader)?;
        let days = max.as_secs() / SECONDS_A_DAY;
        let wanted = format!(
            "wanted a duration in whole seconds such as \"90d\" or \"1h\", at most {days} days, got \"{text}\""
        );
        match assay_types::duration::parse(text) {
            Ok(parsed) if parsed <= max && parsed.subsec_nanos() == 0 => Some(parsed),
            Ok(_) => self.refuse(reader, wanted),
            Err(error) => self.refuse(reader, format!("{wanted}: {error}")),
        }
    }

    /// An offset date-time in UTC.
    pub(super) fn time(&self, reader: &mut Reader<'_>) -> Option<SystemTime> {
        let Some(time) = self.value.as_datetime() else {
            return self.wrong_type(reader, "a date-time such as 2026-01-31T00:00:00Z");
        };
        let text = time.to_string();
        // A certificate has whole seconds (RFC 5280, section 4.1.2.5), and so has the canonical form.
        let whole = |time: &SystemTime| {
            time.duration_since(UNIX_EPOCH)
                .is_ok_and(|since| since.subsec_nanos() == 0)
        };
        humantime::parse_rfc3339(&text).ok().filter(whole).or_else(|| {
            self.refuse(
                reader,
                format!(
                    "wanted a date-time in UTC, in whole seconds, such as 2026-01-31T00:00:00Z, got {text}"
                ),
            )
        })
    }

    /// One of some words.
    pub(super) fn word<T: Copy>(
        &self,
        reader: &mut Reader<'_>,
        words: &[T],
        name: impl Fn(T) -> &'static str,
    ) -> Option<T> {
        let text = self.text(reader)?;
        words
            .iter()
            .copied()
            .find(|word| name(*word) == text)
            .or_else(|| {
                let known: Vec<&str> = words.iter().map(|word| name(*word)).collect();
                self.refuse(
                    reader,
                    format!("wanted one of {}, got \"{text}\"", known.join(", ")),
                )
            })
    }

    /// A list without repetitions; `read` reads an element.
    pub(super) fn set<T: PartialEq>(
        &self,
        reader: &mut Reader<'_>,
        read: impl Fn(&Self, &mut Reader<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let items = self.items(reader)?;
        let mut values = Vec::with_capacity(items.len());
        let mut sound = true;
        for item in &items {
            match read(item, reader) {
                Some(value) if values.contains(&value) => {
                    sound = false;
                    item.refuse::<()>(reader, "the value is in the list already; list it once");
                }
                Some(value) => values.push(value),
                None => sound = false,
            }
        }
        sound.then_some(values)
    }

    /// A [`Item::set`] that must not be empty.
    pub(super) fn nonempty_set<T: PartialEq>(
        &self,
        reader: &mut Reader<'_>,
        read: impl Fn(&Self, &mut Reader<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let values = self.set(reader, read)?;
        if values.is_empty() {
            return self.refuse(
                reader,
                "the list must not be empty: nothing would be allowed",
            );
        }
        Some(values)
    }
}
