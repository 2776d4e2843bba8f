//! The screen: a thread that draws what the run shows and hears the keys.

use std::io::{self, Stderr};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event};

use super::keys::Key;
use super::panels::{self, Shown, Style};
use super::terminal;
use super::view::View;
use crate::controls::Controls;

/// So long may what is new wait to be drawn.
const LOOK_WAIT: Duration = Duration::from_millis(50);

/// See the module.
#[derive(Debug)]
pub(super) struct Screen {
    /// The thread ends with it.
    views: Option<Sender<View>>,
    thread: Option<JoinHandle<()>>,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// Where it is not to be had; then it is as before.
    pub fn start(first: View, controls: Arc<Controls>) -> io::Result<Self> {
        terminal::enter()?;
        let (views, coming) = channel();
        let thread = Terminal::new(CrosstermBackend::new(io::stderr())).and_then(|screen| {
            let mut painter = Painter {
                screen,
                view: first,
                controls,
                style: Style::new(terminal::has_colors()),
                has_help: false,
                said: None,
            };
            std::thread::Builder::new()
                .name("screen".to_owned())
                .spawn(move || painter.paint(&coming))
        });
        thread
            .inspect_err(|_| terminal::leave())
            .map(|thread| Self { views: Some(views), thread: Some(thread) })
    }

    /// Shows this from now on.
    pub fn show(&self, view: View) {
        // Without the thread there is no screen any more; the run goes on.
        if let Some(views) = &self.views {
            let _ = views.send(view);
        }
    }
}

impl Drop for Screen {
    /// Gives the terminal back.
    fn drop(&mut self) {
        self.views = None;
        let _ = self.thread.take().map(JoinHandle::join);
        terminal::leave();
    }
}

/// The thread's own.
struct Painter {
    screen: Terminal<CrosstermBackend<Stderr>>,
    view: View,
    controls: Arc<Controls>,
    style: Style,
    has_help: bool,
    /// The answer to a key.
    said: Option<String>,
}

impl Painter {
    /// Draws until no more views can come, or the terminal is gone.
    fn paint(&mut self, views: &Receiver<View>) {
        let mut is_new = true;
        loop {
            if is_new && self.draw().is_err() {
                return;
            }
            is_new = match event::poll(LOOK_WAIT)
                .and_then(|any| if any { self.hear() } else { Ok(false) })
            {
                Ok(is_new) => is_new,
                Err(_) => return,
            };
            loop {
                match views.try_recv() {
                    Ok(view) => {
                        self.view = view;
                        is_new = true;
                    }
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
        }
    }

    fn draw(&mut self) -> io::Result<()> {
        if !terminal::is_on() {
            return Ok(());
        }
        // What was asked for is shown at once, before the run tells of it.
        self.view.wanted = self.controls.wanted();
        let shown = Shown {
            view: &self.view,
            has_help: self.has_help,
            is_ending: self.controls.interrupts() > 0,
            said: self.said.clone(),
            note: terminal::last_note(),
        };
        self.screen.draw(|frame| panels::draw(frame, &shown, &self.style)).map(|_| ())
    }

    /// Takes what the terminal tells; whether there is something new to be drawn.
    fn hear(&mut self) -> io::Result<bool> {
        let key = match event::read()? {
            Event::Key(key) => Key::of(&key),
            Event::Resize(..) => return Ok(true),
            _ => None,
        };
        let Some(key) = key else { return Ok(false) };
        self.said = key.act(&self.controls);
        self.has_help = match key {
            Key::Help => !self.has_help,
            Key::Back => false,
            _ => self.has_help,
        };
        Ok(true)
    }
}
