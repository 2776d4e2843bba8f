//! Files that the control plane writes: results, captures, logs. The disk's pauses are a thread's
//! own.

use crate::runtime::{self, Runtime};
use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::Notify;

/// Bytes that may wait for the disk; who appends more waits too.
const WAITING_BYTES_MAX: usize = 64 << 20;

/// Appends to one file, on a thread of its own, with io_uring where that works. Not for shards:
/// `append` waits when the disk is behind. An error of the disk shows in whatever is called next.
#[derive(Debug)]
pub struct FileWriter {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// The writer has something to do.
    work: Notify,
    /// The writer has done something.
    done: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Vec<u8>>,
    /// Bytes taken in and not yet written.
    waiting_bytes: usize,
    /// How often a sync was asked for, and up to which it was done.
    syncs_asked: u64,
    syncs_done: u64,
    closing: bool,
    ended: bool,
    failure: Option<(io::ErrorKind, String)>,
    runtime: Option<Runtime>,
}

/// What the writer does next.
struct Work {
    chunks: VecDeque<Vec<u8>>,
    sync: Option<u64>,
    is_last: bool,
}

impl FileWriter {
    /// Opens `path` to append to what is there, if anything.
    pub fn open(path: impl AsRef<Path>) -> io::Result<FileWriter> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        FileWriter::start(file, runtime::run)
    }

    /// Creates `path`, in place of what was there.
    pub fn create(path: impl AsRef<Path>) -> io::Result<FileWriter> {
        let file = OpenOptions::new().create(true).write(true).truncate(true).open(path)?;
        FileWriter::start(file, runtime::run)
    }

    /// Queues `bytes` behind all before. Waits while more than 64 MiB wait for the disk. Errors: of
    /// an earlier write.
    pub fn append(&self, bytes: Vec<u8>) -> io::Result<()> {
        let mut state = self.shared.lock();
        while state.waiting_bytes >= WAITING_BYTES_MAX && !state.ended {
            state = self.shared.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.check()?;
        state.waiting_bytes += bytes.len();
        state.waiting.push_back(bytes);
        drop(state);
        self.shared.work.notify_one();
        Ok(())
    }

    /// Waits until all that was appended is on the disk (fsync).
    pub fn sync(&self) -> io::Result<()> {
        let mut state = self.shared.lock();
        state.syncs_asked += 1;
        let number = state.syncs_asked;
        self.shared.work.notify_one();
        while state.syncs_done < number && !state.ended {
            state = self.shared.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.check()
    }

    /// Writes what waits, syncs and ends.
    pub fn close(mut self) -> io::Result<()> {
        let result = self.sync();
        self.finish();
        result.and_then(|()| self.shared.lock().check())
    }

    /// What it runs on; `None` before its thread has begun.
    #[must_use]
    pub fn runtime(&self) -> Option<Runtime> {
        self.shared.lock().runtime
    }

    fn start<Run>(file: std::fs::File, run: Run) -> io::Result<FileWriter>
    where
        Run: FnOnce(Box<dyn FnOnce(Runtime) -> Writing>) -> io::Result<io::Result<()>>
            + Send
            + 'static,
    {
        let shared = Arc::new(Shared::default());
        let writers = Arc::clone(&shared);
        let position = file.metadata()?.len();
        let thread = std::thread::Builder::new().name("file".into()).spawn(move || {
            let end = Arc::clone(&writers);
            let main = move |runtime| -> Writing {
                writers.lock().runtime = Some(runtime);
                Box::pin(write(writers, file, position, runtime))
            };
            let result = run(Box::new(main)).and_then(|result| result);
            let mut state = end.lock();
            state.ended = true;
            if let Err(error) = result {
                state.failure = Some((error.kind(), error.to_string()));
            }
            drop(state);
            end.done.notify_all();
        })?;
        Ok(FileWriter { shared, thread: Some(thread) })
    }

    fn finish(&mut self) {
        self.shared.lock().closing = true;
        self.shared.work.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for FileWriter {
    /// Writes what waits; its errors are lost, unlike `close`'s.
    fn drop(&mut self) {
        self.finish();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that is to do, once there is something.
    async fn next(&self) -> Work {
        loop {
            {
                let mut state = self.lock();
                let sync = (state.syncs_done < state.syncs_asked).then_some(state.syncs_asked);
                if !state.waiting.is_empty() || sync.is_some() || state.closing {
                    let chunks = std::mem::take(&mut state.waiting);
                    return Work { chunks, sync, is_last: state.closing };
                }
            }
            self.work.notified().await;
        }
    }
}

impl State {
    fn check(&self) -> io::Result<()> {
        match &self.failure {
            Some((kind, text)) => Err(io::Error::new(*kind, text.clone())),
            None if self.ended && !self.closing => Err(io::Error::other("the writer ended")),
            None => Ok(()),
        }
    }
}

type Writing = std::pin::Pin<Box<dyn Future<Output = io::Result<()>>>>;

/// The file, as its runtime writes it.
enum Target {
    Uring(tokio_uring::fs::File),
    Plain(std::fs::File),
}

async fn write(
    shared: Arc<Shared>,
    file: std::fs::File,
    mut position: u64,
    runtime: Runtime,
) -> io::Result<()> {
    let target = match runtime {
        Runtime::TokioUring => Target::Uring(tokio_uring::fs::File::from_std(file)),
        // The thread is the file's own, so that blocking it is as good as any.
        Runtime::Tokio => Target::Plain(file),
    };
    loop {
        let work = shared.next().await;
        for chunk in work.chunks {
            let bytes = chunk.len();
            target.write(chunk, position).await?;
            position += bytes as u64;
            shared.lock().waiting_bytes -= bytes;
            shared.done.notify_all();
        }
        if let Some(number) = work.sync {
            target.sync().await?;
            shared.lock().syncs_done = number;
            shared.done.notify_all();
        }
        if work.is_last {
            return target.close().await;
        }
    }
}

impl Target {
    async fn write(&self, chunk: Vec<u8>, position: u64) -> io::Result<()> {
        match self {
            Target::Uring(_) if chunk.is_empty() => Ok(()),
            Target::Uring(file) => file.write_all_at(chunk, position).await.0,
            Target::Plain(file) => io::Write::write_all(&mut &*file, &chunk),
        }
    }

    async fn sync(&self) -> io::Result<()> {
        match self {
            Target::Uring(file) => file.sync_all().await,
            Target::Plain(file) => file.sync_all(),
        }
    }

    async fn close(self) -> io::Result<()> {
        match self {
            Target::Uring(file) => file.close().await,
            Target::Plain(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path of this test's own, removed at its end.
    struct Scratch(std::path::PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let file = format!("imstorm-control-{}-{name}", std::process::id());
            Scratch(std::env::temp_dir().join(file))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn what_is_appended_is_there_after_sync_and_close() {
        let scratch = Scratch::new("append");
        let writer = FileWriter::create(&scratch.0).unwrap();
        let mut expected = Vec::new();
        for i in 0..1_000u32 {
            let line = format!("line {i}\n").into_bytes();
            expected.extend(&line);
            writer.append(line).unwrap();
        }
        writer.append(Vec::new()).unwrap();
        writer.sync().unwrap();
        assert_eq!(std::fs::read(&scratch.0).unwrap(), expected);
        writer.append(b"last".to_vec()).unwrap();
        writer.close().unwrap();
        let again = FileWriter::open(&scratch.0).unwrap();
        again.append(b" and more".to_vec()).unwrap();
        drop(again);
        expected.extend(b"last and more");
        assert_eq!(std::fs::read(&scratch.0).unwrap(), expected);
    }

    #[test]
    fn plain_tokio_writes_too() {
        let scratch = Scratch::new("plain");
        let file = std::fs::File::create(&scratch.0).unwrap();
        let writer =
            FileWriter::start(file, |main| runtime::run_on_tokio(main(Runtime::Tokio))).unwrap();
        writer.append(b"some".to_vec()).unwrap();
        writer.append(b" bytes".to_vec()).unwrap();
        writer.close().unwrap();
        assert_eq!(std::fs::read(&scratch.0).unwrap(), b"some bytes");
    }

    #[test]
    fn errors_of_the_disk_reach_the_caller() {
        assert!(FileWriter::open("/nonexistent/file").is_err());
        let writer = FileWriter::create("/dev/full").unwrap();
        writer.append(b"x".to_vec()).unwrap();
        assert_eq!(writer.sync().unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(writer.append(b"x".to_vec()).is_err());
        assert!(writer.close().is_err());
    }
}
