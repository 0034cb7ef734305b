//! The sample day: every kind of item, and failing items.

use std::collections::BTreeMap;

use harness::{ItemSource, MailSystem, Pipeline};
use jiff::Timestamp;
use ledger::totals::Counters;
use local::sample_source::{Expected, ExpectedResult, Sample, mailboxes, user_map};
use serde_json::Value;

pub(crate) fn addresses() -> anyhow::Result<Vec<String>> {
    Ok(mailboxes()?.into_iter().map(String::from).collect())
}

pub(crate) fn expected_copies(expected: &Expected) -> BTreeMap<String, usize> {
    expected.filed.iter().map(|(address, copies)| (address.to_string(), *copies)).collect()
}

pub(crate) fn expected_dead_letters(expected: &Expected) -> BTreeMap<String, usize> {
    expected.dead_letters.iter().map(|(reason, count)| (reason.to_string(), *count)).collect()
}

#[tokio::test]
async fn sample_day_ends_as_declared_and_a_second_run_adds_nothing() -> anyhow::Result<()> {
    let sample = Sample::day(Timestamp::now())?;
    let expected = sample.expected();
    let expected_results: Vec<_> = sample.expected_results().collect();
    let pipeline = Pipeline::start(ItemSource::Api(sample), MailSystem::Maildir(addresses()?), &[]).await?;
    pipeline.put_user_map(user_map()).await?;

    let fetched = pipeline.run(&Pipeline::timer()).await?;
    assert_eq!(
        (fetched.listed, fetched.queued, fetched.complete),
        (expected.listed as u64, expected.listed as u64, true)
    );
    assert_eq!(pipeline.copies()?, expected_copies(&expected));
    assert_eq!(pipeline.dead_letters_by_reason().await?, expected_dead_letters(&expected));

    let totals = pipeline.totals(&fetched.run).await?;
    let counters = totals.counters;
    let filed: usize = expected.filed.values().sum();
    let dead_letters: usize = expected.dead_letters.values().sum();
    assert_eq!((counters.imported, counters.skipped, counters.failed), (filed as u64, 0, dead_letters as u64));
    assert!(counters.copies_add_up(), "{counters:?}");
    assert_eq!(counters.items_in_flight, 0, "an id of the manifest has no outcome");
    for (item, expected_result) in &expected_results {
        let failed = totals.failures.iter().find(|failed| failed.item == item.as_str());
        match expected_result {
            ExpectedResult::DeadLetter(reason) => {
                assert_eq!(failed.map(|failed| failed.reason), Some(*reason), "{item}")
            }
            ExpectedResult::Filed(_) => assert_eq!(failed, None, "{item}"),
        }
    }

    // The items that the next run's overlap or a backfill lists again are filed already.
    for event in [Pipeline::timer(), Pipeline::backfill()] {
        let again = pipeline.run(&event).await?;
        let Counters { available, imported, failed, items_listed_again, .. } =
            pipeline.totals(&again.run).await?.counters;
        assert_eq!(
            (imported, failed, items_listed_again),
            (0, 0, available),
            "the later run counts items of the first run"
        );
        assert_eq!(pipeline.copies()?, expected_copies(&expected));
    }
    Ok(())
}

#[tokio::test]
async fn dead_letter_is_the_unchanged_task_without_names() -> anyhow::Result<()> {
    let sample = Sample::day(Timestamp::now())?;
    let pipeline = Pipeline::start(ItemSource::Api(sample), MailSystem::Maildir(addresses()?), &[]).await?;
    pipeline.put_user_map(user_map()).await?;
    let fetched = pipeline.run(&Pipeline::timer()).await?;
    let dead_letters = pipeline.dead_letters().await?;
    assert!(!dead_letters.is_empty());
    for dead_letter in dead_letters {
        let body: Value = serde_json::from_str(&dead_letter.body)?;
        let attribute = |name: &str| dead_letter.attributes.get(name).map(String::as_str).unwrap_or_default();
        assert_eq!(body["v"], 1);
        assert_eq!(body["item"], attribute("item"));
        assert_eq!(body["run"], fetched.run.as_str());
        assert_eq!(attribute("run"), fetched.run.as_str());
        assert!(["convert", "import"].contains(&attribute("stage")), "{dead_letter:?}");
        assert!(attribute("failed_at").parse::<Timestamp>().is_ok(), "{dead_letter:?}");
        assert!(!attribute("detail").is_empty(), "{dead_letter:?}");
        let names = ["example.com", "Lindqvist", "Dubois", "4477", "townhall"];
        assert!(!names.iter().any(|name| attribute("detail").contains(name)), "{dead_letter:?}");
    }
    Ok(())
}

/// Searches everything logged at `debug` for every name, number, address and text of the sample.
#[tokio::test]
async fn logs_contain_no_content_and_no_identity() -> anyhow::Result<()> {
    let sample = Sample::day(Timestamp::now())?;
    let pipeline = Pipeline::start(ItemSource::Api(sample), MailSystem::Maildir(addresses()?), &[]).await?;
    pipeline.put_user_map(user_map()).await?;
    pipeline.run(&Pipeline::timer()).await?;
    let logs = pipeline.logs();
    assert!(logs.contains("\"filed\"") && logs.contains("dead letter"), "the log does not contain the summary");
    // Every pipeline does this search at its end; here the test checks that it covers enough words.
    assert!(pipeline.confidential_words() > 100, "{} words are searched for", pipeline.confidential_words());
    for word in ["Lindqvist", "correct horse", "Authorization"] {
        assert!(!logs.contains(word), "{word:?} is in the log");
    }
    Ok(())
}
