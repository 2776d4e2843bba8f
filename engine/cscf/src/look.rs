//! The one alarm of something that lives long: when it is looked after next.

use imstorm_base::time::Time;

use crate::pcscf::LOOK_AGAIN_NS;

/// When the alarm that counts will come. An alarm can't be taken back: those that a nearer one has replaced are ignored, and end so.
#[derive(Copy, Clone, Debug, Default)]
pub struct Look {
    /// 0: none has been armed.
    at: Time,
}

impl Look {
    /// Something is to be done at `due`: after how long an alarm has to be armed for that, now and then before it included. `None`
    /// where the one that is armed comes early enough.
    #[must_use]
    pub fn before(&mut self, now: Time, due: Time) -> Option<u64> {
        let after_ns = due.saturating_sub(now).min(LOOK_AGAIN_NS);
        let at = now.saturating_add(after_ns);
        if self.at > now && self.at <= at {
            return None;
        }
        self.at = at;
        Some(after_ns)
    }

    /// Whether an alarm that comes now is the one that counts.
    #[must_use]
    pub fn is_now(&self, now: Time) -> bool {
        self.at <= now
    }
}

#[cfg(test)]
mod tests {
    use imstorm_base::time::seconds;

    use super::*;

    #[test]
    fn only_a_nearer_alarm_is_armed_beside_one() {
        let mut look = Look::default();
        let now = seconds(100);
        assert_eq!(look.before(now, seconds(1000)), Some(LOOK_AGAIN_NS));
        assert_eq!(look.before(now, seconds(900)), None);
        assert_eq!(look.before(now, seconds(110)), Some(seconds(10)));
        assert_eq!(look.before(now, seconds(110)), None);
        assert!(!look.is_now(seconds(109)));
        assert!(look.is_now(seconds(110)));
        assert_eq!(look.before(seconds(110), seconds(1000)), Some(LOOK_AGAIN_NS));
        assert!(!look.is_now(seconds(160)), "the alarm that was replaced");
    }
}
