//! Two live connections, to which something bad is done.

use crate::ue::ScriptedUe;
use crate::world::{Layout, World};

/// Two UEs with live connections, and the engine.
pub struct Scene {
    /// The engine.
    pub world: World,
    /// Subscriber 1.
    pub ue: ScriptedUe,
    /// Subscriber 2.
    pub other: ScriptedUe,
}

impl Scene {
    /// All roles together.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Layout::Together)
    }

    /// In this layout.
    #[must_use]
    pub fn with(layout: Layout) -> Self {
        Self::of(World::new(layout))
    }

    /// In this world.
    #[must_use]
    pub fn of(mut world: World) -> Self {
        let (mut ue, mut other) = (world.ue(1), world.ue(2));
        world.secure(&mut ue);
        world.secure(&mut other);
        Self { world, ue, other }
    }

    /// Does something bad, and checks which counters rise by one, or by what is said.
    ///
    /// # Panics
    /// Where others do, or one does not.
    pub fn raises<T>(&mut self, counters: &[&str], bad: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.world.counters();
        let result = bad(self);
        let mut expected: Vec<(&str, u64)> = counters.iter().map(|name| (*name, 1)).collect();
        let mut risen = self.world.risen(&before);
        expected.sort_unstable();
        risen.sort_unstable();
        assert_eq!(risen, expected);
        result
    }

    /// Both live connections still work, and there is nothing else.
    ///
    /// # Panics
    /// Where that is not so.
    pub fn unharmed(&mut self) {
        assert!(self.world.take(&mut self.other).is_empty(), "the other UE got something");
        self.world.refresh(&mut self.ue);
        self.world.refresh(&mut self.other);
        assert_eq!(self.world.tables().scscf.subscriptions, 2);
        assert_eq!(self.world.tables().pcscf.connections, 2);
        assert!(self.world.astray.is_empty(), "{:?}", self.world.astray);
    }
}

impl Default for Scene {
    fn default() -> Self {
        Self::new()
    }
}
