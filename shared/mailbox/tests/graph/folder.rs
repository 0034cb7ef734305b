//! The archive folder.

use std::time::Duration;

use graph_fake::{CLIENT_SECRET, Fault, Gate, GraphFake, Kind, On, Quirks, Refusal, User};
use mailbox::{Attempt, MailboxError, Mailboxes};

use crate::support::{ADA, FOLDER, SecretStore, bytes, config, file, graph, graph_with, mailbox, message, tenant};

#[tokio::test]
async fn folder_is_created_once_and_not_by_a_lookup() {
    let fake = tenant().await;
    let graph = graph(&fake);
    let ada = mailbox(&graph, ADA).await;
    assert!(fake.visible_folders(ADA).is_empty());
    for item in ["1", "2"] {
        graph.file(&ada, &message(item, &[]), Attempt::First).await.unwrap();
    }
    assert_eq!(fake.visible_folders(ADA), [FOLDER]);
    assert_eq!((fake.count(Kind::FolderSearch), fake.count(Kind::FolderCreate)), (2, 1));
}

#[tokio::test]
async fn existing_folder_is_used_in_any_case() {
    let fake = tenant().await;
    let mut other = config(&fake);
    other.folder = "whatsapp archiver".into();
    file(&graph_with(other, SecretStore::with(CLIENT_SECRET)), &message("1", &[]), Attempt::First).await.unwrap();
    file(&graph(&fake), &message("2", &[]), Attempt::First).await.unwrap();
    assert_eq!(fake.visible_folders(ADA), ["whatsapp archiver"]);
    assert_eq!(fake.visible(ADA).len(), 2);
}

#[tokio::test]
async fn folder_name_may_contain_a_quote() {
    let fake = tenant().await;
    for item in ["1", "2"] {
        let mut config = config(&fake);
        config.folder = "Ada's archive & more + 100%".into();
        file(&graph_with(config, SecretStore::with(CLIENT_SECRET)), &message(item, &[]), Attempt::First).await.unwrap();
    }
    assert_eq!(fake.visible_folders(ADA), ["Ada's archive & more + 100%"]);
}

/// Two functions find no folder, and both create it.
#[tokio::test]
async fn concurrent_filings_create_one_folder() {
    let fake = tenant().await;
    let (one, other) = (graph(&fake), graph(&fake));
    let (ada, same) = (mailbox(&one, ADA).await, mailbox(&other, ADA).await);
    let gate = Gate::default();
    fake.fault(On::kind(Kind::FolderCreate).times(2), Fault::HoldBefore(gate.clone()));
    let (first, second) = (message("1", &[]), message("2", &[]));
    let (one, other, ()) =
        tokio::join!(one.file(&ada, &first, Attempt::First), other.file(&same, &second, Attempt::First), async {
            gate.reached(2).await;
            gate.open();
        });
    one.unwrap();
    other.unwrap();
    assert_eq!(fake.visible_folders(ADA), [FOLDER]);
    assert_eq!(fake.visible(ADA).len(), 2);
}

#[tokio::test]
async fn existing_folder_is_recognized_in_a_400_response() {
    let fake = tenant().await;
    fake.fault(On::kind(Kind::FolderCreate), Fault::DoAndRefuse(Refusal::new(400, "ErrorFolderExists")));
    file(&graph(&fake), &message("1", &[]), Attempt::First).await.unwrap();
    assert_eq!(fake.visible_folders(ADA), [FOLDER]);
}

#[tokio::test]
async fn permanently_deleted_folder_is_created_again_immediately() {
    let fake = tenant().await;
    let graph = graph(&fake);
    file(&graph, &message("1", &[]), Attempt::First).await.unwrap();
    fake.remove_folder(ADA, FOLDER);
    file(&graph, &message("2", &[]), Attempt::First).await.unwrap();
    assert_eq!(fake.visible(ADA).len(), 1);
}

/// A folder in Deleted Items keeps its id and accepts messages.
#[tokio::test]
async fn folder_in_deleted_items_is_replaced_when_its_id_expires() {
    let fake = tenant().await;
    let mut config = config(&fake);
    config.folder_ttl = Duration::ZERO;
    let graph = graph_with(config, SecretStore::with(CLIENT_SECRET));
    let big = bytes(1, 4_200_000);
    let files: [(&str, &[u8]); 1] = [("a", &big)];
    file(&graph, &message("1", &files), Attempt::First).await.unwrap();
    fake.delete_folder(ADA, FOLDER);
    assert_eq!((fake.visible(ADA).len(), fake.messages(ADA).len()), (0, 1));
    file(&graph, &message("2", &files), Attempt::First).await.unwrap();
    file(&graph, &message("3", &[]), Attempt::First).await.unwrap();
    assert_eq!((fake.visible_folders(ADA), fake.visible(ADA).len()), (vec![FOLDER.to_owned()], 2));
}

#[tokio::test]
async fn lookup_finds_the_copy_and_creates_nothing() {
    let fake = tenant().await;
    let graph = graph(&fake);
    let ada = mailbox(&graph, ADA).await;
    let holds = async |item: &str| graph.holds(&ada, &message(item, &[]).identity()).await;
    assert_eq!(holds("1").await.unwrap(), None);
    assert!(fake.visible_folders(ADA).is_empty(), "the lookup creates no folder");
    let filed = graph.file(&ada, &message("1", &[]), Attempt::First).await.unwrap();
    assert_eq!(holds("1").await.unwrap(), Some(filed.message));
    assert_eq!(holds("2").await.unwrap(), None);
    // The folder whose id is cached is deleted, and then created again.
    fake.remove_folder(ADA, FOLDER);
    assert_eq!(holds("1").await.unwrap(), None);
    file(&self::graph(&fake), &message("2", &[]), Attempt::First).await.unwrap();
    assert_eq!((holds("1").await.unwrap(), holds("2").await.unwrap().is_some()), (None, true));
    let changes = [Kind::MessageDelete, Kind::FolderCreate].map(|kind| fake.count(kind));
    assert_eq!(changes, [0, 2], "only filings create folders");
}

/// An incomplete message, or a message that Exchange has turned into a draft, is not a copy.
#[tokio::test]
async fn draft_is_not_a_copy_and_lookup_does_not_remove_it() {
    let fake = tenant().await;
    fake.set_quirks(Quirks { makes_drafts: true, ..Quirks::default() });
    let graph = graph(&fake);
    let ada = mailbox(&graph, ADA).await;
    fake.fault(On::kind(Kind::MessageDelete).times(100), Fault::Refuse(Refusal::new(403, "ErrorAccessDenied")));
    assert!(graph.file(&ada, &message("1", &[]), Attempt::First).await.is_err());
    assert!(fake.messages(ADA).iter().any(|message| message.is_draft));
    let deletes = fake.count(Kind::MessageDelete);
    assert_eq!(graph.holds(&ada, &message("1", &[]).identity()).await.unwrap(), None);
    assert_eq!(fake.count(Kind::MessageDelete), deletes);
}

#[tokio::test]
async fn search_folder_with_the_name_is_not_the_archive_folder() {
    let fake = GraphFake::start().await.unwrap();
    fake.add(User::new(ADA).search_folder(FOLDER).folder(FOLDER));
    file(&graph(&fake), &message("1", &[]), Attempt::First).await.unwrap();
    assert_eq!((fake.visible(ADA).len(), fake.count(Kind::FolderCreate)), (1, 0));

    let fake = GraphFake::start().await.unwrap();
    fake.add(User::new(ADA).search_folder(FOLDER));
    let error = file(&graph(&fake), &message("1", &[]), Attempt::First).await.unwrap_err();
    assert!(matches!(&error, MailboxError::Configuration { detail } if detail.contains("MAIL_FOLDER")), "{error:?}");
}

#[tokio::test]
async fn copies_are_counted_and_those_without_the_class_are_reported() {
    let fake = tenant().await;
    let graph = graph(&fake);
    let ada = mailbox(&graph, ADA).await;
    let message = message("1", &[]);
    assert!(graph.copies(&ada, &message.identity()).await.unwrap().is_empty());
    graph.file(&ada, &message, Attempt::First).await.unwrap();
    fake.set_quirks(Quirks { refuses_message_class: true, ..Quirks::default() });
    graph.file(&ada, &message, Attempt::First).await.unwrap();
    let copies = graph.copies(&ada, &message.identity()).await.unwrap();
    assert_eq!(copies.iter().map(|copy| copy.lacks_message_class).collect::<Vec<_>>(), [false, true]);
    assert_eq!(graph.holds(&ada, &message.identity()).await.unwrap().as_ref(), Some(&copies[0].message));
}

#[tokio::test]
async fn copy_is_found_behind_many_with_the_same_message_id() {
    let fake = tenant().await;
    let graph = graph(&fake);
    let ada = mailbox(&graph, ADA).await;
    for item in 0..23 {
        let mut other = message("1", &[]);
        other.item = format!("OTHER-{item}").parse().unwrap();
        graph.file(&ada, &other, Attempt::First).await.unwrap();
    }
    let ours = message("1", &[]);
    let filed = graph.file(&ada, &ours, Attempt::First).await.unwrap();
    assert_eq!(graph.holds(&ada, &ours.identity()).await.unwrap(), Some(filed.message), "on the third page");
}

#[tokio::test]
async fn message_id_is_compared_with_its_case() {
    let fake = tenant().await;
    fake.grant_mime_import();
    let mut config = config(&fake);
    config.way = mailbox::graph::Way::Mime;
    let graph = graph_with(config, SecretStore::with(CLIENT_SECRET));
    let ada = mailbox(&graph, ADA).await;
    graph.file(&ada, &message("wa-1", &[]), Attempt::First).await.unwrap();
    assert_eq!(graph.holds(&ada, &message("WA-1", &[]).identity()).await.unwrap(), None);
}
