//! Transient conflicts: a concurrent write, and an item or file that the source lists before it is available.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use aws::s3::{Condition, Put, Store, StoreError, Written};
use axum::{
    Router,
    http::{StatusCode, header},
    response::IntoResponse,
};
use harness::{ItemSource, MailSystem, Pipeline};
use jiff::Timestamp;
use local::{
    cloud::Cloud,
    sample_source::{Fault, On, Rule, Sample},
};
use mail_parser::MessageParser;
use serde_json::json;

const ADA: &str = "ada@example.com";

/// Starts a bucket that responds with 409 to this many writes and then with an ETag.
async fn start_conflicting_bucket(conflicts: u32, body: &'static str) -> anyhow::Result<(Store, Arc<AtomicU32>)> {
    let writes = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&writes);
    let router = Router::new().fallback(move || {
        let index = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            if index < conflicts {
                return (StatusCode::CONFLICT, body).into_response();
            }
            [(header::ETAG, "\"1\"")].into_response()
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let cloud = Cloud::at(&format!("http://{}", listener.local_addr()?)).await;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok((Store::new(cloud.config(), "archive".to_owned()), writes))
}

#[tokio::test]
async fn racing_conditional_write_is_retried() -> anyhow::Result<()> {
    let with_code = "<Error><Code>ConditionalRequestConflict</Code></Error>";
    let put = || Put { key: "mime/x.eml", bytes: b"x".as_slice().into(), content_type: "message/rfc822", sha256: None };
    for body in [with_code, ""] {
        let (store, writes) = start_conflicting_bucket(2, body).await?;
        let written = store.put(put(), Condition::Absent).await?;
        assert!(matches!(written, Written::Yes(_)), "{body:?}: {written:?}");
        assert_eq!(writes.load(Ordering::SeqCst), 3);

        let (store, _) = start_conflicting_bucket(u32::MAX, body).await?;
        let failed = store.put(put(), Condition::Absent).await;
        assert!(
            matches!(failed, Err(StoreError::Unavailable { .. })),
            "a repeated conflict is not a transient failure: {failed:?}"
        );
    }
    Ok(())
}

fn sample() -> anyhow::Result<Sample> {
    let people = json!({"ada": {"name": "Ada", "phone": "+4520123456", "email": ADA}});
    let item = |id: &str| {
        json!({"id": id, "messageId": id, "type": "image", "messageTime": "-PT3H", "archivedTime": "-PT2H",
               "chat": {"id": "chat", "type": "individual"}, "from": "@ada", "to": [], "text": "The rate.",
               "attachments": [{"id": "1", "name": "chart.png", "contentType": "image/png", "media": "chart.png"}]})
    };
    let entry = |id: &str| json!({"expect": [ADA], "item": item(id)});
    let items = json!([entry("WA-404"), entry("WA-404-file"), entry("WA-410")]);
    Ok(Sample::written(&json!({"people": people, "items": items}).to_string(), Timestamp::now())?)
}

#[tokio::test]
async fn item_that_is_missing_shortly_after_listing_is_retried() -> anyhow::Result<()> {
    let variables = [("MISSING_RETRY_SECONDS", "3600")];
    let pipeline =
        Pipeline::start(ItemSource::Api(sample()?), MailSystem::Maildir(vec![ADA.to_owned()]), &variables).await?;
    let source = pipeline.source.as_ref().expect("the pipeline has no source");
    let on = [
        (On::Item("WA-404".to_owned()), 404),
        (On::AttachmentsOf("WA-404-file".to_owned()), 404),
        (On::AttachmentsOf("WA-410".to_owned()), 410),
    ];
    for (on, status) in on {
        source.inject_fault(Rule { on, times: 2, fault: Fault::Status { status, retry_after: None } });
    }
    pipeline.run(&Pipeline::timer()).await?;
    assert_eq!(pipeline.dead_letters_by_reason().await?, BTreeMap::new());
    let mail = pipeline.mail(ADA)?;
    assert_eq!(mail.len(), 3);
    let files = |mail: &Vec<u8>| MessageParser::new().parse(mail).map(|mail| mail.attachment_count());
    assert!(mail.values().all(|mail| files(mail) == Some(2)), "a copy lacks its file or the evidence");
    Ok(())
}
