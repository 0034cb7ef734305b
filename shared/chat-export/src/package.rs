//! The zip that a phone writes when an export is made with its media.

use std::{
    collections::HashMap,
    io::{Cursor, Read},
};

use bytes::Bytes;
use zip::{ZipArchive, read::ZipFileEntry};

use crate::{
    Export,
    directory::declared_entries,
    error::{AttachmentError, ExportError},
    marks::is_mark,
    name,
};

/// The media of an export, read one by one when they are asked for.
pub(crate) struct Package {
    archive: ZipArchive<Cursor<Bytes>>,
    /// The entries in the chat's own folder, by name.
    by_name: HashMap<String, usize>,
    /// The same without invisible marks. `None` where that makes two names one.
    by_visible_name: HashMap<String, Option<usize>>,
}

impl Package {
    /// Opens a zip and takes the chat's text out of it. `zip_name` is the zip's own name.
    pub(crate) fn open(bytes: Vec<u8>, zip_name: &str) -> Result<(Self, Vec<u8>), ExportError> {
        let damaged = |_| ExportError::ZipDamaged;
        if declared_entries(&bytes)? > Export::MAX_ZIP_ENTRIES as u64 {
            return Err(ExportError::ZipEntries { limit: Export::MAX_ZIP_ENTRIES });
        }
        let mut archive = ZipArchive::new(Cursor::new(Bytes::from(bytes))).map_err(damaged)?;
        if archive.has_duplicate_names() {
            return Err(ExportError::ZipDuplicate);
        }
        let mut names = Vec::with_capacity(archive.len());
        for at in 0..archive.len() {
            let entry = archive.by_index_data(at).map_err(damaged)?;
            names.push(checked_name(&entry, at + 1)?);
        }
        let chat = find_chat(&names, zip_name)?;
        let folder = names[chat].rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut package = Self { archive: archive.clone(), by_name: HashMap::new(), by_visible_name: HashMap::new() };
        for (at, name) in names.iter().enumerate() {
            let (its_folder, own) = name.rsplit_once('/').unwrap_or(("", name));
            if its_folder != folder || own.is_empty() || at == chat {
                continue;
            }
            // The zip crate compares names as bytes; two encodings of one name are found here.
            if package.by_name.insert(own.to_owned(), at).is_some() {
                return Err(ExportError::ZipDuplicate);
            }
            package.by_visible_name.entry(visible(own)).and_modify(|entry| *entry = None).or_insert(Some(at));
        }
        let text = inflate(&mut archive, chat, Export::MAX_TEXT_BYTES).map_err(|error| match error {
            AttachmentError::TooLarge { limit } => ExportError::TextTooLarge { limit },
            AttachmentError::Damaged | AttachmentError::Missing => ExportError::ZipDamaged,
        })?;
        Ok((package, text))
    }

    /// The file that a message names, exactly or but for invisible marks.
    fn find(&self, file: &str) -> Option<usize> {
        self.by_name.get(file).copied().or_else(|| *self.by_visible_name.get(&visible(file))?)
    }

    /// The size that the zip declares, where it has the file. Not to be trusted.
    pub(crate) fn declared_size(&self, file: &str) -> Option<u64> {
        Some(self.archive.by_index_data(self.find(file)?).ok()?.size())
    }

    /// The bytes of a file.
    pub(crate) fn read(&self, file: &str, limit: u64) -> Result<Vec<u8>, AttachmentError> {
        let at = self.find(file).ok_or(AttachmentError::Missing)?;
        // The clone shares the bytes and the list of entries.
        inflate(&mut self.archive.clone(), at, limit)
    }
}

/// Decompresses an entry, and stops when there is more than `limit`, whatever the zip declares.
fn inflate(archive: &mut ZipArchive<Cursor<Bytes>>, at: usize, limit: u64) -> Result<Vec<u8>, AttachmentError> {
    let entry = archive.by_index(at).map_err(|_| AttachmentError::Damaged)?;
    let mut bytes = Vec::new();
    entry.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|_| AttachmentError::Damaged)?;
    if bytes.len() as u64 > limit { Err(AttachmentError::TooLarge { limit }) } else { Ok(bytes) }
}

/// The name of an entry that a phone could have written; others are refused.
fn checked_name(entry: &ZipFileEntry<'_>, number: usize) -> Result<String, ExportError> {
    if entry.encrypted() {
        return Err(ExportError::ZipEncrypted { entry: number });
    }
    if entry.is_symlink() {
        return Err(ExportError::ZipLink { entry: number });
    }
    // Phones write UTF-8, and some forget to say so; a name that is none is read as old zips have it.
    let name = match std::str::from_utf8(entry.name_raw()) {
        Ok(name) => name.to_owned(),
        Err(_) => entry.name().map_err(|_| ExportError::ZipDamaged)?.into_owned(),
    };
    let drive = name.as_bytes().get(1) == Some(&b':') && name.starts_with(|c: char| c.is_ascii_alphabetic());
    let leads_out = name.split('/').any(|part| part == ".." || part == ".");
    if name.is_empty()
        || name.starts_with('/')
        || name.contains(|c: char| c == '\\' || c.is_control())
        || drive
        || leads_out
    {
        return Err(ExportError::ZipName { entry: number });
    }
    Ok(name)
}

/// Which entry is the chat. People send `.txt` files in chats too, so it is known by its name: iPhones call it
/// `_chat.txt`, Android gives it the zip's name, and both put `WhatsApp Chat with ` before it in the phone's language.
/// Where that leaves a doubt, nothing is guessed: an attachment taken for the chat would put words in people's mouths.
fn find_chat(names: &[String], zip_name: &str) -> Result<usize, ExportError> {
    // A Mac that packs a zip again adds a shadow of every file.
    let texts =
        names.iter().enumerate().filter(|(_, name)| name::has_extension(name, "txt") && !name.starts_with("__MACOSX/"));
    let (mut every, mut likely, mut same_name) = (Vec::new(), Vec::new(), Vec::new());
    let mut iphone = false;
    for (at, name) in texts {
        let own = name.rsplit_once('/').map_or(name.as_str(), |(_, own)| own);
        every.push(at);
        if own == "_chat.txt" {
            iphone = true;
            likely.push(at);
        } else if name::stem(own) == name::stem(zip_name) {
            same_name.push(at);
            likely.push(at);
        } else if name::is_named_by_phone(own) {
            likely.push(at);
        }
    }
    match (every.as_slice(), likely.as_slice(), same_name.as_slice()) {
        ([], ..) => Err(ExportError::NoChat),
        ([only], [], _) | (_, [only], _) => Ok(*only),
        // Somebody sent the export of another chat in this one.
        (_, _, [own]) if !iphone || name::is_named_by_phone(zip_name) => Ok(*own),
        (_, [], _) => Err(ExportError::SeveralChats { count: every.len() }),
        (_, several, _) => Err(ExportError::SeveralChats { count: several.len() }),
    }
}

fn visible(name: &str) -> String {
    name.chars().filter(|c| !is_mark(*c)).collect()
}
