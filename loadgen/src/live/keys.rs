//! What the keys do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::terminal;
use crate::controls::{Controls, RATES_PERCENT, Steerable};

/// What a person has pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// To pause, or to go on.
    Pause,
    /// More is to be offered.
    Faster,
    /// Less is to be offered.
    Slower,
    /// The run is to end.
    End,
    /// The keys are to be explained, or no longer.
    Help,
    /// What is in front is to go.
    Back,
}

impl Key {
    /// What a key of the keyboard means; nothing where it means nothing.
    pub fn of(event: &KeyEvent) -> Option<Self> {
        if event.kind == KeyEventKind::Release {
            return None;
        }
        // In the terminal's raw mode Ctrl-C is a key as any other.
        if event.modifiers.contains(KeyModifiers::CONTROL) {
            return (event.code == KeyCode::Char('c')).then_some(Self::End);
        }
        Some(match event.code {
            KeyCode::Char(' ' | 'p') => Self::Pause,
            KeyCode::Char('+' | '=') => Self::Faster,
            KeyCode::Char('-' | '_') => Self::Slower,
            KeyCode::Char('q') => Self::End,
            KeyCode::Char('?' | 'h') => Self::Help,
            KeyCode::Esc => Self::Back,
            _ => return None,
        })
    }

    /// Does what the run is asked for; what there is to say of it.
    pub fn act(self, controls: &Controls) -> Option<String> {
        let steerable = controls.steerable();
        match self {
            Self::Pause => (!controls.toggle_pause()).then(|| refusal(steerable)),
            Self::Faster | Self::Slower => {
                let was_stepped = controls.step_rate(self == Self::Faster);
                (!was_stepped).then(|| refusal(steerable))
            }
            Self::End => {
                if controls.interrupt() >= 2 {
                    exit();
                }
                None
            }
            Self::Help | Self::Back => None,
        }
    }
}

/// Ends the program without a report, as it was asked to end for the third time.
pub(super) fn exit() -> ! {
    terminal::leave();
    signal_hook::low_level::exit(130)
}

fn refusal(steerable: Steerable) -> String {
    match steerable {
        Steerable::Rate => {
            format!(
                "the rate stays between {}% and {}%",
                RATES_PERCENT.start(),
                RATES_PERCENT.end()
            )
        }
        Steerable::Pause => {
            "there is no rate to change: starts come in bursts, or are recorded ones".to_owned()
        }
        Steerable::Nothing => "this run sets its own load: it can only be ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn key(code: KeyCode) -> KeyEvent {
        KeyEvent::new(code, KeyModifiers::NONE)
    }

    #[test]
    fn keys_mean_what_the_foot_says() {
        let of = |character: char| Key::of(&key(KeyCode::Char(character)));
        assert_eq!(of(' '), Some(Key::Pause));
        assert_eq!((of('+'), of('-')), (Some(Key::Faster), Some(Key::Slower)));
        assert_eq!((of('q'), of('?'), of('x')), (Some(Key::End), Some(Key::Help), None));
        let control = |code| Key::of(&KeyEvent::new(KeyCode::Char(code), KeyModifiers::CONTROL));
        assert_eq!((control('c'), control('q')), (Some(Key::End), None));
    }

    #[test]
    fn what_a_run_does_not_do_is_said() {
        let controls = |steerable| Controls::new(Arc::default(), steerable);
        let (rate, search) = (controls(Steerable::Rate), controls(Steerable::Nothing));
        assert_eq!(Key::Pause.act(&rate), None);
        assert!(rate.wanted().paused);
        assert!(Key::Pause.act(&search).unwrap().contains("sets its own load"));
        assert!(Key::Faster.act(&controls(Steerable::Pause)).unwrap().contains("no rate"));
        assert_eq!(Key::End.act(&search), None);
        assert_eq!(search.interrupts(), 1);
    }
}
