//! Number of the requests to AWS, and their headers.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use anyhow::Context;
use aws::s3::{Condition, Put, Store};
use harness::{
    ItemSource, MailSystem, Pace, Pipeline,
    fault_proxy::{ConnectionFault, FaultProxy},
};
use jiff::Timestamp;
use local::{
    cloud::Step,
    sample_source::{Sample, mailboxes},
};
use model::Sha256;

#[tokio::test]
async fn user_map_is_read_once_per_batch() -> anyhow::Result<()> {
    let reads = Arc::new(AtomicU64::new(0));
    let shared = Arc::clone(&reads);
    let proxy = FaultProxy::start(move |request| {
        if request.starts_with("GET ") && request.lines().next().is_some_and(|line| line.contains("user-map.csv")) {
            shared.fetch_add(1, Ordering::SeqCst);
        }
        ConnectionFault::None
    });
    let proxy = proxy.await?;
    let addresses = mailboxes()?.into_iter().map(|address| address.to_string()).collect();
    let sample = ItemSource::Api(Sample::many(60, Timestamp::now()));
    let pipeline =
        Pipeline::start(sample, MailSystem::Maildir(addresses), &[("AWS_ENDPOINT_URL", proxy.url())]).await?;
    let endpoint = pipeline.machine.cloud.config().endpoint_url().and_then(|url| url.strip_prefix("http://"));
    proxy.set_upstream(endpoint.context("the emulator has no endpoint")?.parse()?);
    pipeline.put_user_map("phone,email\n+4520999999,nobody@example.com\n").await?;
    pipeline.run(&Pipeline::timer()).await?;
    assert_eq!(pipeline.copies()?.values().sum::<usize>(), 60);
    let batches = pipeline.machine.function(Step::Import).usage().invocations;
    assert!(batches < 60, "each batch had one item");
    // A process that records the map as used last reads it once more before: usually one, and several if they start together.
    let more = reads.load(Ordering::SeqCst) - batches;
    assert!((1..=Pace::default().concurrency as u64).contains(&more), "{more} reads more than {batches} batches");
    Ok(())
}

/// The bucket policy (template.yaml, `WriteOnce`) rejects every other write below these prefixes.
#[tokio::test]
async fn mail_and_manifests_are_written_conditionally() -> anyhow::Result<()> {
    let written = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&written);
    let proxy = FaultProxy::start(move |request| {
        let path = request.strip_prefix("PUT ").and_then(|rest| rest.split([' ', '?']).next());
        if let Some(path) = path.filter(|path| path.contains("/runs/") || path.contains("/mime/")) {
            let is_conditional = request.lines().any(|line| line.eq_ignore_ascii_case("if-none-match: *"));
            shared.lock().unwrap_or_else(PoisonError::into_inner).push((path.to_owned(), is_conditional));
        }
        ConnectionFault::None
    });
    let proxy = proxy.await?;
    let addresses = mailboxes()?.into_iter().map(|address| address.to_string()).collect();
    let sample = ItemSource::Api(Sample::many(3, Timestamp::now()));
    let pipeline =
        Pipeline::start(sample, MailSystem::Maildir(addresses), &[("AWS_ENDPOINT_URL", proxy.url())]).await?;
    let endpoint = pipeline.machine.cloud.config().endpoint_url().and_then(|url| url.strip_prefix("http://"));
    proxy.set_upstream(endpoint.context("the emulator has no endpoint")?.parse()?);
    pipeline.run(&Pipeline::timer()).await?;
    let mut written = written.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let unconditional: Vec<_> = written.iter().filter(|(_, is_conditional)| !is_conditional).collect();
    assert!(unconditional.is_empty(), "unconditional writes: {unconditional:?}");
    let count_with_suffix = |end: &str| written.iter().filter(|(path, _)| path.ends_with(end)).count();
    assert_eq!(
        (
            count_with_suffix("/begun.json"),
            count_with_suffix(".ndjson"),
            count_with_suffix("/run.json"),
            count_with_suffix(".eml")
        ),
        (1, 1, 1, 3)
    );
    written.sort();
    written.dedup();
    assert_eq!(written.len(), 6, "a key was written twice");
    Ok(())
}

/// The store does not hash the bytes again: the signed header has the given digest, even a wrong one.
#[tokio::test]
async fn given_digest_is_used_for_signing() -> anyhow::Result<()> {
    let signed = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&signed);
    let proxy = FaultProxy::start(move |request| {
        let digests = request.lines().filter_map(|line| line.strip_prefix("x-amz-content-sha256: ").map(str::to_owned));
        shared.lock().unwrap_or_else(PoisonError::into_inner).extend(digests);
        ConnectionFault::None
    });
    let proxy = proxy.await?;
    let source = ItemSource::Api(Sample::many(0, Timestamp::now()));
    let pipeline = Pipeline::start(source, MailSystem::Maildir(Vec::new()), &[]).await?;
    let config = pipeline.machine.cloud.config();
    let endpoint = config.endpoint_url().and_then(|url| url.strip_prefix("http://"));
    proxy.set_upstream(endpoint.context("the emulator has no endpoint")?.parse()?);
    let store =
        Store::new(&config.to_builder().endpoint_url(proxy.url()).build(), pipeline.machine.resources.bucket.clone());

    let other = Sha256::of(b"other");
    let put =
        |sha256| Put { key: "mime/x.eml", bytes: b"bytes".as_slice().into(), content_type: "message/rfc822", sha256 };
    // The server may reject the wrong digest.
    store.put(put(Some(other)), Condition::Always).await.ok();
    store.put(put(Some(Sha256::of(b"bytes"))), Condition::Always).await?;
    let signed = signed.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert_eq!(signed.first(), Some(&other.to_string()));
    assert_eq!(signed.last(), Some(&Sha256::of(b"bytes").to_string()));
    Ok(())
}
