//! Timer values (RFC 3261 17.1.1.1 and table 4, TS 24.229 table 7.8).

/// T1, T2 and T4; the other timers follow from them.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Timings {
    /// Round-trip time estimate, nanoseconds.
    pub t1_ns: u64,
    /// Longest interval between retransmissions of a non-INVITE request, nanoseconds.
    pub t2_ns: u64,
    /// Longest time that a message stays in the network, nanoseconds.
    pub t4_ns: u64,
}

const SECOND_NS: u64 = 1_000_000_000;

impl Timings {
    /// Between network elements: RFC 3261's defaults, 0.5 s, 4 s, 5 s.
    pub const CORE: Timings =
        Timings { t1_ns: SECOND_NS / 2, t2_ns: 4 * SECOND_NS, t4_ns: 5 * SECOND_NS };

    /// At the UE, and at the P-CSCF towards it: 2 s, 16 s, 17 s.
    pub const UE_LEG: Timings =
        Timings { t1_ns: 2 * SECOND_NS, t2_ns: 16 * SECOND_NS, t4_ns: 17 * SECOND_NS };

    /// How long a proxy waits behind the last provisional response to an INVITE, on either leg: more than three
    /// minutes (RFC 3261 16.6, step 11; TS 24.229 table 7.7).
    pub const TIMER_C_NS: u64 = 181 * SECOND_NS;

    /// The `step`th interval (from 0) between retransmissions of an INVITE: T1 doubled each time, with no
    /// bound but timer B, which comes first.
    pub const fn timer_a_ns(&self, step: u8) -> u64 {
        let doublings = if step > 6 { 6 } else { step };
        self.t1_ns << doublings
    }

    /// INVITE client transaction's timeout: 64 T1.
    pub const fn timer_b_ns(&self) -> u64 {
        64 * self.t1_ns
    }

    /// How long an INVITE client waits for retransmitted failures: more than 64 T1 (RFC 3261 table 4,
    /// TS 24.229 table 7.8), since the last one that timer H allows may be under way for T4; 0 over a
    /// reliable transport.
    pub const fn timer_d_ns(&self, reliable: bool) -> u64 {
        if reliable { 0 } else { 64 * self.t1_ns + self.t4_ns }
    }

    /// The `step`th interval (from 0) between retransmissions of a non-INVITE request:
    /// T1 doubled each time, T2 at most.
    pub const fn timer_e_ns(&self, step: u8) -> u64 {
        let doublings = if step > 16 { 16 } else { step };
        let interval_ns = self.t1_ns << doublings;
        if interval_ns > self.t2_ns { self.t2_ns } else { interval_ns }
    }

    /// The `step`th interval (from 0) between retransmissions of a failure that an INVITE got: as timer E.
    pub const fn timer_g_ns(&self, step: u8) -> u64 {
        self.timer_e_ns(step)
    }

    /// Non-INVITE client transaction's timeout: 64 T1.
    pub const fn timer_f_ns(&self) -> u64 {
        64 * self.t1_ns
    }

    /// INVITE server transaction's wait for the ACK: 64 T1.
    pub const fn timer_h_ns(&self) -> u64 {
        64 * self.t1_ns
    }

    /// How long an INVITE server absorbs ACKs: T4, 0 over a reliable transport.
    pub const fn timer_i_ns(&self, reliable: bool) -> u64 {
        if reliable { 0 } else { self.t4_ns }
    }

    /// How long a non-INVITE server absorbs retransmissions: 64 T1, 0 over a reliable transport.
    pub const fn timer_j_ns(&self, reliable: bool) -> u64 {
        if reliable { 0 } else { 64 * self.t1_ns }
    }

    /// How long a non-INVITE client absorbs responses: T4, 0 over a reliable transport.
    pub const fn timer_k_ns(&self, reliable: bool) -> u64 {
        if reliable { 0 } else { self.t4_ns }
    }

    /// How long an INVITE server absorbs retransmissions of an accepted INVITE: 64 T1 over any transport
    /// (RFC 6026 8.7).
    pub const fn timer_l_ns(&self) -> u64 {
        64 * self.t1_ns
    }

    /// How long an INVITE client passes further 2xx up: 64 T1 over any transport (RFC 6026 7.2).
    pub const fn timer_m_ns(&self) -> u64 {
        64 * self.t1_ns
    }
}
