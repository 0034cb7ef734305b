//! Filing on Dovecot: each copy is complete, unique and in the right folder.

use dovecot::{MASTER_PASSWORD, Options};
use mailbox::{Attempt, Identity, MailboxError, Mailboxes, Message};
use model::{FilingResult, Sha256};

use crate::support::{
    ADA, BOB, FOLDER, SecretStore, ada_mailbox, assert_one_copy, config, file, imap, imap_with, mailbox, message,
    server, server_with,
};

#[tokio::test]
async fn copy_is_the_message_with_its_own_date_and_flag() {
    let server = server();
    let imap = imap(&server);
    let mailbox = mailbox(&imap, ADA).await;
    let message = message("1", 0);
    let filed = imap.file(&mailbox, &message, Attempt::First).await.unwrap();
    assert_eq!(filed.result, FilingResult::Imported);
    let copy = assert_one_copy(&server, &message);
    assert!(filed.message.ends_with(&format!("/{}", copy.uid)), "the id is the server's UID");
    assert_eq!(server.copies(BOB, FOLDER).unwrap(), []);
    let subscribed = server.run_in(ADA, "INBOX", "LSUB \"\" *").unwrap();
    assert!(subscribed.iter().any(|line| line.contains(FOLDER)), "mail clients show the folder: {subscribed:?}");
}

#[tokio::test]
async fn large_message_is_stored_after_the_continuation() {
    let server = server();
    let message = message("1", 3_000_000);
    file(&imap(&server), &message, Attempt::First).await.unwrap();
    assert_one_copy(&server, &message);
}

#[tokio::test]
async fn second_attempt_finds_exactly_its_copy() {
    let server = server();
    let imap = imap(&server);
    let message = message("1", 0);
    let first = file(&imap, &message, Attempt::First).await.unwrap();
    // A search finds every message that contains the text.
    let longer = "Message-ID: <x<1@archive.example>>\r\nDate: Sun, 1 Nov 2026 08:00:00 +0100\r\n\r\n";
    server.put(ADA, FOLDER, longer.as_bytes()).unwrap();
    let second = file(&imap, &message, Attempt::Retry).await.unwrap();
    assert_eq!((second.result, second.message), (FilingResult::Skipped, first.message.clone()));
    assert_eq!(imap.holds(&ada_mailbox(), &message.identity()).await.unwrap(), Some(first.message));

    let other = crate::support::message("2", 0);
    let part = Identity { message_id: "<1@archive.example", ..message.identity() };
    assert_eq!(imap.holds(&ada_mailbox(), &part).await.unwrap(), None, "a part is not the Message-ID");
    assert_eq!(imap.holds(&ada_mailbox(), &other.identity()).await.unwrap(), None);
    assert_eq!(file(&imap, &other, Attempt::Retry).await.unwrap().result, FilingResult::Imported);
    assert_eq!(server.copies(ADA, FOLDER).unwrap().len(), 3);
}

/// Two items were captured from one WhatsApp message and share its Message-ID.
#[tokio::test]
async fn copies_of_two_items_with_one_message_id_are_distinct() {
    let captured = |item: &str| {
        let message = message("1", 0);
        let content = format!("X-WA-Content-SHA256: {}\r\nMIME-Version:", Sha256::of(item.as_bytes()));
        let mime = String::from_utf8(message.mime.in_memory().to_vec()).unwrap().replacen("MIME-Version:", &content, 1);
        Message { item: item.parse().unwrap(), mime: mime.into(), ..message }
    };
    let server = server();
    let imap = imap(&server);
    let (bare, whole) = (captured("WA-1"), captured("WA-2"));
    let first = file(&imap, &bare, Attempt::First).await.unwrap();
    assert_eq!(imap.holds(&ada_mailbox(), &whole.identity()).await.unwrap(), None);
    let second = file(&imap, &whole, Attempt::Retry).await.unwrap();
    assert_eq!(second.result, FilingResult::Imported);
    for (message, filed) in [(&bare, first), (&whole, second)] {
        let again = file(&imap, message, Attempt::Retry).await.unwrap();
        assert_eq!((again.result, &again.message), (FilingResult::Skipped, &filed.message));
        assert_eq!(imap.holds(&ada_mailbox(), &message.identity()).await.unwrap(), Some(filed.message));
        // If the digest is unknown, the Message-ID alone identifies the copy.
        assert!(imap.holds(&ada_mailbox(), &Identity { content: None, ..message.identity() }).await.unwrap().is_some());
    }
    assert_eq!(server.copies(ADA, FOLDER).unwrap().len(), 2);
}

#[tokio::test]
async fn lookup_creates_nothing() {
    let server = server();
    let imap = imap(&server);
    assert_eq!(imap.holds(&ada_mailbox(), &message("1", 0).identity()).await.unwrap(), None);
    let folders = server.run_in(ADA, "INBOX", "LIST \"\" *").unwrap();
    assert!(!folders.iter().any(|line| line.contains(FOLDER)), "{folders:?}");
}

#[tokio::test]
async fn two_concurrent_filings_create_one_folder() {
    let server = server();
    let (one, other) = (imap(&server), imap(&server));
    mailbox(&one, ADA).await;
    mailbox(&other, ADA).await;
    let (first, second) = (message("1", 0), message("2", 0));
    let (one, other) = tokio::join!(file(&one, &first, Attempt::First), file(&other, &second, Attempt::First));
    one.unwrap();
    other.unwrap();
    assert_eq!(server.copies(ADA, FOLDER).unwrap().len(), 2);
    let folders = server.run_in(ADA, "INBOX", "LIST \"\" *").unwrap();
    assert_eq!(folders.iter().filter(|line| line.contains(FOLDER)).count(), 1);
}

#[tokio::test]
async fn deleted_folder_is_created_again() {
    let server = server();
    let imap = imap(&server);
    file(&imap, &message("1", 0), Attempt::First).await.unwrap();
    server.run_in(ADA, "INBOX", &format!("DELETE \"{FOLDER}\"")).unwrap();
    let message = message("2", 0);
    file(&imap, &message, Attempt::First).await.unwrap();
    assert_one_copy(&server, &message);
}

#[tokio::test]
async fn folder_is_created_below_the_namespace_in_any_script() {
    let server = server_with(Options { namespace: Some(("INBOX.", '.')), ..Options::default() });
    let mut config = config(&server.host());
    config.folder = "Archivé 台北".to_owned();
    let imap = imap_with(config, SecretStore::with(MASTER_PASSWORD, None));
    let message = message("1", 0);
    file(&imap, &message, Attempt::First).await.unwrap();
    assert_eq!(file(&imap, &message, Attempt::Retry).await.unwrap().result, FilingResult::Skipped);
    assert_eq!(server.copies(ADA, "INBOX.Archiv&AOk- &U,BTFw-").unwrap().len(), 1);
}

#[tokio::test]
async fn mailbox_above_its_quota_is_full() {
    let server = server_with(Options { quota: Some(20_000), ..Options::default() });
    let imap = imap(&server);
    for message in [message("1", 40_000), message("2", 400_000)] {
        let error = file(&imap, &message, Attempt::First).await.unwrap_err();
        assert!(matches!(error, MailboxError::Full), "{error:?}");
    }
    let small = message("3", 0);
    file(&imap, &small, Attempt::First).await.unwrap();
    assert_one_copy(&server, &small);
}

#[tokio::test]
async fn message_above_the_size_limit_is_rejected() {
    let server = server_with(Options { max_message_bytes: Some(20_000), ..Options::default() });
    let imap = imap(&server);
    for message in [message("1", 40_000), message("2", 400_000)] {
        let error = file(&imap, &message, Attempt::First).await.unwrap_err();
        assert!(matches!(error, MailboxError::Rejected { .. }), "{error:?}");
    }
    let small = message("3", 0);
    file(&imap, &small, Attempt::First).await.unwrap();
    assert_one_copy(&server, &small);
}

#[tokio::test]
async fn two_hundred_copies_use_one_connection() {
    let server = server();
    let imap = imap(&server);
    mailbox(&imap, ADA).await;
    let messages: Vec<_> = (0..200).map(|number| message(&number.to_string(), 0)).collect();
    let filings = messages.iter().map(|message| file(&imap, message, Attempt::First));
    let filed = futures::future::join_all(filings).await;
    assert!(filed.iter().all(Result::is_ok));
    assert_eq!(server.logins(), 1);
    assert_eq!(server.copies(ADA, FOLDER).unwrap().len(), 200);
}
