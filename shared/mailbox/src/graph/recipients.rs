//! Finds the recipients of a message that the mail system rejects, so that the copy can be filed without them.
//!
//! A single invalid address makes Graph reject the whole message, usually without naming the address. To find it,
//! probes (empty messages to a part of the recipients) are created in the hidden folder and removed again.

use super::{
    Graph,
    body::recipient_probe_json,
    client::Request,
    concession::Concessions,
    error::{Failure, Refusal},
    lookup::Stored,
    work::{TargetFolder, Work},
};
use http_client::RetryBudget;

/// The code of an error about a recipient or the sender.
pub(super) const INVALID_RECIPIENTS: &str = "ErrorInvalidRecipients";

/// Maximum number of probes of one search.
const PROBES_MAX: usize = 64;

/// Maximum number of searches for one copy that leave out only recipients that were rejected twice. The search after
/// these also leaves out the recipients that it could not probe, so that the copy is filed.
pub(super) const CONFIRMED_SEARCHES: usize = 4;

impl Graph {
    /// Returns the indexes of the recipients to leave out after an error. Empty if no recipient is rejected. `is_last`:
    /// see [`CONFIRMED_SEARCHES`].
    pub(super) async fn rejected_recipients(
        &self,
        work: &Work<'_>,
        place: TargetFolder<'_>,
        (refusal, is_last): (&Refusal, bool),
        made: &Concessions,
        budget: &mut RetryBudget,
    ) -> Result<Vec<usize>, Failure> {
        let all = &work.draft.content.to;
        let sent: Vec<usize> =
            (0..all.len()).filter(|at| made.rejected_recipients.binary_search(at).is_err()).collect();
        let pick = |is_rejected: &dyn Fn(&str) -> bool| -> Vec<usize> {
            sent.iter().copied().filter(|&at| is_rejected(all[at].address)).collect()
        };
        let named = pick(&|address| refusal.names_address(address));
        // An error may name an address that is not the rejected one, such as the mailbox's own.
        let rejected =
            if named.is_empty() { named } else { self.bisect(work, place, (named, is_last), budget).await? };
        if !rejected.is_empty() {
            return Ok(rejected);
        }
        let cached = pick(&|address| self.rejected_addresses.has(address, &self.clock));
        if !cached.is_empty() {
            return Ok(cached);
        }
        let rejected = self.bisect(work, place, (sent, is_last), budget).await?;
        for &at in rejected.iter().filter(|_| !is_last) {
            self.rejected_addresses.add(all[at].address, &self.clock);
        }
        Ok(rejected)
    }

    /// Halves the recipients until each rejected one is found. A recipient is rejected if a message to this recipient
    /// alone is rejected twice: a single error may be wrong.
    async fn bisect(
        &self,
        work: &Work<'_>,
        place: TargetFolder<'_>,
        (recipients, is_last): (Vec<usize>, bool),
        budget: &mut RetryBudget,
    ) -> Result<Vec<usize>, Failure> {
        let folder = self.staging(work.state, work.mailbox, place.archive, budget).await?;
        let id = format!("recipients of {}", work.draft.identity.item.key());
        self.remove_probes(work, &folder, &id, budget).await?;
        let mut rejected = Vec::new();
        let mut open = vec![recipients];
        let mut probes = 0;
        while let Some(part) = open.pop() {
            if part.is_empty() {
                continue;
            }
            if probes >= PROBES_MAX {
                if is_last {
                    rejected.extend(part);
                }
                continue;
            }
            probes += 1;
            if self.accepts(work, (&folder, &id), &part, budget).await? {
                continue;
            }
            if let [only] = part[..] {
                probes += 1;
                if !self.accepts(work, (&folder, &id), &part, budget).await? {
                    rejected.push(only);
                }
                continue;
            }
            let (one, other) = part.split_at(part.len() / 2);
            open.extend([other.to_vec(), one.to_vec()]);
        }
        rejected.sort_unstable();
        Ok(rejected)
    }

    /// Returns whether a probe with these recipients can be created, and removes the probe.
    async fn accepts(
        &self,
        work: &Work<'_>,
        (folder, id): (&str, &str),
        recipients: &[usize],
        budget: &mut RetryBudget,
    ) -> Result<bool, Failure> {
        let url = self.client.hosts.graph(&["users", work.mailbox, "mailFolders", folder, "messages"]);
        let json = recipient_probe_json(work.draft.content, recipients, id);
        let request = Request::post(url, json).with_message_response();
        let created = self.client.send_once(Some(&work.state.permits), &request, budget).await;
        match created.and_then(|response| Ok(response.json::<Stored>()?)) {
            Ok(stored) => {
                self.remove(work, folder, &stored.id, budget).await?;
                Ok(true)
            }
            Err(Failure::Refused(refusal)) if refusal.has_code(INVALID_RECIPIENTS) => Ok(false),
            Err(failure) => {
                // The probe may have been created and must be removed. The next attempt starts the search again.
                if failure.is_unclear() {
                    self.remove_probes(work, folder, id, budget).await?;
                }
                // The message itself was not sent.
                Err(failure.of_a_step())
            }
        }
    }

    async fn remove_probes(
        &self,
        work: &Work<'_>,
        folder: &str,
        id: &str,
        budget: &mut RetryBudget,
    ) -> Result<(), Failure> {
        for stored in self.with_item_id(work, folder, id, budget).await? {
            self.remove(work, folder, &stored.id, budget).await?;
        }
        Ok(())
    }
}
