//! Which runtime a thread of the control plane stands on.

use std::future::Future;
use std::io;

/// The runtimes; they behave alike.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Runtime {
    /// tokio with an io_uring driver.
    TokioUring,
    /// tokio on epoll, where io_uring is forbidden or too old.
    Tokio,
}

impl std::fmt::Display for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Runtime::TokioUring => "tokio-uring",
            Runtime::Tokio => "tokio",
        })
    }
}

/// Runs `main` to its end on the calling thread, with `tokio::task::spawn_local` at its service, on
/// the best runtime. `tokio_uring::start` panics where io_uring is forbidden, so the runtime is
/// made by hand: that is the probe.
pub(crate) fn run<F: Future>(main: impl FnOnce(Runtime) -> F) -> io::Result<F::Output> {
    match tokio_uring::Runtime::new(&tokio_uring::builder()) {
        Ok(runtime) => Ok(runtime.block_on(main(Runtime::TokioUring))),
        Err(_) => run_on_tokio(main(Runtime::Tokio)),
    }
}

/// Runs `main` to its end on plain tokio.
pub(crate) fn run_on_tokio<F: Future>(main: F) -> io::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(tokio::task::LocalSet::new().block_on(&runtime, main))
}
