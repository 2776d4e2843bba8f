//! The UEs by number. Few users of a big run ever go to a further access: a record of one is made when something is done over it.

use std::ops::{Index, IndexMut};

use super::Ue;

/// All accesses: the first of each user has a record from the start.
#[derive(Debug)]
pub struct Ues {
    first: Vec<Ue>,
    /// Of each further access where its record is in `made`, plus one; 0: it has none.
    further: Vec<u32>,
    made: Vec<Ue>,
    /// What an access without a record is like.
    idle: Ue,
}

impl Ues {
    /// So many users, and so many accesses of theirs altogether, all idle.
    pub fn new(users: usize, accesses: usize) -> Self {
        let further = accesses.saturating_sub(users);
        let mut first = Vec::with_capacity(users);
        first.resize_with(users, Ue::default);
        // Zeros, and what is reserved only, take no memory before they are written to.
        Self {
            first,
            further: vec![0; further],
            made: Vec::with_capacity(further),
            idle: Ue::default(),
        }
    }

    /// The access with this number; `None` where there is none.
    pub fn get(&self, number: usize) -> Option<&Ue> {
        (number < self.len()).then(|| &self[number])
    }

    /// How many accesses have a record.
    pub fn records(&self) -> usize {
        self.first.len() + self.made.len()
    }

    /// How many accesses there are.
    pub fn len(&self) -> usize {
        self.first.len() + self.further.len()
    }
}

impl Index<usize> for Ues {
    type Output = Ue;

    #[inline]
    fn index(&self, number: usize) -> &Ue {
        if let Some(ue) = self.first.get(number) {
            return ue;
        }
        match self.further[number - self.first.len()] {
            0 => &self.idle,
            place => &self.made[place as usize - 1],
        }
    }
}

impl IndexMut<usize> for Ues {
    #[inline]
    fn index_mut(&mut self, number: usize) -> &mut Ue {
        let users = self.first.len();
        if number < users {
            return &mut self.first[number];
        }
        let place = &mut self.further[number - users];
        if *place == 0 {
            self.made.push(Ue::default());
            *place = u32::try_from(self.made.len()).expect("numbers of accesses fit in 32 bits");
        }
        &mut self.made[*place as usize - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_further_access_is_made_at_its_first_use() {
        let mut ues = Ues::new(3, 9);
        ues[8].attempt = 8;
        ues[2].attempt = 2;
        ues[4].attempt = 4;
        ues[8].cseq = 80;
        assert_eq!((ues.made.len(), ues.len()), (2, 9));
        let attempts: Vec<u32> = (0..9).map(|number| ues[number].attempt).collect();
        assert_eq!(attempts, [0, 0, 2, 0, 4, 0, 0, 0, 8]);
        assert_eq!((ues[8].cseq, ues.made.len()), (80, 2));
        assert!(ues.get(9).is_none() && ues.get(7).is_some());
    }
}
