//! How a run is shown while it goes on, on standard error: a screen on a terminal, else a line a second.
//!
//! The run's seconds go through a [`Window`], which keeps what the last ones had, into a [`View`]: that is all that is drawn. The screen has a thread of its
//! own, which draws the newest view and hears the keys; these go to the run's [`Controls`]. Standard output is the result's.

mod keys;
mod panels;
mod plain;
mod screen;
mod terminal;
mod view;
mod window;

use std::io::{self, IsTerminal};
use std::sync::Arc;

use crate::controls::Controls;
use crate::log::{RunLog, Second};
use crate::profile::Profile;
use crate::run::RunOptions;
use crate::target::ShardState;
use crate::traffic::CapacityResult;

use plain::Plain;
use screen::Screen;
use window::Window;

pub use terminal::{leave, note};

/// What is known after a second of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    /// The second.
    pub second: &'a Second,
    /// All seconds so far, this one included.
    pub log: &'a RunLog,
    /// The engine's shards as last heard of; none where they are not known.
    pub shards: &'a [ShardState],
    /// How far a search for the capacity is.
    pub search: Option<&'a CapacityResult>,
}

/// Shows a run's progress.
#[derive(Debug)]
pub(crate) struct Live {
    shown: Shown,
}

#[derive(Debug)]
enum Shown {
    Nothing,
    Lines(Plain),
    Screen(Box<Window>, Screen),
}

/// Whether a run with these options has a screen: standard error and standard input are the terminal, in whose foreground it is, and nobody
/// asked for less.
#[must_use]
pub fn has_screen(options: &RunOptions) -> bool {
    !options.quiet
        && !options.plain
        && io::stderr().is_terminal()
        && io::stdin().is_terminal()
        && !terminal::is_dumb()
        && terminal::is_in_foreground()
}

impl Live {
    /// For a run of this profile.
    pub fn new(profile: &Profile, options: &RunOptions, controls: &Arc<Controls>) -> Self {
        if options.quiet {
            return Self { shown: Shown::Nothing };
        }
        let lines = || Shown::Lines(Plain::new(profile));
        if !has_screen(options) {
            return Self { shown: lines() };
        }
        let window = Window::new(profile, options, Arc::clone(controls));
        let shown = match Screen::start(window.first(), Arc::clone(controls)) {
            Ok(screen) => Shown::Screen(Box::new(window), screen),
            // A terminal that can't be drawn on still takes lines.
            Err(_) => lines(),
        };
        Self { shown }
    }

    /// The run begins in so many seconds.
    pub fn starts_in(&mut self, seconds: u64) {
        match &mut self.shown {
            Shown::Nothing => {}
            Shown::Lines(_) => eprintln!("starts in {seconds} s"),
            Shown::Screen(window, screen) => screen.show(window.starts_in(seconds)),
        }
    }

    /// Shows one second.
    pub fn show(&mut self, seen: &Seen<'_>) {
        match &mut self.shown {
            Shown::Nothing => {}
            Shown::Lines(lines) => lines.show(seen.second, seen.log.steps()),
            Shown::Screen(window, screen) => screen.show(window.note(seen)),
        }
    }

    /// The run is over: the terminal is as it was before.
    pub fn end(self) {
        match self.shown {
            Shown::Nothing => {}
            Shown::Lines(lines) => lines.end(),
            Shown::Screen(_, screen) => drop(screen),
        }
    }
}

#[cfg(test)]
mod tests;
