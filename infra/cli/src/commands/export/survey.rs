//! The first pass: finds the items of the window, and reads each stored message once for its time and chat.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, bail};
use aws::s3::{Store, StoreError};
use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use ledger::entries::{self, CONCURRENT_READS, EntryOutcome, entry_outcome};
use message::write::describe;
use model::{Captured, Listed, Outcome, RunId, Sha256, keys};
use rsmf::Record;
use runtime::MemoryBudget;
use serde::{Deserialize, Serialize};

use super::{
    arguments::Request,
    items::{ItemWriter, SurveyedItem},
    related_chats::RelatedChats,
    stored::{self, NotExportedReason, StoredMessage, Unreadable},
};
use crate::{
    Interrupt,
    commands::reconcile::{
        Coverage, Gap, Incident, ItemHash, MAX_FETCH_DURATION, Pending, Reconciled, Runs, ShortManifest, incidents,
    },
    connection::Connection,
};

/// The items of an export and the gaps in the window. An interrupted export continues with the same survey.
#[derive(Serialize, Deserialize)]
pub(super) struct Survey {
    pub(super) request: Request,
    /// Time of the survey. Also the end of the considered archived times, unless the request has one.
    pub(super) made_at: Timestamp,
    pub(super) counts: Counts,
    pub(super) chats: Vec<Chat>,
    pub(super) not_exported: Vec<NotExported>,
    /// Missing pages of manifests: the items that they listed are unknown.
    pub(super) lost_pages: Vec<String>,
    /// Runs whose manifests list another number of items than they have queued.
    #[serde(default)]
    pub(super) short: Vec<ShortManifest>,
    /// Vendors' files that do not match their manifests and values of webhooks that were not recognized: a message of the
    /// window may be missing.
    #[serde(default)]
    pub(super) incidents: Vec<KnownIncident>,
    /// Parts of the window that were not fetched, one sentence each.
    pub(super) not_fetched: Vec<String>,
    /// Parts of the window that a run is fetching or that the next run will fetch.
    pub(super) not_fetched_yet: Vec<String>,
    /// Chats of the same people that the request does not name.
    #[serde(default)]
    pub(super) related_chats: Vec<String>,
    /// Number of items of the window. The directory of the export contains the items.
    pub(super) items: u64,
}

/// A vendor's file with problems, or a value that was not recognized.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct KnownIncident {
    pub(super) id: String,
    pub(super) received: Timestamp,
    pub(super) file: String,
    pub(super) problems: Vec<String>,
    /// Time, person and reason of the closure; `None` while the incident is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) closed: Option<String>,
}

impl From<Incident> for KnownIncident {
    fn from(incident: Incident) -> Self {
        let Incident { id, received, file, problems, closed, .. } = incident;
        Self { id, received, file, problems, closed: closed.map(|closed| closed.sentence()) }
    }
}

/// Counts of listed items.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Counts {
    /// Number of items that the manifests list with considered archived times, each counted once.
    pub(super) listed: u64,
    /// Number of those items outside of the window, the chat or the mailbox.
    pub(super) outside: u64,
}

/// A conversation. File names contain its number in place of its id, which is a phone number.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Chat {
    pub(super) conversation: Sha256,
    pub(super) id: String,
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) items: u64,
}

/// An item that is or may be in the window and is not in the export.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct NotExported {
    pub(super) item: String,
    /// Key of the item in logs and objects.
    pub(super) key: String,
    /// The run that listed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) run: Option<RunId>,
    pub(super) reason: NotExportedReason,
    /// The dead letter's reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) dead_letter: Option<model::Reason>,
}

/// Maximum number of concurrent reads of stored messages, within the memory budget.
const CONCURRENT_MESSAGES: usize = 16;

/// Maximum difference between clocks: a message may be listed as received this long before it was sent.
const CLOCK_SLACK: SignedDuration = SignedDuration::from_hours(24);

/// Result for a listed item.
enum ListedItemState {
    Outside,
    /// In the window, in a chat that the request does not name.
    OtherChat(Box<Captured>),
    Item(Box<(SurveyedItem, Captured)>),
    NotExported(NotExported),
}

/// A listed item and the location of its message, by the manifests and outcomes.
struct Located {
    listed: Listed,
    place: Place,
}

enum Place {
    Message(StoredMessage, Option<Box<Outcome>>),
    None(NotExportedReason, Option<model::Reason>, Option<Box<Outcome>>),
}

impl Survey {
    /// Creates a survey without items.
    pub(super) fn empty(request: Request, made_at: Timestamp) -> Self {
        Self {
            request,
            made_at,
            counts: Counts::default(),
            chats: Vec::new(),
            not_exported: Vec::new(),
            lost_pages: Vec::new(),
            short: Vec::new(),
            incidents: Vec::new(),
            not_fetched: Vec::new(),
            not_fetched_yet: Vec::new(),
            related_chats: Vec::new(),
            items: 0,
        }
    }

    /// Creates the survey and writes its items. `progress` receives the number of items.
    ///
    /// # Errors
    /// The bucket cannot be read, the items cannot be written, or the operator interrupts the command.
    pub(super) async fn make(
        connection: &Connection,
        items: &mut ItemWriter,
        request: Request,
        options: &str,
        interrupt: &Interrupt,
        progress: impl Fn(u64),
    ) -> anyhow::Result<Self> {
        let store = &connection.store;
        let made_at = Timestamp::now();
        let runs = Runs::between(store, Timestamp::MIN, Timestamp::MAX).await?;
        let one_machine = connection.one_machine_root().is_some();
        // The functions of a one-machine run do not run now.
        let longest_run = if one_machine { SignedDuration::ZERO } else { MAX_FETCH_DURATION };
        let kept_since = connection.outcomes_kept_since(made_at);
        let coverage =
            |from, to| Coverage::of_runs(&runs, (Some(from), to), longest_run, (made_at, kept_since), options);
        // A message of the window may have been archived after it: a phone may be offline.
        let afterwards = coverage(request.to, request.archived_before);
        let coverage = coverage(request.from, Some(request.to));
        // A one-machine run has no timer: what it did not fetch at the end is not overdue.
        let missed = |gap: &&Gap| !one_machine || Some(gap.to) != afterwards.to;
        let missed_afterwards: Vec<String> = afterwards.gaps.iter().filter(missed).map(ToString::to_string).collect();
        let expired = coverage.expired_until.map(|until| {
            format!("Archived times before {until} are unknown: their manifests were deleted by age (OutcomeDays)")
        });
        let not_yet =
            |pending: &Pending| format!("Archived times from {} to {} are not fetched yet", pending.from, pending.to);
        let mut survey = Self::empty(request, made_at);
        let received_since = survey.request.from.saturating_sub(CLOCK_SLACK).unwrap_or(Timestamp::MIN);
        let known = incidents(store, received_since, survey.archived_before()).await?;
        survey.incidents = known.into_iter().map(KnownIncident::from).collect();
        survey.not_fetched =
            coverage.gaps.iter().map(ToString::to_string).chain(expired).chain(missed_afterwards).collect();
        survey.not_fetched_yet = coverage.pending.iter().map(not_yet).collect();
        let (from, to) = (survey.request.from, survey.archived_before());
        if let Some(webhooks) = Reconciled::webhooks(connection, (from, to), longest_run).await? {
            survey.not_fetched.extend(webhooks.problem());
            survey.not_fetched_yet.extend(webhooks.pending());
        }
        let budget = MemoryBudget::of_kib(stored::MEMORY_KIB);
        let mut seen: HashSet<ItemHash> = HashSet::new();
        let mut chats: HashMap<Sha256, Chat> = HashMap::new();
        let mut related = RelatedChats::default();
        for run in &runs.runs {
            // A run lists nothing that is archived after its start, so the manifests of earlier runs may be missing.
            let may_concern = run.began >= received_since;
            let mut lost: Vec<u32> = run.lost_pages().collect();
            let mut lines = 0;
            for page in run.page_numbers() {
                let Some(listed) = entries::read_page(store, &run.id, page).await? else {
                    // Deleted after it was listed.
                    lost.push(page);
                    continue;
                };
                lines += if run.counts(page) { listed.len() as u64 } else { 0 };
                let new: Vec<Listed> = listed
                    .into_iter()
                    .filter(|listed| survey.may_be_inside(listed) && seen.insert(ItemHash::of(&listed.item)))
                    .collect();
                survey.counts.listed += new.len() as u64;
                let (request, budget) = (survey.request.clone(), &budget);
                let (request, id) = (&request, &run.id);
                let found = stream::iter(new)
                    .map(|listed| locate(store, id, listed))
                    .buffer_unordered(CONCURRENT_READS)
                    .map(|located| async move { inspect(store, budget, request, id, located?).await })
                    .buffer_unordered(CONCURRENT_MESSAGES);
                let mut found = std::pin::pin!(found);
                while let Some(found) = found.next().await {
                    survey.add(found?, &mut chats, &mut related, items)?;
                    progress(survey.items);
                    if interrupt.is_set() {
                        bail!("interrupted before anything was written: run the same command again");
                    }
                }
            }
            if may_concern {
                survey.short.extend(run.short(lines).filter(|_| lost.is_empty()));
                survey.lost_pages.extend(lost.into_iter().map(|page| keys::manifest(&run.id, page)));
            }
        }
        survey.related_chats = related.found();
        survey.chats = chats.into_values().collect();
        survey.chats.sort_unstable_by(|one, other| one.conversation.as_bytes().cmp(other.conversation.as_bytes()));
        survey.not_exported.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(survey)
    }

    /// Returns the end of the considered archived times.
    pub(super) fn archived_before(&self) -> Timestamp {
        self.request.archived_before.unwrap_or(self.made_at)
    }

    /// Returns whether a message with this archived time may have been sent in the window.
    fn may_be_inside(&self, listed: &Listed) -> bool {
        let Some(archived) = listed.archived_at() else { return true };
        archived.saturating_add(CLOCK_SLACK).unwrap_or(Timestamp::MAX) >= self.request.from
            && archived < self.archived_before()
    }

    fn add(
        &mut self,
        found: ListedItemState,
        chats: &mut HashMap<Sha256, Chat>,
        related: &mut RelatedChats,
        items: &mut ItemWriter,
    ) -> anyhow::Result<()> {
        match found {
            ListedItemState::Outside => self.counts.outside += 1,
            ListedItemState::OtherChat(captured) => {
                self.counts.outside += 1;
                related.add_other(&captured.item);
            }
            ListedItemState::NotExported(not_exported) => self.not_exported.push(not_exported),
            ListedItemState::Item(found) => {
                let (item, captured) = *found;
                if !self.request.chats.is_empty() {
                    related.add_exported(&captured.item);
                }
                let chat = chats.entry(item.record.conversation).or_insert_with(|| Chat {
                    conversation: item.record.conversation,
                    id: captured.item.chat.id.clone(),
                    name: describe(&captured).chat,
                    kind: captured.item.chat.chat_type.as_str().to_owned(),
                    items: 0,
                });
                chat.items += 1;
                self.items += 1;
                items.write(&item)?;
            }
        }
        Ok(())
    }
}

/// Finds the stored message of a listed item.
async fn locate(store: &Store, run: &RunId, listed: Listed) -> anyhow::Result<Located> {
    let place = match entry_outcome(store, run, &listed).await? {
        EntryOutcome::InvalidTask => Place::None(NotExportedReason::TaskMalformed, None, None),
        EntryOutcome::Found(stored) => {
            let outcome = Box::new(stored.outcome);
            match (outcome.mime.clone(), outcome.sha256, outcome.bytes) {
                (Some(key), Some(sha256), Some(bytes)) => {
                    Place::Message(StoredMessage { key, sha256, bytes }, Some(outcome))
                }
                _ => not_filed(store, run, &listed, Some(outcome)).await?,
            }
        }
        EntryOutcome::Absent => not_filed(store, run, &listed, None).await?,
    };
    Ok(Located { listed, place })
}

/// Locates the message of an item whose outcome names none: it may not be imported yet. The object's metadata contains
/// the digest.
async fn not_filed(
    store: &Store,
    run: &RunId,
    listed: &Listed,
    outcome: Option<Box<Outcome>>,
) -> Result<Place, StoreError> {
    let keys = entries::item_keys(run, listed);
    for key in keys.into_iter().flat_map(|keys| [keys.mime, keys.dated_mime]) {
        if let Some((sha256, bytes)) = store.read_digest(&key).await? {
            return Ok(Place::Message(StoredMessage { key, sha256, bytes }, outcome));
        }
    }
    let dead_letter = outcome.as_ref().and_then(|outcome| outcome.dead_letter).map(|dead_letter| dead_letter.reason);
    let reason = if dead_letter.is_some() { NotExportedReason::DeadLetter } else { NotExportedReason::NotConverted };
    Ok(Place::None(reason, dead_letter, outcome))
}

/// Reads the message of an item, if the item may be in the window.
async fn inspect(
    store: &Store,
    budget: &MemoryBudget,
    request: &Request,
    run: &RunId,
    Located { listed, place }: Located,
) -> anyhow::Result<ListedItemState> {
    let key = ItemHash::of(&listed.item).hex();
    let not_exported = |reason, dead_letter| {
        ListedItemState::NotExported(NotExported {
            item: listed.name(),
            key,
            run: Some(run.clone()),
            reason,
            dead_letter,
        })
    };
    // Without the message its time of sending is unknown, but it was sent before it was received.
    let received_before = listed.archived_at().is_some_and(|archived| archived < request.from);
    let (Place::Message(_, outcome) | Place::None(_, _, outcome)) = &place;
    let mailbox = request.mailbox.as_deref();
    let named = mailbox.is_none_or(|mailbox| outcome.as_deref().is_some_and(|outcome| names(outcome, mailbox)));
    let decided = outcome.as_deref().is_some_and(Outcome::is_complete);
    if !named && decided {
        return Ok(ListedItemState::Outside);
    }
    let message = match place {
        Place::Message(message, _) => message,
        Place::None(..) if received_before => return Ok(ListedItemState::Outside),
        Place::None(reason, dead_letter, _) => return Ok(not_exported(reason, dead_letter)),
    };
    let permit = budget.acquire(stored::memory(message.bytes)).await;
    let captured = match message.read(store).await {
        Ok(stored) => stored.captured,
        Err(Unreadable::NotExported(_)) if received_before => return Ok(ListedItemState::Outside),
        Err(Unreadable::NotExported(reason)) => return Ok(not_exported(reason, None)),
        Err(Unreadable::Bucket(error)) => return Err(error).context("reading a stored message failed"),
    };
    drop(permit);
    let item = &captured.item;
    let inside = request.from <= item.message_time && item.message_time < request.to;
    if !inside {
        return Ok(ListedItemState::Outside);
    }
    if !request.chats.is_empty() && !request.chats.contains(&item.chat.id) {
        return Ok(ListedItemState::OtherChat(Box::new(captured)));
    }
    let is_mailbox = |email: &String| mailbox.is_some_and(|mailbox| mailbox.eq_ignore_ascii_case(email.trim()));
    if !named && !item.participants().any(|participant| participant.email.as_ref().is_some_and(is_mailbox)) {
        return Ok(not_exported(NotExportedReason::MailboxUndecided, None));
    }
    let record = Record::of(&captured, message.bytes);
    Ok(ListedItemState::Item(Box::new((SurveyedItem { record, message }, captured))))
}

/// Returns whether an outcome names the mailbox: the mailbox has a copy, or should have one.
fn names(outcome: &Outcome, mailbox: &str) -> bool {
    let is = |address: &model::MailboxAddress| address.as_str().eq_ignore_ascii_case(mailbox);
    outcome.mailboxes.iter().any(|filed| {
        is(&filed.address) || filed.primary.as_ref().is_some_and(is) || filed.id.as_deref() == Some(mailbox)
    }) || outcome.failed.iter().any(|failed| is(&failed.address))
}

#[cfg(test)]
mod tests {
    use model::{FailedMailbox, FiledMailbox, FilingResult, Reason};
    use serde_json::json;

    use super::*;
    use crate::commands::export::arguments::Format;

    #[test]
    fn mailbox_is_named_by_a_copy_or_a_failed_copy() {
        let mut outcome = Outcome::new("WA-1".parse().unwrap());
        outcome.mailboxes.push(FiledMailbox {
            id: Some("id-1".to_owned()),
            address: "ada@example.com".parse().unwrap(),
            primary: "ada.byrne@example.com".parse().ok(),
            participants: Vec::new(),
            result: FilingResult::Imported,
            message: String::new(),
            at: Timestamp::UNIX_EPOCH,
        });
        let address = "bob@example.com".parse().unwrap();
        outcome.failed.push(FailedMailbox {
            address,
            reason: Reason::MailboxFull,
            since: None,
            checks: 0,
            last_check: None,
        });
        for mailbox in ["ada@example.com", "Ada@Example.com", "ada.byrne@example.com", "id-1", "bob@example.com"] {
            assert!(names(&outcome, mailbox), "{mailbox}");
        }
        for mailbox in ["eve@example.com", "", "ada@example.co"] {
            assert!(!names(&outcome, mailbox), "{mailbox}");
        }
    }

    #[test]
    fn late_message_is_considered() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let request = Request {
            format: Format::Rsmf,
            deployment: String::new(),
            from: at("2026-11-01T00:00:00Z"),
            to: at("2026-11-02T00:00:00Z"),
            archived_before: Some(at("2026-12-01T00:00:00Z")),
            mailbox: None,
            chats: Vec::new(),
        };
        let mut survey = Survey::empty(request, at("2026-12-24T00:00:00Z"));
        let considered = |survey: &Survey, archived: &str| {
            survey.may_be_inside(&Listed { item: json!("WA-1"), archived_time: json!(archived) })
        };
        assert!(considered(&survey, "2026-11-30T23:59:59Z"), "the phone was offline");
        assert!(considered(&survey, "2026-10-31T23:00:00Z"), "clocks differ");
        assert!(considered(&survey, "soon"), "an item with an invalid time is read");
        assert!(!considered(&survey, "2026-10-30T00:00:00Z"));
        assert!(!considered(&survey, "2026-12-02T00:00:00Z"));
        survey.request.archived_before = None;
        assert!(considered(&survey, "2026-12-02T00:00:00Z"));
    }
}
