//! A profile's text with the overrides from the command line, and the way back from a value to the
//! spot where it is written.

use std::ops::Range;

use imstorm_engine::suggest;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Location, ProfileError};

/// The largest file that is taken for a profile, in bytes: anything longer is a mistake.
const FILE_LEN_MAX: u64 = 1 << 20;

/// Reads a profile's file.
#[allow(clippy::disallowed_methods, reason = "this is one of the outermost functions")]
pub(super) fn read(path: &str) -> Result<String, ProfileError> {
    let error = |message: String| ProfileError {
        file: path.to_owned(),
        location: None,
        field: None,
        message,
    };
    let length = std::fs::metadata(path).map_err(|cause| {
        let names: Vec<_> = super::builtin().iter().map(|(name, _)| *name).collect();
        let meant = suggest::did_you_mean(path, &names);
        error(match cause.kind() {
            std::io::ErrorKind::NotFound => format!(
                "expected a file or the name of a built-in profile{meant}; there is neither, and built in are {}",
                names.join(", ")
            ),
            _ => format!("can't be read: {cause}"),
        })
    })?;
    if length.len() > FILE_LEN_MAX {
        return Err(error(format!(
            "expected a profile of at most {FILE_LEN_MAX} bytes, got {}",
            length.len()
        )));
    }
    std::fs::read_to_string(path).map_err(|cause| error(format!("can't be read: {cause}")))
}

/// A profile's text with the overrides.
///
/// The overrides lie behind the file's text, each a document of its own, and every span counts from
/// the start of the whole: so a span alone tells which of them a value is from.
pub(super) struct Source {
    parts: Vec<Part>,
}

struct Part {
    /// What errors call it.
    name: String,
    text: String,
    /// Where it starts in the whole.
    offset: usize,
}

impl Source {
    /// The file's text, valid TOML or not, and the overrides, each of which is valid TOML.
    pub(super) fn new(
        file: &str,
        text: &str,
        overrides: &[(String, String)],
    ) -> Result<Self, ProfileError> {
        let mut parts = vec![Part { name: file.to_owned(), text: text.to_owned(), offset: 0 }];
        let mut offset = text.len() + 1;
        for (key, value) in overrides {
            let mut text = format!("{key} = {value}");
            if DeTable::parse(&text).is_err() {
                text = format!("{key} = {}", toml::Value::String(value.clone()));
            }
            let part = Part { name: "--set".to_owned(), text, offset };
            if let Err(error) = DeTable::parse(&part.text) {
                let span = error.span().unwrap_or(0..key.len());
                return Err(ProfileError {
                    file: part.name,
                    location: Some(Location::of(&part.text, span.start, span.end)),
                    field: None,
                    message: format!("expected a dotted key, got `{key}`: {}", error.message()),
                });
            }
            offset += part.text.len() + 1;
            parts.push(part);
        }
        Ok(Self { parts })
    }

    /// The profile, not yet validated.
    pub(super) fn deserialize<T: DeserializeOwned>(&self) -> Result<T, ProfileError> {
        let padded = self.padded();
        let table = merged(&padded).map_err(|error| self.error(&error, None))?;
        let deserializer = toml::de::Deserializer::from(table);
        T::deserialize(deserializer).map_err(|error| {
            let field =
                error.span().and_then(|span| path_at(merged(&padded).ok()?.get_ref(), &span, ""));
            self.error(&error, field)
        })
    }

    /// All of it in one document.
    pub(super) fn effective(&self) -> Result<String, ProfileError> {
        let table: toml::Table = self.deserialize()?;
        Ok(toml::to_string(&table).expect("what was TOML is TOML"))
    }

    /// An error about the value of a dotted key. If it has a default the spot is the table it would
    /// be in, and if that has one too there is none.
    pub(super) fn error_at(&self, field: &str, message: &str) -> ProfileError {
        let padded = self.padded();
        let span = merged(&padded).ok().and_then(|table| span_of(table.get_ref(), field));
        self.located(span, Some(field.to_owned()), message.to_owned())
    }

    fn error(&self, error: &toml::de::Error, field: Option<String>) -> ProfileError {
        self.located(error.span(), field, plain(error.message()))
    }

    fn located(
        &self,
        span: Option<Range<usize>>,
        field: Option<String>,
        message: String,
    ) -> ProfileError {
        let start = span.as_ref().map_or(0, |span| span.start);
        let part = self.parts.iter().rev().find(|part| part.offset <= start);
        let part = part.expect("the first part starts at 0");
        let location = span.map(|span| {
            Location::of(&part.text, start - part.offset, span.end.max(start) - part.offset)
        });
        ProfileError { file: part.name.clone(), location, field, message }
    }

    /// Each part behind as many blanks as make its spans count from the start of the whole.
    fn padded(&self) -> Vec<String> {
        self.parts.iter().map(|part| " ".repeat(part.offset) + &part.text).collect()
    }
}

/// The documents in one: what stands in a later one replaces what stands in an earlier one.
fn merged(documents: &[String]) -> Result<Spanned<DeTable<'_>>, toml::de::Error> {
    let mut documents = documents.iter();
    let first = documents.next().expect("there is always the file");
    let mut table = DeTable::parse(first)?;
    for document in documents {
        merge(table.get_mut(), DeTable::parse(document)?.into_inner());
    }
    Ok(table)
}

fn merge<'i>(table: &mut DeTable<'i>, other: DeTable<'i>) {
    for (key, value) in other {
        if let Some(old) = table.get_mut(key.get_ref().as_ref())
            && old.get_ref().is_table()
            && value.get_ref().is_table()
        {
            let (DeValue::Table(old), DeValue::Table(new)) = (old.get_mut(), value.into_inner())
            else {
                unreachable!("both are tables");
            };
            merge(old, new);
        } else {
            // The key is taken out first: an insertion would keep the old key's span.
            table.remove(key.get_ref().as_ref());
            table.insert(key, value);
        }
    }
}

/// Where the value of a dotted key is written, or the nearest table around it.
fn span_of(table: &DeTable<'_>, field: &str) -> Option<Range<usize>> {
    if let Some(value) = table.get(field) {
        return Some(value.span());
    }
    // A key may contain dots itself, if it is quoted: try every place to part it.
    field.match_indices('.').find_map(|(dot, _)| {
        let value = table.get(&field[..dot])?;
        match value.get_ref() {
            DeValue::Table(inner) => {
                span_of(inner, &field[dot + 1..]).or_else(|| Some(value.span()))
            }
            DeValue::Array(items) => {
                let (index, rest) =
                    field[dot + 1..].split_once('.').unwrap_or((&field[dot + 1..], ""));
                let item = items.get(index.parse::<usize>().ok()?)?;
                let inner = item.get_ref().as_table().and_then(|inner| span_of(inner, rest));
                inner.or_else(|| Some(item.span()))
            }
            _ => Some(value.span()),
        }
    })
}

/// The dotted key whose key or value holds `span`, the innermost one.
fn path_at(table: &DeTable<'_>, span: &Range<usize>, prefix: &str) -> Option<String> {
    let holds = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    for (key, value) in table.iter() {
        let path = if prefix.is_empty() {
            key.get_ref().to_string()
        } else {
            format!("{prefix}.{}", key.get_ref())
        };
        // The span of a table is its header's alone, so look into each.
        if let DeValue::Table(inner) = value.get_ref()
            && let Some(found) = path_at(inner, span, &path)
        {
            return Some(found);
        }
        if holds(value.span()) || holds(key.span()) {
            return Some(path);
        }
    }
    None
}

/// serde's words for Rust's types, in a user's words.
fn plain(message: &str) -> String {
    const WORDS: [(&str, &str); 7] = [
        (
            "invalid socket address syntax",
            "expected an address and a port, such as `127.0.0.1:5060`",
        ),
        ("expected f64", "expected a number"),
        ("expected u64", "expected a whole number of at least 0"),
        ("expected u32", "expected a whole number from 0 to 4294967295"),
        ("expected u16", "expected a whole number from 0 to 65535"),
        ("expected struct ", "expected a table: "),
        ("expected a sequence", "expected a list in [ ]"),
    ];
    let message = suggest::with_suggestion(message.trim());
    WORDS.iter().fold(message, |text, (from, to)| text.replace(from, to))
}
