//! The zip that a phone writes when an export is made with its media.

use std::{
    collections::HashMap,
    io::{Cursor, Read},
};

use bytes::Bytes;
use zip::{ZipArchive, read::ZipFileEntry};

use crate::{
    directory::declared_entries,
    error::{AttachmentError, ExportError},
    limits,
    marks::{is_mark, is_space},
    name,
};

/// Maximum length of a name that is looked up, in bytes. File systems allow 255 characters; marks may be between them.
/// The limit bounds the work for a line, in which several names are tried.
const MAX_NAME_BYTES: usize = 2048;

/// The media of an export, each read on request.
pub(crate) struct Package {
    archive: ZipArchive<Cursor<Bytes>>,
    files: Vec<File>,
    /// The files by each of their [`keys`]. `None` if two files have one key.
    by_key: [HashMap<String, Option<usize>>; 3],
}

/// An entry of the zip that is not the chat.
struct File {
    /// Its place in the zip.
    entry: usize,
    /// Its name without folders.
    name: String,
    /// `true` if it is in the chat's own folder. Other files are found only if none there has the name.
    beside_chat: bool,
    /// `true` if a computer may have added it, by its name. It is found by that name only.
    is_system_file: bool,
}

impl Package {
    /// Opens a zip and takes the chat's text out of it. `zip_name` is the zip's own name.
    pub(crate) fn open(bytes: Vec<u8>, zip_name: &str) -> Result<(Self, Vec<u8>), ExportError> {
        let damaged = |_| ExportError::ZipDamaged;
        if declared_entries(&bytes)? > limits::MAX_ZIP_ENTRIES as u64 {
            return Err(ExportError::ZipEntries { limit: limits::MAX_ZIP_ENTRIES });
        }
        let mut archive = ZipArchive::new(Cursor::new(Bytes::from(bytes))).map_err(damaged)?;
        if archive.has_duplicate_names() {
            return Err(ExportError::ZipDuplicate);
        }
        let mut names = Vec::with_capacity(archive.len());
        let mut seen = HashMap::new();
        for at in 0..archive.len() {
            let entry = archive.by_index_data(at).map_err(damaged)?;
            let name = Name::of(&entry, at + 1)?;
            // The zip crate compares names as bytes; two spellings of one name are found here.
            if seen.insert(name.path.clone(), at).is_some() {
                return Err(ExportError::ZipDuplicate);
            }
            names.push(name);
        }
        let chat = find_chat(&names, zip_name)?;
        let folder = names[chat].folder();
        let mut package = Self { archive: archive.clone(), files: Vec::new(), by_key: Default::default() };
        for (entry, name) in names.iter().enumerate() {
            if entry == chat || name.base_name().is_empty() || name.is_in_resource_folder() {
                continue;
            }
            let is_system_file = name.is_system_file() && (!name.is_resource_fork() || has_magic(&archive, entry));
            let place = package.files.len();
            let beside_chat = name.folder() == folder;
            package.files.push(File { entry, name: name.base_name().to_owned(), beside_chat, is_system_file });
            for spelling in std::iter::once(name.base_name()).chain(name.other_names.iter().map(String::as_str)) {
                // Without its signs, the name of a picture's resource fork is that of the picture.
                let forms = if is_system_file { 2 } else { 3 };
                for (by_key, key) in package.by_key.iter_mut().zip(keys(spelling)).take(forms) {
                    add(by_key, key, place, &package.files);
                }
            }
        }
        let text = inflate(&mut archive, chat, limits::MAX_TEXT_BYTES).map_err(|error| match error {
            AttachmentError::TooLarge { limit } => ExportError::TextTooLarge { limit },
            AttachmentError::Damaged | AttachmentError::Missing => ExportError::ZipDamaged,
        })?;
        Ok((package, text))
    }

    /// Finds a file by its name as it is, else without invisible marks and with composed accents, else without the
    /// characters that phones replace in names. `None` if several files have the same name in that form.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.find_by(name, &self.by_key)
    }

    /// Finds a file by its name as it is, else without invisible marks and with composed accents.
    pub(crate) fn find_displayed(&self, name: &str) -> Option<usize> {
        self.find_by(name, &self.by_key[..2])
    }

    fn find_by(&self, name: &str, by_key: &[HashMap<String, Option<usize>>]) -> Option<usize> {
        if name.len() > MAX_NAME_BYTES {
            return None;
        }
        by_key.iter().zip(keys(name)).find_map(|(by_key, key)| by_key.get(&key).copied()).flatten()
    }

    /// Returns the number of files in the zip besides the chat.
    pub(crate) fn count(&self) -> usize {
        self.files.len()
    }

    /// Returns the name of a file.
    pub(crate) fn name(&self, file: usize) -> &str {
        self.files.get(file).map_or("", |file| &file.name)
    }

    /// Returns whether a computer may have added the file, by its name.
    pub(crate) fn is_system_file(&self, file: usize) -> bool {
        self.files.get(file).is_some_and(|file| file.is_system_file)
    }

    /// Returns the size that the zip declares. Not to be trusted.
    pub(crate) fn declared_size(&self, file: usize) -> Option<u64> {
        Some(self.archive.by_index_data(self.files.get(file)?.entry).ok()?.size())
    }

    /// Returns the checksum (CRC-32) and the size that the zip declares. [`read`](Self::read) returns no other bytes.
    pub(crate) fn checksum(&self, file: usize) -> Option<(u32, u64)> {
        let entry = self.archive.by_index_data(self.files.get(file)?.entry).ok()?;
        Some((entry.crc32(), entry.size()))
    }

    /// Decompresses the bytes of a file.
    pub(crate) fn read(&self, file: usize, limit: u64) -> Result<Vec<u8>, AttachmentError> {
        let file = self.files.get(file).ok_or(AttachmentError::Missing)?;
        // The clone shares the bytes and the list of entries.
        inflate(&mut self.archive.clone(), file.entry, limit)
    }
}

/// Returns whether a file begins as macOS begins a file of attributes (AppleDouble).
fn has_magic(archive: &ZipArchive<Cursor<Bytes>>, entry: usize) -> bool {
    let mut begin = [0; APPLE_DOUBLE.len()];
    archive.clone().by_index(entry).is_ok_and(|mut file| file.read_exact(&mut begin).is_ok()) && begin == APPLE_DOUBLE
}

/// The first bytes of a file of attributes on macOS.
const APPLE_DOUBLE: [u8; 4] = [0x00, 0x05, 0x16, 0x07];

/// Adds a file under a key. A file beside the chat takes precedence over files in other folders. If two files have equal
/// precedence, neither is found.
fn add(by_key: &mut HashMap<String, Option<usize>>, key: String, place: usize, files: &[File]) {
    if key.is_empty() {
        return;
    }
    by_key
        .entry(key)
        .and_modify(|known| match *known {
            Some(other) if other == place => {}
            Some(other) if files[other].beside_chat && !files[place].beside_chat => {}
            Some(other) if !files[other].beside_chat && files[place].beside_chat => *known = Some(place),
            _ => *known = None,
        })
        .or_insert(Some(place));
}

/// Returns three forms of a name: unchanged, as displayed, and only its letters and digits.
fn keys(file_name: &str) -> [String; 3] {
    let seen: String = file_name.chars().filter(|c| !is_mark(*c)).map(|c| if is_space(c) { ' ' } else { c }).collect();
    let composed = name::composed(seen.trim());
    let bare = composed.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    [file_name.to_owned(), composed, bare]
}

/// Decompresses an entry, and stops when there is more than `limit`, whatever the zip declares.
fn inflate(archive: &mut ZipArchive<Cursor<Bytes>>, at: usize, limit: u64) -> Result<Vec<u8>, AttachmentError> {
    let entry = archive.by_index(at).map_err(|_| AttachmentError::Damaged)?;
    let mut bytes = Vec::new();
    entry.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|_| AttachmentError::Damaged)?;
    if bytes.len() as u64 > limit { Err(AttachmentError::TooLarge { limit }) } else { Ok(bytes) }
}

/// The name of an entry that a phone or a person's zip program could have written.
struct Name {
    /// Folders and name.
    path: String,
    /// The possible names in old code pages, if the zip does not state the encoding.
    other_names: Vec<String>,
}

impl Name {
    /// Reads the name of an entry.
    ///
    /// # Errors
    /// The name leads out of the zip, or the entry is not a plain file.
    fn of(entry: &ZipFileEntry<'_>, number: usize) -> Result<Self, ExportError> {
        if entry.encrypted() {
            return Err(ExportError::ZipEncrypted { entry: number });
        }
        if entry.is_symlink() {
            return Err(ExportError::ZipLink { entry: number });
        }
        // Phones write UTF-8, and some do not declare it. Other names are in a code page: cp437 according to the
        // format, other code pages in the zips that computers write.
        let raw = entry.name_raw();
        let (name, other_names) = match std::str::from_utf8(raw) {
            Ok(name) => (name.to_owned(), Vec::new()),
            Err(_) => {
                let base_name = raw.rsplit(|byte| *byte == b'/').next().unwrap_or(raw);
                (entry.name().map_err(|_| ExportError::ZipDamaged)?.into_owned(), other_spellings(base_name))
            }
        };
        let drive = name.as_bytes().get(1) == Some(&b':') && name.starts_with(|c: char| c.is_ascii_alphabetic());
        let parts: Vec<&str> = name.split('/').filter(|part| *part != ".").collect();
        if name.is_empty()
            || name.starts_with('/')
            || name.contains(|c: char| c == '\\' || c.is_control())
            || drive
            || parts.contains(&"..")
        {
            return Err(ExportError::ZipName { entry: number });
        }
        Ok(Self { path: parts.join("/"), other_names })
    }

    fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// Returns the name without folders. Empty for a folder.
    fn base_name(&self) -> &str {
        self.path.rsplit_once('/').map_or(&self.path, |(_, base_name)| base_name)
    }

    /// Returns whether the name is that of a file that macOS or Windows adds to a folder, or to a zip that is packed again. A
    /// person may send a file of this name, too.
    fn is_system_file(&self) -> bool {
        matches!(self.base_name(), ".DS_Store" | "Thumbs.db" | "desktop.ini") || self.is_resource_fork()
    }

    /// Returns whether the name is that of a file's attributes on macOS.
    fn is_resource_fork(&self) -> bool {
        self.base_name().starts_with("._")
    }

    /// Returns whether the file is in the folder in which macOS packs attributes.
    fn is_in_resource_folder(&self) -> bool {
        self.path.starts_with("__MACOSX/")
    }
}

/// Returns the text that a name's bytes are in the code pages of computers that do not declare theirs.
fn other_spellings(name: &[u8]) -> Vec<String> {
    use encoding_rs::{BIG5, EUC_KR, GBK, IBM866, SHIFT_JIS, WINDOWS_1251, WINDOWS_1252};
    [IBM866, WINDOWS_1251, WINDOWS_1252, GBK, SHIFT_JIS, EUC_KR, BIG5]
        .into_iter()
        .filter_map(|page| page.decode_without_bom_handling_and_without_replacement(name))
        .map(std::borrow::Cow::into_owned)
        .collect()
}

/// Finds the entry that is the chat. People send `.txt` files in chats too, so its name decides: iPhones call it
/// `_chat.txt`, Android gives it the zip's name, and both put `WhatsApp Chat with ` before it in the phone's language.
/// If several files are possible, none is chosen: an attachment read as the chat would attribute false messages to
/// people.
fn find_chat(names: &[Name], zip_name: &str) -> Result<usize, ExportError> {
    let texts = names
        .iter()
        .enumerate()
        .filter(|(_, name)| name::has_extension(name.base_name(), "txt"))
        .filter(|(_, name)| !name.is_system_file() && !name.is_in_resource_folder());
    let (mut all, mut likely, mut same_name) = (Vec::new(), Vec::new(), Vec::new());
    let zip_stem = name::composed(name::stem(zip_name));
    for (at, name) in texts {
        let base_name = name.base_name();
        all.push(at);
        if base_name == "_chat.txt" {
            likely.push(at);
        } else if name::composed(name::stem(base_name)) == zip_stem {
            same_name.push(at);
            likely.push(at);
        } else if name::is_named_by_phone(base_name) {
            likely.push(at);
        }
    }
    match (all.as_slice(), likely.as_slice(), same_name.as_slice()) {
        ([], ..) => Err(ExportError::NoChat),
        ([only], [], _) | (_, [only], _) => Ok(*only),
        // The chat contains the export of another chat as a file. If a person has named the zip, it may also be the chat's
        // file that has that name by chance.
        (_, _, [only]) if name::is_named_by_phone(zip_name) => Ok(*only),
        (_, [], _) => Err(ExportError::SeveralChats { count: all.len() }),
        (_, several, _) => Err(ExportError::SeveralChats { count: several.len() }),
    }
}
