//! An item whose outcome the lifecycle rule has deleted, in a mail system that still has its copies.

use ::message::write::Renderer;
use dovecot::{Dovecot, MASTER, MASTER_PASSWORD, Options};
use graph_fake::{CLIENT_ID, CLIENT_SECRET, GraphFake, Kind, TENANT_ID, User};
use mailbox::{
    entra::{Cloud, Credentials, EntraSecret},
    graph::{Graph, GraphConfig, Way},
    imap::{Imap, ImapAccount, ImapAccounts, ImapConfig, ImapLogin},
};
use model::Captured;
use serde_json::json;

use super::*;

const YEAR: SignedDuration = SignedDuration::from_hours(365 * 24);

struct Vault;

#[async_trait]
impl Credentials for Vault {
    async fn get(&self) -> Result<EntraSecret, MailboxError> {
        Ok(EntraSecret::client_secret(CLIENT_SECRET.to_owned()))
    }
}

#[async_trait]
impl ImapAccounts for Vault {
    async fn get(&self) -> Result<ImapAccount, MailboxError> {
        Ok(ImapAccount { username: MASTER.to_owned(), password: MASTER_PASSWORD.to_owned().into(), separator: None })
    }
}

/// Returns a tenant of the two participants.
async fn tenant() -> (GraphFake, Arc<dyn Mailboxes>) {
    tenant_with(Way::Json).await
}

async fn tenant_with(way: Way) -> (GraphFake, Arc<dyn Mailboxes>) {
    // Another test may have installed it.
    drop(rustls::crypto::ring::default_provider().install_default());
    let fake = GraphFake::start().await.unwrap();
    for address in PARTICIPANTS {
        fake.add(User::new(address));
    }
    fake.grant_mime_import();
    let mut config = GraphConfig::new(Cloud::Global, TENANT_ID, CLIENT_ID);
    config.way = way;
    config.graph_url = Some(fake.url().parse().unwrap());
    config.login_url = Some(fake.login_url().parse().unwrap());
    let graph = Graph::new(config, Arc::new(Vault)).unwrap();
    (fake, Arc::new(graph))
}

impl<F> Test<F> {
    /// Delivers the item, deletes its outcome, and delivers it again. Returns the results of the second delivery.
    async fn deliver_without_outcome(&self) -> Vec<FilingResult> {
        assert_eq!(self.deliver().await.ok(), Some(Next::Done));
        self.aws.remove(&self.aws.keys(model::keys::OUTCOMES)[0]);
        assert_eq!(self.deliver().await.ok(), Some(Next::Done));
        self.outcome().mailboxes.iter().map(|filed| filed.result).collect()
    }
}

#[tokio::test]
async fn old_item_without_outcome_is_not_filed_again() {
    let (fake, graph) = tenant().await;
    let now = Timestamp::now();
    // A backfill of an old period; a vendor's old file that is delivered again; a task without the message's time.
    for (number, (archived, message_time)) in
        [(now - YEAR, Some(now - YEAR)), (now, Some(now - YEAR)), (now, None)].into_iter().enumerate()
    {
        let mut test = Test::of(Arc::clone(&graph), &format!("WA-{number}"), "Sat, 22 Nov 2025 10:00:00 +0000").await;
        (test.task.archived_time, test.task.message_time) = (archived, message_time);
        assert_eq!(test.deliver_without_outcome().await, [FilingResult::Skipped; 2], "{archived}, {message_time:?}");
        for address in PARTICIPANTS {
            assert_eq!(fake.visible(address).len(), number + 1, "{archived}, {message_time:?}");
        }
    }
}

#[tokio::test]
async fn new_item_is_filed_without_a_lookup() {
    let (fake, graph) = tenant().await;
    let test = Test::of(graph, "WA-1", "Sat, 21 Nov 2026 10:00:00 +0000").await;
    assert_eq!(test.deliver().await.ok(), Some(Next::Done));
    assert_eq!((fake.count(Kind::MessageCreate), fake.count(Kind::MessageSearch)), (2, 0));
}

const UPLOADED: &str = "export/ada@example.com/Bob.txt#0123456789abcdef0123";

/// Returns the message of an uploaded chat's item. Each upload has its own time, and names everybody who has written by
/// then.
fn rendered(item: &str, archived: &str, others: &[&str]) -> Vec<u8> {
    let id = item.parse().unwrap();
    let mut value = json!({
        "id": item, "messageId": "0123456789abcdef0123", "type": "text", "text": "hello",
        "messageTime": "2024-11-20T14:05:09Z", "archivedTime": archived,
        "chat": {"id": "export-1", "type": "group", "name": "Bob"}, "from": {"email": PARTICIPANTS[0]},
        "to": [{"email": PARTICIPANTS[1]}],
    });
    for name in others {
        value["to"].as_array_mut().unwrap().push(json!({"name": name}));
    }
    let captured = Captured::from_value(value, &id).unwrap();
    Renderer::new("archive.example.com").unwrap().render(&captured, &[]).unwrap().mime(|_| &[]).to_vec()
}

/// Returns the message as an earlier release rendered it.
fn without_item(message: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8(message).unwrap();
    let (before, after) = text.split_once("X-WA-Item: ").unwrap();
    [before, after.split_once("\r\n").unwrap().1].concat().into_bytes()
}

/// Delivers the item, then deletes its outcome and its message, and delivers it as another rendering. Returns the results
/// of the second delivery, and asserts that a digest in the outcome is that of all copies.
async fn deliver_again(mailboxes: &Arc<dyn Mailboxes>, item: &str, messages: [Vec<u8>; 2]) -> Vec<FilingResult> {
    let mut results = Vec::new();
    for message in messages {
        let mut test = Test::of_message(Arc::clone(mailboxes), item, message).await;
        test.task.message_time = Some(Timestamp::now() - YEAR);
        assert_eq!(test.deliver().await.ok(), Some(Next::Done));
        let outcome = test.outcome();
        results = outcome.mailboxes.iter().map(|filed| filed.result).collect();
        assert_eq!(outcome.content.is_some(), results.iter().all(|result| *result == FilingResult::Imported));
    }
    results
}

#[tokio::test]
async fn old_item_that_is_rendered_again_is_not_filed_again() {
    let (fake, graph) = tenant_with(Way::Mime).await;
    let server = Dovecot::start(&Options { users: PARTICIPANTS.map(str::to_owned).into(), ..Options::default() });
    let server = server.unwrap();
    let config = ImapConfig::new(server.host().parse().unwrap(), vec!["example.com".to_owned()]);
    let folder = config.folder.clone();
    let imap: Arc<dyn Mailboxes> = Arc::new(Imap::new(config, ImapLogin::Account(Arc::new(Vault))).unwrap());
    let first = |item: &str| rendered(item, "2025-11-20T14:05:11Z", &[]);
    let second = |item: &str| rendered(item, "2026-11-20T14:05:11Z", &["Cy"]);
    for mailboxes in [graph, imap] {
        let results = deliver_again(&mailboxes, UPLOADED, [first(UPLOADED), second(UPLOADED)]).await;
        assert_eq!(results, [FilingResult::Skipped; 2]);
        // Another item with the same Message-ID.
        let other = UPLOADED.replace(".txt", ".zip");
        let test = Test::of_message(Arc::clone(&mailboxes), &other, second(&other)).await;
        assert_eq!(test.deliver().await.ok(), Some(Next::Done));
        assert!(test.outcome().mailboxes.iter().all(|filed| filed.result == FilingResult::Imported));
    }
    for address in PARTICIPANTS {
        assert_eq!(fake.visible(address).len(), 2);
        assert_eq!(server.copies(address, &folder).unwrap().len(), 2);
    }
}

#[tokio::test]
async fn copy_of_an_earlier_release_is_recognized_by_its_message_id() {
    let (fake, graph) = tenant_with(Way::Mime).await;
    let first = without_item(rendered(UPLOADED, "2025-11-20T14:05:11Z", &[]));
    let second = rendered(UPLOADED, "2026-11-20T14:05:11Z", &["Cy"]);
    assert_eq!(deliver_again(&graph, UPLOADED, [first, second]).await, [FilingResult::Skipped; 2]);
    assert_eq!(fake.visible(PARTICIPANTS[0]).len(), 1);
}
