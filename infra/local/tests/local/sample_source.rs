//! The sample archive, read by the adapter that reads the real one.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use local::sample_source::{
    ExpectedResult, Fault, On, Rule, Sample, SampleSource, SourceCredentials, mailboxes, user_map,
};
use model::{Captured, ItemId, Kind, Listed, Reason, Window};
use secrecy::SecretString;
use source::{ArchiverApi, Basic, Credentials, Limits, Source, SourceError};

struct Password(&'static str);

#[async_trait]
impl Credentials for Password {
    async fn get(&self) -> Result<Basic, SourceError> {
        Ok(Basic { username: SecretString::from("archiver"), password: SecretString::from(self.0) })
    }
}

fn credentials(password: &str) -> SourceCredentials {
    SourceCredentials { username: "archiver".to_owned(), password: password.to_owned() }
}

fn now() -> Timestamp {
    "2026-11-22T07:00:00.123456Z".parse().unwrap()
}

fn window() -> Window {
    Window::scheduled(None, Window::OVERLAP, now()).unwrap()
}

async fn start(sample: Sample) -> (SampleSource, ArchiverApi) {
    let source = SampleSource::start(sample, credentials("one")).await.unwrap();
    let api = client(&source, Limits { page_items: 25, ..Limits::default() });
    (source, api)
}

fn client(source: &SampleSource, limits: Limits) -> ArchiverApi {
    ArchiverApi::new(source.url().parse().unwrap(), Arc::new(Password("one")), limits)
}

async fn list_all(api: &ArchiverApi, window: &Window) -> Vec<Listed> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let page = api.list(window, cursor.as_deref()).await.unwrap();
        all.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            return all;
        }
    }
}

fn listed_id(listed: &Listed) -> ItemId {
    listed.item.as_str().unwrap().parse().unwrap()
}

/// Reads a listed item with everything that belongs to it, as convert does.
async fn read(api: &ArchiverApi, id: &ItemId, limit: u64) -> Result<Captured, SourceError> {
    let captured = api.item(id).await?;
    for attachment in &captured.item.attachments {
        match api.attachment(id, attachment, limit).await {
            Ok(_) | Err(SourceError::AttachmentErased) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(captured)
}

#[tokio::test]
async fn sample_day_is_readable_except_for_its_declared_failures() {
    let (source, api) = start(Sample::day(now()).unwrap()).await;
    let listed = list_all(&api, &window()).await;
    let expected_results: BTreeMap<ItemId, ExpectedResult> = source.sample().expected_results().collect();
    assert_eq!((listed.len(), expected_results.len()), (source.sample().len(), source.sample().len()));
    assert!(listed.len() >= 60, "{}", listed.len());
    assert!(listed.is_sorted_by_key(|listed| listed.archived_at().unwrap()), "oldest first");

    let mut kinds = Vec::new();
    for listed in &listed {
        let id = listed_id(listed);
        let reason = match read(&api, &id, 10 << 20).await {
            Ok(captured) => {
                assert_eq!(Some(captured.item.archived_time), listed.archived_at());
                assert!(captured.item.message_time <= captured.item.archived_time);
                kinds.push(captured.item.kind);
                None
            }
            Err(SourceError::NotFound | SourceError::Erased) => Some(Reason::ItemNotFound),
            Err(SourceError::TooLarge { .. }) => Some(Reason::Oversize),
            Err(SourceError::AttachmentMissing) => Some(Reason::AttachmentMissing),
            Err(SourceError::Mismatch) => Some(Reason::AttachmentMismatch),
            Err(other) => panic!("{id}: {other}"),
        };
        match &expected_results[&id] {
            ExpectedResult::DeadLetter(Reason::Unmapped) | ExpectedResult::Filed(_) => assert_eq!(reason, None, "{id}"),
            ExpectedResult::DeadLetter(expected) => assert_eq!(reason, Some(*expected), "{id}"),
        }
    }
    // The videos are too large and so were not read to the end.
    kinds.push(Kind::Video);
    for kind in Kind::KNOWN {
        assert!(kinds.contains(kind), "the sample has no {kind}");
    }
    assert!(kinds.iter().any(|kind| matches!(kind, Kind::Other(_))), "the sample has no unknown kind");
}

/// The rules of mapping, implemented a second time and more simply: the file's address for the phone, else the
/// participant's own, as far as there is such a mailbox.
#[tokio::test]
async fn expected_results_follow_from_the_mapping_rules() {
    let (source, api) = start(Sample::day(now()).unwrap()).await;
    let mailboxes = mailboxes().unwrap();
    let digits = |phone: &str| {
        let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
        digits.strip_prefix("00").unwrap_or(&digits).to_owned()
    };
    let file: BTreeMap<String, String> = user_map()
        .lines()
        .skip(1)
        .map(|line| line.split(';').collect::<Vec<_>>())
        // A row with an end has ended before the sample's day.
        .filter(|cells| cells[2].is_empty())
        .map(|cells| (digits(cells[0]), cells[1].to_owned()))
        .collect();
    for (id, expected_result) in source.sample().expected_results() {
        let captured = match api.item(&id).await {
            Ok(captured) => captured,
            Err(_) => continue,
        };
        let mut filed = Vec::new();
        for participant in captured.item.participants() {
            let from_file = participant.phone_digits().and_then(|phone| file.get(&phone).cloned());
            let candidates = [from_file, participant.email.clone()];
            let mailbox = candidates.into_iter().flatten().filter_map(|address| address.parse().ok());
            filed.extend(mailbox.into_iter().find(|address| mailboxes.contains(address)));
        }
        match expected_result {
            ExpectedResult::Filed(expected) => assert_eq!(filed, expected, "{id}"),
            ExpectedResult::DeadLetter(Reason::Unmapped) => assert!(filed.is_empty(), "{id}"),
            ExpectedResult::DeadLetter(_) => assert!(!filed.is_empty(), "{id}"),
        }
    }
    let expected = source.sample().expected();
    assert_eq!(expected.listed, 64);
    let filed: BTreeMap<&str, usize> =
        expected.filed.iter().map(|(address, copies)| (address.as_str(), *copies)).collect();
    assert_eq!(
        filed,
        BTreeMap::from([
            ("ada.lindqvist@example.com", 22),
            ("karim.haddad@example.com", 29),
            ("mette.holm@example.com", 21),
            ("oliver.marsh@example.com", 35),
            ("priya.nair@example.com", 17),
            ("yael.baron@example.com", 29),
        ])
    );
    assert_eq!(
        expected.dead_letters,
        BTreeMap::from([
            (Reason::Oversize, 2),
            (Reason::Unmapped, 2),
            (Reason::ItemNotFound, 2),
            (Reason::AttachmentMissing, 1),
            (Reason::AttachmentMismatch, 1),
        ])
    );
}

#[tokio::test]
async fn many_items_are_listed_in_pages_by_window() {
    let source = SampleSource::start(Sample::many(2_500, now()), credentials("one")).await.unwrap();
    let api = client(&source, Limits::default());
    let all = list_all(&api, &window()).await;
    assert_eq!((all.len(), source.requests().lists), (2_500, 3));
    let at = |index: usize| all[index].archived_at().unwrap();
    let part = Window::between(at(100), at(200)).unwrap();
    assert_eq!(list_all(&api, &part).await, all[100..200], "from is inclusive, to is exclusive");
    let captured = api.item(&listed_id(&all[2_499])).await.unwrap();
    assert_eq!(captured.item.archived_time, at(2_499));
    assert!(matches!(api.item(&"MANY/2499".parse().unwrap()).await, Err(SourceError::NotFound)));
    assert_eq!(source.sample().expected().filed.values().sum::<usize>(), 2_500);
    let other = Window::between(at(0), at(200) + SignedDuration::from_millis(1)).unwrap();
    let cursor = api.list(&window(), None).await.unwrap().next;
    assert!(api.list(&other, cursor.as_deref()).await.is_err(), "a cursor belongs to its window");
}

#[tokio::test]
async fn injected_faults_apply_until_they_are_cleared() {
    let (source, api) = start(Sample::many(10, now())).await;
    let api = Arc::new(api);
    let id: ItemId = "MANY/0000001".parse().unwrap();
    let rule = |on: On, times: u64, fault: Fault| Rule { on, times, fault };
    let status = Fault::Status { status: 429, retry_after: Some("90".to_owned()) };
    source.inject_fault(rule(On::Item(id.to_string()), 1, status));
    let error = api.item(&id).await.err().unwrap();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(90)));
    assert!(api.item(&id).await.is_ok());

    for fault in [Fault::Break, Fault::Length(1 << 20)] {
        source.inject_fault(rule(On::Items, u64::MAX, fault.clone()));
        assert!(matches!(api.item(&id).await, Err(SourceError::Unavailable { .. })), "{fault:?}");
        source.clear_faults();
    }
    source.inject_fault(rule(On::Lists, 1, Fault::Endless));
    assert!(matches!(api.list(&window(), None).await, Err(SourceError::MalformedPage(_))));
    source.inject_fault(rule(On::Any, 1, Fault::Slow(Duration::from_millis(1))));
    assert_eq!(api.list(&window(), None).await.unwrap().items.len(), 10);

    source.inject_fault(rule(On::Any, u64::MAX, Fault::Stall));
    let stalled = tokio::spawn({
        let (api, id) = (api.clone(), id.clone());
        async move { api.item(&id).await.is_ok() }
    });
    source.until_stalled(1).await;
    source.clear_faults();
    assert!(stalled.await.unwrap());

    source.rotate(credentials("two"));
    assert!(matches!(api.item(&id).await, Err(SourceError::Configuration { .. })));
    assert_eq!(source.requests().rejected, 1);
}
