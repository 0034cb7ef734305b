//! Outages delay items and lose none.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, ensure};
use graph_fake::{Fault, Gate, GraphFake, Kind, On, Refusal, User};
use harness::{
    ItemSource, MailSystem, Pace, Pipeline,
    fault_proxy::{ConnectionFault, FaultProxy},
};
use jiff::{SignedDuration, Timestamp};
use local::sample_source::{
    Fault as SourceFault, On as OnSource, Rule, Sample, SourceCredentials, mailboxes, user_map,
};
use model::ItemId;
use serde_json::json;

use crate::{
    expectations::{self, ADA, BOB, SHORT, filed},
    interruptions,
    soak::PACE,
};

/// Formats a time as in HTTP.
fn http_date(time: Timestamp) -> String {
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[tokio::test]
async fn source_outage_dead_letters_nothing() -> anyhow::Result<()> {
    let items: Vec<_> = (0..40).map(|index| filed(&format!("item/{index}"))).collect();
    let sample = expectations::sample(&items)?;
    let expected_results: Vec<_> = sample.expected_results().collect();
    let pipeline =
        Pipeline::start(ItemSource::Api(sample), MailSystem::Maildir(expectations::both_mailboxes()), &[]).await?;
    let Some(source) = &pipeline.source else { anyhow::bail!("no sample source") };
    let status =
        |status, retry_after: Option<&str>| SourceFault::Status { status, retry_after: retry_after.map(str::to_owned) };
    let date = http_date(Timestamp::now() + SignedDuration::from_secs(3));
    let faults = [
        (OnSource::Lists, 6, status(503, None)),
        (OnSource::Item("item/7".to_owned()), 1, SourceFault::Stall),
        (OnSource::Items, 60, status(503, None)),
        (OnSource::Items, 20, status(429, Some("0.5"))),
        (OnSource::Items, 10, status(429, Some(&date))),
        (OnSource::Items, 5, status(429, Some("in a while"))),
        (OnSource::Items, 10, SourceFault::Break),
    ];
    for (on, times, fault) in faults {
        source.inject_fault(Rule { on, times, fault });
    }
    // A failed run reports an error and does not move the cursor; the next one does its work.
    let fetched = loop {
        match pipeline.machine.fetch(&Pipeline::timer()).await {
            Ok(fetched) => break fetched,
            Err(error) => assert!(error.to_string().contains("503"), "{error}"),
        }
    };
    let (drained, ()) = tokio::join!(pipeline.drain(), async {
        source.until_stalled(1).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        source.clear_faults();
    });
    drained?;
    assert!(source.requests().items > 40);
    expectations::assert_final_state(&pipeline, &fetched.run, &expected_results).await?;
    expectations::assert_one_copy_each(&pipeline, &expected_results)
}

#[tokio::test]
async fn graph_and_directory_outages_dead_letter_nothing() -> anyhow::Result<()> {
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
    graph.fault(On::kind(Kind::MessageCreate).nth(40).times(10), Fault::LoseResponse);
    graph.fault(On::kind(Kind::FolderSearch).nth(10).times(10), Fault::LoseResponse);
    graph.fault(On::kind(Kind::MessageSearch).nth(3).times(5), Fault::Reset);
    graph.fault(On::kind(Kind::FolderCreate).times(3), Fault::LoseResponse);
    graph.fault(On::kind(Kind::MessageCreate).nth(60).times(5), refuse(503, "ErrorServerBusy", None));
    let sample = Sample::day(Timestamp::now())?;
    let expected_results: Vec<(ItemId, _)> = sample.expected_results().collect();
    let pipeline = Pipeline::start(ItemSource::Api(sample), MailSystem::Graph(&graph), &[]).await?;
    pipeline.put_user_map(user_map()).await?;
    let fetched = pipeline.run(&Pipeline::timer()).await?;
    assert_eq!(graph.unused_faults(), 0, "a fault was not injected");
    expectations::assert_final_state(&pipeline, &fetched.run, &expected_results).await?;
    expectations::assert_one_copy_each_in_graph(&graph, &expected_results)?;
    for address in mailboxes()? {
        assert!(graph.peak(address.as_str()) <= 4, "more concurrent requests than Graph accepts");
    }
    Ok(())
}

/// An outage of this length takes about 6 receives if the waits double from a second (1 + 2 + 4 + 8 + 16 s). If they did
/// not grow, it would take more than this limit, and SQS would dead-letter the items. DESIGN.md of sqs-batch has the sum
/// with the template's numbers.
const MAX_RECEIVES: u32 = 9;

#[tokio::test]
async fn long_outages_use_few_receives_and_lose_no_item() -> anyhow::Result<()> {
    const OUTAGE: Duration = Duration::from_secs(6);
    let graph = expectations::start_graph().await?;
    let items: Vec<_> = (0..30).map(|index| filed(&format!("item/{index}"))).collect();
    let sample = expectations::sample(&items)?;
    let expected_results: Vec<_> = sample.expected_results().collect();
    let pace = Pace { max_receives: MAX_RECEIVES, ..SHORT };
    let pipeline = Pipeline::start_at(pace, ItemSource::Api(sample), MailSystem::Graph(&graph), &[]).await?;
    let Some(source) = &pipeline.source else { anyhow::bail!("no sample source") };
    let fetched = pipeline.machine.fetch(&Pipeline::timer()).await?;

    let throttle = |wait: &str| Fault::Refuse(Refusal::new(429, "ApplicationThrottled").retry_after(wait));
    let in_18_seconds = http_date(Timestamp::now() + SignedDuration::from_secs(18));
    let gate = Gate::default();
    let graph_faults = [
        throttle("1"),
        throttle("2.128"),
        throttle(&in_18_seconds),
        Fault::Refuse(Refusal::new(503, "ErrorServerBusy")),
        Fault::Reset,
        Fault::HoldBefore(gate.clone()),
    ];
    let status =
        |status, retry_after: Option<&str>| SourceFault::Status { status, retry_after: retry_after.map(str::to_owned) };
    let source_faults = [
        status(429, Some("1")),
        status(503, Some("0.5")),
        status(500, None),
        SourceFault::Break,
        SourceFault::Slow(Duration::from_millis(200)),
        SourceFault::Stall,
    ];
    // The first half of the items meets the source's outage, the others Graph's.
    for index in 0..15 {
        source.inject_fault(Rule {
            on: OnSource::Item(format!("item/{index}")),
            times: u64::MAX,
            fault: status(503, None),
        });
    }
    graph.fault(On::any().times(usize::MAX), Fault::Reset);
    let working = pipeline.machine.work();
    for (graph_fault, source_fault) in graph_faults.into_iter().zip(source_faults) {
        // Without a pause: a request between two outages would succeed.
        graph.only_fault(On::any().times(usize::MAX), graph_fault);
        source.clear_faults();
        for index in 0..15 {
            let on = OnSource::Item(format!("item/{index}"));
            source.inject_fault(Rule { on, times: u64::MAX, fault: source_fault.clone() });
        }
        // The outage itself is a period of time, so the test sleeps.
        tokio::time::sleep(OUTAGE).await;
    }
    ensure!(graph.visible(ADA).is_empty() && graph.visible(BOB).is_empty(), "a copy was filed during the outage");
    graph.clear_faults();
    gate.open();
    source.clear_faults();
    working.stop().await;
    pipeline.drain().await?;
    expectations::assert_final_state(&pipeline, &fetched.run, &expected_results).await?;
    expectations::assert_one_copy_each_in_graph(&graph, &expected_results)
}

#[tokio::test]
async fn expired_or_rotated_credentials_lose_no_item() -> anyhow::Result<()> {
    const ROTATED: &str = "second~client.secret";
    let graph = expectations::start_graph().await?;
    graph.set_token_lifetime(Duration::from_secs(2));
    let items: Vec<_> = (0..40).map(|index| filed(&format!("item/{index}"))).collect();
    let sample = expectations::sample(&items)?;
    let expected_results: Vec<_> = sample.expected_results().collect();
    // Secrets Manager fails for all attempts of the SDK, once before and once after the request is executed.
    let secret_requests = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&secret_requests);
    let proxy = FaultProxy::start(move |request| match request.contains("secretsmanager.GetSecretValue") {
        true => match counted.fetch_add(1, Ordering::SeqCst) / interruptions::SDK_ATTEMPTS {
            1 | 3 => ConnectionFault::BeforeExecution,
            2 | 4 => ConnectionFault::AfterExecution,
            _ => ConnectionFault::None,
        },
        false => ConnectionFault::None,
    });
    let proxy = proxy.await?;
    let pipeline =
        interruptions::start_through_proxy(&proxy, PACE, ItemSource::Api(sample), MailSystem::Graph(&graph)).await?;
    let Some(source) = &pipeline.source else { anyhow::bail!("no sample source") };
    let fetched = pipeline.machine.fetch(&Pipeline::timer()).await?;
    // The directory and the login endpoint are unavailable; then a valid token is rejected.
    graph.fault(On::kind(Kind::UserByName).times(20), Fault::Refuse(Refusal::new(503, "serviceNotAvailable")));
    graph.fault(On::kind(Kind::Token).times(6), Fault::Reset);
    let working = pipeline.machine.work();
    let some_are_filed = async {
        while graph.visible(ADA).len() < 5 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(300), some_are_filed).await.context("nothing is filed")?;
    // During the run every token and the old secret become invalid; the new secret is available later.
    graph.set_client_secret(ROTATED);
    graph.revoke_tokens();
    source.rotate(SourceCredentials { username: "connector".to_owned(), password: "another horse".to_owned() });
    tokio::time::sleep(Duration::from_secs(2)).await;
    pipeline.machine.cloud.put_secret("graph", &json!({"client_secret": ROTATED})).await?;
    let secret = json!({"username": "connector", "password": "another horse"});
    pipeline.machine.cloud.put_secret("archiver", &secret).await?;
    working.stop().await;
    pipeline.drain().await?;
    assert_eq!(graph.unused_faults(), 0, "a fault was not injected");
    let secret_requests = secret_requests.load(Ordering::SeqCst);
    assert!(secret_requests > 4 * interruptions::SDK_ATTEMPTS, "only {secret_requests} requests to Secrets Manager");
    expectations::assert_final_state(&pipeline, &fetched.run, &expected_results).await?;
    expectations::assert_one_copy_each_in_graph(&graph, &expected_results)
}

#[tokio::test]
async fn delayed_copy_is_filed_after_the_other_copy() -> anyhow::Result<()> {
    let graph = expectations::start_graph().await?;
    let sample = expectations::sample(&[filed("item/1"), filed("item/2"), filed("item/3")])?;
    let expected_results: Vec<_> = sample.expected_results().collect();
    // Fails one copy of the first two items; the other mailbox has its copy already.
    graph.fault(On::kind(Kind::MessageCreate).times(1), Fault::Refuse(Refusal::new(403, "ErrorAccessDenied")));
    graph.fault(
        On::kind(Kind::MessageCreate).nth(4).times(1),
        Fault::Refuse(Refusal::new(503, "ErrorServerBusy").retry_after("21")),
    );
    let pipeline = Pipeline::start(ItemSource::Api(sample), MailSystem::Graph(&graph), &[]).await?;
    let fetched = pipeline.run(&Pipeline::timer()).await?;
    assert_eq!(graph.unused_faults(), 0, "a fault was not injected");
    expectations::assert_nothing_missing(&pipeline).await?;
    expectations::assert_final_state(&pipeline, &fetched.run, &expected_results).await?;
    expectations::assert_one_copy_each_in_graph(&graph, &expected_results)
}
