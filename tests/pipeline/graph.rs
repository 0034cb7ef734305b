//! Filing into the strict fake of Microsoft Graph.

use graph_fake::{Fault, GraphFake, Kind, On, Refusal, User};
use harness::{ItemSource, MailSystem, Pipeline};
use jiff::Timestamp;
use local::sample_source::{Sample, mailboxes, user_map};

use crate::sample_day::{expected_copies, expected_dead_letters};

async fn start_graph() -> anyhow::Result<GraphFake> {
    let graph = GraphFake::start().await?;
    for address in mailboxes()? {
        graph.add(User::new(address.as_str()));
    }
    Ok(graph)
}

fn count_copies(graph: &GraphFake) -> anyhow::Result<std::collections::BTreeMap<String, usize>> {
    let count = |address: model::MailboxAddress| (address.to_string(), graph.visible(address.as_str()).len());
    Ok(mailboxes()?.into_iter().map(count).filter(|(_, copies)| *copies > 0).collect())
}

#[tokio::test]
async fn sample_day_is_filed_in_graph_as_received_mail() -> anyhow::Result<()> {
    let graph = start_graph().await?;
    let sample = Sample::day(Timestamp::now())?;
    let expected = sample.expected();
    let pipeline = Pipeline::start(ItemSource::Api(sample), MailSystem::Graph(&graph), &[]).await?;
    pipeline.put_user_map(user_map()).await?;
    pipeline.run(&Pipeline::timer()).await?;
    assert_eq!(count_copies(&graph)?, expected_copies(&expected));
    assert_eq!(pipeline.dead_letters_by_reason().await?, expected_dead_letters(&expected));
    for address in mailboxes()? {
        for message in graph.messages(address.as_str()) {
            assert!(!message.is_draft && message.is_read, "{}", message.subject);
            assert!(message.visible && message.folder == "WhatsApp Archiver", "a draft or hidden message is left");
            assert!(
                message.received < Timestamp::now() - jiff::SignedDuration::from_mins(5),
                "the received time is not the time of the item"
            );
            assert!(
                message.attachments.iter().any(|file| file.name == "whatsapp-item.json"),
                "the evidence is missing"
            );
        }
        assert!(graph.peak(address.as_str()) <= 4);
    }
    pipeline.run(&Pipeline::backfill()).await?;
    assert_eq!(count_copies(&graph)?, expected_copies(&expected));
    Ok(())
}

#[tokio::test]
async fn throttling_and_outages_lose_no_item() -> anyhow::Result<()> {
    let graph = start_graph().await?;
    let sample = Sample::day(Timestamp::now())?;
    let expected = sample.expected();
    graph.fault(
        On::kind(Kind::MessageCreate).times(5),
        Fault::Refuse(Refusal::new(429, "ApplicationThrottled").retry_after("0.2")),
    );
    graph.fault(On::kind(Kind::MessageCreate).nth(12).times(3), Fault::Refuse(Refusal::new(503, "ErrorServerBusy")));
    let pipeline = Pipeline::start(ItemSource::Api(sample), MailSystem::Graph(&graph), &[]).await?;
    pipeline.put_user_map(user_map()).await?;
    pipeline.run(&Pipeline::timer()).await?;
    assert_eq!(graph.unused_faults(), 0, "a fault was not injected");
    assert_eq!(count_copies(&graph)?, expected_copies(&expected));
    assert_eq!(pipeline.dead_letters_by_reason().await?, expected_dead_letters(&expected));
    Ok(())
}
