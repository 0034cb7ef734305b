//! The directory of an export. A file gets its name when it is complete. Until then it is in `.export`, together with
//! the survey and the list of finished files, with which an interrupted export continues.

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io::{self, BufWriter, Read, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use jiff::{Timestamp, civil::Date};
use model::{Hasher, Sha256};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::{
    arguments::Request,
    items::{self, ItemWriter, SurveyedItem},
    stored::NotExportedReason,
    survey::Survey,
};

/// The export's manifest.
pub(super) const MANIFEST: &str = "export.json";
/// The digests of all files, in the format of `sha256sum`. Written last.
pub(super) const SUMS: &str = "SHA256SUMS";

const WORK: &str = ".export";
const LOCK: &str = "lock";
const SURVEY: &str = "survey.json";
const FINISHED: &str = "finished.ndjson";

/// The directory of an unfinished export.
pub(super) struct Directory {
    root: PathBuf,
    work: PathBuf,
    /// Held until the process ends, so that two processes cannot write here at the same time.
    _lock: File,
}

/// A finished file.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct FinishedFile {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) sha256: Sha256,
    pub(super) events: u64,
    pub(super) attachments: u64,
    pub(super) participants: u64,
    pub(super) begin: Timestamp,
    pub(super) end: Timestamp,
    /// Number of its chat, from 0.
    pub(super) chat: usize,
    /// Day in UTC.
    pub(super) day: Date,
    /// Counted from 1.
    pub(super) part: u32,
    /// Number of files of the chat's day.
    pub(super) parts: u32,
    /// Items in it.
    pub(super) items: u64,
    /// Those of them that are folded into the event of another.
    pub(super) folded: u64,
    /// Items whose message was missing or changed when the file was written, as hashes of their ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) unreadable: Vec<(Sha256, NotExportedReason)>,
}

impl FinishedFile {
    /// Returns whether no item could be read, so that there is no file.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Returns whether the message of this item could not be read.
    pub(super) fn lacks(&self, item: &SurveyedItem) -> bool {
        self.unreadable.iter().any(|(key, _)| *key == item.record.key)
    }
}

/// State of a directory.
pub(super) enum State {
    /// The directory is new, or contains the same export, unfinished.
    Open(Directory),
    /// The directory contains the same export, finished, with this manifest.
    Finished(serde_json::Value),
}

impl Directory {
    /// Opens a directory, or creates it for the user alone.
    ///
    /// # Errors
    /// The directory contains other files or another export, or another command is writing to it.
    pub(super) fn open(root: &Path, request: &Request) -> anyhow::Result<State> {
        let shown = root.display();
        let create = |path: &Path| DirBuilder::new().recursive(true).mode(0o700).create(path);
        create(root).with_context(|| format!("creating {shown} failed"))?;
        if root.join(SUMS).exists() {
            let manifest =
                fs::read(root.join(MANIFEST)).with_context(|| format!("reading {shown}/{MANIFEST} failed"))?;
            let manifest: serde_json::Value =
                serde_json::from_slice(&manifest).with_context(|| format!("{shown}/{MANIFEST} is not JSON"))?;
            let same = Request::deserialize(&manifest["request"]).is_ok_and(|earlier| earlier == *request);
            if !same {
                bail!("{shown} contains another export: name another directory");
            }
            return Ok(State::Finished(manifest));
        }
        let work = root.join(WORK);
        if !work.exists() && fs::read_dir(root)?.next().is_some() {
            bail!("{shown} is not empty and contains no export: name another directory");
        }
        create(&work)?;
        let lock = File::create(work.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("another command is writing into {shown}: wait until it ends, or name another directory")
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(|| format!("locking {shown} failed")),
        }
        // Removes the unfinished files of an earlier process.
        for entry in fs::read_dir(&work)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "tmp") {
                fs::remove_file(path)?;
            }
        }
        Ok(State::Open(Self { root: root.to_owned(), work, _lock: lock }))
    }

    /// Reads the survey of the unfinished export; `None` if there is none yet.
    ///
    /// # Errors
    /// The survey has another request, or cannot be read.
    pub(super) fn survey(&self, request: &Request) -> anyhow::Result<Option<Survey>> {
        let path = self.work.join(SURVEY);
        let invalid = || format!("{} is not a survey: export into another directory", path.display());
        let survey = match fs::read(&path) {
            Ok(survey) => survey,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let survey: Survey = serde_json::from_slice(&survey).with_context(invalid)?;
        if survey.request != *request {
            bail!("{} contains another export that is not finished: name another directory", self.root.display());
        }
        Ok(Some(survey))
    }

    /// Creates empty files for the items of a survey. Removes the items of an interrupted survey.
    ///
    /// # Errors
    /// A file cannot be created.
    pub(super) fn begin_items(&self) -> io::Result<ItemWriter> {
        ItemWriter::create(&self.work)
    }

    /// Writes the survey, after its items.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn save_survey(&self, survey: &Survey, items: ItemWriter) -> anyhow::Result<()> {
        items.finish()?;
        self.write_in(&self.work, SURVEY, |out| Ok(serde_json::to_writer(out, survey)?)).map(drop)
    }

    /// Reads the survey's items part by part, as [`items::parts`].
    pub(super) fn items(&self) -> impl Iterator<Item = anyhow::Result<Vec<SurveyedItem>>> {
        items::parts(&self.work)
    }

    /// Reads the list of finished files. A line that was cut off when the process ended is ignored: its file was not
    /// renamed.
    ///
    /// # Errors
    /// The list cannot be read.
    pub(super) fn finished(&self) -> anyhow::Result<Vec<FinishedFile>> {
        let text = match fs::read_to_string(self.work.join(FINISHED)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    /// Returns whether a finished file exists unchanged.
    ///
    /// # Errors
    /// A file with this name has other content.
    pub(super) fn has(&self, file: &FinishedFile) -> anyhow::Result<bool> {
        if file.is_empty() {
            return Ok(true);
        }
        let path = self.root.join(&file.name);
        if !path.exists() {
            return Ok(false);
        }
        if digest(&path)? != (file.sha256, file.bytes) {
            bail!("{} was changed after it was finished: remove it, and run the same command again", path.display());
        }
        Ok(true)
    }

    /// Creates an unnamed temporary file, which is deleted when the process ends.
    ///
    /// # Errors
    /// It cannot be created.
    pub(super) fn scratch(&self) -> io::Result<File> {
        tempfile::tempfile_in(&self.work)
    }

    /// Begins a file, which gets its name when it is finished.
    ///
    /// # Errors
    /// It cannot be created.
    pub(super) fn begin(&self) -> io::Result<NewFile> {
        NewFile::new_in(&self.work)
    }

    /// Records a finished file, and then renames it. If the process is killed in between, the file is written again.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn finish(&self, new: NewFile, file: &FinishedFile) -> anyhow::Result<()> {
        let whole = new.close()?;
        let mut finished = File::options().append(true).create(true).open(self.work.join(FINISHED))?;
        // The line break is written first, because the last line may have been cut off.
        let line = format!("\n{}", serde_json::to_string(file)?);
        finished.write_all(line.as_bytes())?;
        finished.sync_all()?;
        if file.is_empty() {
            return Ok(());
        }
        let path = self.root.join(&file.name);
        let created = whole.persist_noclobber(&path).map_err(|error| error.error);
        created.with_context(|| format!("creating {} failed", path.display()))?;
        Ok(())
    }

    /// Writes one of the export's own files, such as the manifest, and returns its digest.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn write(
        &self,
        name: &str,
        write: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
    ) -> anyhow::Result<Sha256> {
        self.write_in(&self.root, name, write)
    }

    fn write_in(
        &self,
        directory: &Path,
        name: &str,
        write: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
    ) -> anyhow::Result<Sha256> {
        let mut new = NewFile::new_in(&self.work)?;
        write(&mut new)?;
        let (sha256, _) = new.digest();
        let path = directory.join(name);
        let created = new.close()?.persist(&path).map_err(|error| error.error);
        created.with_context(|| format!("creating {} failed", path.display()))?;
        Ok(sha256)
    }

    /// Removes the files that are needed only to continue an interrupted export.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(super) fn close(self) -> io::Result<()> {
        fs::remove_dir_all(self.work)
    }
}

/// An unfinished file, with its digest so far.
pub(super) struct NewFile {
    out: BufWriter<NamedTempFile>,
    hasher: Hasher,
    bytes: u64,
}

impl NewFile {
    fn new_in(directory: &Path) -> io::Result<Self> {
        let file = NamedTempFile::with_suffix_in(".tmp", directory)?;
        Ok(Self { out: BufWriter::with_capacity(256 << 10, file), hasher: Hasher::default(), bytes: 0 })
    }

    /// Returns the digest and the length so far.
    pub(super) fn digest(&self) -> (Sha256, u64) {
        (self.hasher.clone().finish(), self.bytes)
    }

    fn close(self) -> io::Result<NamedTempFile> {
        let file = self.out.into_inner().map_err(|error| error.into_error())?;
        file.as_file().sync_all()?;
        Ok(file)
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or_default());
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn digest(path: &Path) -> io::Result<(Sha256, u64)> {
    let (mut file, mut hasher, mut bytes) = (File::open(path)?, Hasher::default(), 0);
    let mut piece = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok((hasher.finish(), bytes));
        }
        hasher.update(piece.get(..read).unwrap_or_default());
        bytes += read as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::super::arguments::Format;
    use super::*;

    fn request(chat: &str) -> Request {
        let (from, to) = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
        let chats = vec![chat.to_owned()];
        Request {
            format: Format::Rsmf,
            deployment: "b".to_owned(),
            from,
            to,
            archived_before: None,
            mailbox: None,
            chats,
        }
    }

    fn open(root: &Path, chat: &str) -> Directory {
        match Directory::open(root, &request(chat)).unwrap() {
            State::Open(directory) => directory,
            State::Finished(_) => panic!("nothing is finished"),
        }
    }

    fn finish(directory: &Directory, name: &str) -> FinishedFile {
        let mut new = directory.begin().unwrap();
        new.write_all(name.as_bytes()).unwrap();
        let (sha256, bytes) = new.digest();
        let file = FinishedFile {
            name: name.to_owned(),
            bytes,
            sha256,
            events: 1,
            attachments: 0,
            participants: 1,
            begin: Timestamp::UNIX_EPOCH,
            end: Timestamp::UNIX_EPOCH,
            chat: 0,
            day: Date::constant(2026, 11, 27),
            part: 1,
            parts: 1,
            items: 1,
            folded: 0,
            unreadable: vec![(Sha256::of(b"3"), NotExportedReason::MessageChanged)],
        };
        directory.finish(new, &file).unwrap();
        file
    }

    #[test]
    fn cut_off_line_does_not_hide_other_lines() {
        let root = tempfile::tempdir().unwrap();
        let directory = open(root.path(), "c");
        finish(&directory, "a.rsmf");
        let mut list = File::options().append(true).open(directory.work.join(FINISHED)).unwrap();
        list.write_all(b"\n{\"name\":\"b.rs").unwrap();
        finish(&directory, "c.rsmf");
        let found = directory.finished().unwrap();
        assert_eq!(found.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["a.rsmf", "c.rsmf"]);
        assert_eq!(found[0].unreadable, [(Sha256::of(b"3"), NotExportedReason::MessageChanged)]);
        assert!(found.iter().all(|file| directory.has(file).unwrap()));
    }

    #[test]
    fn changed_file_is_rejected_and_a_missing_one_written_again() {
        let root = tempfile::tempdir().unwrap();
        let directory = open(root.path(), "c");
        let file = finish(&directory, "a.rsmf");
        fs::write(root.path().join("a.rsmf"), b"a.rsmF").unwrap();
        assert!(directory.has(&file).unwrap_err().to_string().contains("was changed"));
        fs::remove_file(root.path().join("a.rsmf")).unwrap();
        assert!(!directory.has(&file).unwrap(), "it is written again");
    }

    #[test]
    fn directory_is_for_one_export_and_one_process() {
        let root = tempfile::tempdir().unwrap();
        let open_error = |path: &Path, chat| Directory::open(path, &request(chat)).err().unwrap().to_string();
        fs::write(root.path().join("thesis.doc"), b"").unwrap();
        assert!(open_error(root.path(), "c").contains("is not empty"));
        let own = root.path().join("own");
        let directory = open(&own, "c");
        assert!(open_error(&own, "c").contains("another command"));
        let survey = Survey::empty(request("c"), Timestamp::UNIX_EPOCH);
        directory.save_survey(&survey, directory.begin_items().unwrap()).unwrap();
        assert!(directory.survey(&request("c")).unwrap().is_some());
        let other = directory.survey(&request("d")).err().unwrap().to_string();
        assert!(other.contains("another export"), "{other}");
        let half = directory.begin().unwrap();
        let (_, path) = half.close().unwrap().keep().unwrap();
        drop(directory);
        open(&own, "c");
        assert!(!path.exists(), "unfinished files are removed");
    }
}
