//! What is down for a while: it costs time and no item.

use std::time::Duration;

use archiver::local::archive::{Fault as ArchiveFault, On as OnArchive, Rule, Sample, mailboxes, user_map};
use graph_fake::{Fault, GraphFake, Kind, On, Refusal, User};
use item::ItemId;
use jiff::{SignedDuration, Timestamp};
use pipeline_tests::{From, Pipeline, To};

use crate::accounts::{self, filed};

/// As HTTP writes a time.
fn http_date(time: Timestamp) -> String {
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[tokio::test]
async fn an_archive_that_is_down_throttles_or_stalls_dead_letters_nothing() -> anyhow::Result<()> {
    let items: Vec<_> = (0..40).map(|index| filed(&format!("item/{index}"))).collect();
    let sample = accounts::sample(&items)?;
    let fates: Vec<_> = sample.fates().collect();
    let pipeline = Pipeline::start(From::Archive(sample), To::Maildir(accounts::two()), &[]).await?;
    let Some(archive) = &pipeline.archive else { anyhow::bail!("no archive") };
    let status = |status, retry_after: Option<&str>| ArchiveFault::Status {
        status,
        retry_after: retry_after.map(str::to_owned),
    };
    let date = http_date(Timestamp::now() + SignedDuration::from_secs(3));
    let down = [
        (OnArchive::Lists, 6, status(503, None)),
        (OnArchive::Item("item/7".to_owned()), 1, ArchiveFault::Stall),
        (OnArchive::Items, 60, status(503, None)),
        (OnArchive::Items, 20, status(429, Some("0.5"))),
        (OnArchive::Items, 10, status(429, Some(&date))),
        (OnArchive::Items, 5, status(429, Some("in a while"))),
        (OnArchive::Items, 10, ArchiveFault::Break),
    ];
    for (on, times, fault) in down {
        archive.misbehave(Rule { on, times, fault });
    }
    // A run that fails is loud and leaves the cursor; the next one does its work.
    let fetched = loop {
        match pipeline.machine.fetch(&Pipeline::timer()).await {
            Ok(fetched) => break fetched,
            Err(error) => assert!(error.to_string().contains("503"), "{error}"),
        }
    };
    let (drained, ()) = tokio::join!(pipeline.drain(), async {
        archive.until_stalled(1).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        archive.behave();
    });
    drained?;
    assert!(archive.requests().items > 40);
    accounts::settled(&pipeline, &fetched.run, &fates).await?;
    accounts::one_copy_each(&pipeline, &fates)
}

#[tokio::test]
async fn microsoft_365_that_throttles_and_a_directory_that_is_down_dead_letter_nothing() -> anyhow::Result<()> {
    let graph = GraphFake::start().await?;
    for address in mailboxes()? {
        graph.add(User::new(address.as_str()));
    }
    let refuse = |status, code: &str, retry_after: Option<&str>| {
        let refusal = Refusal::new(status, code);
        Fault::Refuse(retry_after.map_or(refusal.clone(), |value| refusal.retry_after(value)))
    };
    let date = http_date(Timestamp::now() + SignedDuration::from_secs(5));
    graph.fault(On::kind(Kind::UserByName).times(30), refuse(503, "serviceNotAvailable", None));
    graph.fault(On::kind(Kind::Token).times(3), refuse(503, "temporarily_unavailable", None));
    graph.fault(On::kind(Kind::MessageCreate).times(20), refuse(429, "ApplicationThrottled", Some("0.25")));
    graph.fault(On::kind(Kind::MessageCreate).nth(25).times(10), refuse(429, "ApplicationThrottled", Some(&date)));
    graph.fault(On::kind(Kind::MessageCreate).nth(40).times(10), Fault::LoseAnswer);
    graph.fault(On::kind(Kind::MessageMove).nth(10).times(10), Fault::LoseAnswer);
    graph.fault(On::kind(Kind::MessageMove).nth(30).times(10), Fault::Reset);
    graph.fault(On::kind(Kind::FolderCreate).times(3), Fault::LoseAnswer);
    graph.fault(On::kind(Kind::MessageCreate).nth(60).times(5), refuse(503, "ErrorServerBusy", None));
    let sample = Sample::day(Timestamp::now())?;
    let fates: Vec<(ItemId, _)> = sample.fates().collect();
    let pipeline = Pipeline::start(From::Archive(sample), To::Graph(&graph), &[]).await?;
    pipeline.put_user_map(user_map()).await?;
    let fetched = pipeline.run(&Pipeline::timer()).await?;
    accounts::settled(&pipeline, &fetched.run, &fates).await?;
    accounts::one_copy_each_in(&graph, &fates)?;
    for address in mailboxes()? {
        assert!(graph.peak(address.as_str()) <= 4, "Graph's own limit");
    }
    Ok(())
}

#[tokio::test]
async fn a_copy_that_has_to_wait_while_another_is_filed_is_filed_later() -> anyhow::Result<()> {
    let graph = accounts::tenant().await?;
    let sample = accounts::sample(&[filed("item/1"), filed("item/2"), filed("item/3")])?;
    let fates: Vec<_> = sample.fates().collect();
    // One copy of the first two items, so that the other mailbox has its own already.
    graph.fault(On::kind(Kind::MessageCreate).times(1), Fault::Refuse(Refusal::new(403, "ErrorAccessDenied")));
    graph.fault(
        On::kind(Kind::MessageCreate).nth(4).times(1),
        Fault::Refuse(Refusal::new(503, "ErrorServerBusy").retry_after("21")),
    );
    let pipeline = Pipeline::start(From::Archive(sample), To::Graph(&graph), &[]).await?;
    let fetched = pipeline.run(&Pipeline::timer()).await?;
    accounts::settled(&pipeline, &fetched.run, &fates).await?;
    accounts::one_copy_each_in(&graph, &fates)
}
