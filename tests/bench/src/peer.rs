//! The work in Python, in a separate process that measures its own time.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::{
    corpus::{Lot, Sample},
    measure::{Implementation, Work},
};

const PROGRAM: &str = include_str!("../peer.py");

/// The Python of the virtual environment that the Makefile creates.
pub fn interpreter() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/python")
}

/// A running interpreter. It ends when this is dropped.
pub struct Python {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    directory: TempDir,
    /// The lot in its memory.
    has: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case", tag = "do")]
enum Request<'a> {
    /// Reads the items from files, so that they are in memory before the clock starts.
    Load { items: Vec<Paths> },
    /// Does the work on all items `times` times.
    Run { work: &'a str, times: u32 },
    /// Does the work once and returns the memory it took.
    Memory { work: &'a str },
    /// Does the work once and writes the results into files of the directory, named by the item's number.
    Write { work: &'a str, directory: &'a str },
}

#[derive(Serialize)]
struct Paths {
    convert_task: String,
    item: String,
    files: Vec<String>,
    import_task: String,
    mime: String,
}

#[derive(Deserialize)]
struct Answer {
    /// For [`Request::Run`].
    nanoseconds: Option<u64>,
    /// For [`Request::Memory`].
    peak: Option<u64>,
}

impl Python {
    /// Starts an interpreter.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(interpreter: &Path) -> anyhow::Result<Self> {
        let directory = TempDir::new()?;
        let program = directory.path().join("peer.py");
        std::fs::write(&program, PROGRAM)?;
        let mut child = Command::new(interpreter)
            .arg("-I")
            .arg(&program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} does not start", interpreter.display()))?;
        let (stdin, stdout) = child.stdin.take().zip(child.stdout.take()).context("Python's pipes")?;
        Ok(Self { child, stdin: Some(stdin), stdout: BufReader::new(stdout), directory, has: None })
    }

    /// Peak memory of one lot, in bytes, without that of the interpreter and the lot itself.
    ///
    /// # Errors
    /// The work cannot be done.
    pub fn memory(&mut self, work: Work, lot: &Lot) -> anyhow::Result<u64> {
        self.load(lot)?;
        self.send(&Request::Memory { work: work.name() })?.peak.context("Python did not say how much memory it took")
    }

    /// The results of the work for each item: for convert the message and the task, for import the request's body.
    ///
    /// # Errors
    /// The work cannot be done.
    pub fn results(&mut self, work: Work, lot: &Lot) -> anyhow::Result<Vec<(Vec<u8>, String)>> {
        self.load(lot)?;
        let directory = self.directory.path().to_owned();
        self.send(&Request::Write { work: work.name(), directory: text(&directory)? })?;
        (0..lot.samples.len())
            .map(|index| {
                let body = std::fs::read(directory.join(format!("{index}.out")))?;
                Ok((body, std::fs::read_to_string(directory.join(format!("{index}.task.out")))?))
            })
            .collect()
    }

    fn load(&mut self, lot: &Lot) -> anyhow::Result<()> {
        if self.has == Some(lot.name) {
            return Ok(());
        }
        let items = lot
            .samples
            .iter()
            .enumerate()
            .map(|(index, sample)| paths(self.directory.path(), index, sample))
            .collect::<Result<_, _>>()?;
        self.send(&Request::Load { items })?;
        self.has = Some(lot.name);
        Ok(())
    }

    fn send(&mut self, request: &Request<'_>) -> anyhow::Result<Answer> {
        let pipe = self.stdin.as_mut().context("Python has ended")?;
        writeln!(pipe, "{}", serde_json::to_string(request)?)?;
        pipe.flush()?;
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        serde_json::from_str(&line).context("Python failed; it says why above")
    }
}

fn paths(directory: &Path, index: usize, sample: &Sample) -> anyhow::Result<Paths> {
    let write = |name: String, bytes: &[u8]| -> anyhow::Result<String> {
        let path = directory.join(name);
        std::fs::write(&path, bytes)?;
        Ok(text(&path)?.to_owned())
    };
    let files = sample.files.iter().enumerate();
    Ok(Paths {
        convert_task: sample.convert_task.clone(),
        item: write(format!("{index}.json"), &sample.json)?,
        files: files.map(|(file, bytes)| write(format!("{index}-{file}"), bytes)).collect::<Result<_, _>>()?,
        import_task: sample.import_task.clone(),
        mime: write(format!("{index}.eml"), &sample.mime)?,
    })
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a temporary directory's path is not UTF-8")
}

impl Implementation for Python {
    fn name(&self) -> &'static str {
        "Python"
    }

    fn run(&mut self, work: Work, lot: &Lot, times: u32) -> anyhow::Result<Duration> {
        self.load(lot)?;
        let response = self.send(&Request::Run { work: work.name(), times })?;
        Ok(Duration::from_nanos(response.nanoseconds.context("Python did not say how long it took")?))
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // It ends at the end of its input. An error means that it has ended already.
        self.stdin.take();
        self.child.wait().ok();
    }
}
