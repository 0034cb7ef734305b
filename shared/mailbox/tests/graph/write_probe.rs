//! The write probe of `archiver doctor`.

use graph_fake::{CLIENT_SECRET, Fault, Kind, On, Quirks};
use mailbox::graph::Way;

use crate::support::{ADA, SecretStore, config, graph, graph_with, mailbox, tenant};

#[tokio::test]
async fn write_probe_creates_finds_and_deletes_a_message() {
    let fake = tenant().await;
    let graph = graph(&fake);
    let ada = mailbox(&graph, ADA).await;
    let probe = graph.write_probe(&ada).await.unwrap();
    assert!(probe.is_sound() && !probe.lacks_message_class, "{probe:?}");
    assert_eq!((fake.count(Kind::MessageCreate), fake.count(Kind::MessageDelete)), (1, 1));
    assert!(fake.messages(ADA).is_empty());
}

/// A tenant in which lookups find nothing.
#[tokio::test]
async fn write_probe_reports_a_lookup_that_finds_nothing() {
    for (nth, expected) in [(1, (false, true)), (2, (true, false))] {
        let fake = tenant().await;
        let graph = graph(&fake);
        let ada = mailbox(&graph, ADA).await;
        let nothing = Fault::Respond { status: 200, headers: Vec::new(), body: br#"{"value":[]}"#.to_vec() };
        fake.fault(On::kind(Kind::MessageSearch).nth(nth), nothing);
        let probe = graph.write_probe(&ada).await.unwrap();
        assert_eq!((probe.found_by_message_id, probe.found_by_item_id), expected);
        assert!(!probe.is_sound() && fake.messages(ADA).is_empty(), "the message is deleted nevertheless");
    }
}

#[tokio::test]
async fn write_probe_reports_a_message_without_its_class() {
    let fake = tenant().await;
    fake.set_quirks(Quirks { refuses_message_class: true, ..Quirks::default() });
    let graph = graph(&fake);
    let ada = mailbox(&graph, ADA).await;
    assert!(graph.write_probe(&ada).await.unwrap().lacks_message_class);
    assert!(fake.messages(ADA).is_empty());
}

/// importMime sets no ArchiveItemId, so that lookup needs a message that is created from JSON.
#[tokio::test]
async fn write_probe_of_import_mime_checks_both_lookups() {
    for (nth, expected) in
        [(None, (true, true)), (Some(1), (false, true)), (Some(2), (true, true)), (Some(4), (true, false))]
    {
        let fake = tenant().await;
        fake.grant_mime_import();
        let mut config = config(&fake);
        config.way = Way::Mime;
        let graph = graph_with(config, SecretStore::with(CLIENT_SECRET));
        let ada = mailbox(&graph, ADA).await;
        if let Some(nth) = nth {
            let nothing = Fault::Respond { status: 200, headers: Vec::new(), body: br#"{"value":[]}"#.to_vec() };
            fake.fault(On::kind(Kind::MessageSearch).nth(nth), nothing);
        }
        let probe = graph.write_probe(&ada).await.unwrap();
        assert_eq!((probe.found_by_message_id, probe.found_by_item_id), expected, "{nth:?}");
        assert_eq!((fake.count(Kind::MimeImport), fake.count(Kind::MessageCreate)), (1, 1));
        assert!(fake.messages(ADA).is_empty());
    }
}
