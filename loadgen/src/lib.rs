//! The load generator: emulated UEs that set up secure IMS connections, use them in all their procedures and leave, and what a user
//! of the core would have felt.
//!
//! It is no SIP stack and no core: messages, keys and ESP are the protocol crates', and the engine that it can bring along is a child
//! process of its own ([`child`]). It drives any core that speaks the `security` event package.
//!
//! How an event passes: a [`profile`] says who and how often; [`schedule`] fixes the intended starts; [`generator`]'s tick begins
//! them, takes what the sockets brought, opens ESP, and gives each message to its UE, a small record with a state machine around
//! it; what ends well or badly goes into [`measure`] at its age since the intended start, and for chosen UEs into the
//! [`recorder`]. [`run`] does that over real sockets and writes the [`report`]; [`sim`] does it over a virtual clock and a network
//! that loses, with the engine's own tick on the other side. UEs without security at one address
//! (`plain`) have a tick of their own. [`schemes`] runs a profile once for each way to hold several registrations, and compares.
//! Of each second of a run [`log`] keeps on the disk what happened, so that the report can be made from the files alone: of a run that was
//! killed, and of the parts ([`part`]) that several generators had of one. [`page`] shows it to a person, also while it goes on, [`metrics`] to Prometheus, `live` to whoever
//! sits at the terminal; [`compare`] holds runs against each other.
//! [`explain`] says why procedures of a run have failed, by exchanges that the recorder kept; [`doctor`] what a machine allows of a profile.
//! What a UE takes in memory stands in `ue/bytes.rs`.

pub mod child;
pub mod cli;
pub mod compare;
pub mod controls;
pub mod course;
pub mod doctor;
pub mod embedded;
pub(crate) mod ends;
pub mod explain;
pub mod generator;
pub mod health;
pub mod junit;
pub(crate) mod link;
pub(crate) mod live;
pub mod log;
pub mod measure;
pub mod metrics;
pub mod operator;
pub mod page;
pub mod part;
pub(crate) mod plain;
pub mod plan;
pub mod population;
pub mod profile;
pub mod recorder;
pub mod report;
pub mod run;
pub mod schedule;
pub mod schemes;
pub mod sim;
pub mod start_at;
pub(crate) mod steering;
pub mod target;
pub mod traffic;
pub(crate) mod ue;
pub(crate) mod watch;
