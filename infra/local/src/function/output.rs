//! Output of a function's processes.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
};

use tokio::{
    fs::{File, OpenOptions},
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader, BufWriter},
    sync::mpsc,
};

/// The log of a function. All its processes write into it, line by line.
#[derive(Clone)]
pub(super) struct Output(mpsc::Sender<Vec<u8>>);

/// Size at which the log is rotated.
const MAX_LOG_BYTES: u64 = 32 * 1024 * 1024;

/// A longer line is split.
const MAX_LINE_BYTES: u64 = 64 * 1024;

/// The lines of a process that an error message contains, and the part of each line.
const LAST_LINES: usize = 10;
const LAST_LINE_CHARS: usize = 500;

impl Output {
    /// Opens the log and starts the task that writes it.
    pub(super) async fn open(path: &Path) -> std::io::Result<Self> {
        if let Some(directory) = path.parent() {
            tokio::fs::create_dir_all(directory).await?;
        }
        let log = Log::open(path).await?;
        let (send, lines) = mpsc::channel(1_024);
        tokio::spawn(async move {
            if let Err(error) = log.write_all(lines).await {
                tracing::warn!(%error, "writing a function's log failed, its further output is dropped");
            }
        });
        Ok(Self(send))
    }

    /// Copies lines until the other end is closed. Returns the last ones.
    pub(super) async fn copy(&self, from: impl AsyncRead + Unpin) -> VecDeque<String> {
        let mut from = BufReader::new(from);
        let mut last = VecDeque::with_capacity(LAST_LINES);
        loop {
            let mut line = Vec::new();
            match (&mut from).take(MAX_LINE_BYTES).read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => return last,
                Ok(_) => {}
            }
            if last.len() == LAST_LINES {
                last.pop_front();
            }
            last.push_back(String::from_utf8_lossy(&line).trim_end().chars().take(LAST_LINE_CHARS).collect());
            if line.last() != Some(&b'\n') {
                line.push(b'\n');
            }
            // The pipe is read even if the log cannot be written; otherwise the function would block.
            self.0.send(line).await.ok();
        }
    }
}

struct Log {
    path: PathBuf,
    file: BufWriter<File>,
    length: u64,
}

impl Log {
    async fn open(path: &Path) -> std::io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path).await?;
        let length = file.metadata().await?.len();
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file), length })
    }

    async fn write_all(mut self, mut lines: mpsc::Receiver<Vec<u8>>) -> std::io::Result<()> {
        while let Some(line) = lines.recv().await {
            if self.length >= MAX_LOG_BYTES {
                self.file.flush().await?;
                let mut rotated = self.path.clone().into_os_string();
                rotated.push(".old");
                tokio::fs::rename(&self.path, rotated).await?;
                self = Self::open(&self.path).await?;
            }
            self.length += line.len() as u64;
            self.file.write_all(&line).await?;
            if lines.is_empty() {
                self.file.flush().await?;
            }
        }
        self.file.flush().await
    }
}
