//! Copies show the addresses of mailboxes in every mail system, and are found again after the outcome that records them
//! was lost.

use std::{collections::HashMap, os::unix::fs::symlink, sync::Mutex, time::Duration};

use anyhow::{Context, ensure};
use dovecot::{Dovecot, Options};
use graph_fake::{GraphFake, User};
use harness::{
    FOLDER, ItemSource, MailSystem, Pace, Pipeline,
    fault_proxy::{ConnectionFault, FaultProxy},
};
use jiff::Timestamp;
use local::sample_source::Sample;
use mail_parser::{Address, MessageParser};
use model::{FilingResult, ItemId, Outcome, Sha256, keys};
use serde_json::{Value, json};

use crate::reconcile::run_reconcile;

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";
/// Another address of Ada's mailbox.
const ALIAS: &str = "ada.lovelace@example.com";

/// Size in bytes, above the default limit of an item.
const LARGE: u64 = 11 << 20;

/// Long enough for a debug build, which is slow.
const PACE: Pace =
    Pace { timeout: Duration::from_secs(25), visibility: Duration::from_secs(26), concurrency: 1, max_receives: 50 };

/// Returns a text and a large file between Ada, Bob, who is only in the user map, and a client.
fn sample() -> anyhow::Result<Sample> {
    let people = json!({"ada": {"name": "Ada \"the first\"", "phone": "+4520123456"},
                        "bob": {"name": "Bøb", "phone": "+4520123457"},
                        "client": {"name": "Client", "phone": "+4520123458"}});
    let item = |id: &str, files: Value| {
        json!({"expect": [ADA, BOB], "item": {
            "id": id, "messageId": id, "type": "document", "messageTime": "-PT3H", "archivedTime": "-PT2H",
            "chat": {"id": "chat", "type": "group"}, "from": "@ada", "to": ["@bob", "@client"], "text": id,
            "attachments": files}})
    };
    let video = json!([{"id": "f", "name": "film.mp4", "media": {"bytes": LARGE}}]);
    let items = [item("small", json!([])), item("large", video)];
    Ok(Sample::written(&json!({"people": people, "items": items}).to_string(), Timestamp::now())?)
}

/// Names and addresses of From and To, and the bytes after the header.
#[derive(Debug, PartialEq, Eq)]
struct Copy {
    people: Vec<(String, String)>,
    /// `None` where the mail system stores no MIME.
    body: Option<Sha256>,
}

impl Copy {
    fn of(mime: &[u8]) -> anyhow::Result<Self> {
        let parsed = MessageParser::default().parse(mime).context("invalid mail")?;
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let participants = [parsed.from(), parsed.to()].into_iter().flatten().flat_map(Address::iter);
        let people = participants.map(|person| (text(person.name()), text(person.address()))).collect();
        let end = mime.windows(4).position(|bytes| bytes == b"\r\n\r\n").context("no header")?;
        Ok(Self { people, body: Some(Sha256::of(&mime[end..])) })
    }
}

async fn read_outcome(pipeline: &Pipeline, item: &str) -> anyhow::Result<Outcome> {
    let id: ItemId = item.parse()?;
    let object = pipeline.store.get(&keys::outcome(&id.key()), 1 << 20).await?.context("no outcome")?;
    Ok(Outcome::parse(&object.bytes)?)
}

/// Starts a proxy that loses the outcome with the copies of each item, until import reads the outcome again.
async fn start_losing_outcomes() -> anyhow::Result<FaultProxy> {
    let losing = Mutex::new(HashMap::<String, bool>::new());
    let proxy = FaultProxy::start(move |request| {
        let mut words = request.lines().next().unwrap_or_default().split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if !path.contains("/outcomes/") {
            return ConnectionFault::None;
        }
        let key = path.split('?').next().unwrap_or_default().to_owned();
        let mut losing = losing.lock().expect("a test panicked while it held the lock");
        let records_copies = request.contains("\"mailboxes\":[{");
        match (method, losing.get(&key)) {
            ("PUT", None | Some(true)) if records_copies => {
                losing.insert(key, true);
                ConnectionFault::BeforeExecution
            }
            ("GET", Some(true)) => {
                losing.insert(key, false);
                ConnectionFault::None
            }
            _ => ConnectionFault::None,
        }
    });
    Ok(proxy.await?)
}

/// Files the sample and loses the record of the copies once. `alias` is the address of Ada's mailbox in the user map;
/// `copies` reads the copies of a mailbox.
async fn assert_copies_show_addresses(
    mail_system: MailSystem<'_>,
    variables: &[(&str, &str)],
    alias: &str,
    copies: impl Fn(&str) -> anyhow::Result<Vec<Copy>>,
) -> anyhow::Result<()> {
    let proxy = start_losing_outcomes().await?;
    let variables = [&[("OVERSIZE", "import"), ("AWS_ENDPOINT_URL", proxy.url())], variables].concat();
    let pipeline = Pipeline::start_at(PACE, ItemSource::Api(sample()?), mail_system, &variables).await?;
    let endpoint = pipeline.machine.cloud.config().endpoint_url().and_then(|url| url.strip_prefix("http://"));
    proxy.set_upstream(endpoint.context("the emulator has no endpoint")?.parse()?);
    pipeline.put_user_map(&format!("phone,email\n+4520123456,{alias}\n+4520123457,{BOB}\n")).await?;
    pipeline.run(&Pipeline::timer()).await?;

    let mut stored = HashMap::new();
    for item in ["small", "large"] {
        let outcome = read_outcome(&pipeline, item).await?;
        ensure!(outcome.is_complete(), "{item}: {outcome:?}");
        let results: Vec<_> = outcome.mailboxes.iter().map(|filed| filed.result).collect();
        assert_eq!(results, [FilingResult::Skipped; 2], "{item}: the copies were not looked up");
        let object = pipeline.store.get(&outcome.mime.context("no message")?, 64 << 20).await?.context("no object")?;
        assert_eq!(Some(Sha256::of(&object.bytes)), outcome.sha256, "{item}: the stored message changed");
        let message = Copy::of(&object.bytes)?;
        let addresses: Vec<_> = message.people.iter().map(|(_, address)| address.as_str()).collect();
        let numbers = ["4520123456", "4520123457", "4520123458"].map(|number| format!("{number}@whatsapp.invalid"));
        assert_eq!(addresses, numbers, "{item}: the stored message depends on the user map");
        stored.insert(message.body, message);
    }
    for address in [ADA, BOB] {
        let copies = copies(address)?;
        assert_eq!(copies.len(), 2, "{address}: the number of copies is wrong\n{}", pipeline.logs());
        for copy in copies {
            let message = match copy.body {
                Some(_) => stored.get(&copy.body).context("not a stored message")?,
                None => stored.values().next().context("no message")?,
            };
            let expected = [ADA, BOB, "4520123458@whatsapp.invalid"];
            let names = message.people.iter().map(|(name, _)| name.clone());
            let expected: Vec<_> = names.zip(expected.map(str::to_owned)).collect();
            assert_eq!(copy.people, expected, "{address}");
        }
    }
    let (code, printed, stderr) = run_reconcile(&pipeline, &["--deep", "--settled", "--json"]).await?;
    assert_eq!(code, Some(0), "{printed}{stderr}");
    let printed: Value = serde_json::from_str(&printed)?;
    assert_eq!((&printed["copies_found"], &printed["damaged"]), (&json!(4), &json!([])), "{printed}");
    Ok(())
}

async fn start_graph() -> anyhow::Result<GraphFake> {
    let graph = GraphFake::start().await?;
    graph.grant_mime_import();
    graph.add(User::new(ADA).alias(ALIAS));
    graph.add(User::new(BOB));
    Ok(graph)
}

fn copies_in(graph: &GraphFake, address: &str) -> anyhow::Result<Vec<Copy>> {
    let copy = |message: graph_fake::StoredMessage| match message.mime {
        Some(mime) => Copy::of(&mime),
        None => Ok(Copy { people: message.from.into_iter().chain(message.to).collect(), body: None }),
    };
    graph.visible(address).into_iter().map(copy).collect()
}

#[tokio::test]
async fn copies_in_graph_show_primary_addresses() -> anyhow::Result<()> {
    let graph = start_graph().await?;
    assert_copies_show_addresses(MailSystem::Graph(&graph), &[], ALIAS, |address| copies_in(&graph, address)).await
}

#[tokio::test]
async fn copies_by_import_mime_show_primary_addresses() -> anyhow::Result<()> {
    let graph = start_graph().await?;
    assert_copies_show_addresses(MailSystem::GraphImportMime(&graph), &[], ALIAS, |address| copies_in(&graph, address))
        .await
}

#[tokio::test]
async fn copies_by_imap_show_mapped_addresses() -> anyhow::Result<()> {
    let users = [ADA, BOB].map(str::to_owned).to_vec();
    let server = Dovecot::start(&Options { users, tls: true, ..Options::default() })?;
    let copies = |address: &str| server.copies(address, FOLDER)?.iter().map(|copy| Copy::of(&copy.bytes)).collect();
    assert_copies_show_addresses(MailSystem::Imap(&server, ADA), &[], ADA, copies).await
}

#[tokio::test]
async fn copies_in_maildir_show_primary_addresses() -> anyhow::Result<()> {
    let mail = tempfile::tempdir()?;
    for address in [ADA, BOB] {
        std::fs::create_dir(mail.path().join(address))?;
    }
    symlink(ADA, mail.path().join(ALIAS))?;
    let copies = |address: &str| {
        let entries = std::fs::read_dir(mail.path().join(address).join(FOLDER).join("cur"))?;
        entries.map(|entry| Copy::of(&std::fs::read(entry?.path())?)).collect()
    };
    let maildir = [("MAILDIR", mail.path().to_str().context("the path is not UTF-8")?)];
    assert_copies_show_addresses(MailSystem::Maildir(Vec::new()), &maildir, ALIAS, copies).await
}

/// Eve is added to the user map later. Her copy shows her address, and the earlier copies do not change.
#[tokio::test]
async fn user_mapped_later_changes_no_earlier_copy() -> anyhow::Result<()> {
    const EVE: &str = "eve@example.com";
    let mail = tempfile::tempdir()?;
    for address in [ADA, BOB, EVE] {
        std::fs::create_dir(mail.path().join(address))?;
    }
    symlink(ADA, mail.path().join(ALIAS))?;
    let people = |address: &str| -> anyhow::Result<Vec<String>> {
        let entry = std::fs::read_dir(mail.path().join(address).join(FOLDER).join("cur"))?.next().context("no copy")?;
        Ok(Copy::of(&std::fs::read(entry?.path())?)?.people.into_iter().map(|(_, address)| address).collect())
    };
    let people_and_item = json!({
        "people": {"ada": {"phone": "+4520123456"}, "bob": {"phone": "+4520123457"}, "eve": {"phone": "+4520123458"}},
        "items": [{"expect": [ADA, BOB], "item": {
            "id": "WA-1", "messageId": "WA-1", "type": "text", "messageTime": "-PT3H", "archivedTime": "-PT2H",
            "chat": {"id": "chat", "type": "group"}, "from": "@ada", "to": ["@bob", "@eve"], "text": "Hello."}}]});
    let sample = Sample::written(&people_and_item.to_string(), Timestamp::now())?;
    let maildir = [("MAILDIR", mail.path().to_str().context("the path is not UTF-8")?)];
    let pipeline = Pipeline::start(ItemSource::Api(sample), MailSystem::Maildir(Vec::new()), &maildir).await?;
    let map = format!("phone,email\n+4520123456,{ALIAS}\n+4520123457,{BOB}\n");
    pipeline.put_user_map(&map).await?;
    pipeline.run(&Pipeline::timer()).await?;
    let before = [ADA, BOB, "4520123458@whatsapp.invalid"];
    assert_eq!((people(ADA)?, people(BOB)?), (before.map(str::to_owned).to_vec(), before.map(str::to_owned).to_vec()));

    pipeline.put_user_map(&format!("{map}+4520123458,{EVE}\n")).await?;
    let (code, printed, stderr) = run_reconcile(&pipeline, &["--unmapped", "--yes"]).await?;
    assert_eq!(code, Some(0), "{printed}{stderr}");
    pipeline.drain().await?;
    assert_eq!(people(EVE)?, [ADA, BOB, EVE], "{}", pipeline.logs());
    assert_eq!((people(ADA)?, people(BOB)?), (before.map(str::to_owned).to_vec(), before.map(str::to_owned).to_vec()));
    Ok(())
}
