//! Short waits are spent in the call, long waits are returned to the caller.

use std::time::Duration;

use graph_fake::{Fault, Kind, On, Refusal};
use mailbox::{Attempt, MailboxError};

use crate::support::{assert_one_complete_copy, file, graph, message, tenant};

#[tokio::test]
async fn short_retry_after_is_waited_in_every_format() {
    for wait in ["0", "0.003", "Sun, 06 Nov 1994 08:49:37 GMT", "nonsense"] {
        for (status, code) in [(429, "ApplicationThrottled"), (503, "ErrorServerBusy")] {
            let fake = tenant().await;
            fake.fault(
                On::kind(Kind::MessageCreate).times(2),
                Fault::Refuse(Refusal::new(status, code).retry_after(wait)),
            );
            file(&graph(&fake), &message("1", &[]), Attempt::First).await.unwrap();
            assert_eq!(fake.count(Kind::MessageCreate), 3);
            assert_one_complete_copy(&fake, &[]);
        }
    }
}

#[tokio::test]
async fn throttled_request_needs_no_lookup() {
    let fake = tenant().await;
    fake.fault(On::kind(Kind::MessageCreate), Fault::Refuse(Refusal::new(429, "ApplicationThrottled")));
    file(&graph(&fake), &message("1", &[]), Attempt::First).await.unwrap();
    assert_eq!(fake.count(Kind::MessageSearch), 0);
}

#[tokio::test]
async fn long_retry_after_is_returned_to_the_caller() {
    let later = (jiff::Timestamp::now() + Duration::from_secs(600)).in_tz("UTC").unwrap();
    let date = later.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    for (wait, min, max) in [("61.5", 61_500, 61_500), ("600", 600_000, 600_000), (&date, 590_000, 600_000)] {
        for kind in [Kind::FolderSearch, Kind::FolderCreate, Kind::MessageCreate] {
            let fake = tenant().await;
            let refusal = Refusal::new(429, "ApplicationThrottled").retry_after(wait);
            let skip = if kind == Kind::FolderSearch { 2 } else { 1 };
            fake.fault(On::kind(kind).nth(skip).times(99), Fault::Refuse(refusal));
            let error = file(&graph(&fake), &message("1", &[]), Attempt::First).await.unwrap_err();
            let MailboxError::Unavailable { retry_after: Some(requested), detail } = error else { panic!("{error:?}") };
            assert!((min..=max).contains(&requested.as_millis()), "{wait}: {requested:?}");
            assert!(detail.contains("ApplicationThrottled"), "{detail}");
            assert_eq!(fake.count(kind), skip, "there is no retry before the requested time");
        }
    }
}

#[tokio::test]
async fn retry_budget_ends_the_retries_without_retry_after() {
    let fake = tenant().await;
    fake.fault(On::kind(Kind::MessageCreate).times(10_000), Fault::Refuse(Refusal::new(429, "ApplicationThrottled")));
    let error = file(&graph(&fake), &message("1", &[]), Attempt::First).await.unwrap_err();
    assert!(matches!(error, MailboxError::Unavailable { retry_after: None, .. }), "{error:?}");
    assert!(fake.count(Kind::MessageCreate) > 2);
}
