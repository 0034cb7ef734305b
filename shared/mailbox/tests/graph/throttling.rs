//! Waiting as long as one is asked to: here when it is short, on the queue when it is long.

use std::time::Duration;

use graph_fake::{Fault, Kind, On, Refusal};
use mailbox::{Attempt, MailboxError};

use crate::support::{assert_one_complete_copy, file, graph, message, tenant};

#[tokio::test]
async fn a_short_wait_is_waited_here_in_whatever_form_it_is_asked_for() {
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
async fn a_throttled_request_was_not_done_and_is_not_looked_for() {
    let fake = tenant().await;
    fake.fault(On::kind(Kind::MessageCreate), Fault::Refuse(Refusal::new(429, "ApplicationThrottled")));
    file(&graph(&fake), &message("1", &[]), Attempt::First).await.unwrap();
    assert_eq!(fake.count(Kind::MessageSearch), 0);
}

#[tokio::test]
async fn a_long_wait_is_handed_on_and_not_undercut() {
    let later = (jiff::Timestamp::now() + Duration::from_secs(600)).in_tz("UTC").unwrap();
    let date = later.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    for (wait, least, most) in [("61.5", 61_500, 61_500), ("600", 600_000, 600_000), (&date, 590_000, 600_000)] {
        for kind in [Kind::FolderSearch, Kind::FolderCreate, Kind::MessageCreate] {
            let fake = tenant().await;
            let refusal = Refusal::new(429, "ApplicationThrottled").retry_after(wait);
            let skip = if kind == Kind::FolderSearch { 2 } else { 1 };
            fake.fault(On::kind(kind).nth(skip).times(99), Fault::Refuse(refusal));
            let error = file(&graph(&fake), &message("1", &[]), Attempt::First).await.unwrap_err();
            let MailboxError::Unavailable { retry_after: Some(asked), detail } = error else { panic!("{error:?}") };
            assert!((least..=most).contains(&asked.as_millis()), "{wait}: {asked:?}");
            assert!(detail.contains("ApplicationThrottled"), "{detail}");
            assert_eq!(fake.count(kind), skip, "it is not asked again before its time");
        }
    }
}

#[tokio::test]
async fn patience_ends_where_nobody_says_how_long() {
    let fake = tenant().await;
    fake.fault(On::kind(Kind::MessageCreate).times(10_000), Fault::Refuse(Refusal::new(429, "ApplicationThrottled")));
    let error = file(&graph(&fake), &message("1", &[]), Attempt::First).await.unwrap_err();
    assert!(matches!(error, MailboxError::Unavailable { retry_after: None, .. }), "{error:?}");
    assert!(fake.count(Kind::MessageCreate) > 2);
}
