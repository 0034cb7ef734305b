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
use local::archive::{Fate, Sample};
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
pub(crate) async fn settled(
    pipeline: &Pipeline,
    run: &RunId,
    fates: &[(ItemId, Fate)],
) -> anyhow::Result<BTreeMap<String, usize>> {
    let tally = pipeline.tally(run).await?;
    let Counters { available, items_in_flight, .. } = tally.counters;
    ensure!(available == fates.len() as u64, "{available} are in the manifest, not {}", fates.len());
    let letters = lettered(pipeline, fates).await?;
    ensure!(items_in_flight == 0, "{items_in_flight} items of the manifest have no end");
    for (item, fate) in fates {
        let failed = tally.failures.iter().find(|failed| failed.item == item.as_str());
        match fate {
            Fate::Filed(_) => ensure!(failed.is_none(), "{item}: {failed:?}"),
            Fate::DeadLetter(reason) => {
                ensure!(failed.is_some_and(|failed| failed.reason == *reason), "{item}: {failed:?}");
            }
        }
    }
    Ok(letters)
}

/// There are letters, with their reasons, exactly where they are due. Returns how many each item has.
pub(crate) async fn lettered(pipeline: &Pipeline, fates: &[(ItemId, Fate)]) -> anyhow::Result<BTreeMap<String, usize>> {
    let mut letters = BTreeMap::new();
    let mut reasons = BTreeMap::new();
    for letter in pipeline.dead_letters().await? {
        let item = letter.attributes.get("item").cloned().unwrap_or_default();
        let reason = letter.attributes.get("reason").cloned();
        ensure!(reason.is_some(), "SQS gave up on {item}");
        *letters.entry(item.clone()).or_insert(0) += 1;
        reasons.insert(item, reason);
    }
    for (item, fate) in fates {
        let letter = reasons.get(item.as_str());
        match fate {
            Fate::Filed(_) => ensure!(letter.is_none(), "{item}: {letter:?}"),
            Fate::DeadLetter(reason) => ensure!(letter == Some(&Some(reason.to_string())), "{item}: {letter:?}"),
        }
    }
    Ok(letters)
}

fn expected(fates: &[(ItemId, Fate)]) -> BTreeMap<String, usize> {
    let mut expected = BTreeMap::new();
    for (_, fate) in fates {
        let Fate::Filed(mailboxes) = fate else { continue };
        for mailbox in mailboxes {
            *expected.entry(mailbox.to_string()).or_insert(0) += 1;
        }
    }
    expected
}

/// Every mailbox has one copy of each item that is its own, and nothing else.
pub(crate) fn one_copy_each(pipeline: &Pipeline, fates: &[(ItemId, Fate)]) -> anyhow::Result<()> {
    let copies = pipeline.copies()?;
    ensure!(copies == expected(fates), "{copies:?} and not {:?}", expected(fates));
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
pub(crate) fn one_copy_each_in(graph: &GraphFake, fates: &[(ItemId, Fate)]) -> anyhow::Result<()> {
    for (address, copies) in expected(fates) {
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
pub(crate) async fn nothing_is_missing(pipeline: &Pipeline) -> anyhow::Result<()> {
    let all = Scope { from: None, to: None, options: "", deep: None, queueing: SignedDuration::ZERO };
    let books = Reconciled::of(&Connection::to_machine(&pipeline.machine), all, |_, _| {}).await?;
    ensure!(books.missing.is_empty(), "missing: {:?}", books.missing);
    ensure!(books.lost_pages.is_empty() && books.undecided == 0, "{books:?}");
    Ok(())
}
