//! importMime, and the fallback to JSON.

use graph_fake::{CLIENT_SECRET, Fault, GraphFake, Kind, On, Quirks, Refusal};
use mailbox::{
    Attempt, MailboxError, Mailboxes,
    graph::{Graph, Way},
};
use model::FilingResult;

use crate::support::{
    ADA, FOLDER, SecretStore, assert_one_complete_copy, bytes, config, file, file_with_retry, graph_with, mailbox,
    message, tenant,
};

async fn importing() -> (GraphFake, Graph) {
    let fake = tenant().await;
    fake.grant_mime_import();
    let mut config = config(&fake);
    config.way = Way::Mime;
    let graph = graph_with(config, SecretStore::with(CLIENT_SECRET));
    (fake, graph)
}

#[tokio::test]
async fn message_is_imported_unchanged_with_one_request() {
    let (fake, graph) = importing().await;
    let message = message("1", &[("a.bin", &bytes(1, 5000))]);
    let filed = file(&graph, &message, Attempt::First).await.unwrap();
    let stored = &fake.visible(ADA)[0];
    assert_eq!((filed.message, filed.result), (stored.id.clone(), FilingResult::Imported));
    assert_eq!(stored.mime.as_deref(), Some(&message.mime.in_memory()[..]));
    assert_eq!((stored.folder.as_str(), stored.is_draft), (FOLDER, false));
    assert_eq!((fake.count(Kind::MimeImport), fake.count(Kind::MessageCreate)), (1, 0));
    assert_eq!(graph.holds(&mailbox(&graph, ADA).await, &message.identity()).await.unwrap(), Some(stored.id.clone()));
}

#[tokio::test]
async fn retry_finds_the_imported_copy() {
    let (fake, graph) = importing().await;
    let message = message("1", &[]);
    file(&graph, &message, Attempt::First).await.unwrap();
    assert_eq!(file(&graph, &message, Attempt::Retry).await.unwrap().result, FilingResult::Skipped);
    assert_eq!(fake.visible(ADA).len(), 1);
}

#[tokio::test]
async fn lost_response_of_an_import_makes_no_second_copy() {
    for fault in [Fault::LoseResponse, Fault::DoAndRefuse(Refusal::new(503, "ErrorServerBusy")), Fault::Reset] {
        let (fake, graph) = importing().await;
        fake.fault(On::kind(Kind::MimeImport), fault);
        file_with_retry(&graph, &message("1", &[]), Attempt::First).await.unwrap();
        assert_eq!(fake.visible(ADA).len(), 1);
    }
}

#[tokio::test]
async fn message_too_large_for_import_is_created_from_json() {
    let file_ = bytes(1, 60_000);
    let large: &[(&str, &[u8])] = &[("a.bin", &file_)];
    let refused = Refusal::new(400, "ErrorMessageSizeExceeded");
    for (quirks, fault) in [
        (Quirks { max_mime_bytes: Some(50_000), ..Quirks::default() }, None),
        (Quirks::default(), Some(Fault::Refuse(refused))),
    ] {
        let (fake, graph) = importing().await;
        fake.set_quirks(quirks);
        if let Some(fault) = fault {
            fake.fault(On::kind(Kind::MimeImport), fault);
        }
        file(&graph, &message("1", large), Attempt::First).await.unwrap();
        assert_one_complete_copy(&fake, large);
        assert_eq!(fake.visible(ADA)[0].mime, None);
        // The next message is imported again.
        file(&graph, &message("2", &[]), Attempt::First).await.unwrap();
        assert!(fake.visible(ADA)[1].mime.is_some());
    }
}

#[tokio::test]
async fn missing_permission_is_a_configuration_error() {
    let fake = tenant().await;
    let mut config = config(&fake);
    config.way = Way::Mime;
    let graph = graph_with(config, SecretStore::with(CLIENT_SECRET));
    let error = file(&graph, &message("1", &[]), Attempt::First).await.unwrap_err();
    assert!(matches!(&error, MailboxError::Configuration { detail } if detail.contains("Mail-Advanced")), "{error:?}");
    assert_eq!(fake.visible(ADA).len(), 0);
}

#[tokio::test]
async fn imported_draft_or_message_of_another_time_is_removed() {
    let (draft, time) =
        (Quirks { makes_drafts: true, ..Quirks::default() }, Quirks { ignores_dates: true, ..Quirks::default() });
    // The message is also checked if the response is lost and the lookup finds it.
    for (quirks, fault) in [(draft, None), (time, None), (time, Some(Fault::LoseResponse))] {
        let (fake, graph) = importing().await;
        fake.set_quirks(quirks);
        if let Some(fault) = fault {
            fake.fault(On::kind(Kind::MimeImport), fault);
        }
        let error = file(&graph, &message("1", &[]), Attempt::First).await.unwrap_err();
        assert!(matches!(error, MailboxError::Configuration { .. }), "{error:?}");
        assert_eq!(fake.messages(ADA).len(), 0);
    }
}

#[tokio::test]
async fn import_recreates_a_deleted_folder_when_throttled() {
    let (fake, graph) = importing().await;
    file(&graph, &message("1", &[]), Attempt::First).await.unwrap();
    fake.remove_folder(ADA, FOLDER);
    fake.fault(On::kind(Kind::MimeImport).nth(2), Fault::Refuse(Refusal::new(429, "ApplicationThrottled")));
    file(&graph, &message("2", &[]), Attempt::First).await.unwrap();
    assert_eq!(fake.visible(ADA).len(), 1);
}
