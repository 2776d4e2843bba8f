//! The tables that the control plane shows, by name, and their rows as JSON.

use imstorm_cscf::show::{
    AssociationRow, BindingRow, IdentityRow, SessionRow, SubscriberRow, SubscriptionRow,
};
use serde_json::{Value, json};

macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident $row:ident $text:literal,)*) => {
        /// A table.
        #[derive(Copy, Clone, Debug, PartialEq, Eq)]
        pub enum Table {
            $($(#[$doc])* $name,)*
        }

        /// Rows of one table.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Rows {
            $($(#[$doc])* $name(Vec<$row>),)*
        }

        impl Table {
            /// All tables.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name in paths and answers.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// No rows.
            #[must_use]
            pub fn no_rows(self) -> Rows {
                match self {
                    $(Self::$name => Rows::$name(Vec::new()),)*
                }
            }
        }

        impl Rows {
            /// How many there are.
            #[must_use]
            pub fn len(&self) -> usize {
                match self {
                    $(Self::$name(rows) => rows.len(),)*
                }
            }

            /// Whether there are none.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Them, as JSON.
            #[must_use]
            pub fn to_json(&self) -> Vec<Value> {
                match self {
                    $(Self::$name(rows) => rows.iter().map(Row::to_json).collect(),)*
                }
            }
        }
    };
}

tables! {
    /// The HSS's subscribers.
    Subscribers SubscriberRow "subscribers",
    /// The secure connections at the S-CSCF.
    Subscriptions SubscriptionRow "subscriptions",
    /// The sets of security associations at the P-CSCFs.
    Associations AssociationRow "associations",
    /// The registered contacts at the S-CSCF.
    Bindings BindingRow "bindings",
    /// The calls at the S-CSCF.
    Sessions SessionRow "sessions",
}

impl Table {
    /// The table with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|table| table.name() == name)
    }
}

/// Which part of a shard's table is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The table.
    pub table: Table,
    /// Only the rows of the user with this private identity.
    pub impi: Option<Vec<u8>>,
    /// Where to go on: 0, or what the part before said.
    pub from: u64,
}

/// A part of a shard's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The rows.
    pub rows: Rows,
    /// Where the next part begins; nothing at the table's end.
    pub next: Option<u64>,
}

trait Row {
    fn to_json(&self) -> Value;
}

impl Row for SubscriberRow {
    fn to_json(&self) -> Value {
        json!({ "impi": self.impi, "impus": identities(&self.impus) })
    }
}

impl Row for SubscriptionRow {
    fn to_json(&self) -> Value {
        json!({
            "impi": self.impi,
            "session": self.session,
            "made_by": self.made_by,
            "impu": self.impu,
            "contact": self.contact.to_string(),
            "pcscf": self.pcscf.to_string(),
            "expires_s": self.expires_s,
            "pcscf_expires_s": self.pcscf_expires_s,
            "version": self.version,
            "identities": identities(&self.identities),
            "must_challenge": self.must_challenge,
            "ending": self.ending,
        })
    }
}

impl Row for AssociationRow {
    fn to_json(&self) -> Value {
        json!({
            "impi": self.impi,
            "ue": self.ue.to_string(),
            "outer": self.outer.to_string(),
            "pcscf": self.pcscf.to_string(),
            "stage": self.stage,
            "set": self.set,
            "spi_uc": self.spi_uc,
            "spi_us": self.spi_us,
            "spi_pc": self.spi_pc,
            "spi_ps": self.spi_ps,
            "port_uc": self.port_uc,
            "port_us": self.port_us,
            "port_pc": self.port_pc,
            "port_ps": self.port_ps,
            "alg": self.alg,
            "ealg": self.ealg,
            "expires_s": self.expires_s,
        })
    }
}

impl Row for BindingRow {
    fn to_json(&self) -> Value {
        json!({
            "impi": self.impi,
            "impu": self.impu,
            "contact": self.contact,
            "session": self.session,
            "expires_s": self.expires_s,
            "pub_gruu": self.pub_gruu,
        })
    }
}

impl Row for SessionRow {
    fn to_json(&self) -> Value {
        json!({
            "impi": self.impi,
            "session": self.session,
            "call_id": self.call_id,
            "from": self.from,
            "to": self.to,
        })
    }
}

fn identities(rows: &[IdentityRow]) -> Vec<Value> {
    let row = |row: &IdentityRow| json!({ "impu": row.impu, "default": row.is_default, "barred": row.barred });
    rows.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_found_by_its_name() {
        for table in Table::ALL {
            assert_eq!(Table::parse(table.name()), Some(*table));
            assert!(table.no_rows().is_empty());
        }
        assert_eq!(Table::parse("keys"), None);
    }
}
