//! Two items of one WhatsApp message have one Message-ID and separate copies.

use graph_fake::{CLIENT_SECRET, Fault, Kind, On, Quirks};
use mailbox::{Attempt, Mailboxes, Message, graph::Way};
use model::{FilingResult, Sha256};

use crate::support::{
    ADA, SecretStore, bytes, config, file, file_with_retry, graph, graph_with, mailbox, message, tenant,
};

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

/// In a list of messages Exchange returns only the first 255 characters of a property.
#[tokio::test]
async fn item_with_a_long_id_has_one_copy_although_lists_cut_it() {
    let big = bytes(1, 4_200_000);
    let long = |last: char| "x".repeat(255) + &last.to_string();
    for picture in [&b"x"[..], &big] {
        let of = |id: String| Message { item: id.parse().unwrap(), ..message("1", &[("a.jpg", picture)]) };
        let (fake, one, other) = (tenant().await, of(long('1')), of(long('2')));
        fake.set_quirks(Quirks { truncates_listed_properties: true, ..Quirks::default() });
        fake.fault(On::kind(Kind::MessageCreate), Fault::LoseResponse);
        let graph = graph(&fake);
        file_with_retry(&graph, &one, Attempt::First).await.unwrap();
        assert_eq!(file(&graph, &one, Attempt::Retry).await.unwrap().result, FilingResult::Skipped);
        assert_eq!(fake.messages(ADA).len(), 1, "in the archive and in the hidden folder");
        assert_eq!(file(&graph, &other, Attempt::Retry).await.unwrap().result, FilingResult::Imported);
        assert_eq!(fake.messages(ADA).len(), 2, "the items have one Message-ID");
    }
}

/// Earlier releases stored the whole id.
#[tokio::test]
async fn long_id_of_an_earlier_release_is_compared_as_a_whole() {
    let fake = tenant().await;
    let graph = graph(&fake);
    let of = |last: &str| Message { item: ("x".repeat(255) + last).parse().unwrap(), ..message("1", &[]) };
    let (one, other) = (of("1"), of("2"));
    file(&graph, &one, Attempt::First).await.unwrap();
    let property = fake.visible(ADA)[0].properties.keys().find(|id| id.ends_with("ArchiveItemId")).cloned().unwrap();
    fake.set_property(ADA, &property, one.item.as_str());
    fake.set_quirks(Quirks { truncates_listed_properties: true, ..Quirks::default() });
    assert_eq!(file(&graph, &one, Attempt::Retry).await.unwrap().result, FilingResult::Skipped);
    assert_eq!(file(&graph, &other, Attempt::Retry).await.unwrap().result, FilingResult::Imported);
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

/// The source has changed the item since its copy was filed, and the outcome was deleted by age.
#[tokio::test]
async fn imported_copy_that_names_its_item_is_found() {
    let fake = tenant().await;
    fake.grant_mime_import();
    let mut config = config(&fake);
    config.way = Way::Mime;
    let graph = graph_with(config, SecretStore::with(CLIENT_SECRET));
    let rendered = |item: &str, content: &str| {
        let message = Message { item: item.parse().unwrap(), ..captured(content, &[]) };
        let field = format!("X-WA-Item: {}\r\nMIME-Version:", message.item.key());
        let mime = String::from_utf8(message.mime.in_memory().to_vec()).unwrap().replacen("MIME-Version:", &field, 1);
        Message { mime: mime.into(), ..message }
    };
    file(&graph, &rendered("WA-1", "first"), Attempt::First).await.unwrap();
    let again = file(&graph, &rendered("WA-1", "second"), Attempt::Retry).await.unwrap();
    assert_eq!(again.result, FilingResult::Skipped);
    let twin = file(&graph, &rendered("WA-2", "first"), Attempt::Retry).await.unwrap();
    assert_eq!((twin.result, fake.visible(ADA).len()), (FilingResult::Imported, 2));
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
