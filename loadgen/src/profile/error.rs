//! What is wrong with a profile, and where.

use std::fmt;

/// What is wrong with a profile: file, line, column and field, what was expected and what is there,
/// and a caret under the spot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileError {
    /// The file's path, `profile NAME` for a built-in one, or `--set`.
    pub file: String,
    /// Where in the file; nothing if the file could not be read.
    pub location: Option<Location>,
    /// The dotted key, where it is known.
    pub field: Option<String>,
    /// What was expected, and what is there.
    pub message: String,
}

/// A spot in a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// How many characters it is long, at least 1 and not beyond the line's end.
    pub len: usize,
    /// The whole line.
    pub text: String,
}

impl Location {
    /// The spot from byte `start` to byte `end` of `text`.
    pub(super) fn of(text: &str, start: usize, end: usize) -> Self {
        let start = text.floor_char_boundary(start.min(text.len()));
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        let end = text.floor_char_boundary(end.clamp(start, line_end));
        Self {
            line: text[..line_start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            len: text[start..end].chars().count().max(1),
            text: text[line_start..line_end].trim_end_matches('\r').to_owned(),
        }
    }
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(location) = &self.location {
            write!(f, ":{}:{}", location.line, location.column)?;
        }
        if let Some(field) = &self.field {
            write!(f, ": {field}")?;
        }
        write!(f, ": {}", self.message)?;
        let Some(Location { line, column, len, text }) = &self.location else { return Ok(()) };
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        // A tab stays a tab, so that the caret stands where the terminal puts the text above it.
        let indent: String =
            text.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        write!(f, "\n{margin} |\n{number} | {text}\n{margin} | {indent}{}", "^".repeat(*len))
    }
}

impl std::error::Error for ProfileError {}
