//! Filing on Dovecot: each copy is complete, unique and in the right folder.

use dovecot::{MASTER_PASSWORD, Options};
use mailbox::{Attempt, Identity, MailboxError, Mailboxes, Message};
use model::{FilingResult, ItemId, Sha256};

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

/// Returns the message of an item with these fields, and with its own content digest.
fn rendered(item: &str, content: &str, named: bool, kind: &str) -> Message {
    let (message, item) = (message("1", 0), item.parse::<ItemId>().unwrap());
    let name = if named { format!("X-WA-Item: {}\r\n", item.key()) } else { String::new() };
    let digest = Sha256::of(content.as_bytes());
    let fields = format!("X-WA-Kind: {kind}\r\nX-WA-Content-SHA256: {digest}\r\n{name}MIME-Version:");
    let mime = String::from_utf8(message.mime.in_memory().to_vec()).unwrap().replacen("MIME-Version:", &fields, 1);
    Message { item, mime: mime.into(), ..message }
}

/// The source has changed the item since its copy was filed, and the outcome was deleted by age.
#[tokio::test]
async fn copy_that_names_its_item_is_found_with_another_digest() {
    let server = server();
    let imap = imap(&server);
    let first = file(&imap, &rendered("WA-1", "first", true, "text"), Attempt::First).await.unwrap();
    let mut again = rendered("WA-1", "second", true, "text");
    let found = file(&imap, &again, Attempt::Retry).await.unwrap();
    assert_eq!((found.result, found.message), (FilingResult::Skipped, first.message));
    // The digest is the same, but the copy names another item.
    let twin = rendered("WA-2", "first", true, "text");
    assert_eq!(file(&imap, &twin, Attempt::Retry).await.unwrap().result, FilingResult::Imported);
    // The sender's number has become known, so the Message-ID is another one.
    let mime = String::from_utf8(again.mime.in_memory().to_vec()).unwrap().replacen("<1@", "<other@", 1);
    (again.message_id, again.mime) = ("<other@archive.example>".to_owned(), mime.into());
    assert_eq!(file(&imap, &again, Attempt::Retry).await.unwrap().result, FilingResult::Skipped);
    assert_eq!(server.copies(ADA, FOLDER).unwrap().len(), 2);
}

/// Copies of earlier releases do not name their item.
#[tokio::test]
async fn copy_of_an_upload_is_found_without_its_item() {
    let server = server();
    let imap = imap(&server);
    let uploaded = |file: &str| format!("export/ada@example.com/{file}#0123456789abcdef0123");
    let item = uploaded("Bob.txt");
    file(&imap, &rendered(&item, "first", false, "text"), Attempt::First).await.unwrap();
    let again = rendered(&item, "second", true, "text");
    assert_eq!(file(&imap, &again, Attempt::Retry).await.unwrap().result, FilingResult::Skipped);
    // Another file of the chat, which has the picture; and an item that is not from an upload.
    for other in [rendered(&uploaded("Bob.zip"), "third", true, "image"), rendered("WA-1", "fourth", true, "text")] {
        assert_eq!(file(&imap, &other, Attempt::Retry).await.unwrap().result, FilingResult::Imported);
    }
    assert_eq!(server.copies(ADA, FOLDER).unwrap().len(), 3);
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
