fn main() {
    let mut args = std::env::args().skip(1);
    let size = args.next().unwrap();
    let seeds: u64 = args.next().unwrap().parse().unwrap();
    let profile = imstorm::profile::Profile::load("quickstart", &[("population.size".into(), size)]).unwrap();
    let engine = imstorm::embedded::config(&profile).unwrap();
    for seed in 1..=seeds {
        let mut out = std::io::stderr();
        let t = std::time::Instant::now();
        let trace: Option<&mut dyn std::io::Write> = if std::env::var("TRACE").is_ok() { Some(&mut out) } else { None };
        let r = imstorm::sim::run_seed(&profile, &engine, seed, trace);
        println!("{:?} {:?}", r, t.elapsed());
    }
}
