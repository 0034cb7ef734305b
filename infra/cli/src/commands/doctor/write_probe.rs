//! `--write-probe`: checks that the lookups of import find a message that was created.

use aws::secrets::Secrets;
use mailbox::{GraphSettings, MailboxSettings, Mailboxes, graph::WriteProbe};
use model::MailboxAddress;

use super::finding::Finding;
use crate::connection::Connection;

pub(super) const CHECK: &str = "write probe";

/// Creates, finds and deletes a message in the mailbox.
pub(super) async fn check(connection: &Connection, settings: MailboxSettings, address: &MailboxAddress) -> Finding {
    match settings {
        MailboxSettings::Graph(settings) => graph(connection, *settings, address).await,
        MailboxSettings::Imap(_) | MailboxSettings::Maildir(_) => {
            Finding::skipped(CHECK, "not checked: only with MAILBOX=graph or graph-import-mime")
        }
    }
}

async fn graph(connection: &Connection, settings: GraphSettings, address: &MailboxAddress) -> Finding {
    let graph = match settings.connect(Secrets::new(&connection.config)) {
        Ok(graph) => graph,
        Err(error) => return Finding::error(CHECK, error),
    };
    let mailbox = match graph.find(address).await {
        Ok(Some(mailbox)) => mailbox,
        Ok(None) => {
            let remedy = "name a mailbox that the application has access to";
            return Finding::not_ok(CHECK, format!("{address} lacks a mailbox that Graph can reach"), remedy);
        }
        Err(error) => return Finding::error(CHECK, error),
    };
    match graph.write_probe(&mailbox).await {
        Ok(probe) => finding(address, &probe),
        Err(error) => Finding::not_ok(
            CHECK,
            error.to_string(),
            "fix what the error names; if a message named `WhatsApp Archiver: write probe` is in the mailbox, delete it",
        ),
    }
}

fn finding(address: &MailboxAddress, probe: &WriteProbe) -> Finding {
    let lookups = [("Message-ID", probe.found_by_message_id), ("the property ArchiveItemId", probe.found_by_item_id)];
    let failed: Vec<_> = lookups.into_iter().filter(|(_, found)| !found).map(|(lookup, _)| lookup).collect();
    if !failed.is_empty() {
        return Finding::not_ok(
            CHECK,
            format!("a message that was created in {address} is not found by {}; it was deleted", failed.join(" and ")),
            "do not enable the schedule: a retry would file a second copy. Try again in an hour; if the lookup still fails, contact \
             Microsoft's support, or use MAILBOX=imap",
        );
    }
    if probe.lacks_message_class {
        return Finding::warning(
            CHECK,
            "the mail system rejects the message class: copies are filed as IPM.Note",
            "a search for kind:externaldata does not find them: search by sender and recipient address, or set GraphMessageClass to IPM.Note",
        );
    }
    Finding::ok(CHECK, format!("a message was created in {address}, found by both lookups, and deleted"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Verdict;

    #[test]
    fn write_probe_finding_names_each_failed_lookup() {
        let address: MailboxAddress = "ada@example.com".parse().unwrap();
        let found = |message_id, item_id, lacks_message_class| {
            let probe = WriteProbe { found_by_message_id: message_id, found_by_item_id: item_id, lacks_message_class };
            let finding = finding(&address, &probe);
            (finding.verdict, finding.detail)
        };
        assert_eq!(found(true, true, false).0, Verdict::Ok);
        assert_eq!(found(true, true, true).0, Verdict::Warning);
        let (verdict, detail) = found(false, false, false);
        assert!(verdict == Verdict::NotOk && detail.contains("Message-ID and the property ArchiveItemId"), "{detail}");
        assert!(found(true, false, true).1.contains("not found by the property ArchiveItemId"));
    }
}
