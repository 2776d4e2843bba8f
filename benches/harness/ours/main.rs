//! Our side of those rows of the peers' table that need neither engine nor generator, and the Rust peers beside it.
//! `benches/peers` runs it; what it measured it says in one line of JSON.

mod allocations;
mod echo;
mod measure;
mod parse;
mod seal;

use std::process::ExitCode;

use imstorm_uring::Backend;

const USAGE: &str = "\
peers-ours index|typed|full|httparse MESSAGE_FILE SECONDS
peers-ours seal|rustcrypto SECONDS
peers-ours echo PORT [uring|mmsg]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        [what @ ("index" | "typed" | "full" | "httparse"), file, seconds] => {
            std::fs::read(file).map_err(|error| format!("{file}: {error}")).and_then(|message| {
                let seconds = measure::seconds(seconds)?;
                match what {
                    "index" => parse::index(&message, seconds),
                    "typed" => parse::typed(&message, seconds),
                    "full" => parse::full(&message, seconds),
                    _ => parse::httparse(&message, seconds),
                }
            })
        }
        ["seal", seconds] => measure::seconds(seconds).map(seal::ours),
        ["rustcrypto", seconds] => measure::seconds(seconds).map(seal::rustcrypto),
        ["echo", port] => echo::serve(port, Backend::best()),
        ["echo", port, kind] => kind.parse().and_then(|kind| echo::serve(port, kind)),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(figures) => {
            println!("{figures}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}
