//! Reads a vendor's zip entry by entry, from any reader that can seek.

use std::{
    collections::HashSet,
    io::{self, Read, Seek, SeekFrom},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use zip::{ZipArchive, result::ZipError};

use crate::PackageError;

/// The zip of one delivery.
pub struct Package<R> {
    archive: ZipArchive<LimitedReader<R>>,
    entries: Vec<ZipEntry>,
}

struct ZipEntry {
    /// Index in the zip.
    place: usize,
    name: String,
    kind: Kind,
    /// The reason why it must not be read.
    rejected: Option<PackageError>,
}

/// The kind of an entry, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `.eml`
    Mail,
    /// `.mf`
    Manifest,
    /// Anything else.
    Other,
}

const END: &[u8] = b"PK\x05\x06";
const END_BYTES: usize = 22;
const END64: &[u8] = b"PK\x06\x06";
const LOCATOR64: &[u8] = b"PK\x06\x07";
const LOCATOR64_BYTES: usize = 20;

/// The first bytes of an AppleDouble file (RFC 1740).
const APPLE_DOUBLE: [u8; 4] = [0x00, 0x05, 0x16, 0x07];

impl<R: Read + Seek> Package<R> {
    /// Maximum number of entries of a zip. The reader takes some hundred bytes of memory for each.
    pub const MAX_ENTRIES: u64 = 100_000;

    /// Maximum number of bytes that are read to find the entries.
    const MAX_DIRECTORY_BYTES: u64 = 32 << 20;

    /// Finds the entries of a zip.
    ///
    /// # Errors
    /// [`PackageError`]; [`PackageError::Io`] alone is transient.
    pub fn open(mut reader: R) -> Result<Self, PackageError> {
        if declared_entries(&mut reader)? > Self::MAX_ENTRIES {
            return Err(PackageError::TooManyEntries { limit: Self::MAX_ENTRIES });
        }
        let remaining = Arc::new(AtomicU64::new(Self::MAX_DIRECTORY_BYTES));
        let bounded = LimitedReader { reader, remaining: Arc::clone(&remaining) };
        let mut archive = ZipArchive::new(bounded).map_err(|error| match error {
            ZipError::Io(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                PackageError::TooManyEntries { limit: Self::MAX_ENTRIES }
            }
            error => package_error(error, PackageError::Damaged),
        })?;
        remaining.store(u64::MAX, Ordering::Relaxed);
        if archive.has_duplicate_names() {
            return Err(PackageError::DuplicateNames);
        }
        let mut entries = Vec::with_capacity(archive.len());
        let mut seen = HashSet::new();
        for place in 0..archive.len() {
            let entry = archive.by_index_data(place).map_err(|error| package_error(error, PackageError::Damaged))?;
            let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
            if entry.is_dir() || is_system_file(&name) {
                continue;
            }
            let rejected = match () {
                () if !is_relative(&name) => Some(PackageError::Name),
                () if entry.is_symlink() => Some(PackageError::Link),
                () if entry.encrypted() => Some(PackageError::Encrypted),
                () => None,
            };
            drop(entry);
            if rejected.is_none() && base_name(&name).starts_with("._") && is_apple_double(&mut archive, place)? {
                continue;
            }
            if !seen.insert(name.clone()) {
                return Err(PackageError::DuplicateNames);
            }
            entries.push(ZipEntry { place, kind: kind(&name), name, rejected });
        }
        Ok(Self { archive, entries })
    }

    /// Returns the names of all files in the zip, in its order.
    pub fn names(&self) -> impl Iterator<Item = (&str, Kind)> {
        self.entries.iter().map(|entry| (entry.name.as_str(), entry.kind))
    }

    /// Reads the file with this index in [`names`](Self::names), and verifies the zip's checksum. Reading stops at
    /// `limit` bytes, whatever the zip declares.
    ///
    /// # Errors
    /// [`PackageError`]; [`PackageError::Io`] alone is transient.
    pub fn read(&mut self, at: usize, limit: u64) -> Result<Vec<u8>, PackageError> {
        let found = self.entries.get(at).ok_or(PackageError::DamagedEntry)?;
        if let Some(rejected) = &found.rejected {
            return Err(rejected.clone());
        }
        let entry =
            self.archive.by_index(found.place).map_err(|error| package_error(error, PackageError::DamagedEntry))?;
        let mut bytes = Vec::new();
        let read = entry.take(limit.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| package_error(ZipError::Io(error), PackageError::DamagedEntry))?;
        if bytes.len() as u64 > limit { Err(PackageError::TooLarge { limit }) } else { Ok(bytes) }
    }
}

/// Distinguishes a reader that failed from invalid bytes: the errors of the zip crate for invalid bytes have other
/// kinds.
fn package_error(error: ZipError, permanent: PackageError) -> PackageError {
    match error {
        ZipError::Io(error)
            if error.kind() == io::ErrorKind::Other
                && error.get_ref().is_some_and(|inner| inner.is::<ReaderError>()) =>
        {
            PackageError::Io(error.to_string())
        }
        _ => permanent,
    }
}

/// An error of the caller's reader. The zip may be valid.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct ReaderError(io::Error);

/// Limits the bytes that are read for the directory.
struct LimitedReader<R> {
    reader: R,
    remaining: Arc<AtomicU64>,
}

impl<R: Read> Read for LimitedReader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(into).map_err(|error| io::Error::other(ReaderError(error)))?;
        let remaining = self.remaining.load(Ordering::Relaxed);
        if remaining != u64::MAX {
            let remaining = remaining.checked_sub(read as u64).ok_or(io::ErrorKind::FileTooLarge)?;
            self.remaining.store(remaining, Ordering::Relaxed);
        }
        Ok(read)
    }
}

impl<R: Seek> Seek for LimitedReader<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.reader.seek(to)
    }
}

/// Reads the largest number of entries that an end record of the zip declares. The zip crate allocates memory for the
/// declared number, so it is checked first; if several places look like an end record, all are considered.
fn declared_entries(reader: &mut (impl Read + Seek)) -> Result<u64, PackageError> {
    const TAIL: usize = (1 << 16) + END_BYTES + LOCATOR64_BYTES + (1 << 10);
    let io = |error: io::Error| PackageError::Io(error.to_string());
    let length = reader.seek(SeekFrom::End(0)).map_err(io)?;
    let from = length.saturating_sub(TAIL as u64);
    reader.seek(SeekFrom::Start(from)).map_err(io)?;
    let mut tail = Vec::new();
    reader.take(TAIL as u64).read_to_end(&mut tail).map_err(io)?;
    reader.seek(SeekFrom::Start(0)).map_err(io)?;
    let mut max_count = None;
    for end in memchr::memmem::find_iter(&tail, END) {
        let Some(count) = number::<2>(&tail, end + 10) else { continue };
        max_count = max_count.max(Some(count));
        let locator = end
            .checked_sub(LOCATOR64_BYTES)
            .filter(|at| tail.get(*at..).is_some_and(|tail| tail.starts_with(LOCATOR64)));
        let Some(locator) = locator else { continue };
        // Vendors write the record directly before its locator.
        let record = number::<8>(&tail, locator + 8).and_then(|at| usize::try_from(at.checked_sub(from)?).ok());
        let record = record.filter(|record| *record < locator).ok_or(PackageError::Damaged)?;
        let between = tail.get(record..locator).unwrap_or_default();
        for at in memchr::memmem::find_iter(between, END64) {
            max_count = max_count.max(Some(number::<8>(between, at + 32).unwrap_or(u64::MAX)));
        }
    }
    max_count.ok_or(PackageError::Damaged)
}

fn number<const BYTES: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(BYTES)?)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn kind(name: &str) -> Kind {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    match extension.as_deref() {
        Some("eml") => Kind::Mail,
        Some("mf") => Kind::Manifest,
        _ => Kind::Other,
    }
}

/// Returns whether a name is a relative path. No file is written under an entry's name, but a vendor does not write
/// such names, so another party has changed the zip.
fn is_relative(name: &str) -> bool {
    let drive = name.as_bytes().get(1) == Some(&b':');
    !name.is_empty()
        && !drive
        && !name.starts_with('/')
        && !name.contains(|c: char| c == '\\' || c.is_control())
        && !name.split('/').any(|part| part == "..")
}

/// Returns whether a name is one that only macOS or Windows gives to a file that it adds to a zip.
fn is_system_file(name: &str) -> bool {
    let base_name = base_name(name);
    name.starts_with("__MACOSX/") && base_name.starts_with("._")
        || matches!(base_name, ".DS_Store" | "Thumbs.db" | "desktop.ini")
}

fn base_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// Returns whether an entry is a file that macOS writes beside another one, with its properties. Only the content shows it:
/// a mail may have such a name, too. An entry that cannot be read is not one, so it becomes a problem.
fn is_apple_double<R: Read + Seek>(archive: &mut ZipArchive<R>, place: usize) -> Result<bool, PackageError> {
    let mut start = Vec::new();
    let read = archive.by_index(place).and_then(|entry| {
        entry.take(APPLE_DOUBLE.len() as u64).read_to_end(&mut start)?;
        Ok(())
    });
    match read.map_err(|error| package_error(error, PackageError::DamagedEntry)) {
        Err(error @ PackageError::Io(_)) => Err(error),
        Err(_) => Ok(false),
        Ok(()) => Ok(start == APPLE_DOUBLE),
    }
}
