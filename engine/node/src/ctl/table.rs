//! Rows and numbers for people: aligned columns of text.

use std::fmt::Write as _;

use serde_json::Value;

use crate::tables::Table;

/// A column: its heading, and the field of a row that it shows.
type Column = (&'static str, &'static str);

fn columns(table: Table) -> &'static [Column] {
    match table {
        Table::Subscribers => &[("IMPI", "impi"), ("IMPUS", "impus")],
        Table::Subscriptions => &[
            ("IMPI", "impi"),
            ("SESSION", "session"),
            ("MADE_BY", "made_by"),
            ("CONTACT", "contact"),
            ("P-CSCF", "pcscf"),
            ("EXPIRES_S", "expires_s"),
            ("P-CSCF_EXPIRES_S", "pcscf_expires_s"),
            ("VERSION", "version"),
            ("ENDING", "ending"),
            ("IDENTITIES", "identities"),
        ],
        Table::Associations => &[
            ("IMPI", "impi"),
            ("UE", "ue"),
            ("STAGE", "stage"),
            ("SET", "set"),
            ("SPI_UC", "spi_uc"),
            ("SPI_US", "spi_us"),
            ("SPI_PC", "spi_pc"),
            ("SPI_PS", "spi_ps"),
            ("PORT_UC", "port_uc"),
            ("PORT_US", "port_us"),
            ("PORT_PC", "port_pc"),
            ("PORT_PS", "port_ps"),
            ("ALG", "alg"),
            ("EALG", "ealg"),
            ("EXPIRES_S", "expires_s"),
        ],
        Table::Bindings => &[
            ("IMPU", "impu"),
            ("CONTACT", "contact"),
            ("SESSION", "session"),
            ("EXPIRES_S", "expires_s"),
            ("PUB_GRUU", "pub_gruu"),
        ],
        Table::Sessions => &[
            ("IMPI", "impi"),
            ("SESSION", "session"),
            ("FROM", "from"),
            ("TO", "to"),
            ("CALL-ID", "call_id"),
        ],
    }
}

/// A table that is written as its rows arrive.
#[derive(Debug)]
pub struct Printer {
    table: Table,
    /// The widest cell of each column so far; empty before the first row.
    widths: Vec<usize>,
}

impl Printer {
    /// Nothing is written yet.
    pub fn new(table: Table) -> Self {
        Self { table, widths: Vec::new() }
    }

    /// More rows, under the headings if they are the first.
    pub fn rows(&mut self, rows: &[Value]) -> String {
        let columns = columns(self.table);
        let mut lines = Vec::with_capacity(rows.len() + 1);
        if self.widths.is_empty() && !rows.is_empty() {
            lines.push(columns.iter().map(|(heading, _)| (*heading).to_owned()).collect());
            self.widths = vec![0; columns.len()];
        }
        let line = |row: &Value| columns.iter().map(|(_, field)| shown(&row[*field])).collect();
        lines.extend(rows.iter().map(line));
        aligned(&lines, &mut self.widths)
    }

    /// What is said at the end where no row came.
    pub fn end(self) -> String {
        if self.widths.is_empty() { format!("no {}\n", self.table.name()) } else { String::new() }
    }
}

/// What the engine holds, and the counters that are not 0.
pub fn stats(status: &Value) -> String {
    let is_number = |value: &Value| value.is_number();
    let gauges = status.as_object().into_iter().flatten();
    let gauges = gauges.filter(|(_, value)| is_number(value) || value.is_string());
    let counters = status["counters"].as_object().into_iter().flatten();
    let counters = counters.filter(|(_, value)| is_number(value) && value.as_u64() != Some(0));
    let line = |(name, value): (&String, &Value)| vec![name.clone(), shown(value)];
    let gauges = aligned(&gauges.map(line).collect::<Vec<_>>(), &mut [0; 2]);
    let counters = aligned(&counters.map(line).collect::<Vec<_>>(), &mut [0; 2]);
    format!("{gauges}\n{counters}")
}

/// One field's text. A list's entries are identities: the default one has a star, a barred one an exclamation mark.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => printable(text),
        Value::Array(entries) => entries.iter().map(identity).collect::<Vec<_>>().join(" "),
        Value::Number(number) if number.is_f64() => {
            format!("{:.3}", number.as_f64().unwrap_or_default())
        }
        other => other.to_string(),
    }
}

fn identity(entry: &Value) -> String {
    let star = if entry["default"] == true { "*" } else { "" };
    let mark = if entry["barred"] == true { "!" } else { "" };
    format!("{star}{mark}{}", printable(entry["impu"].as_str().unwrap_or_default()))
}

/// Text without what a terminal would act on: it may have come from a UE.
pub fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

/// Lines of as many cells each as there are widths, every column as wide as its widest cell so far.
fn aligned(lines: &[Vec<String>], widths: &mut [usize]) -> String {
    for line in lines {
        for (cell, width) in line.iter().zip(widths.iter_mut()) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut out = String::new();
    for line in lines {
        let from = out.len();
        for (cell, width) in line.iter().zip(widths.iter()) {
            let width = *width;
            let _ = write!(out, "{cell:width$}  ");
        }
        out.truncate(from + out[from..].trim_end().len());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let impu = |impu: &str, default: bool, barred: bool| json!({"impu": impu, "default": default, "barred": barred});
        let subscribers = [
            json!({"impi": "alice@ims.example", "impus": [impu("sip:a", true, false), impu("tel:+1", false, true)]}),
            json!({"impi": "b@x", "impus": []}),
        ];
        let expected = "IMPI               IMPUS\nalice@ims.example  *sip:a !tel:+1\nb@x\n";
        let mut printer = Printer::new(Table::Subscribers);
        assert_eq!(printer.rows(&[]), "");
        assert_eq!(printer.rows(&subscribers), expected);
        assert_eq!(printer.rows(&subscribers[1..]), "b@x\n", "the headings come once");
        assert_eq!(printer.end(), "");
        assert_eq!(Printer::new(Table::Sessions).end(), "no sessions\n");
    }

    #[test]
    fn what_is_missing_or_would_move_the_cursor_is_marked() {
        assert_eq!(shown(&Value::Null), "-");
        assert_eq!(shown(&json!("a\u{1b}[2Jb")), "a\u{fffd}[2Jb");
    }

    #[test]
    fn counters_of_0_are_left_out() {
        let status = json!({"subscriptions": 0, "io": "mmsg", "uptime_s": 1.5, "shards": [],
            "counters": {"messages_in": 7, "malformed": 0}});
        let text = stats(&status);
        assert_eq!(
            text,
            "io             mmsg\nsubscriptions  0\nuptime_s       1.500\n\nmessages_in  7\n"
        );
    }

    #[test]
    fn every_table_has_columns() {
        for table in Table::ALL {
            assert!(columns(*table).len() > 1, "{}", table.name());
        }
    }
}
