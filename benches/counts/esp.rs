//! ESP: one message of 1 KiB sealed and opened, one at a time.

use std::hint::black_box;

use gungraun::{library_benchmark, library_benchmark_group};
use imstorm_esp::{
    EncryptionAlgorithm, HEADROOM, IntegrityAlgorithm, LocalPort, Mode, SaSet, SecurityParameters,
    Suite, TAILROOM,
};

const CK: [u8; 16] = *b"0123456789abcdef";
const IK: [u8; 16] = *b"fedcba9876543210";
const MESSAGE_BYTES: usize = 1024;

type Ends = (SaSet, SaSet, Vec<u8>);

fn ends() -> Ends {
    let suite = Suite {
        integrity: IntegrityAlgorithm::HmacSha1_96,
        encryption: EncryptionAlgorithm::AesCbc,
    };
    let parameters = SecurityParameters {
        spi_uc: 0x1000_04d2,
        spi_us: 0x1000_04d3,
        port_uc: 6100,
        port_us: 6101,
        spi_pc: 0x2000_04d2,
        spi_ps: 0x2000_04d3,
        port_pc: 5063,
        port_ps: 5064,
        ue_ip: [127, 16, 4, 210].into(),
        pcscf_ip: [127, 0, 0, 1].into(),
        suite,
        mode: Mode::UdpTunnel,
    };
    let (ue, pcscf) =
        (SaSet::for_ue(&parameters, &CK, &IK), SaSet::for_pcscf(&parameters, &CK, &IK));
    (ue, pcscf, vec![b'x'; HEADROOM + MESSAGE_BYTES + TAILROOM])
}

#[library_benchmark(setup = ends)]
#[bench::aes_cbc_hmac_sha_1_96()]
fn seal_and_open((mut ue, mut pcscf, mut buffer): Ends) -> (usize, Ends) {
    let packet = ue
        .seal(LocalPort::Client, black_box(&mut buffer), HEADROOM, MESSAGE_BYTES, 1)
        .expect("sequence numbers are left");
    let opened = pcscf.open(LocalPort::Server, &mut buffer[packet]).expect("a good packet");
    (opened.len(), (ue, pcscf, buffer))
}

library_benchmark_group!(name = esp, benchmarks = [seal_and_open]);
