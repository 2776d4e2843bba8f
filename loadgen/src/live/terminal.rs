//! The terminal that the screen is on. It is the process's, and so is its state: a panic, a signal or the run's end give it back, whichever comes first.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute};

/// The screen is on.
static IS_ON: AtomicBool = AtomicBool::new(false);
/// What was to be said while it was.
static NOTES: Mutex<Notes> = Mutex::new(Notes { lines: Vec::new(), lost: 0 });
/// So many lines are kept.
const NOTES_MAX: usize = 1_000;

struct Notes {
    lines: Vec<String>,
    lost: u64,
}

fn notes() -> MutexGuard<'static, Notes> {
    NOTES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the terminal says that it can't do anything but take text.
pub(super) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty())
}

/// Whether colours may be used (no-color.org).
pub(super) fn has_colors() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether this process is in the foreground of its terminal: from the background nobody may change how a terminal works.
pub(super) fn is_in_foreground() -> bool {
    std::fs::read_to_string("/proc/self/stat").is_ok_and(|stat| has_foreground(&stat))
}

/// As `/proc/PID/stat` has it (proc_pid_stat(5)): behind the name stand state, parent, process group, session, terminal, and the terminal's
/// foreground process group.
fn has_foreground(stat: &str) -> bool {
    let Some((_, fields)) = stat.rsplit_once(')') else { return false };
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    fields.get(2).is_some_and(|group| fields.get(5) == Some(group))
}

/// Turns the screen on.
///
/// # Errors
/// The terminal's; then it is as before.
pub(super) fn enter() -> io::Result<()> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let shown = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            leave();
            shown(panic);
        }));
    });
    enable_raw_mode()?;
    let entered = execute!(io::stderr(), EnterAlternateScreen, cursor::Hide);
    IS_ON.store(entered.is_ok(), Ordering::Release);
    if entered.is_err() {
        let _ = disable_raw_mode();
    }
    entered
}

/// Whether the screen is on: nobody else may write to the terminal then.
pub(super) fn is_on() -> bool {
    IS_ON.load(Ordering::Acquire)
}

/// Gives the terminal back, if the screen is on, and says on standard error what was noted meanwhile.
pub fn leave() {
    if !IS_ON.swap(false, Ordering::AcqRel) {
        return;
    }
    // Of a terminal that is gone nothing is to be had.
    let _ = execute!(io::stderr(), LeaveAlternateScreen, cursor::Show);
    let _ = disable_raw_mode();
    let Notes { lines, lost } =
        std::mem::replace(&mut *notes(), Notes { lines: Vec::new(), lost: 0 });
    let mut out = io::stderr().lock();
    for line in lines {
        let _ = writeln!(out, "{line}");
    }
    if lost > 0 {
        let _ = writeln!(out, "({lost} more lines were not kept)");
    }
}

/// Says something on standard error: at once, or where the screen is on when it no longer is.
pub fn note(line: &str) {
    let mut notes = notes();
    if !is_on() {
        drop(notes);
        let _ = writeln!(io::stderr().lock(), "{line}");
    } else if notes.lines.len() < NOTES_MAX {
        notes.lines.push(line.to_owned());
    } else {
        notes.lost += 1;
    }
}

/// What was noted last, and how much there is; for the screen.
pub(super) fn last_note() -> Option<(String, usize)> {
    let notes = notes();
    let last = notes.lines.last()?;
    Some((last.clone(), notes.lines.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_in_the_foreground_is_told_from_who_is_not() {
        let stat = |group: i32, foreground: i32| {
            format!("42 (a name) with) R 1 {group} 7 34816 {foreground} 4194304 0 0")
        };
        assert!(has_foreground(&stat(42, 42)));
        assert!(!has_foreground(&stat(42, 7)), "in the background");
        assert!(!has_foreground(&stat(42, -1)), "without a terminal");
        assert!(!has_foreground("42 (name) R 1"));
    }

    #[test]
    fn without_a_screen_leaving_changes_nothing() {
        assert!(!is_on());
        leave();
        assert!(!is_on() && last_note().is_none());
    }
}
