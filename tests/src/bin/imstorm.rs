//! The load generator, for the tests that need a process.

fn main() -> std::process::ExitCode {
    imstorm::cli::main()
}
