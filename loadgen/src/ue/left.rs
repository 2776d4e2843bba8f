//! How many of each procedure a UE has left. Only procedures that the profile has are counted.

use crate::measure::Procedure;
use crate::profile::Plan;

/// What is left, of all accesses.
#[derive(Debug)]
pub struct Left {
    /// By procedure: its column.
    columns: [Option<u8>; Procedure::COUNT],
    width: usize,
    /// A row for each access.
    counts: Vec<u16>,
}

impl Left {
    /// Nothing left to so many accesses of what these plans, by the procedures' numbers, have.
    pub fn new(plans: &[Plan; Procedure::COUNT], accesses: usize) -> Self {
        let mut columns = [None; Procedure::COUNT];
        let mut width = 0;
        for (column, plan) in columns.iter_mut().zip(plans) {
            if plan.count > 0 {
                *column = Some(width);
                width += 1;
            }
        }
        let width = usize::from(width);
        // Zeros take no memory before they are written to.
        Self { columns, width, counts: vec![0; width * accesses] }
    }

    /// How many of a procedure are left; 0 of one that the profile does not have.
    pub fn of(&self, ue: u32, procedure: Procedure) -> u16 {
        self.place(ue, procedure).map_or(0, |place| self.counts[place])
    }

    /// So many of a procedure are left from now on. One that the profile does not have stays away.
    pub fn set(&mut self, ue: u32, procedure: Procedure, count: u16) {
        if let Some(place) = self.place(ue, procedure) {
            self.counts[place] = count;
        }
    }

    /// One less, if one was left.
    pub fn take_one(&mut self, ue: u32, procedure: Procedure) {
        self.set(ue, procedure, self.of(ue, procedure).saturating_sub(1));
    }

    /// One more.
    pub fn put_back(&mut self, ue: u32, procedure: Procedure) {
        self.set(ue, procedure, self.of(ue, procedure).saturating_add(1));
    }

    /// What is left to the user over one access is left to it over another one.
    pub fn copy(&mut self, from: u32, to: u32) {
        let from = from as usize * self.width;
        self.counts.copy_within(from..from + self.width, to as usize * self.width);
    }

    /// Bytes of all rows.
    pub fn bytes(&self) -> usize {
        self.counts.len() * size_of::<u16>()
    }

    fn place(&self, ue: u32, procedure: Procedure) -> Option<usize> {
        let column = self.columns[procedure as usize]?;
        Some(ue as usize * self.width + usize::from(column))
    }
}
