//! What is asked of AWS no more often than it has to be.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use anyhow::Context;
use archiver::local::{
    archive::{Sample, mailboxes},
    cloud::Step,
};
use jiff::Timestamp;
use pipeline_tests::{
    From, Pipeline, To,
    cutter::{Cut, Cutter},
};

#[tokio::test]
async fn the_user_map_is_read_once_a_batch_however_many_items_it_has() -> anyhow::Result<()> {
    let read = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&read);
    let proxy = Cutter::start(move |request| {
        if request.starts_with("GET ") && request.lines().next().is_some_and(|line| line.contains("user-map.csv")) {
            seen.fetch_add(1, Ordering::SeqCst);
        }
        Cut::Never
    });
    let proxy = proxy.await?;
    let addresses = mailboxes()?.into_iter().map(|address| address.to_string()).collect();
    let sample = From::Archive(Sample::many(60, Timestamp::now()));
    let pipeline = Pipeline::start(sample, To::Maildir(addresses), &[("AWS_ENDPOINT_URL", proxy.url())]).await?;
    let endpoint = pipeline.machine.cloud.config().endpoint_url().and_then(|url| url.strip_prefix("http://"));
    proxy.lead_to(endpoint.context("the stand-in has no endpoint")?.parse()?);
    pipeline.put_user_map("phone,email\n+4520999999,nobody@example.com\n").await?;
    pipeline.run(&Pipeline::timer()).await?;
    assert_eq!(pipeline.copies()?.values().sum::<usize>(), 60);
    let batches = pipeline.machine.function(Step::Import).usage().invocations;
    assert!(batches < 60, "the items came one by one");
    assert_eq!(read.load(Ordering::SeqCst), batches);
    Ok(())
}
