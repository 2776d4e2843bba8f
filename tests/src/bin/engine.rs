//! The engine, for the tests that need a process.

fn main() -> std::process::ExitCode {
    imstorm_engine::cli::main()
}
