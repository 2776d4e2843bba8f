//! The rounds of SHA-1 (RFC 3174) and MD5 (RFC 1321), written once for all widths of a register.
//!
//! Whoever expands a macro has the vector's type and functions in scope: `splat`, `add`, `xor`, `rol`, and the rounds'
//! functions `ch`, `parity`, `maj`, `md5_i`.

/// SHA-1's constants, one for each 20 rounds (RFC 3174 clause 5).
pub(super) const SHA1_K: [u32; 4] = [0x5a82_7999, 0x6ed9_eba1, 0x8f1b_bcdc, 0xca62_c1d6];

/// MD5's constants, one for each round: the first 32 bits of |sin(t + 1)| (RFC 1321 clause 3.4).
#[rustfmt::skip]
pub(super) const MD5_K: [u32; 64] = [
    0xd76a_a478, 0xe8c7_b756, 0x2420_70db, 0xc1bd_ceee, 0xf57c_0faf, 0x4787_c62a, 0xa830_4613, 0xfd46_9501,
    0x6980_98d8, 0x8b44_f7af, 0xffff_5bb1, 0x895c_d7be, 0x6b90_1122, 0xfd98_7193, 0xa679_438e, 0x49b4_0821,
    0xf61e_2562, 0xc040_b340, 0x265e_5a51, 0xe9b6_c7aa, 0xd62f_105d, 0x0244_1453, 0xd8a1_e681, 0xe7d3_fbc8,
    0x21e1_cde6, 0xc337_07d6, 0xf4d5_0d87, 0x455a_14ed, 0xa9e3_e905, 0xfcef_a3f8, 0x676f_02d9, 0x8d2a_4c8a,
    0xfffa_3942, 0x8771_f681, 0x6d9d_6122, 0xfde5_380c, 0xa4be_ea44, 0x4bde_cfa9, 0xf6bb_4b60, 0xbebf_bc70,
    0x289b_7ec6, 0xeaa1_27fa, 0xd4ef_3085, 0x0488_1d05, 0xd9d4_d039, 0xe6db_99e5, 0x1fa2_7cf8, 0xc4ac_5665,
    0xf429_2244, 0x432a_ff97, 0xab94_23a7, 0xfc93_a039, 0x655b_59c3, 0x8f0c_cc92, 0xffef_f47d, 0x8584_5dd1,
    0x6fa8_7e4f, 0xfe2c_e6e0, 0xa301_4314, 0x4e08_11a1, 0xf753_7e82, 0xbd3a_f235, 0x2ad7_d2bb, 0xeb86_d391,
];

/// SHA-1's compression of one block: `$state` is five vectors, `$w` the block's sixteen words. `$beside` is invoked with the number of
/// each round and what it has made, to do what has nothing to do with it.
#[rustfmt::skip] // It would move the inner macro to the right each time.
macro_rules! sha1_rounds {
    ($state:expr, $w:expr, $beside:ident) => {{
        let mut w = $w;
        let [mut a, mut b, mut c, mut d, mut e] = $state;
        macro_rules! step {
            ($a:ident $b:ident $c:ident $d:ident $e:ident, $f:ident, $k:expr, $t:expr) => {
                if $t >= 16 {
                    let word = xor3(w[($t + 13) & 15], w[($t + 8) & 15], w[($t + 2) & 15]);
                    w[$t & 15] = rol::<1, 31>(xor(word, w[$t & 15]));
                }
                let fixed = add($e, add(w[$t & 15], splat(SHA1_K[$k])));
                $e = add(rol::<5, 27>($a), add($f($b, $c, $d), fixed));
                $b = rol::<30, 2>($b);
                $beside!($t, $e);
            };
        }
        macro_rules! twenty {
            ($f:ident, $k:expr) => {
                twenty!(@ $f, $k, 0);
                twenty!(@ $f, $k, 5);
                twenty!(@ $f, $k, 10);
                twenty!(@ $f, $k, 15);
            };
            (@ $f:ident, $k:expr, $t:expr) => {
                step!(a b c d e, $f, $k, 20 * $k + $t);
                step!(e a b c d, $f, $k, 20 * $k + $t + 1);
                step!(d e a b c, $f, $k, 20 * $k + $t + 2);
                step!(c d e a b, $f, $k, 20 * $k + $t + 3);
                step!(b c d e a, $f, $k, 20 * $k + $t + 4);
            };
        }
        twenty!(ch, 0);
        twenty!(parity, 1);
        twenty!(maj, 2);
        twenty!(parity, 3);
        let [a0, b0, c0, d0, e0] = $state;
        [add(a0, a), add(b0, b), add(c0, c), add(d0, d), add(e0, e)]
    }};
}

/// MD5's compression of one block: `$state` is four vectors, `$w` the block's sixteen words.
macro_rules! md5_rounds {
    ($state:expr, $w:expr) => {{
        let w = $w;
        let [mut a, mut b, mut c, mut d] = $state;
        macro_rules! step {
            ($a:ident $b:ident $c:ident $d:ident, $f:ident, $word:expr, $t:expr, $l:literal $r:literal) => {
                let fixed = add($a, add(w[$word & 15], splat(MD5_K[$t])));
                $a = add(rol::<$l, $r>(add($f($b, $c, $d), fixed)), $b);
            };
        }
        macro_rules! sixteen {
            ($f:ident, $first:expr, $stride:expr, $t:expr, $l:tt) => {
                sixteen!(@ $f, $first, $stride, $t, $l);
                sixteen!(@ $f, $first + 4 * $stride, $stride, $t + 4, $l);
                sixteen!(@ $f, $first + 8 * $stride, $stride, $t + 8, $l);
                sixteen!(@ $f, $first + 12 * $stride, $stride, $t + 12, $l);
            };
            (
                @ $f:ident, $first:expr, $stride:expr, $t:expr,
                ($l0:literal $r0:literal, $l1:literal $r1:literal, $l2:literal $r2:literal, $l3:literal $r3:literal)
            ) => {
                step!(a b c d, $f, $first, $t, $l0 $r0);
                step!(d a b c, $f, $first + $stride, $t + 1, $l1 $r1);
                step!(c d a b, $f, $first + 2 * $stride, $t + 2, $l2 $r2);
                step!(b c d a, $f, $first + 3 * $stride, $t + 3, $l3 $r3);
            };
        }
        sixteen!(ch, 0, 1, 0, (7 25, 12 20, 17 15, 22 10));
        sixteen!(md5_g, 1, 5, 16, (5 27, 9 23, 14 18, 20 12));
        sixteen!(parity, 5, 3, 32, (4 28, 11 21, 16 16, 23 9));
        sixteen!(md5_i, 0, 7, 48, (6 26, 10 22, 15 17, 21 11));
        let [a0, b0, c0, d0] = $state;
        [add(a0, a), add(b0, b), add(c0, c), add(d0, d)]
    }};
}

/// Nothing beside the rounds.
macro_rules! nothing {
    ($t:expr, $e:ident) => {};
}

pub(super) use {md5_rounds, nothing, sha1_rounds};
