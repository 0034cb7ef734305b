//! Two items of one WhatsApp message have one Message-ID and separate copies.

use graph_fake::{CLIENT_SECRET, Kind};
use mailbox::{Attempt, Mailboxes, Message, graph::Way};
use model::{FilingResult, Sha256};

use crate::support::{ADA, SecretStore, bytes, config, file, graph_with, mailbox, message, tenant};

/// Creates an item that was captured from the shared WhatsApp message.
fn captured(item: &str, files: &[(&str, &[u8])]) -> Message {
    let message = message("1", files);
    let content = format!("X-WA-Content-SHA256: {}\r\nMIME-Version:", Sha256::of(item.as_bytes()));
    let mime = String::from_utf8(message.mime.in_memory().to_vec()).unwrap().replacen("MIME-Version:", &content, 1);
    Message { item: item.parse().unwrap(), mime: mime.into(), ..message }
}

#[tokio::test]
async fn items_with_one_message_id_are_distinct() {
    let big = bytes(1, 4_200_000);
    for (way, picture) in [(Way::Json, &b"x"[..]), (Way::Json, &big), (Way::Mime, b"x")] {
        let fake = tenant().await;
        fake.grant_mime_import();
        let mut config = config(&fake);
        config.way = way;
        let graph = graph_with(config, SecretStore::with(CLIENT_SECRET));
        let ada = mailbox(&graph, ADA).await;
        let (bare, whole) = (captured("WA-1", &[]), captured("WA-2", &[("a.jpg", picture)]));
        assert_eq!(bare.message_id, whole.message_id);

        let first = file(&graph, &bare, Attempt::First).await.unwrap();
        assert_eq!(graph.holds(&ada, &whole.identity()).await.unwrap(), None);
        let second = file(&graph, &whole, Attempt::Retry).await.unwrap();
        assert_eq!(second.result, FilingResult::Imported, "the item with the picture had no copy yet");
        assert_ne!(first.message, second.message);

        for (message, filed) in [(&bare, &first), (&whole, &second)] {
            let again = file(&graph, message, Attempt::Retry).await.unwrap();
            assert_eq!((again.result, &again.message), (FilingResult::Skipped, &filed.message));
            assert_eq!(graph.holds(&ada, &message.identity()).await.unwrap().as_ref(), Some(&filed.message));
        }
        assert_eq!(fake.visible(ADA).len(), 2);
    }
}

/// A copy that was filed by one method is found by the other.
#[tokio::test]
async fn copy_is_recognized_after_json_and_mime_filing() {
    let fake = tenant().await;
    fake.grant_mime_import();
    let message = captured("WA-1", &[]);
    for (way, other) in [(Way::Json, Way::Mime), (Way::Mime, Way::Json)] {
        let [way, other] = [way, other].map(|way| {
            let mut config = config(&fake);
            config.way = way;
            graph_with(config, SecretStore::with(CLIENT_SECRET))
        });
        let first = file(&way, &message, Attempt::Retry).await.unwrap();
        let again = file(&other, &message, Attempt::Retry).await.unwrap();
        assert_eq!((again.result, again.message), (FilingResult::Skipped, first.message));
    }
    assert_eq!(fake.visible(ADA).len(), 1);
    assert_eq!(fake.count(Kind::MessageGet), 0, "a message from JSON has its item id in a property");
}

/// Without a digest the message is taken for the copy.
#[tokio::test]
async fn copy_without_a_digest_is_recognized_by_message_id() {
    let fake = tenant().await;
    fake.grant_mime_import();
    let mut config = config(&fake);
    config.way = Way::Mime;
    let graph = graph_with(config, SecretStore::with(CLIENT_SECRET));
    let silent = message("1", &[]);
    file(&graph, &silent, Attempt::First).await.unwrap();
    let again = file(&graph, &captured("WA-1", &[]), Attempt::Retry).await.unwrap();
    assert_eq!((again.result, fake.visible(ADA).len()), (FilingResult::Skipped, 1));
}
