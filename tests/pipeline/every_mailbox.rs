//! The sample day in every mail system: the same items in the same mailboxes, and byte for byte as rendered, except for
//! the addresses in the header, where the mail system stores messages unchanged.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use dovecot::{Dovecot, Options};
use graph_fake::{GraphFake, User};
use harness::{FOLDER, ItemSource, MailSystem, Pipeline};
use jiff::Timestamp;
use local::sample_source::{Sample, mailboxes, user_map};
use mail_parser::MessageParser;
use model::{Outcome, keys};

use crate::sample_day::{addresses, expected_copies, expected_dead_letters};

/// Message-IDs per mailbox. Duplicates are rejected when they are read.
type MessageIds = BTreeMap<String, BTreeSet<String>>;

/// Returns the rendered messages by Message-ID.
async fn read_rendered_messages(pipeline: &Pipeline) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let outcomes = pipeline.keys(keys::OUTCOMES).await?;
    let mut rendered = BTreeMap::new();
    for key in outcomes {
        let object = pipeline.store.get(&key, 1 << 20).await?.context("a listed outcome is missing")?;
        let outcome: Outcome = serde_json::from_slice(&object.bytes)?;
        let (Some(id), Some(mime)) = (outcome.message_id, outcome.mime) else { continue };
        let object = pipeline.store.get(&mime, 1 << 30).await?.context("a filed message is missing")?;
        rendered.insert(id, object.bytes.to_vec());
    }
    Ok(rendered)
}

/// Returns a message without the addresses of its header, which copies replace, in unfolded lines.
fn without_addresses(message: &[u8]) -> anyhow::Result<(String, &[u8])> {
    let end = message.windows(4).position(|bytes| bytes == b"\r\n\r\n").context("a message without a header")?;
    let header = std::str::from_utf8(&message[..end])?.replace("\r\n ", " ");
    let mut kept = String::new();
    for line in header.split("\r\n") {
        let has_addresses = line.starts_with("From:") || line.starts_with("To:");
        let words = line.split(' ').filter(|word| !(has_addresses && word.starts_with('<')));
        kept += &words.collect::<Vec<_>>().join(" ");
        kept += "\n";
    }
    Ok((kept, &message[end..]))
}

/// Adds the Message-IDs of copies, which must equal the rendered message byte for byte, except for addresses in the
/// header.
fn add_copies(
    filed: &mut MessageIds,
    address: &str,
    copies: Vec<Vec<u8>>,
    rendered: &BTreeMap<String, Vec<u8>>,
) -> anyhow::Result<()> {
    for copy in copies {
        let parsed = MessageParser::default().parse(&copy).context("invalid mail")?;
        let id = format!("<{}>", parsed.message_id().context("a copy has no Message-ID")?);
        let message = rendered.get(&id).context("a copy has an unknown Message-ID")?;
        assert!(
            without_addresses(message)? == without_addresses(&copy)?,
            "the copy of {id} differs from the rendered message"
        );
        assert!(filed.entry(address.to_owned()).or_default().insert(id), "a mailbox has two copies of a message");
    }
    Ok(())
}

/// Files the sample day as of a time.
async fn file_day(now: Timestamp, mail_system: MailSystem<'_>) -> anyhow::Result<Pipeline> {
    let sample = Sample::day(now)?;
    let expected = sample.expected();
    let pipeline = Pipeline::start(ItemSource::Api(sample), mail_system, &[]).await?;
    pipeline.put_user_map(user_map()).await?;
    pipeline.run(&Pipeline::timer()).await?;
    assert_eq!(pipeline.dead_letters_by_reason().await?, expected_dead_letters(&expected));
    Ok(pipeline)
}

async fn start_graph() -> anyhow::Result<GraphFake> {
    let graph = GraphFake::start().await?;
    graph.grant_mime_import();
    for address in mailboxes()? {
        graph.add(User::new(address.as_str()));
    }
    Ok(graph)
}

#[tokio::test]
async fn every_mailbox_adapter_files_the_same_items() -> anyhow::Result<()> {
    let now = Timestamp::now();
    let addresses = addresses()?;

    let mut by_maildir = MessageIds::new();
    let pipeline = file_day(now, MailSystem::Maildir(addresses.clone())).await?;
    let mails = read_rendered_messages(&pipeline).await?;
    for address in &addresses {
        add_copies(&mut by_maildir, address, pipeline.mail(address)?.into_values().collect(), &mails)?;
    }
    let counts: BTreeMap<_, _> = by_maildir.iter().map(|(address, ids)| (address.clone(), ids.len())).collect();
    assert_eq!(counts, expected_copies(&Sample::day(now)?.expected()));

    let mut by_graph = MessageIds::new();
    let graph = start_graph().await?;
    file_day(now, MailSystem::Graph(&graph)).await?;
    for address in &addresses {
        for message in graph.visible(address) {
            let is_new = by_graph.entry(address.clone()).or_default().insert(message.internet_message_id);
            assert!(is_new, "a mailbox has two copies of a message");
        }
    }
    assert_eq!(by_graph, by_maildir);

    let mut by_mime = MessageIds::new();
    let graph = start_graph().await?;
    let mails = read_rendered_messages(&file_day(now, MailSystem::GraphImportMime(&graph)).await?).await?;
    for address in &addresses {
        let copies = graph.visible(address).into_iter().filter_map(|message| message.mime).collect();
        add_copies(&mut by_mime, address, copies, &mails)?;
    }
    assert_eq!(by_mime, by_maildir);

    let mut by_imap = MessageIds::new();
    let server = Dovecot::start(&Options { users: addresses.clone(), tls: true, ..Options::default() })?;
    let mails = read_rendered_messages(&file_day(now, MailSystem::Imap(&server, &addresses[0])).await?).await?;
    for address in &addresses {
        let copies = server.copies(address, FOLDER)?;
        assert!(copies.iter().all(|copy| copy.flags.contains("\\Seen")));
        add_copies(&mut by_imap, address, copies.into_iter().map(|copy| copy.bytes).collect(), &mails)?;
    }
    assert_eq!(by_imap, by_maildir);
    Ok(())
}
