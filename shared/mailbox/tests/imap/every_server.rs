//! Behaviour on every real server: Dovecot, Cyrus and Courier.

use imap_servers::{Courier, CourierOptions, PROXY, PROXY_PASSWORD};
use mailbox::{Attempt, Identity, Mailbox, MailboxError, Mailboxes, Message};
use model::{FilingResult, Sha256};

use crate::{
    outages::losing,
    support::{
        ADA, AnyServer, BOB, FOLDER, SecretStore, WITHOUT_MAILBOX, ada_mailbox, assert_outcome_unknown, config, file,
        imap_with, mailbox, message, setup,
    },
};

/// Returns a message to this many recipients, with Message-ID and digest after them: the layout of messages of earlier
/// releases.
fn message_to(item: &str, recipients: usize) -> Message {
    let message_id = format!("<{item}@archive.example>");
    let to: String = (0..recipients).map(|number| format!(" <{number}@whatsapp.invalid>,\r\n")).collect();
    let mime = format!(
        "Date: Sun, 1 Nov 2026 08:00:00 +0100\r\nFrom: <4520123456@whatsapp.invalid>\r\nTo: Ada <ada@example.com>,\r\n{to} \
         <last@whatsapp.invalid>\r\nSubject: Group\r\nMessage-ID: {message_id}\r\nX-WA-Content-SHA256: {}\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nHello\r\n",
        Sha256::of(item.as_bytes())
    );
    Message { item: item.parse().unwrap(), message_id, mime: mime.into_bytes().into() }
}

#[tokio::test]
async fn every_server_stores_the_message_unchanged() {
    for server in AnyServer::each(None) {
        let (name, imap) = (server.name(), server.imap());
        let mailbox = mailbox(&imap, ADA).await;
        for (item, more) in [("1", 0), ("2", 600_000)] {
            let message = message(item, more);
            let filed = imap.file(&mailbox, &message, Attempt::First).await.unwrap();
            assert_eq!(filed.result, FilingResult::Imported, "{name}");
            let copy = server.copies().pop().unwrap();
            assert!(copy.bytes == message.mime.in_memory()[..], "{name}: the copy differs from the message");
            assert!(copy.flags.contains("\\Seen"), "{name}");
            // Servers write the date in their own time zone.
            assert!(copy.date.contains("-Nov-2026"), "{name}: {}", copy.date);
            assert!(filed.message.ends_with(&format!("/{}", copy.uid)), "{name}");
        }
        assert_eq!(server.copies().len(), 2, "{name}");
    }
}

/// Courier refuses an APPEND to a folder that is selected read-only.
#[tokio::test]
async fn append_succeeds_after_a_lookup_on_the_same_connection() {
    for server in AnyServer::each(None) {
        let (name, imap) = (server.name(), server.imap());
        file(&imap, &message("1", 0), Attempt::First).await.unwrap();
        for item in ["2", "3"] {
            // The lookup finds no copy, so the message is stored.
            let filed = file(&imap, &message(item, 0), Attempt::Retry).await.unwrap();
            assert_eq!(filed.result, FilingResult::Imported, "{name}");
            let again = file(&imap, &message(item, 0), Attempt::Retry).await.unwrap();
            assert_eq!((again.result, again.message), (FilingResult::Skipped, filed.message), "{name}");
        }
        assert_eq!(server.copies().len(), 3, "{name}");
    }
}

#[tokio::test]
async fn lost_response_leaves_one_copy_on_every_server() {
    for server in AnyServer::each(None) {
        let name = server.name();
        let host = losing(server.port(), "APPENDUID").await;
        let imap = imap_with(config(&host), server.secrets());
        let message = message("1", 0);
        assert_outcome_unknown(&file(&imap, &message, Attempt::First).await.unwrap_err());
        let filed = file(&imap, &message, Attempt::Retry).await.unwrap();
        assert_eq!(filed.result, FilingResult::Skipped, "{name}");
        assert_eq!(server.copies().len(), 1, "{name}");
    }
}

/// Cyrus does not index a Message-ID after the first 1,000 lines of a header.
#[tokio::test]
async fn copy_is_found_behind_a_header_of_1100_recipients() {
    for server in AnyServer::each(None) {
        let (name, imap) = (server.name(), server.imap());
        let (one, other) = (message_to("1", 1100), message_to("2", 1100));
        let filed = file(&imap, &one, Attempt::First).await.unwrap();
        assert_eq!(imap.holds(&ada_mailbox(), &one.identity()).await.unwrap(), Some(filed.message), "{name}");
        assert_eq!(imap.holds(&ada_mailbox(), &other.identity()).await.unwrap(), None, "{name}");
        assert_eq!(file(&imap, &one, Attempt::Retry).await.unwrap().result, FilingResult::Skipped, "{name}");
        assert_eq!(file(&imap, &other, Attempt::Retry).await.unwrap().result, FilingResult::Imported, "{name}");
        assert_eq!(server.copies().len(), 2, "{name}");
    }
}

/// A lookup finds one copy, the deep check counts all, even if the server does not index the Message-ID.
#[tokio::test]
async fn duplicates_are_counted_on_every_server() {
    for server in AnyServer::each(None) {
        let (name, imap) = (server.name(), server.imap());
        for (item, header_lines, filings) in [("1", 0, 3), ("2", 1100, 2)] {
            let (copy, other) = (message_to(item, header_lines), message_to(&format!("{item}-other"), header_lines));
            assert!(imap.copies(&ada_mailbox(), &copy.identity()).await.unwrap().is_empty(), "{name}");
            for message in std::iter::repeat_n(&copy, filings).chain([&other]) {
                file(&imap, message, Attempt::First).await.unwrap();
            }
            let copies = imap.copies(&ada_mailbox(), &copy.identity()).await.unwrap();
            assert_eq!(copies.len(), filings, "{name}: {copies:?}");
            let ids: std::collections::HashSet<_> = copies.iter().map(|copy| &copy.message).collect();
            assert_eq!(ids.len(), filings, "{name}: {copies:?}");
            assert_eq!(imap.copies(&ada_mailbox(), &other.identity()).await.unwrap().len(), 1, "{name}");
        }
    }
}

#[tokio::test]
async fn search_hit_with_another_message_id_is_not_the_copy() {
    for server in AnyServer::each(None) {
        let (name, imap) = (server.name(), server.imap());
        let lower = message("wa-1", 0);
        let upper = Message { message_id: lower.message_id.replace("wa", "WA"), ..message("WA-1", 0) };
        file(&imap, &upper, Attempt::First).await.unwrap();
        assert_eq!(imap.holds(&ada_mailbox(), &lower.identity()).await.unwrap(), None, "{name}: case counts");
        let part = Identity { message_id: "<WA-1@archive", ..upper.identity() };
        assert_eq!(imap.holds(&ada_mailbox(), &part).await.unwrap(), None, "{name}: a part is not the whole");
        assert!(imap.holds(&ada_mailbox(), &upper.identity()).await.unwrap().is_some(), "{name}");
    }
}

#[tokio::test]
async fn mailbox_above_its_quota_is_full_on_every_server() {
    for server in AnyServer::each(Some(20)) {
        let (name, imap) = (server.name(), server.imap());
        let error = file(&imap, &message("1", 40_000), Attempt::First).await.unwrap_err();
        assert!(matches!(error, MailboxError::Full), "{name}: {error:?}");
        file(&imap, &message("2", 0), Attempt::First).await.unwrap();
    }
}

#[tokio::test]
async fn invalid_folder_name_is_a_configuration_error() {
    for server in AnyServer::each(None) {
        let name = server.name();
        // 255 characters are allowed. They take more bytes than a file name has.
        let imap = server.imap_with(|config| config.folder = "台".repeat(255));
        let error = file(&imap, &message("1", 0), Attempt::First).await.unwrap_err();
        assert!(setup(&error).contains("MAIL_FOLDER"), "{name}: {error}");
    }
}

#[tokio::test]
async fn address_without_a_mailbox_is_reported_by_every_server() {
    for server in AnyServer::each(None) {
        let imap = server.imap_with(|config| config.probe = Some(BOB.parse().unwrap()));
        assert_eq!(imap.find(&WITHOUT_MAILBOX.parse().unwrap()).await.unwrap(), None, "{}", server.name());
        mailbox(&imap, ADA).await;
    }
}

/// Courier logs in the account itself, whichever mailbox the authorization identity names.
#[tokio::test]
async fn server_that_ignores_the_named_mailbox_gets_no_copy() {
    let users = vec![ADA.to_owned(), BOB.to_owned(), PROXY.to_owned()];
    let server = Courier::start(&CourierOptions { users, quota: None }).unwrap();
    let mut config = config(&server.host());
    config.probe = Some(BOB.parse().unwrap());
    let imap = imap_with(config.clone(), SecretStore::with(dovecot::MASTER_PASSWORD, None));
    for error in [
        imap.find(&ADA.parse().unwrap()).await.unwrap_err(),
        imap.check_absent_address().await.unwrap_err(),
        file(&imap, &message("1", 0), Attempt::First).await.unwrap_err(),
    ] {
        assert!(setup(&error).contains("separator"), "{error}");
    }
    let mut account = dovecot::Client::connect(server.port(), None, PROXY, PROXY_PASSWORD).unwrap();
    assert!(account.copies(&format!("INBOX.{FOLDER}")).unwrap().is_empty());

    let imap = imap_with(config, SecretStore::with(dovecot::MASTER_PASSWORD, Some('*')));
    imap.check_absent_address().await.unwrap();
    mailbox(&imap, ADA).await;
    file(&imap, &message("1", 0), Attempt::First).await.unwrap();
    assert_eq!(server.copies(ADA, FOLDER).unwrap().len(), 1);
}

/// Cyrus lets a proxy account log in as any name. The personal namespace NIL says that there is no mailbox.
#[tokio::test]
async fn login_without_a_personal_namespace_is_no_mailbox() {
    let [_, server, _] = AnyServer::each(None);
    let imap = server.imap();
    let absent = WITHOUT_MAILBOX.parse().unwrap();
    assert_eq!(imap.find(&absent).await.unwrap(), None);
    let mailbox = Mailbox { id: WITHOUT_MAILBOX.to_owned(), address: absent.clone(), primary: absent };
    let error = imap.file(&mailbox, &message("1", 0), Attempt::First).await.unwrap_err();
    assert!(matches!(error, MailboxError::NoMailbox { .. }), "{error:?}");

    // If the probe mailbox does not exist either, the server is wrong and the item waits.
    let imap = server.imap_with(|config| config.probe = Some("absent@example.com".parse().unwrap()));
    assert!(setup(&imap.find(&WITHOUT_MAILBOX.parse().unwrap()).await.unwrap_err()).contains("IMAP_PROBE_MAILBOX"));
}

#[tokio::test]
async fn mailbox_id_stays_the_same_after_a_rename() {
    let [_, server, _] = AnyServer::each(None);
    let imap = server.imap();
    let before = mailbox(&imap, ADA).await;
    let message = message("1", 0);
    imap.file(&before, &message, Attempt::First).await.unwrap();
    let AnyServer::Cyrus(cyrus) = &server else { panic!("not Cyrus") };
    let renamed = "ada.byron@example.com";
    cyrus.admin().unwrap().run(&format!("RENAME \"user/{ADA}\" \"user/{renamed}\"")).unwrap();
    let after = mailbox(&server.imap(), renamed).await;
    assert_eq!(after.id, before.id);
    assert_ne!(after.id, mailbox(&imap, BOB).await.id);
    let again = server.imap().file(&after, &message, Attempt::Retry).await.unwrap();
    assert_eq!(again.result, FilingResult::Skipped);
}

#[tokio::test]
async fn deleted_folder_is_created_again_on_every_server() {
    for server in AnyServer::each(None) {
        let (name, imap) = (server.name(), server.imap());
        file(&imap, &message("1", 0), Attempt::First).await.unwrap();
        let path = match server {
            AnyServer::Dovecot(_) => "WhatsApp Archiver",
            AnyServer::Cyrus(_) => "INBOX/WhatsApp Archiver",
            AnyServer::Courier(_) => "INBOX.WhatsApp Archiver",
        };
        server.client().run(&format!("DELETE \"{path}\"")).unwrap();
        file(&imap, &message("2", 0), Attempt::First).await.unwrap();
        assert_eq!(server.copies().len(), 1, "{name}");
    }
}
