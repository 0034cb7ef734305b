use aws_fake::{Aws, BUCKET};
use reqwest::StatusCode;
use runtime::metrics::{Metric, counted};

use super::*;

const MEDIA: &str = "media/abc";

fn fetcher(aws: &Aws) -> MediaFetcher {
    let store = Store::new(aws.config(), BUCKET.to_owned());
    MediaFetcher::new(store, MediaApi::Aws(AwsMedia::new(aws.config())))
}

/// Returns the file of two attempts with these contents, the first of which ended before it wrote its facts.
async fn kept_twice(first: &'static [u8], second: &'static [u8], declared: Option<Sha256>) -> (Aws, Stored) {
    let aws = Aws::start().await;
    let fetcher = fetcher(&aws);
    let kept = [(first, None), (second, declared)].map(|(bytes, declared)| fetcher.keep(MEDIA, bytes.into(), declared));
    let [first, second] = kept;
    assert!(first.await.is_ok());
    let Ok(stored) = second.await else { panic!("no file") };
    (aws, stored)
}

#[tokio::test]
async fn other_content_under_an_id_is_kept_beside_the_first() {
    let (one, two) = (Sha256::of(b"one"), Sha256::of(b"two two"));
    let (aws, stored) = kept_twice(b"one", b"two two", None).await;
    assert_eq!((stored.sha256, stored.bytes, stored.other), (one, 3, Some(two)));
    assert_eq!(aws.object(&stored.key).as_deref(), Some(&b"one"[..]));
    assert_eq!(aws.object(&keys::media_other_bytes(MEDIA, &two)).as_deref(), Some(&b"two two"[..]));

    // The declared digest proves the second.
    let (aws, stored) = kept_twice(b"one", b"two two", Some(two)).await;
    assert_eq!((stored.sha256, stored.bytes, stored.other), (two, 7, Some(one)));
    assert_eq!(aws.object(&stored.key).as_deref(), Some(&b"two two"[..]));
    assert_eq!(aws.object(&keys::media_bytes(MEDIA)).as_deref(), Some(&b"one"[..]));

    let (aws, stored) = kept_twice(b"one", b"one", None).await;
    assert_eq!((stored.sha256, stored.other, aws.keys("media/").len()), (one, None, 1));
}

/// Two messages name the same id, and declare different files.
#[tokio::test]
async fn file_does_not_pass_for_another_declared_one() {
    let aws = Aws::start().await;
    let fetcher = fetcher(&aws);
    let received = "2026-11-27T09:00:00Z".parse().expect("a time");
    let task = |sha256: Option<Sha256>| {
        let declared = sha256.map(|sha256| format!(r#""sha256":"{sha256}","#)).unwrap_or_default();
        let task = format!(r#"{{"v":1,"media":"77",{declared}"received":"{received}"}}"#);
        MediaTask::parse(&task).expect("a task")
    };
    let (media, sha256) = (task(None).key(), Sha256::of(b"one"));
    let there = Facts::There { v: VERSION, key: keys::media_bytes(&media), bytes: 3, sha256, other: None };
    assert!(facts::keep(&fetcher.store, &media, &there).await.is_ok());
    for (declared, outcome) in [
        (None, MediaOutcome::DoneBefore),
        (Some(sha256), MediaOutcome::DoneBefore),
        (Some(Sha256::of(b"two")), MediaOutcome::Lost(MissingFile::Mismatch)),
    ] {
        assert!(matches!(fetcher.fetch(&task(declared), received).await, Ok(is) if is == outcome), "{outcome:?}");
    }
}

#[test]
fn throttled_request_for_a_file_is_counted_as_such() {
    for status in [StatusCode::TOO_MANY_REQUESTS, StatusCode::BAD_REQUEST] {
        let failure = end_user_messaging::rejection(status, Some("ThrottledRequestException"), None);
        assert!(matches!(failure, Failure::Source(SourceError::Unavailable { .. })));
    }
    let other = end_user_messaging::rejection(StatusCode::BAD_GATEWAY, Some("DependencyException"), None);
    assert!(matches!(other, Failure::Source(SourceError::Unavailable { .. })));
    assert_eq!((counted(Metric::FileThrottles), counted(Metric::MailboxThrottles)), (2, 0));
}
