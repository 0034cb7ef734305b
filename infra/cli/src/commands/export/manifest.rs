//! Writes the export's own files: the manifest, the summary, the list of items, and the digests.

use std::io::{self, Write};

use anyhow::Context;
use jiff::Timestamp;
use model::{Sha256, keys};
use rsmf::EventWithFolded;
use serde::Serialize;

use super::{
    arguments::{Format, Request},
    directory::{Directory, FinishedFile, MANIFEST, SUMS},
    files::named_files,
    items::SurveyedItem,
    stored::NotExportedReason,
    survey::{Counts, KnownIncident, NotExported, Survey},
};
use crate::commands::reconcile::{ShortManifest, unrecognized_sentence};

const SUMMARY: &str = "export.txt";
const ITEMS: &str = "items.csv";

/// Completeness of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Completeness {
    /// Every item is in the export.
    Complete,
    /// Items without a stored message are left out, or the end of the window is not fetched yet.
    ItemsLeftOut,
    /// A stored message is missing or changed, or part of the window is unknown.
    Damaged,
}

/// The manifest of an export.
#[derive(Serialize)]
pub(super) struct Manifest<'a> {
    request: &'a Request,
    /// Version of this command.
    version: &'static str,
    /// Time at which the items of the window were determined.
    made_at: Timestamp,
    /// Items that the source received at this time or later are left out.
    archived_before: Timestamp,
    completeness: Completeness,
    counts: Totals,
    not_exported: Vec<NotExported>,
    lost_pages: &'a [String],
    short_manifests: &'a [ShortManifest],
    incidents: &'a [KnownIncident],
    not_fetched: &'a [String],
    not_fetched_yet: &'a [String],
    /// Chats of the same people that the request does not name.
    related_chats: &'a [String],
    chats: Vec<ChatEntry<'a>>,
    files: Vec<FileEntry<'a>>,
}

#[derive(Serialize)]
struct Totals {
    #[serde(flatten)]
    listed: Counts,
    /// Number of items in the export.
    exported: u64,
    /// Number of those items that are folded into the event of another item.
    folded: u64,
    not_exported: u64,
    events: u64,
    attachments: u64,
    files: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct ChatEntry<'a> {
    chat: String,
    id: &'a str,
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    items: u64,
}

#[derive(Serialize)]
struct FileEntry<'a> {
    name: &'a str,
    sha256: Sha256,
    bytes: u64,
    chat: String,
    day: String,
    part: u32,
    parts: u32,
    items: u64,
    events: u64,
    attachments: u64,
    participants: u64,
    begin: Timestamp,
    end: Timestamp,
}

fn chat_name(number: usize) -> String {
    format!("chat-{:04}", number + 1)
}

impl<'a> Manifest<'a> {
    /// Creates the manifest. `finished` contains all files.
    pub(super) fn of(survey: &'a Survey, finished: &'a [FinishedFile]) -> Self {
        let mut not_exported = survey.not_exported.clone();
        let lost = finished.iter().flat_map(|file| &file.unreadable);
        not_exported.extend(lost.map(|(key, reason)| NotExported {
            item: String::new(),
            key: key.short_hex(),
            run: None,
            reason: *reason,
            dead_letter: None,
        }));
        let mut files: Vec<_> = finished.iter().filter(|file| !file.is_empty()).map(entry).collect();
        files.sort_by_key(|file| file.name);
        let exported = finished.iter().map(|file| file.items).sum();
        let sum = |of: fn(&FileEntry<'_>) -> u64| files.iter().map(of).sum::<u64>();
        let counts = Totals {
            listed: survey.counts,
            exported,
            folded: finished.iter().map(|file| file.folded).sum(),
            not_exported: not_exported.len() as u64,
            events: sum(|file| file.events),
            attachments: sum(|file| file.attachments),
            files: files.len() as u64,
            bytes: sum(|file| file.bytes),
        };
        let damaged = not_exported.iter().any(|item| item.reason.is_damage())
            || !survey.lost_pages.is_empty()
            || !survey.short.is_empty()
            || survey.incidents.iter().any(|incident| incident.closed.is_none())
            || !survey.not_fetched.is_empty();
        let is_whole = not_exported.is_empty() && survey.not_fetched_yet.is_empty() && survey.related_chats.is_empty();
        let completeness = match (damaged, is_whole) {
            (true, _) => Completeness::Damaged,
            (false, true) => Completeness::Complete,
            (false, false) => Completeness::ItemsLeftOut,
        };
        let chats = survey.chats.iter().enumerate().map(|(number, chat)| ChatEntry {
            chat: chat_name(number),
            id: &chat.id,
            name: &chat.name,
            kind: &chat.kind,
            items: chat.items,
        });
        Self {
            request: &survey.request,
            version: env!("CARGO_PKG_VERSION"),
            made_at: survey.made_at,
            archived_before: survey.archived_before(),
            completeness,
            counts,
            not_exported,
            lost_pages: &survey.lost_pages,
            short_manifests: &survey.short,
            incidents: &survey.incidents,
            not_fetched: &survey.not_fetched,
            not_fetched_yet: &survey.not_fetched_yet,
            related_chats: &survey.related_chats,
            chats: chats.collect(),
            files,
        }
    }

    pub(super) fn completeness(&self) -> Completeness {
        self.completeness
    }

    /// Returns the summary in plain text. It contains no addresses and chat ids except those of the request.
    pub(super) fn summary(&self) -> String {
        let Self { request, counts, .. } = self;
        let form = match request.format {
            Format::Rsmf => "RSMF 2.0",
            Format::Eml => "stored mails in ZIP archives",
        };
        let mut text = format!(
            "Messages sent from {} to {} (UTC), {form}\nFrom: {}\nReceived by the source before: {}\n",
            request.from, request.to, request.deployment, self.archived_before
        );
        for (name, value) in request
            .mailbox
            .iter()
            .map(|mailbox| ("Mailbox", mailbox))
            .chain(request.chats.iter().map(|chat| ("Chat", chat)))
        {
            text += &format!("{name}: {value}\n");
        }
        let Totals { exported, folded, events, attachments, files, bytes, not_exported, .. } = counts;
        text += &format!("Exported items: {exported}, of which {folded} are folded into the event of another\n");
        text += &format!("Events: {events}; attachments: {attachments}\nFiles: {files}, {bytes} bytes\n");
        text += &format!("Not exported: {not_exported}\n");
        for reason in NotExportedReason::ALL {
            let count = self.not_exported.iter().filter(|item| item.reason == reason).count();
            if count > 0 {
                text += &format!("  {count} {}: {}\n", reason.as_str(), reason.sentence());
            }
        }
        for page in self.lost_pages {
            text += &format!("A page of a manifest is missing, so its items are unknown: {page}\n");
        }
        for ShortManifest { run, queued, listed } in self.short_manifests {
            text += &format!("The run {run} queued {queued} items, but its manifest lists {listed}\n");
        }
        let is_value = |incident: &&KnownIncident| incident.file.starts_with(keys::UNRECOGNIZED);
        let (values, files): (Vec<_>, Vec<_>) = self.incidents.iter().partition(is_value);
        let open = values.iter().filter(|value| value.closed.is_none()).count();
        if open > 0 {
            text += &format!("{}\n", unrecognized_sentence(open));
        }
        for (KnownIncident { id, received, .. }, closed) in
            values.iter().filter_map(|value| Some((value, value.closed.as_ref()?)))
        {
            text += &format!("A value of a webhook of {received:.0} was not recognized: incident {id}, {closed}\n");
        }
        for KnownIncident { id, received, problems, closed, .. } in files {
            let problems = problems.len();
            text += &match closed {
                None => format!(
                    "A vendor's file of {received:.0} is incomplete or damaged, so mails may be missing ({problems} problems, in \
                     export.json): incident {id}\n"
                ),
                Some(closed) => {
                    format!("A vendor's file of {received:.0} had {problems} problems: incident {id}, {closed}\n")
                }
            };
        }
        for part in self.not_fetched.iter().chain(self.not_fetched_yet) {
            text += &format!("{part}\n");
        }
        for id in request.chats.iter().filter(|id| self.chats.iter().all(|chat| chat.id != *id)) {
            text += &format!("No message of this chat is in the export: {id}\n");
        }
        if !self.related_chats.is_empty() {
            text += &format!(
                "The same people also write in {} other chats, which are not in the export: add --chat for each of related_chats in \
                 export.json\n",
                self.related_chats.len()
            );
        }
        text += match self.completeness {
            Completeness::Complete => "Complete: every item that was listed is in the export.\n",
            Completeness::ItemsLeftOut => "Not all of the window: export.json names each item that is left out.\n",
            Completeness::Damaged => {
                "NOT COMPLETE: evidence is missing or changed, or part of the period is unknown.\n"
            }
        };
        text + "Verify the files in this directory: sha256sum -c SHA256SUMS\n"
    }

    /// Writes all of these files. Returns the digest of the list of digests.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(super) fn write(
        &self,
        directory: &Directory,
        survey: &Survey,
        finished: &[FinishedFile],
    ) -> anyhow::Result<Sha256> {
        let mut sums: Vec<(String, Sha256)> =
            self.files.iter().map(|file| (file.name.to_owned(), file.sha256)).collect();
        let items = directory.write(ITEMS, |out| write_items(out, survey, directory.items(), finished))?;
        let manifest = directory.write(MANIFEST, |out| {
            serde_json::to_writer_pretty(&mut *out, self)?;
            Ok(out.write_all(b"\n")?)
        })?;
        let summary = directory.write(SUMMARY, |out| Ok(out.write_all(self.summary().as_bytes())?))?;
        sums.extend([(ITEMS.to_owned(), items), (MANIFEST.to_owned(), manifest), (SUMMARY.to_owned(), summary)]);
        directory.write(SUMS, |out| Ok(sums.iter().try_for_each(|(name, sha256)| writeln!(out, "{sha256}  {name}"))?))
    }
}

fn entry(file: &FinishedFile) -> FileEntry<'_> {
    FileEntry {
        name: &file.name,
        sha256: file.sha256,
        bytes: file.bytes,
        chat: chat_name(file.chat),
        day: file.day.to_string(),
        part: file.part,
        parts: file.parts,
        items: file.items,
        events: file.events,
        attachments: file.attachments,
        participants: file.participants,
        begin: file.begin,
        end: file.end,
    }
}

/// Writes a CSV line for each item: its file and event, and the digest of its stored message. No value needs quotes.
/// `finished` has the order of the parts and of [`named_files`].
fn write_items(
    out: &mut dyn Write,
    survey: &Survey,
    parts: impl Iterator<Item = anyhow::Result<Vec<SurveyedItem>>>,
    finished: &[FinishedFile],
) -> anyhow::Result<()> {
    writeln!(out, "item_key,sent,file,as,event_id,stored_message,sha256")?;
    let mut finished = finished.iter();
    for items in parts {
        let items = items?;
        for planned in named_files(survey, &items) {
            let file = finished.next().context("a planned file was not written")?;
            for unit in &planned.planned.units {
                write_unit(out, unit, &items, file)?;
            }
        }
    }
    Ok(())
}

fn write_unit(
    out: &mut dyn Write,
    unit: &EventWithFolded,
    items: &[SurveyedItem],
    file: &FinishedFile,
) -> io::Result<()> {
    let first = &items[unit.item];
    let event = first.record.key.short_hex();
    for (at, is_event) in std::iter::once((unit.item, true)).chain(unit.folded.iter().map(|&at| (at, false))) {
        let item = &items[at];
        let key = item.record.key.short_hex();
        let (file, form, event) = match (file.lacks(item), is_event || file.lacks(first)) {
            (true, _) => ("", "not-exported", ""),
            (false, true) => (file.name.as_str(), "event", key.as_str()),
            (false, false) => (file.name.as_str(), "folded", event.as_str()),
        };
        let (time, message) = (item.record.time, &item.message);
        writeln!(out, "{key},{time},{file},{form},{event},{},{}", message.key, message.sha256)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::export::{files::record, stored::StoredMessage};

    /// Creates an item; with `target` it acts on another item.
    fn item(number: u8, target: Option<u8>) -> SurveyedItem {
        let digest = |number: u8| Sha256::of(&[number]);
        SurveyedItem {
            record: rsmf::Record {
                key: digest(number),
                conversation: digest(0),
                time: Timestamp::UNIX_EPOCH,
                archived: Timestamp::UNIX_EPOCH,
                line: None,
                identity: digest(number),
                refers_to: target.map(digest),
                is_action: target.is_some(),
                events: 1,
                bytes: 1,
            },
            message: StoredMessage { key: format!("mime/{number}.eml"), sha256: digest(number), bytes: 1 },
        }
    }

    fn survey() -> Survey {
        let request = Request {
            format: Format::Rsmf,
            deployment: "b".to_owned(),
            from: Timestamp::UNIX_EPOCH,
            to: Timestamp::MAX,
            archived_before: None,
            mailbox: None,
            chats: Vec::new(),
        };
        Survey::empty(request, Timestamp::UNIX_EPOCH)
    }

    fn leave_out(survey: &mut Survey, reason: NotExportedReason) {
        let (item, key) = ("WA-9".to_owned(), "key".to_owned());
        survey.not_exported.push(NotExported { item, key, run: None, reason, dead_letter: None });
    }

    type Change = fn(&mut Survey);

    #[test]
    fn export_is_complete_only_without_losses_and_gaps() {
        let incident = |closed: Option<&str>| KnownIncident {
            id: "1f0c7e62".to_owned(),
            received: Timestamp::UNIX_EPOCH,
            file: "inbox/day.zip".to_owned(),
            problems: vec!["0042.eml is missing".to_owned()],
            closed: closed.map(str::to_owned),
        };
        for (closed, expected) in
            [(None, Completeness::Damaged), (Some("closed by Ada Lindqvist"), Completeness::Complete)]
        {
            let mut survey = survey();
            survey.incidents.push(incident(closed));
            let manifest = Manifest::of(&survey, &[]);
            assert_eq!(manifest.completeness(), expected, "{closed:?}");
            let summary = manifest.summary();
            assert!(summary.contains("1f0c7e62") && closed.is_none_or(|closed| summary.contains(closed)), "{summary}");
        }
        let short = |survey: &mut Survey| {
            let run = "20261122T070000Z-daily-0badcafe".parse().unwrap();
            survey.short.push(ShortManifest { run, queued: 3, listed: 2 });
        };
        let changes: [(Change, Completeness); 11] = [
            (short, Completeness::Damaged),
            (|_| {}, Completeness::Complete),
            (|survey| leave_out(survey, NotExportedReason::NotConverted), Completeness::ItemsLeftOut),
            (|survey| leave_out(survey, NotExportedReason::DeadLetter), Completeness::ItemsLeftOut),
            (|survey| survey.not_fetched_yet.push("a part".to_owned()), Completeness::ItemsLeftOut),
            (|survey| survey.related_chats.push("A/GB.1".to_owned()), Completeness::ItemsLeftOut),
            (|survey| leave_out(survey, NotExportedReason::MessageMissing), Completeness::Damaged),
            (|survey| leave_out(survey, NotExportedReason::MessageChanged), Completeness::Damaged),
            (|survey| leave_out(survey, NotExportedReason::EvidenceUnreadable), Completeness::Damaged),
            (|survey| survey.not_fetched.push("a part".to_owned()), Completeness::Damaged),
            (|survey| survey.lost_pages.push("a page".to_owned()), Completeness::Damaged),
        ];
        for (number, (change, expected)) in changes.into_iter().enumerate() {
            let mut survey = survey();
            change(&mut survey);
            assert_eq!(Manifest::of(&survey, &[]).completeness(), expected, "change {number}");
        }
    }

    #[test]
    fn message_lost_after_the_survey_is_named() {
        let items = [item(1, None), item(2, Some(1)), item(3, None)];
        let survey = survey();
        let planned = named_files(&survey, &items);
        let export = |unreadable: Vec<(Sha256, NotExportedReason)>| {
            let finished =
                [FinishedFile { bytes: 1, events: 2, participants: 1, ..record(&planned[0], &items, unreadable) }];
            let manifest = Manifest::of(&survey, &finished);
            let mut csv = Vec::new();
            write_items(&mut csv, &survey, std::iter::once(Ok(items.to_vec())), &finished).unwrap();
            let csv = String::from_utf8(csv).unwrap();
            let form = |item: &SurveyedItem| {
                let key = item.record.key.short_hex();
                let line = csv.lines().find(|line| line.starts_with(&key)).unwrap();
                line.split(',').nth(3).unwrap().to_owned()
            };
            let Totals { exported, folded, not_exported, .. } = manifest.counts;
            let key = manifest.not_exported.first().map(|item| item.key.clone());
            let counts = [exported, folded, not_exported, manifest.files[0].items];
            (items.iter().map(form).collect::<Vec<_>>(), counts, key, manifest.completeness)
        };
        let (forms, counts, key, completeness) = export(Vec::new());
        assert_eq!(forms, ["event", "folded", "event"]);
        assert_eq!((counts, key, completeness), ([3, 1, 0, 3], None, Completeness::Complete));

        // The reaction on the lost message becomes an event.
        let lost = items[0].record.key;
        let (forms, counts, key, completeness) = export(vec![(lost, NotExportedReason::MessageMissing)]);
        assert_eq!(forms, ["not-exported", "event", "event"]);
        assert_eq!((counts, key, completeness), ([2, 0, 1, 2], Some(lost.short_hex()), Completeness::Damaged));
    }
}
