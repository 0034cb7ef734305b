//! The second pass: writes the files.

use std::{collections::HashMap, io::Write};

use anyhow::{Context, bail};
use aws::s3::Store;
use futures::{Stream, StreamExt, stream};
use jiff::Timestamp;
use message::{
    read::{Mime, files},
    write::{EVIDENCE_NAME, attached_cards},
};
use model::{Captured, Kind, Sha256};
use rsmf::{EventWithFolded, File, Limits, Package, PlannedFile, Record, Slice, StoredItem, plan};
use runtime::MemoryBudget;
use tokio::sync::OwnedSemaphorePermit;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::{
    arguments::Format,
    directory::{Directory, FinishedFile},
    items::SurveyedItem,
    stored::{self, NotExportedReason, Stored, StoredMessage, Unreadable},
    survey::Survey,
};
use crate::Interrupt;

/// Maximum number of stored messages that are read ahead, within the memory budget.
const READ_AHEAD: usize = 8;

/// A file of the export, and its name.
pub(super) struct NamedFile {
    pub(super) planned: PlannedFile,
    pub(super) name: String,
    /// Index of the chat, from 0.
    pub(super) chat: usize,
}

/// Distributes the items of whole conversations to files. The same items result in the same files.
pub(super) fn named_files(survey: &Survey, items: &[SurveyedItem]) -> Vec<NamedFile> {
    let records: Vec<&Record> = items.iter().map(|item| &item.record).collect();
    let format = survey.request.format;
    // Mails are exported unchanged, so nothing is folded.
    let folded = if format == Format::Rsmf { Limits::default().folded } else { 0 };
    let chats: HashMap<Sha256, usize> = survey.chats.iter().map(|chat| chat.conversation).zip(0..).collect();
    let name = |planned: PlannedFile| {
        let chat = chats.get(&planned.conversation).copied().unwrap_or_default();
        let part = if planned.parts > 1 { format!("_{}", planned.part) } else { String::new() };
        let name = format!("{}_chat-{:04}{part}.{}", planned.day, chat + 1, format.extension());
        NamedFile { planned, name, chat }
    };
    plan(&records, Limits { folded, ..Limits::default() }).into_iter().map(name).collect()
}

/// Writes the files that do not exist yet. `progress` receives the number of exported items.
///
/// # Errors
/// The bucket cannot be read, a file cannot be written, or the operator interrupts the command.
pub(super) async fn write(
    store: &Store,
    directory: &Directory,
    survey: &Survey,
    interrupt: &Interrupt,
    progress: impl Fn(u64),
) -> anyhow::Result<Vec<FinishedFile>> {
    let mut recorded: HashMap<String, FinishedFile> =
        directory.finished()?.into_iter().map(|file| (file.name.clone(), file)).collect();
    let mut finished = Vec::new();
    let mut done = 0;
    for items in directory.items() {
        let items = items?;
        for file in named_files(survey, &items) {
            let earlier = match recorded.remove(&file.name) {
                Some(earlier) if directory.has(&earlier)? => Some(earlier),
                _ => None,
            };
            finished.push(match earlier {
                Some(earlier) => earlier,
                None => {
                    let writer = FileWriter { store, directory, items: &items, interrupt, unreadable: Vec::new() };
                    let written = match survey.request.format {
                        Format::Rsmf => writer.rsmf(&file).await,
                        Format::Eml => writer.eml(&file).await,
                    };
                    written.with_context(|| format!("writing {} failed", file.name))?
                }
            });
            done += file.planned.units.iter().map(|unit| 1 + unit.folded.len() as u64).sum::<u64>();
            progress(done);
        }
    }
    Ok(finished)
}

/// Returns the record of a file of these items, without the content.
pub(super) fn record(
    file: &NamedFile,
    items: &[SurveyedItem],
    unreadable: Vec<(Sha256, NotExportedReason)>,
) -> FinishedFile {
    let PlannedFile { day, part, parts, units, .. } = &file.planned;
    let mut record = FinishedFile {
        name: file.name.clone(),
        bytes: 0,
        sha256: Sha256::of(b""),
        events: 0,
        attachments: 0,
        participants: 0,
        begin: Timestamp::UNIX_EPOCH,
        end: Timestamp::UNIX_EPOCH,
        chat: file.chat,
        day: *day,
        part: *part,
        parts: *parts,
        items: 0,
        folded: 0,
        unreadable,
    };
    for unit in units {
        let is_exported = |at: usize| !record.lacks(&items[at]);
        let (is_event, acting) = (is_exported(unit.item), unit.folded.iter().filter(|&&at| is_exported(at)).count());
        record.items += acting as u64 + u64::from(is_event);
        // An item that acts on a lost message is an event.
        record.folded += if is_event { acting as u64 } else { 0 };
    }
    record
}

/// Writes one file.
struct FileWriter<'a> {
    store: &'a Store,
    directory: &'a Directory,
    /// The items that the plan's indexes are of.
    items: &'a [SurveyedItem],
    interrupt: &'a Interrupt,
    unreadable: Vec<(Sha256, NotExportedReason)>,
}

/// An item whose attached files are in the package.
struct Prepared<'a> {
    captured: Captured,
    message: &'a StoredMessage,
    files: Vec<File>,
    missing_files: usize,
}

impl<'a> Prepared<'a> {
    fn stored_item(&self) -> StoredItem<'_> {
        StoredItem {
            captured: &self.captured,
            message: &self.message.key,
            sha256: self.message.sha256,
            files: self.files.clone(),
            missing_files: self.missing_files,
        }
    }
}

type Scratch = std::fs::File;

impl<'a> FileWriter<'a> {
    async fn rsmf(mut self, file: &NamedFile) -> anyhow::Result<FinishedFile> {
        let PlannedFile { conversation, day, part, parts, units } = &file.planned;
        let slice = Slice { conversation: *conversation, day: *day, part: *part, parts: *parts };
        let scratch = || self.directory.scratch();
        let mut package = Package::new(slice, scratch()?, scratch()?, scratch()?);
        let mut messages = std::pin::pin!(self.messages(units));
        let mut items = 0;
        for unit in units {
            let first = self.next(&mut messages, &mut package).await?;
            let mut folded = Vec::with_capacity(unit.folded.len());
            for _ in &unit.folded {
                folded.extend(self.next(&mut messages, &mut package).await?);
            }
            items += folded.len() + usize::from(first.is_some());
            let stored: Vec<_> = folded.iter().map(Prepared::stored_item).collect();
            match &first {
                Some(first) => package.add(&first.stored_item(), &stored)?,
                // The message is lost, so the items that act on it become separate events.
                None => stored.iter().try_for_each(|item| package.add(item, &[]))?,
            }
        }
        if items == 0 {
            return self.nothing(file);
        }
        let mut out = self.directory.begin()?;
        let counts = package.finish(&mut out)?;
        let (sha256, bytes) = out.digest();
        let finished = FinishedFile {
            bytes,
            sha256,
            events: counts.events,
            attachments: counts.attachments,
            participants: counts.participants,
            begin: counts.begin,
            end: counts.end,
            ..record(file, self.items, self.unreadable)
        };
        self.directory.finish(out, &finished)?;
        Ok(finished)
    }

    /// Writes the stored mails to a ZIP archive.
    async fn eml(mut self, file: &NamedFile) -> anyhow::Result<FinishedFile> {
        let mut messages = std::pin::pin!(self.messages(&file.planned.units));
        let mut zip = ZipWriter::new_stream(self.directory.begin()?);
        let (mut events, mut times) = (0, Vec::new());
        while let Some((at, _permit, read)) = messages.next().await {
            let Some(stored) = self.readable(at, read)? else { continue };
            let record = &self.items[at].record;
            let large = self.items[at].message.bytes > u64::from(u32::MAX / 2);
            let options =
                SimpleFileOptions::default().compression_method(CompressionMethod::Deflated).large_file(large);
            zip.start_file(format!("{}.eml", record.key.short_hex()), options)?;
            copy(&stored.mime, &mut zip).await?;
            events += 1;
            times.push(record.time);
        }
        let (Some(begin), Some(end)) = (times.iter().min().copied(), times.iter().max().copied()) else {
            return self.nothing(file);
        };
        let mut out = zip.finish()?.into_inner();
        out.flush()?;
        let (sha256, bytes) = out.digest();
        let finished = FinishedFile { bytes, sha256, events, begin, end, ..record(file, self.items, self.unreadable) };
        self.directory.finish(out, &finished)?;
        Ok(finished)
    }

    /// Records a file of which no item could be read.
    fn nothing(self, file: &NamedFile) -> anyhow::Result<FinishedFile> {
        let finished = record(file, self.items, self.unreadable);
        self.directory.finish(self.directory.begin()?, &finished)?;
        Ok(finished)
    }

    /// Reads the messages of units in order and ahead. Memory is acquired in the same order, so that a message never
    /// waits for the memory of a later one.
    fn messages<'u>(&self, units: &'u [EventWithFolded]) -> impl Stream<Item = Read> + use<'a, 'u> {
        let (store, items, budget) = (self.store, self.items, MemoryBudget::of_kib(stored::MEMORY_KIB));
        let order = units.iter().flat_map(|unit| std::iter::once(unit.item).chain(unit.folded.iter().copied()));
        stream::iter(order)
            .then(move |at| {
                let budget = budget.clone();
                async move { (at, budget.acquire(stored::memory(items[at].message.bytes)).await) }
            })
            .map(move |(at, permit)| async move { (at, permit, items[at].message.read(store).await) })
            .buffered(READ_AHEAD)
    }

    /// Reads the next message and writes its files into the package; `None` if it cannot be exported.
    async fn next(
        &mut self,
        messages: &mut (impl Stream<Item = Read> + Unpin),
        package: &mut Package<Scratch, Scratch>,
    ) -> anyhow::Result<Option<Prepared<'a>>> {
        let (at, _permit, read) = messages.next().await.context("a message of the plan was not read")?;
        let Some(Stored { mime, captured }) = self.readable(at, read)? else { return Ok(None) };
        let mut in_message = files(&mime);
        let evidence = in_message.pop_if(|file| file.name == EVIDENCE_NAME);
        let captured_files = in_message.len().saturating_sub(attached_cards(&captured.item));
        let missing_files = captured.item.attachments.len().saturating_sub(captured_files);
        // The members of these kinds have no defined meaning, so the captured item is also attached.
        if matches!(captured.item.kind, Kind::Business | Kind::Other(_)) {
            in_message.extend(evidence);
        }
        let mut files = Vec::with_capacity(in_message.len());
        for file in in_message {
            package.begin_file(&file.name)?;
            let mut from = 0;
            loop {
                let piece = file.piece(from).await?;
                if piece.is_empty() {
                    break;
                }
                from += piece.len() as u64;
                package.write_file(&piece)?;
            }
            files.extend(package.end_file());
        }
        Ok(Some(Prepared { captured, message: &self.items[at].message, files, missing_files }))
    }

    /// Returns a message that can be exported, and records one that cannot.
    fn readable(&mut self, at: usize, read: Result<Stored, Unreadable>) -> anyhow::Result<Option<Stored>> {
        if self.interrupt.is_set() {
            bail!("interrupted: run the same command again, and it continues after the finished files");
        }
        match read {
            Ok(stored) => Ok(Some(stored)),
            Err(Unreadable::NotExported(reason)) => {
                self.unreadable.push((self.items[at].record.key, reason));
                Ok(None)
            }
            Err(Unreadable::Bucket(error)) => Err(error),
        }
    }
}

/// An item's index, its memory permit and its message.
type Read = (usize, Option<OwnedSemaphorePermit>, Result<Stored, Unreadable>);

async fn copy(mime: &Mime, out: &mut impl Write) -> anyhow::Result<()> {
    let mut from = 0;
    loop {
        let piece = mime.piece(from).await?;
        if piece.is_empty() {
            return Ok(());
        }
        from += piece.len() as u64;
        out.write_all(&piece)?;
    }
}
