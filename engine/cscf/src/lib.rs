//! P-CSCF, I-CSCF, S-CSCF and HSS as state machines.
