//! An item whose outcome the lifecycle rule has deleted, in a mail system that still has its copies.

use graph_fake::{CLIENT_ID, CLIENT_SECRET, GraphFake, Kind, TENANT_ID, User};
use mailbox::{
    entra::{Cloud, Credentials, EntraSecret},
    graph::{Graph, GraphConfig},
};

use super::*;

const YEAR: SignedDuration = SignedDuration::from_hours(365 * 24);

struct Vault;

#[async_trait]
impl Credentials for Vault {
    async fn get(&self) -> Result<EntraSecret, MailboxError> {
        Ok(EntraSecret::client_secret(CLIENT_SECRET.to_owned()))
    }
}

/// Returns a tenant of the two participants.
async fn tenant() -> (GraphFake, Arc<dyn Mailboxes>) {
    // Another test may have installed it.
    drop(rustls::crypto::ring::default_provider().install_default());
    let fake = GraphFake::start().await.unwrap();
    for address in PARTICIPANTS {
        fake.add(User::new(address));
    }
    let mut config = GraphConfig::new(Cloud::Global, TENANT_ID, CLIENT_ID);
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
