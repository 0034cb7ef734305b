//! Addresses and numbers whose owners change: a renamed domain leads to no second copy, and an old message is filed for
//! the owner of the number at that time.

use anyhow::Context;
use graph_fake::{GraphFake, User};
use harness::{FOLDER, ItemSource, MailSystem, Pipeline};
use jiff::{SignedDuration, Timestamp};
use local::sample_source::Sample;
use model::{ItemId, Outcome, Reason, keys};
use serde_json::{Value, json};

use crate::command_line::{archiver_command, run};

/// Retries end after two seconds.
const SHORT_WAIT: (&str, &str) = ("RETRY_HOURS", "0.0005");

async fn read_outcome(pipeline: &Pipeline, id: &str) -> anyhow::Result<Outcome> {
    let object = pipeline.store.get(&keys::outcome(&id.parse::<ItemId>()?.key()), 1 << 20).await?;
    Ok(Outcome::parse(&object.context("no outcome")?.bytes)?)
}

/// Returns a text from Ada to Bob, written and archived so many hours ago.
fn text(id: &str, hours: u32) -> Value {
    let ago = format!("-PT{hours}H");
    json!({"expect": "unmapped", "item": {"id": id, "messageId": id, "type": "text", "messageTime": ago, "archivedTime": ago,
           "chat": {"id": "chat", "type": "individual"}, "from": "@ada", "to": ["@bob"], "text": "Hello."}})
}

fn sample(items: &[Value]) -> anyhow::Result<Sample> {
    let people =
        json!({"ada": {"name": "Ada", "phone": "+4520123456"}, "bob": {"name": "Bob", "phone": "+4520123457"}});
    Ok(Sample::written(&json!({"people": people, "items": items}).to_string(), Timestamp::now())?)
}

/// The domain is renamed before the replay, and Ada moves her copy out of the folder, so that only the id of the
/// mailbox shows that she has a copy.
#[tokio::test]
async fn replay_after_a_domain_rename_files_no_second_copy() -> anyhow::Result<()> {
    let graph = GraphFake::start().await?;
    graph.add(User::new("ada@old.example"));
    // Unlike "no mailbox", the adapter does not cache a rejected lookup, so the retries end after seconds.
    graph.reject_address("bob@old.example");
    let pipeline =
        Pipeline::start(ItemSource::Api(sample(&[text("WA-1", 2)])?), MailSystem::Graph(&graph), &[SHORT_WAIT]).await?;
    pipeline.put_user_map("phone,email\n+4520123456,ada@old.example\n+4520123457,bob@old.example\n").await?;
    pipeline.run(&Pipeline::timer()).await?;
    let dead_letters = pipeline.dead_letters().await?;
    assert_eq!(dead_letters.len(), 1);
    assert_eq!(dead_letters[0].attributes["reason"], Reason::LookupRejected.as_str(), "Bob has no mailbox yet");
    let before = read_outcome(&pipeline, "WA-1").await?;
    assert!(before.mailboxes.len() == 1 && before.mailboxes[0].id.is_some(), "{before:?}");

    graph.rename("ada@old.example", "ada@new.example");
    graph.remove_folder("ada@new.example", FOLDER);
    graph.add(User::new("bob@new.example"));
    pipeline.put_user_map("phone,email\n+4520123456,ada@new.example\n+4520123457,bob@new.example\n").await?;
    pipeline.send(&pipeline.machine.resources.import, &dead_letters[0].body).await?;
    pipeline.drain().await?;
    assert_eq!((graph.messages("ada@new.example").len(), graph.messages("bob@new.example").len()), (0, 1));
    let after = read_outcome(&pipeline, "WA-1").await?;
    assert!(after.is_complete() && after.mailboxes.len() == 2, "{after:?}");
    Ok(())
}

#[tokio::test]
async fn backfill_of_an_old_day_files_for_the_former_owner() -> anyhow::Result<()> {
    const HOURS: u32 = 60 * 24;
    let items = [text("old", HOURS), text("new", 2)];
    let mailboxes = ["anna@example.com", "bob@example.com", "carl@example.com"].map(str::to_owned);
    let pipeline =
        Pipeline::start(ItemSource::Api(sample(&items)?), MailSystem::Maildir(mailboxes.to_vec()), &[]).await?;
    let day = |days: i64| (Timestamp::now() - SignedDuration::from_hours(24 * days)).strftime("%F").to_string();
    // Anna's number was given to Carl 30 days ago.
    let map = format!(
        "phone,email,valid_from,valid_to\n+4520123456,anna@example.com,,{}\n+4520123456,carl@example.com,{},\n\
         +4520123457,bob@example.com,,\n",
        day(31),
        day(30)
    );
    pipeline.put_user_map(&map).await?;
    pipeline.run(&Pipeline::timer()).await?;
    let old = Timestamp::now() - SignedDuration::from_hours(HOURS.into());
    let hour = SignedDuration::from_hours(1);
    pipeline.run(&json!({"from": old - hour, "to": old + hour})).await?;
    let filed_for = async |id| -> anyhow::Result<Vec<String>> {
        let outcome = read_outcome(&pipeline, id).await?;
        assert!(outcome.is_complete(), "{id}: {outcome:?}");
        let mut addresses: Vec<_> = outcome.mailboxes.iter().map(|filed| filed.address.to_string()).collect();
        addresses.sort();
        Ok(addresses)
    };
    assert_eq!(filed_for("new").await?, ["bob@example.com", "carl@example.com"]);
    assert_eq!(filed_for("old").await?, ["anna@example.com", "bob@example.com"]);
    Ok(())
}

#[tokio::test]
async fn old_backfill_warns_when_the_user_map_has_no_periods() -> anyhow::Result<()> {
    let pipeline = Pipeline::start(ItemSource::Api(sample(&[])?), MailSystem::Maildir(vec![]), &[]).await?;
    let is_warned = async |days: i64| -> anyhow::Result<bool> {
        let from = Timestamp::now() - SignedDuration::from_hours(24 * days);
        let (from, to) = (from.to_string(), (from + SignedDuration::from_hours(1)).to_string());
        let mut command = archiver_command(&pipeline, &["backfill", "--from", &from, "--to", &to])?;
        command.env("FETCH_FUNCTION_NAME", "fetch");
        let (_, _, stderr) = run(command).await?;
        assert!(stderr.contains("--yes"), "the command does not ask for --yes: {stderr}");
        Ok(stderr.contains("warning: the window begins over a month ago"))
    };
    pipeline.put_user_map("phone,email\n+4520123456,anna@example.com\n").await?;
    assert_eq!((is_warned(40).await?, is_warned(20).await?), (true, false));
    pipeline.put_user_map("phone,email,valid_to\n+4520123456,anna@example.com,2020-01-01\n").await?;
    assert!(!is_warned(40).await?, "the command warned although the user map has periods");
    Ok(())
}
