//! A copy: whole, once, where it belongs.

use dovecot::{MASTER_PASSWORD, Options};
use import::mailbox::{Attempt, Identity, MailboxError, Mailboxes, Message};
use item::{FilingResult, Sha256};

use crate::support::{
    ADA, BOB, FOLDER, Vault, adas, assert_one_copy, config, file, imap, imap_with, mailbox, message, server,
    server_with,
};

#[tokio::test]
async fn a_message_is_filed_byte_for_byte_read_and_with_its_own_date() {
    let server = server();
    let imap = imap(&server);
    let mailbox = mailbox(&imap, ADA).await;
    let message = message("1", 0);
    let filed = imap.file(&mailbox, &message, Attempt::First).await.unwrap();
    assert_eq!(filed.result, FilingResult::Imported);
    let copy = assert_one_copy(&server, &message);
    assert!(filed.message.ends_with(&format!("/{}", copy.uid)), "the id is the server's own");
    assert_eq!(server.copies(BOB, FOLDER).unwrap(), []);
    let subscribed = server.ask(ADA, "INBOX", "LSUB \"\" *").unwrap();
    assert!(subscribed.iter().any(|line| line.contains(FOLDER)), "mail clients show the folder: {subscribed:?}");
}

#[tokio::test]
async fn a_large_message_waits_for_the_servers_word_and_is_whole() {
    let server = server();
    let message = message("1", 3_000_000);
    file(&imap(&server), &message, Attempt::First).await.unwrap();
    assert_one_copy(&server, &message);
}

#[tokio::test]
async fn a_second_attempt_finds_the_copy_and_only_the_one() {
    let server = server();
    let imap = imap(&server);
    let message = message("1", 0);
    let first = file(&imap, &message, Attempt::First).await.unwrap();
    // A server finds everything that holds the text.
    let longer = "Message-ID: <x<1@archive.example>>\r\nDate: Sun, 1 Nov 2026 08:00:00 +0100\r\n\r\n";
    server.put(ADA, FOLDER, longer.as_bytes()).unwrap();
    let second = file(&imap, &message, Attempt::Again).await.unwrap();
    assert_eq!((second.result, second.message), (FilingResult::Skipped, first.message.clone()));
    assert_eq!(imap.holds(&adas(), &message.identity()).await.unwrap(), Some(first.message));

    let other = crate::support::message("2", 0);
    let part = Identity { message_id: "<1@archive.example", ..message.identity() };
    assert_eq!(imap.holds(&adas(), &part).await.unwrap(), None, "a part is not the whole");
    assert_eq!(imap.holds(&adas(), &other.identity()).await.unwrap(), None);
    assert_eq!(file(&imap, &other, Attempt::Again).await.unwrap().result, FilingResult::Imported);
    assert_eq!(server.copies(ADA, FOLDER).unwrap().len(), 3);
}

/// Two items that were captured of one WhatsApp message: they have one Message-ID.
#[tokio::test]
async fn an_item_is_not_taken_for_another_with_the_same_message_id() {
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
    assert_eq!(imap.holds(&adas(), &whole.identity()).await.unwrap(), None);
    let second = file(&imap, &whole, Attempt::Again).await.unwrap();
    assert_eq!(second.result, FilingResult::Imported);
    for (message, filed) in [(&bare, first), (&whole, second)] {
        let again = file(&imap, message, Attempt::Again).await.unwrap();
        assert_eq!((again.result, &again.message), (FilingResult::Skipped, &filed.message));
        assert_eq!(imap.holds(&adas(), &message.identity()).await.unwrap(), Some(filed.message));
        // Where it is not known what the copy holds, the Message-ID alone has to do.
        assert!(imap.holds(&adas(), &Identity { content: None, ..message.identity() }).await.unwrap().is_some());
    }
    assert_eq!(server.copies(ADA, FOLDER).unwrap().len(), 2);
}

#[tokio::test]
async fn a_look_makes_nothing() {
    let server = server();
    let imap = imap(&server);
    assert_eq!(imap.holds(&adas(), &message("1", 0).identity()).await.unwrap(), None);
    let folders = server.ask(ADA, "INBOX", "LIST \"\" *").unwrap();
    assert!(!folders.iter().any(|line| line.contains(FOLDER)), "{folders:?}");
}

#[tokio::test]
async fn two_functions_at_the_same_moment_make_one_folder() {
    let server = server();
    let (one, other) = (imap(&server), imap(&server));
    mailbox(&one, ADA).await;
    mailbox(&other, ADA).await;
    let (first, second) = (message("1", 0), message("2", 0));
    let (one, other) = tokio::join!(file(&one, &first, Attempt::First), file(&other, &second, Attempt::First));
    one.unwrap();
    other.unwrap();
    assert_eq!(server.copies(ADA, FOLDER).unwrap().len(), 2);
    let folders = server.ask(ADA, "INBOX", "LIST \"\" *").unwrap();
    assert_eq!(folders.iter().filter(|line| line.contains(FOLDER)).count(), 1);
}

#[tokio::test]
async fn a_folder_that_its_owner_deletes_is_made_again() {
    let server = server();
    let imap = imap(&server);
    file(&imap, &message("1", 0), Attempt::First).await.unwrap();
    server.ask(ADA, "INBOX", &format!("DELETE \"{FOLDER}\"")).unwrap();
    let message = message("2", 0);
    file(&imap, &message, Attempt::First).await.unwrap();
    assert_one_copy(&server, &message);
}

#[tokio::test]
async fn a_folder_lies_where_the_server_keeps_a_persons_own_in_whatever_letters() {
    let server = server_with(Options { namespace: Some(("INBOX.", '.')), ..Options::default() });
    let mut config = config(&server.host());
    config.folder = "Archivé 台北".to_owned();
    let imap = imap_with(config, Vault::with(MASTER_PASSWORD, None));
    let message = message("1", 0);
    file(&imap, &message, Attempt::First).await.unwrap();
    assert_eq!(file(&imap, &message, Attempt::Again).await.unwrap().result, FilingResult::Skipped);
    assert_eq!(server.copies(ADA, "INBOX.Archiv&AOk- &U,BTFw-").unwrap().len(), 1);
}

#[tokio::test]
async fn a_mailbox_without_room_is_full() {
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
async fn a_message_that_is_larger_than_the_server_takes_is_refused_for_good() {
    let server = server_with(Options { largest: Some(20_000), ..Options::default() });
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
async fn many_copies_go_over_one_connection() {
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
