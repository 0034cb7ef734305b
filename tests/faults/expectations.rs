//! Samples with expected results, and assertions on the final state of a run.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context, ensure};
use archiver::{
    commands::reconcile::{Reconciled, Scope},
    connection::Connection,
};
use graph_fake::{GraphFake, User};
use harness::{Pace, Pipeline};
use jiff::{SignedDuration, Timestamp};
use ledger::totals::Counters;
use local::sample_source::{ExpectedResult, Sample};
use mail_parser::MessageParser;
use model::{ItemId, RunId};
use serde_json::{Value, json};

/// A participant with a mailbox.
pub(crate) const ADA: &str = "ada@example.com";
/// The other participant with a mailbox.
pub(crate) const BOB: &str = "bob@example.com";

/// Short invocations, so that a lease or a message in flight expires soon.
pub(crate) const SHORT: Pace =
    Pace { timeout: Duration::from_secs(8), visibility: Duration::from_secs(9), concurrency: 2, max_receives: 50 };

/// Returns a text from Ada to Bob.
pub(crate) fn filed(id: &str) -> Value {
    json!({"expect": [ADA, BOB], "item": text(id, "@ada", "@bob")})
}

/// Returns a text between participants without a mailbox.
pub(crate) fn unmapped(id: &str) -> Value {
    json!({"expect": "unmapped", "item": text(id, "@eve", "@eve")})
}

/// Returns a text that is listed and does not exist.
pub(crate) fn missing(id: &str) -> Value {
    json!({"expect": "item-not-found", "answer": 404, "item": text(id, "@ada", "@bob")})
}

fn text(id: &str, from: &str, to: &str) -> Value {
    json!({"id": id, "messageId": id, "type": "text", "messageTime": "-PT3H", "archivedTime": "-PT2H",
           "chat": {"id": "chat", "type": "individual"}, "from": from, "to": [to], "text": "The rate is unchanged."})
}

/// Creates a sample of these items.
pub(crate) fn sample(items: &[Value]) -> anyhow::Result<Sample> {
    let people = json!({"ada": {"name": "Ada", "phone": "+4520123456", "email": ADA},
                        "bob": {"name": "Bob", "phone": "+4520123457", "email": BOB},
                        "eve": {"name": "Eve", "phone": "+4520123458"}});
    Ok(Sample::written(&json!({"people": people, "items": items}).to_string(), Timestamp::now())?)
}

/// Starts the fake of Graph with the two mailboxes. Unlike a directory, it accepts the same message twice.
pub(crate) async fn start_graph() -> anyhow::Result<GraphFake> {
    let graph = GraphFake::start().await?;
    graph.add(User::new(ADA));
    graph.add(User::new(BOB));
    Ok(graph)
}

/// Returns the two mailboxes.
pub(crate) fn both_mailboxes() -> Vec<String> {
    vec![ADA.to_owned(), BOB.to_owned()]
}

/// Asserts that every item of the run has its expected result: an outcome, and at least one dead letter exactly where
/// one is expected. Returns the number of dead letters per item.
pub(crate) async fn assert_final_state(
    pipeline: &Pipeline,
    run: &RunId,
    expected_results: &[(ItemId, ExpectedResult)],
) -> anyhow::Result<BTreeMap<String, usize>> {
    let totals = pipeline.totals(run).await?;
    let Counters { available, items_in_flight, .. } = totals.counters;
    ensure!(
        available == expected_results.len() as u64,
        "{available} are in the manifest, expected {}",
        expected_results.len()
    );
    let dead_letters = check_dead_letters(pipeline, expected_results).await?;
    ensure!(items_in_flight == 0, "{items_in_flight} items of the manifest are in flight");
    for (item, expected_result) in expected_results {
        let failed = totals.failures.iter().find(|failed| failed.item == item.as_str());
        match expected_result {
            ExpectedResult::Filed(_) => ensure!(failed.is_none(), "{item}: {failed:?}"),
            ExpectedResult::DeadLetter(reason) => {
                ensure!(failed.is_some_and(|failed| failed.reason == *reason), "{item}: {failed:?}");
            }
        }
    }
    Ok(dead_letters)
}

/// Asserts that dead letters with their reasons exist exactly where expected. Returns their number per item.
pub(crate) async fn check_dead_letters(
    pipeline: &Pipeline,
    expected_results: &[(ItemId, ExpectedResult)],
) -> anyhow::Result<BTreeMap<String, usize>> {
    let mut dead_letters = BTreeMap::new();
    let mut reasons = BTreeMap::new();
    for dead_letter in pipeline.dead_letters().await? {
        let item = dead_letter.attributes.get("item").cloned().unwrap_or_default();
        let reason = dead_letter.attributes.get("reason").cloned();
        ensure!(reason.is_some(), "{item} was moved to the dead-letter queue by SQS, not by a function");
        *dead_letters.entry(item.clone()).or_insert(0) += 1;
        reasons.insert(item, reason);
    }
    for (item, expected_result) in expected_results {
        let dead_letter = reasons.get(item.as_str());
        match expected_result {
            ExpectedResult::Filed(_) => ensure!(dead_letter.is_none(), "{item}: {dead_letter:?}"),
            ExpectedResult::DeadLetter(reason) => {
                ensure!(dead_letter == Some(&Some(reason.to_string())), "{item}: {dead_letter:?}")
            }
        }
    }
    Ok(dead_letters)
}

fn expected(expected_results: &[(ItemId, ExpectedResult)]) -> BTreeMap<String, usize> {
    let mut expected = BTreeMap::new();
    for (_, expected_result) in expected_results {
        let ExpectedResult::Filed(mailboxes) = expected_result else { continue };
        for mailbox in mailboxes {
            *expected.entry(mailbox.to_string()).or_insert(0) += 1;
        }
    }
    expected
}

/// Asserts that every mailbox has exactly one copy of each of its items.
pub(crate) fn assert_one_copy_each(
    pipeline: &Pipeline,
    expected_results: &[(ItemId, ExpectedResult)],
) -> anyhow::Result<()> {
    let copies = pipeline.copies()?;
    ensure!(copies == expected(expected_results), "{copies:?}, expected {:?}", expected(expected_results));
    for address in copies.keys() {
        let mut ids = BTreeSet::new();
        for mail in pipeline.mail(address)?.values() {
            let mail = MessageParser::new().parse(mail).context("invalid mail")?;
            let id = mail.message_id().context("a mail without Message-ID")?.to_owned();
            ensure!(ids.insert(id.clone()), "{id} is twice in {address}");
        }
    }
    Ok(())
}

/// Asserts that every mailbox in Graph has exactly one copy of each of its items, and that no incomplete message is left
/// in a hidden folder.
pub(crate) fn assert_one_copy_each_in_graph(
    graph: &GraphFake,
    expected_results: &[(ItemId, ExpectedResult)],
) -> anyhow::Result<()> {
    for (address, copies) in expected(expected_results) {
        let messages = graph.messages(&address);
        let visible = messages.iter().filter(|message| message.visible).count();
        ensure!(visible == copies, "{address} has {visible} messages, expected {copies}");
        ensure!(messages.len() == visible, "{} messages are hidden in {address}", messages.len() - visible);
        ensure!(!messages.iter().any(|message| message.is_draft), "a draft is in {address}");
        let ids: BTreeSet<_> = messages.iter().map(|message| &message.internet_message_id).collect();
        ensure!(ids.len() == copies, "a message is twice in {address}");
        ensure!(graph.peak(&address) <= 4, "more than the 4 concurrent requests that Graph accepts for {address}");
    }
    Ok(())
}

/// Asserts that `archiver reconcile` over all runs finds nothing missing. Must run before the dead letters are read,
/// because it cannot see messages in flight.
pub(crate) async fn assert_nothing_missing(pipeline: &Pipeline) -> anyhow::Result<()> {
    let all = Scope { from: None, to: None, options: "", deep: None, queueing: SignedDuration::ZERO };
    let reconciled = Reconciled::of(&Connection::to_machine(&pipeline.machine), all, |_, _| {}).await?;
    ensure!(reconciled.missing.is_empty(), "missing: {:?}", reconciled.missing);
    ensure!(reconciled.lost_pages.missing.is_empty() && reconciled.undecided == 0, "{reconciled:?}");
    Ok(())
}
