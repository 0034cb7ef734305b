//! Mailboxes that are directories on this machine: Maildir, as Dovecot, mutt and others read it.
//!
//! ```text
//! <root>/<address>/<folder>/tmp/   while a copy is written
//!                          /cur/<seconds>.<hash of Message-ID and item>.archive:2,S
//!                          /new/   made because readers want it, never used: the copies are read ones
//! ```
//!
//! A copy is made visible by a hard link. That either puts a complete file there or says that one of that name is
//! there, whoever else does the same at the same time; and the name comes from the message alone.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use item::{FilingResult, MailboxAddress, Sha256};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use uuid::Uuid;

use super::{Attempt, Filed, Identity, Mailbox, MailboxError, Mailboxes, Message, date};

/// What an address may hold and a file name may not, and the sign that says so. (An address never begins with a dot.)
const NOT_IN_A_NAME: &AsciiSet = &CONTROLS.add(b'/').add(b'%');

/// The directories of a Maildir folder.
const PARTS: [&str; 3] = ["tmp", "new", "cur"];

/// Mailboxes under one directory. A mailbox exists where `<root>/<address>` is a directory; only the folder in it is ever
/// made. Two addresses are one mailbox where one of them is a symbolic link to the other.
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
    /// Mailboxes under `root`; copies go to their folder `folder`.
    ///
    /// # Errors
    /// [`MailboxError::Setup`] where the folder's name is none, or `root` is no directory.
    pub fn new(root: impl AsRef<Path>, folder: &str) -> Result<Self, MailboxError> {
        let hostile = |char: char| char.is_control() || matches!(char, '/' | '\\');
        if folder.is_empty() || folder.len() > 255 || folder.starts_with('.') || folder.contains(hostile) {
            return Err(setup("a folder's name has no slash, does not begin with a dot and has 1 to 255 bytes"));
        }
        if PARTS.contains(&folder) {
            return Err(setup("tmp, new and cur are no names of folders in a Maildir"));
        }
        let root = root.as_ref().canonicalize().map_err(|_| setup("the directory of the mailboxes is not there"))?;
        if !root.is_dir() {
            return Err(setup("the directory of the mailboxes is not there"));
        }
        Ok(Self { tree: Arc::new(Tree { root, folder: folder.to_owned() }) })
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Tree) -> Result<T, MailboxError> + Send + 'static,
    ) -> Result<T, MailboxError> {
        let tree = Arc::clone(&self.tree);
        let done = tokio::task::spawn_blocking(move || work(&tree)).await;
        done.map_err(|_| unavailable("the work on the disk did not end"))?
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
            Begun::There(there) => return Ok(Filed { message: there, result: FilingResult::Skipped }),
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

    async fn holds(&self, mailbox: &Mailbox, copy: &Identity<'_>) -> Result<Option<String>, MailboxError> {
        let (id, hash) = (mailbox.id.clone(), hash(copy));
        self.on_disk(move |tree| tree.holds(&id, &hash).map_err(|error| failed(&error))).await
    }
}

impl Tree {
    fn find(&self, address: MailboxAddress) -> Result<Option<Mailbox>, MailboxError> {
        let name = utf8_percent_encode(address.as_str(), NOT_IN_A_NAME).to_string();
        match self.mailbox(&name) {
            Ok(path) => Ok(path.file_name().map(|name| Mailbox { id: name.to_string_lossy().into_owned(), address })),
            // A disk that is not mounted must not look like a company without mailboxes.
            Err(error) if is_missing(&error) => match self.root.read_dir() {
                Ok(_) => Ok(None),
                Err(_) => Err(setup("the directory of the mailboxes is not there")),
            },
            Err(error) => Err(failed(&error)),
        }
    }

    /// The true directory of a mailbox: a child of the root, whatever links lead to it.
    fn mailbox(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.root.join(name).canonicalize()?;
        if path.parent() == Some(&self.root) && path.is_dir() { Ok(path) } else { Err(ErrorKind::NotFound.into()) }
    }

    fn begin(&self, id: &str, message: &Message, attempt: Attempt) -> Result<Begun, MailboxError> {
        let hash = hash(&message.identity());
        let seconds = date::of(message.mime.in_memory())?.as_second();
        let folder = self.folder_of(id).map_err(|error| failed(&error))?;
        if attempt == Attempt::Again
            && let Some(there) = find_copy(&folder, &hash).map_err(|error| failed(&error))?
        {
            return Ok(Begun::There(there));
        }
        Draft::begin(folder, format!("{seconds}.{hash}.archive"), seconds)
            .map(Begun::Draft)
            .map_err(|error| failed(&error))
    }

    fn holds(&self, id: &str, hash: &str) -> io::Result<Option<String>> {
        let folder = self.mailbox(id)?.join(&self.folder);
        match check(&folder) {
            Ok(()) => find_copy(&folder, hash),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The folder of a mailbox with all its parts, made where they are missing.
    fn folder_of(&self, id: &str) -> io::Result<PathBuf> {
        let mailbox = self.mailbox(id)?;
        let folder = mailbox.join(&self.folder);
        make(&folder)?;
        for part in PARTS {
            make(&folder.join(part))?;
        }
        Ok(folder)
    }
}

/// Makes a directory, unless somebody else has made it, and makes it last.
fn make(directory: &Path) -> io::Result<()> {
    match fs::create_dir(directory) {
        Ok(()) => directory.parent().map_or(Ok(()), sync_directory),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => check(directory),
        Err(error) => Err(error),
    }
}

/// The mailbox's owner may have put a link there that leads elsewhere.
fn check(directory: &Path) -> io::Result<()> {
    if fs::symlink_metadata(directory)?.is_dir() { Ok(()) } else { Err(ErrorKind::PermissionDenied.into()) }
}

/// What the name of a message's copy says of what it is known by. No Message-ID holds a line end.
fn hash(copy: &Identity<'_>) -> String {
    Sha256::of(format!("{}\n{}", copy.message_id, copy.item).as_bytes()).short_hex()
}

/// What is in the place of a copy when filing begins.
enum Begun {
    /// The copy itself, by its unique name.
    There(String),
    /// A draft of it.
    Draft(Draft),
}

/// A copy while it is written. It is taken away when it is dropped; what cannot be removed is no copy: readers remove
/// what is older than 36 hours in tmp.
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

    /// Brings all of it to the disk, then makes it visible, or finds that the copy is there.
    fn publish(&self) -> io::Result<Filed> {
        // Readers take it as the time of arrival. The seconds are not negative: `date::of` sees to that.
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

/// The unique name of the copy of a message, whatever flags a mail client has put behind it since.
fn find_copy(folder: &Path, hash: &str) -> io::Result<Option<String>> {
    for part in ["cur", "new"] {
        let entries = match fs::read_dir(folder.join(part)) {
            // Whoever makes the folder at this moment has not come that far.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            let unique = name.split(':').next().unwrap_or_default();
            if unique.split('.').nth(1) == Some(hash) {
                return Ok(Some(unique.to_owned()));
            }
        }
    }
    Ok(None)
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename)
}

/// What a failure means. The kind names no path, and so nobody.
fn failed(error: &io::Error) -> MailboxError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => MailboxError::Full,
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            setup(&format!("{}: look at the owner and the mode of the mailbox's directory", error.kind()))
        }
        ErrorKind::Unsupported | ErrorKind::CrossesDevices => {
            setup(&format!("{}: the file system of the mailboxes needs hard links", error.kind()))
        }
        kind => unavailable(&kind.to_string()),
    }
}

fn setup(detail: &str) -> MailboxError {
    MailboxError::Setup { detail: detail.to_owned() }
}

fn unavailable(detail: &str) -> MailboxError {
    MailboxError::Unavailable { detail: detail.to_owned(), retry_after: None }
}
