//! What every run has to come to, whatever happened on the way.

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

/// Two people with mailboxes.
pub(crate) const ADA: &str = "ada@example.com";
/// The other.
pub(crate) const BOB: &str = "bob@example.com";

/// Short invocations, so that what a function leaves behind (a claim, a message in flight) is soon free.
pub(crate) const SHORT: Pace =
    Pace { timeout: Duration::from_secs(8), visibility: Duration::from_secs(9), concurrency: 2, max_receives: 50 };

/// A text from Ada to Bob.
pub(crate) fn filed(id: &str) -> Value {
    json!({"expect": [ADA, BOB], "item": text(id, "@ada", "@bob")})
}

/// A text between people who have no mailbox.
pub(crate) fn unmapped(id: &str) -> Value {
    json!({"expect": "unmapped", "item": text(id, "@eve", "@eve")})
}

/// A text that is listed and not there.
pub(crate) fn missing(id: &str) -> Value {
    json!({"expect": "item-not-found", "answer": 404, "item": text(id, "@ada", "@bob")})
}

fn text(id: &str, from: &str, to: &str) -> Value {
    json!({"id": id, "messageId": id, "type": "text", "messageTime": "-PT3H", "archivedTime": "-PT2H",
           "chat": {"id": "chat", "type": "individual"}, "from": from, "to": [to], "text": "The rate is unchanged."})
}

/// An archive of these.
pub(crate) fn sample(items: &[Value]) -> anyhow::Result<Sample> {
    let people = json!({"ada": {"name": "Ada", "phone": "+4520123456", "email": ADA},
                        "bob": {"name": "Bob", "phone": "+4520123457", "email": BOB},
                        "eve": {"name": "Eve", "phone": "+4520123458"}});
    Ok(Sample::written(&json!({"people": people, "items": items}).to_string(), Timestamp::now())?)
}

/// Microsoft 365 with the mailboxes of those two: unlike a directory it takes the same message twice.
pub(crate) async fn tenant() -> anyhow::Result<GraphFake> {
    let graph = GraphFake::start().await?;
    graph.add(User::new(ADA));
    graph.add(User::new(BOB));
    Ok(graph)
}

/// The mailboxes of those two.
pub(crate) fn two() -> Vec<String> {
    vec![ADA.to_owned(), BOB.to_owned()]
}

/// Every id of the run has the end that it should have: an outcome that says so, and at least one letter exactly where
/// a letter is due. Returns how many letters each item has.
pub(crate) async fn assert_final_state(
    pipeline: &Pipeline,
    run: &RunId,
    expected_results: &[(ItemId, ExpectedResult)],
) -> anyhow::Result<BTreeMap<String, usize>> {
    let totals = pipeline.totals(run).await?;
    let Counters { available, items_in_flight, .. } = totals.counters;
    ensure!(
        available == expected_results.len() as u64,
        "{available} are in the manifest, not {}",
        expected_results.len()
    );
    let dead_letters = check_dead_letters(pipeline, expected_results).await?;
    ensure!(items_in_flight == 0, "{items_in_flight} items of the manifest have no end");
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

/// There are letters, with their reasons, exactly where they are due. Returns how many each item has.
pub(crate) async fn check_dead_letters(
    pipeline: &Pipeline,
    expected_results: &[(ItemId, ExpectedResult)],
) -> anyhow::Result<BTreeMap<String, usize>> {
    let mut dead_letters = BTreeMap::new();
    let mut reasons = BTreeMap::new();
    for dead_letter in pipeline.dead_letters().await? {
        let item = dead_letter.attributes.get("item").cloned().unwrap_or_default();
        let reason = dead_letter.attributes.get("reason").cloned();
        ensure!(reason.is_some(), "SQS gave up on {item}");
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

/// Every mailbox has one copy of each item that is its own, and nothing else.
pub(crate) fn assert_one_copy_each(
    pipeline: &Pipeline,
    expected_results: &[(ItemId, ExpectedResult)],
) -> anyhow::Result<()> {
    let copies = pipeline.copies()?;
    ensure!(copies == expected(expected_results), "{copies:?} and not {:?}", expected(expected_results));
    for address in copies.keys() {
        let mut ids = BTreeSet::new();
        for mail in pipeline.mail(address)?.values() {
            let mail = MessageParser::new().parse(mail).context("a mail that is none")?;
            let id = mail.message_id().context("a mail without Message-ID")?.to_owned();
            ensure!(ids.insert(id.clone()), "{id} is twice in {address}");
        }
    }
    Ok(())
}

/// The same in Microsoft 365, where nothing half done may be left in a hidden folder either.
pub(crate) fn assert_one_copy_each_in_graph(
    graph: &GraphFake,
    expected_results: &[(ItemId, ExpectedResult)],
) -> anyhow::Result<()> {
    for (address, copies) in expected(expected_results) {
        let messages = graph.messages(&address);
        let visible = messages.iter().filter(|message| message.visible).count();
        ensure!(visible == copies, "{address} has {visible} and not {copies}");
        ensure!(messages.len() == visible, "{} messages are hidden in {address}", messages.len() - visible);
        ensure!(!messages.iter().any(|message| message.is_draft), "a draft is in {address}");
        let ids: BTreeSet<_> = messages.iter().map(|message| &message.internet_message_id).collect();
        ensure!(ids.len() == copies, "a message is twice in {address}");
        ensure!(graph.peak(&address) <= 4, "Graph takes 4 requests at once for {address}");
    }
    Ok(())
}

/// `archiver reconcile`, over every run that there ever was. To be asked before the letters are looked at: those that
/// somebody holds it cannot see.
pub(crate) async fn assert_nothing_missing(pipeline: &Pipeline) -> anyhow::Result<()> {
    let all = Scope { from: None, to: None, options: "", deep: None, queueing: SignedDuration::ZERO };
    let books = Reconciled::of(&Connection::to_machine(&pipeline.machine), all, |_, _| {}).await?;
    ensure!(books.missing.is_empty(), "missing: {:?}", books.missing);
    ensure!(books.lost_pages.is_empty() && books.undecided == 0, "{books:?}");
    Ok(())
}
