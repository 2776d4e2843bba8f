//! The published vectors, for the tests.

use serde_json::Value;

/// One set of TS 35.207 and TS 35.208, with AUTN, and AUTS for SQN_MS = SQN.
pub(crate) struct MilenageSet {
    pub(crate) k: [u8; 16],
    pub(crate) rand: [u8; 16],
    pub(crate) sqn: [u8; 6],
    pub(crate) amf: [u8; 2],
    pub(crate) op: [u8; 16],
    pub(crate) opc: [u8; 16],
    pub(crate) mac_a: [u8; 8],
    pub(crate) mac_s: [u8; 8],
    pub(crate) res: [u8; 8],
    pub(crate) ck: [u8; 16],
    pub(crate) ik: [u8; 16],
    pub(crate) ak: [u8; 6],
    pub(crate) ak_star: [u8; 6],
    pub(crate) autn: [u8; 16],
    pub(crate) auts: [u8; 14],
}

/// All 20 sets of `tests/data/vectors/milenage.tsv`.
pub(crate) fn milenage_sets() -> Vec<MilenageSet> {
    let text = include_str!("../../../tests/data/vectors/milenage.tsv");
    let mut lines = text.lines();
    let names: Vec<_> = lines.next().unwrap().split('\t').collect();
    let sets: Vec<_> = lines.map(|line| set(&names, line)).collect();
    assert_eq!(sets.len(), 20);
    sets
}

/// `tests/data/vectors/digest.json`.
pub(crate) fn digest_vectors() -> Vec<Value> {
    let text = include_str!("../../../tests/data/vectors/digest.json");
    serde_json::from_str(text).unwrap()
}

/// The bytes of a hexadecimal text of `N` bytes.
pub(crate) fn hex<const N: usize>(text: &str) -> [u8; N] {
    assert_eq!(text.len(), 2 * N);
    core::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
}

fn set(names: &[&str], line: &str) -> MilenageSet {
    let values: Vec<_> = line.split('\t').collect();
    let column = |name| values[names.iter().position(|n| *n == name).unwrap()];
    MilenageSet {
        k: hex(column("K")),
        rand: hex(column("RAND")),
        sqn: hex(column("SQN")),
        amf: hex(column("AMF")),
        op: hex(column("OP")),
        opc: hex(column("OPc")),
        mac_a: hex(column("f1_MACA")),
        mac_s: hex(column("f1star_MACS")),
        res: hex(column("f2_RES")),
        ck: hex(column("f3_CK")),
        ik: hex(column("f4_IK")),
        ak: hex(column("f5_AK")),
        ak_star: hex(column("f5star_AK")),
        autn: hex(column("AUTN")),
        auts: hex(column("AUTS_if_SQNms_eq_SQN")),
    }
}
