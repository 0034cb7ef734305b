//! Mailboxes in directories of this machine, in the Maildir format.
//!
//! ```text
//! <root>/<address>/<folder>/tmp/   a copy while it is written
//!                          /cur/<seconds>.<hash of Message-ID and item>.archive:2,S
//!                          /new/   created because readers expect it; copies have the flag \Seen, so it stays empty
//! ```
//!
//! A hard link makes a copy visible. It either creates a complete file or fails because a file with that name exists,
//! even if two functions create it at the same time. The name depends on the message only.
//!
//! The id of a mailbox is the name of its directory, with links resolved. It is also the primary address. If the
//! directory is renamed, the next attempt still finds the copy in it, because the name of a copy does not depend on the
//! mailbox.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use model::{FilingResult, MailboxAddress, Sha256};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use uuid::Uuid;

use super::{Attempt, Filed, Identity, Mailbox, MailboxError, Mailboxes, Message, StoredCopy};

/// Characters of addresses that are invalid in a file name, and the escape character. (An address never begins with a
/// dot.)
const ESCAPED: &AsciiSet = &CONTROLS.add(b'/').add(b'%');

/// The directories of a Maildir folder.
const PARTS: [&str; 3] = ["tmp", "new", "cur"];

/// Mailboxes below one directory. A mailbox exists if `<root>/<address>` is a directory; the adapter creates only the
/// folder in it. A symbolic link to another mailbox's directory gives that mailbox a second address.
#[derive(Debug, Clone)]
pub struct Maildir {
    tree: Arc<Tree>,
}

#[derive(Debug)]
struct Tree {
    root: PathBuf,
    folder: String,
}

impl Maildir {
    /// Opens the mailboxes below `root`. Copies are filed in their folder `folder`.
    ///
    /// # Errors
    /// [`MailboxError::Configuration`] if the folder name is invalid or `root` is not a directory.
    pub fn new(root: impl AsRef<Path>, folder: &str) -> Result<Self, MailboxError> {
        let hostile = |char: char| char.is_control() || matches!(char, '/' | '\\');
        if folder.is_empty() || folder.len() > 255 || folder.starts_with('.') || folder.contains(hostile) {
            return Err(setup(
                "invalid folder name: expected 1 to 255 bytes without slashes and without a dot at the beginning",
            ));
        }
        if PARTS.contains(&folder) {
            return Err(setup("invalid folder name: Maildir reserves tmp, new and cur"));
        }
        let root = root.as_ref().canonicalize().map_err(|_| setup(NO_ROOT))?;
        if !root.is_dir() {
            return Err(setup(NO_ROOT));
        }
        Ok(Self { tree: Arc::new(Tree { root, folder: folder.to_owned() }) })
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Tree) -> Result<T, MailboxError> + Send + 'static,
    ) -> Result<T, MailboxError> {
        let tree = Arc::clone(&self.tree);
        let done = tokio::task::spawn_blocking(move || work(&tree)).await;
        done.map_err(|_| unavailable("the disk operation was cancelled"))?
    }
}

#[async_trait]
impl Mailboxes for Maildir {
    async fn find(&self, address: &MailboxAddress) -> Result<Option<Mailbox>, MailboxError> {
        let address = address.clone();
        self.on_disk(move |tree| tree.find(address)).await
    }

    async fn file(&self, mailbox: &Mailbox, message: &Message, attempt: Attempt) -> Result<Filed, MailboxError> {
        let (id, begun) = (mailbox.id.clone(), message.clone());
        let draft = match self.on_disk(move |tree| tree.begin(&id, &begun, attempt)).await? {
            Begun::Exists(message) => return Ok(Filed { message, result: FilingResult::Skipped }),
            Begun::Draft(draft) => Arc::new(draft),
        };
        let mut from = 0;
        while from < message.mime.length() {
            let piece = message.mime.piece(from).await?;
            from += piece.len() as u64;
            let draft = Arc::clone(&draft);
            let write = move |_: &Tree| (&draft.file).write_all(&piece).map_err(|error| failed(&error));
            self.on_disk(write).await?;
        }
        self.on_disk(move |_| draft.publish().map_err(|error| failed(&error))).await
    }

    /// Does nothing: a draft is removed when it is dropped, and mail clients remove old files from tmp.
    async fn remove_incomplete(&self, _: &Mailbox, _: &Message) -> Result<(), MailboxError> {
        Ok(())
    }

    async fn holds(&self, mailbox: &Mailbox, copy: &Identity<'_>) -> Result<Option<String>, MailboxError> {
        let (id, hash) = (mailbox.id.clone(), hash(copy));
        Ok(self.on_disk(move |tree| tree.copies(&id, &hash)).await?.into_iter().next())
    }

    async fn copies(&self, mailbox: &Mailbox, copy: &Identity<'_>) -> Result<Vec<StoredCopy>, MailboxError> {
        let (id, hash) = (mailbox.id.clone(), hash(copy));
        let copies = self.on_disk(move |tree| tree.copies(&id, &hash)).await?;
        Ok(copies.into_iter().map(|message| StoredCopy { message, lacks_message_class: false }).collect())
    }
}

impl Tree {
    fn find(&self, address: MailboxAddress) -> Result<Option<Mailbox>, MailboxError> {
        let name = utf8_percent_encode(address.as_str(), ESCAPED).to_string();
        let path = self.mailbox(&name)?;
        let id = path.and_then(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()));
        let found = |id: String| {
            let name = percent_decode_str(&id).decode_utf8().ok();
            let primary = name.and_then(|name| name.parse().ok()).unwrap_or_else(|| address.clone());
            Mailbox { id, primary, address }
        };
        Ok(id.map(found))
    }

    /// Returns the directory of a mailbox, with links resolved: a child of the root. `None` only if the entry does not
    /// exist. An unusable entry, such as a link to a disk that is not mounted, is a configuration error.
    fn mailbox(&self, name: &str) -> Result<Option<PathBuf>, MailboxError> {
        let entry = self.root.join(name);
        match fs::symlink_metadata(&entry) {
            Ok(_) => {}
            // If the root is missing too, its disk is not mounted, and every mailbox would seem not to exist.
            Err(error) if is_missing(&error) => {
                return self.root.read_dir().map(|_| None).map_err(|_| setup(NO_ROOT));
            }
            Err(error) => return Err(failed(&error)),
        }
        match entry.canonicalize() {
            Ok(path) if path.parent() == Some(&self.root) && path.is_dir() => Ok(Some(path)),
            _ => Err(setup("an entry is neither a mailbox nor a link to one: check the directory of the mailboxes")),
        }
    }

    /// Returns the directory of a mailbox that was found before.
    fn existing_mailbox(&self, id: &str) -> Result<PathBuf, MailboxError> {
        let detail = "the directory of the mailbox was removed";
        self.mailbox(id)?.ok_or_else(|| MailboxError::NoMailbox { detail: detail.to_owned() })
    }

    fn begin(&self, id: &str, message: &Message, attempt: Attempt) -> Result<Begun, MailboxError> {
        let hash = hash(&message.identity());
        let seconds = message::read::date::of(message.mime.in_memory())?.as_second();
        let folder = self.existing_mailbox(id)?.join(&self.folder);
        make_folder(&folder).map_err(|error| failed(&error))?;
        if attempt == Attempt::Retry
            && let Some(message) = find_copies(&folder, &hash).map_err(|error| failed(&error))?.pop()
        {
            return Ok(Begun::Exists(message));
        }
        Draft::begin(folder, format!("{seconds}.{hash}.archive"), seconds)
            .map(Begun::Draft)
            .map_err(|error| failed(&error))
    }

    fn copies(&self, id: &str, hash: &str) -> Result<Vec<String>, MailboxError> {
        let folder = self.existing_mailbox(id)?.join(&self.folder);
        match check(&folder).and_then(|()| find_copies(&folder, hash)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            result => result.map_err(|error| failed(&error)),
        }
    }
}

/// Creates the folder and its parts if they are missing.
fn make_folder(folder: &Path) -> io::Result<()> {
    make(folder)?;
    PARTS.iter().try_for_each(|part| make(&folder.join(part)))
}

/// Creates a directory durably. Another function may create it at the same time.
fn make(directory: &Path) -> io::Result<()> {
    match fs::create_dir(directory) {
        Ok(()) => directory.parent().map_or(Ok(()), sync_directory),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => check(directory),
        Err(error) => Err(error),
    }
}

/// Rejects a symbolic link, which the mailbox's owner may have created to redirect copies.
fn check(directory: &Path) -> io::Result<()> {
    if fs::symlink_metadata(directory)?.is_dir() { Ok(()) } else { Err(ErrorKind::PermissionDenied.into()) }
}

/// Returns the hash of Message-ID and item for the name of a copy. A Message-ID contains no line break.
fn hash(copy: &Identity<'_>) -> String {
    Sha256::of(format!("{}\n{}", copy.message_id, copy.item).as_bytes()).short_hex()
}

/// The state when filing begins.
enum Begun {
    /// The copy exists, with this unique name.
    Exists(String),
    Draft(Draft),
}

/// A copy that is being written. Its file is removed when it is dropped. A file that remains in tmp does not count as a
/// copy; mail clients remove files older than 36 hours from tmp.
struct Draft {
    file: File,
    path: PathBuf,
    folder: PathBuf,
    unique: String,
    seconds: i64,
}

impl Draft {
    fn begin(folder: PathBuf, unique: String, seconds: i64) -> io::Result<Self> {
        let path = folder.join("tmp").join(format!("{unique}.{}", Uuid::new_v4().simple()));
        Ok(Self { file: File::create_new(&path)?, path, folder, unique, seconds })
    }

    /// Writes the draft to disk, then makes it visible unless the copy exists.
    fn publish(&self) -> io::Result<Filed> {
        // Mail clients use the modification time as the time of arrival. `date::of` returns no negative seconds.
        self.file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(self.seconds.unsigned_abs()))?;
        self.file.sync_all()?;
        let cur = self.folder.join("cur");
        let result = match fs::hard_link(&self.path, cur.join(format!("{}:2,S", self.unique))) {
            Ok(()) => sync_directory(&cur).map(|()| FilingResult::Imported)?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => FilingResult::Skipped,
            Err(error) => return Err(error),
        };
        Ok(Filed { message: self.unique.clone(), result })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(error = %error.kind(), "a draft was left in tmp");
        }
    }
}

/// Returns the unique names of the copies of a message, whatever flags mail clients have added.
fn find_copies(folder: &Path, hash: &str) -> io::Result<Vec<String>> {
    let mut copies = Vec::new();
    for part in ["cur", "new"] {
        let entries = match fs::read_dir(folder.join(part)) {
            // Another function is creating the folder at this moment.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            let unique = name.split(':').next().unwrap_or_default();
            if unique.split('.').nth(1) == Some(hash) {
                copies.push(unique.to_owned());
            }
        }
    }
    Ok(copies)
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename)
}

/// Classifies an error by its kind, which contains no path and therefore no address.
fn failed(error: &io::Error) -> MailboxError {
    match error.kind() {
        ErrorKind::QuotaExceeded => MailboxError::Full,
        // The disk of all mailboxes is full, which is not an error of the item.
        ErrorKind::StorageFull => setup(&format!("{}: free space for the mailboxes", error.kind())),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            setup(&format!("{}: check the owner and the mode of the mailbox's directory", error.kind()))
        }
        ErrorKind::Unsupported | ErrorKind::CrossesDevices => {
            setup(&format!("{}: the file system of the mailboxes must support hard links", error.kind()))
        }
        kind => unavailable(&kind.to_string()),
    }
}

const NO_ROOT: &str = "the directory of the mailboxes does not exist";

fn setup(detail: &str) -> MailboxError {
    MailboxError::Configuration { detail: detail.to_owned() }
}

fn unavailable(detail: &str) -> MailboxError {
    MailboxError::Unavailable { detail: detail.to_owned(), retry_after: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_disk_is_not_a_full_mailbox() {
        assert!(matches!(failed(&ErrorKind::StorageFull.into()), MailboxError::Configuration { .. }));
        assert!(matches!(failed(&ErrorKind::QuotaExceeded.into()), MailboxError::Full));
    }
}
