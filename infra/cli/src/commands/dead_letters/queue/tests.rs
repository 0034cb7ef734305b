use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use axum::{Json, Router, body::Bytes, extract::State, http::HeaderMap};
use serde_json::{Value, json};
use tokio::sync::Barrier;

use super::*;
use local::cloud::Cloud;

/// Upper bound on a wait for a response that does not come. No assertion depends on it.
const HANGS: Duration = Duration::from_secs(30);

/// An SQS emulator that records requests. From the second receive on it can answer two requests together or none.
#[derive(Default)]
struct Sqs {
    waiting: Mutex<Vec<usize>>,
    sent: Mutex<usize>,
    asked: Mutex<Vec<String>>,
    released: Mutex<BTreeSet<String>>,
    together: Option<Barrier>,
    /// Messages that arrive before each receive, and what SQS says of when they were sent.
    arrivals: Option<(usize, Timestamp)>,
    /// Messages of other consumers.
    in_flight_elsewhere: usize,
}

impl Sqs {
    fn with(self, letters: usize) -> Arc<Self> {
        *self.waiting.lock().unwrap() = (0..letters).collect();
        *self.sent.lock().unwrap() = letters;
        Arc::new(self)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn received(&self) -> usize {
        let waiting = self.waiting.lock().unwrap();
        *self.sent.lock().unwrap() - waiting.len()
    }

    async fn letters(self: &Arc<Self>) -> Letters {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(Arc::clone(self));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let queues = QueueUrls { convert: url.clone(), import: url.clone(), dead_letters: format!("{url}/letters") };
        Letters { client: Client::new(Cloud::at(&url).await.config()), queues }
    }
}

async fn answer(State(sqs): State<Arc<Sqs>>, headers: HeaderMap, body: Bytes) -> Json<Value> {
    let asked: Value = serde_json::from_slice(&body).unwrap();
    let target = headers["x-amz-target"].to_str().unwrap().trim_start_matches("AmazonSQS.").to_owned();
    let first = {
        let mut all = sqs.asked.lock().unwrap();
        all.push(target.clone());
        all.iter().filter(|asked| *asked == "ReceiveMessage").count() == 1
    };
    match target.as_str() {
        "GetQueueAttributes" => {
            let ready = sqs.waiting.lock().unwrap().len();
            let received = sqs.received();
            let in_flight = received - sqs.released.lock().unwrap().len() + sqs.in_flight_elsewhere;
            return Json(json!({"Attributes": {
                "ApproximateNumberOfMessages": ready.to_string(),
                "ApproximateNumberOfMessagesNotVisible": in_flight.to_string(),
                "ApproximateNumberOfMessagesDelayed": "0"}}));
        }
        "ReceiveMessage" => {}
        _ => {
            let entries = asked["Entries"].as_array().unwrap();
            let receipts = entries.iter().map(|entry| entry["ReceiptHandle"].as_str().unwrap().to_owned());
            sqs.released.lock().unwrap().extend(receipts);
            return Json(json!({"Successful": [], "Failed": []}));
        }
    }
    if let (Some(together), false) = (&sqs.together, first) {
        together.wait().await;
    }
    let mut waiting = sqs.waiting.lock().unwrap();
    let mut sent_at = Timestamp::UNIX_EPOCH;
    if let Some((count, at)) = sqs.arrivals {
        let mut sent = sqs.sent.lock().unwrap();
        assert!(*sent < 5_000, "the walk does not end");
        waiting.extend(*sent..*sent + count);
        *sent += count;
        sent_at = at;
    }
    let page = waiting.len().min(10);
    let sent_at = sent_at.as_millisecond().to_string();
    let messages: Vec<_> = waiting
        .drain(..page)
        .map(|number| {
            json!({"MessageId": format!("m-{number}"), "ReceiptHandle": format!("r-{number}"), "Body": "{}",
                   "Attributes": {"SentTimestamp": sent_at}})
        })
        .collect();
    Json(json!({"Messages": messages}))
}

/// Walks to the end and returns the ids in the order in which they came.
async fn ids(walk: &mut Walk<'_>) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        let page = tokio::time::timeout(HANGS, walk.next()).await.expect("one receive at a time").unwrap();
        assert!(page.len() <= 10, "a page has at most ten messages");
        if page.is_empty() {
            return ids;
        }
        ids.extend(page.into_iter().map(|letter| letter.message_id));
    }
}

#[tokio::test]
async fn walk_receives_a_long_queue_in_parallel_and_returns_each_message_once() {
    let sqs = Sqs { together: Some(Barrier::new(2)), ..Sqs::default() }.with(100);
    let letters = sqs.letters().await;
    let mut walk = letters.walk(Duration::from_secs(300));
    let seen: BTreeSet<_> = ids(&mut walk).await.into_iter().collect();
    assert_eq!(seen.len(), 100);
    assert!(!sqs.asked().iter().any(|target| target == "ChangeMessageVisibilityBatch"), "no hold was about to end");
    walk.release().await.unwrap();
    assert_eq!(sqs.released.lock().unwrap().len(), 100);
}

#[tokio::test]
async fn walk_extends_its_hold_for_as_long_as_it_lasts() {
    let sqs = Sqs::default().with(25);
    let letters = sqs.letters().await;
    // Over before the next request.
    let mut walk = letters.walk(Duration::from_micros(1));
    assert_eq!(ids(&mut walk).await.len(), 25);
    assert_eq!(sqs.asked()[..3], ["GetQueueAttributes", "ReceiveMessage", "ChangeMessageVisibilityBatch"]);
    // Also while messages that came ahead are worked on, and before the next receive.
    let holds = sqs.asked().iter().filter(|target| *target == "ChangeMessageVisibilityBatch").count();
    assert!(holds >= 4, "{:?}", sqs.asked());
}

#[tokio::test]
async fn walk_ends_while_messages_arrive_before_every_receive() {
    let (past, future) = (Timestamp::UNIX_EPOCH, Timestamp::now() + Duration::from_secs(3600));
    // What SQS itself moves keeps the time at which the task was sent, so it looks as if it had been there.
    for sent in [past, future] {
        for (ready, arriving) in [(0, 1), (35, 3), (100, 9), (100, 10)] {
            let sqs = Sqs { arrivals: Some((arriving, sent)), ..Sqs::default() }.with(ready);
            let letters = sqs.letters().await;
            let mut walk = letters.walk(HOLD);
            let seen = ids(&mut walk).await;
            let ids: BTreeSet<_> = seen.iter().collect();
            assert_eq!(ids.len(), seen.len(), "each once");
            assert!((0..ready).all(|number| ids.contains(&format!("m-{number}"))), "all that was there: {seen:?}");
            walk.release().await.unwrap();
            assert_eq!(sqs.released.lock().unwrap().len(), sqs.received(), "nothing stays invisible");
        }
    }
}

#[tokio::test]
async fn walk_is_not_whole_while_another_consumer_has_messages() {
    for (in_flight_elsewhere, arrivals, whole) in
        [(0, None, true), (5, None, false), (5, Some((5, Timestamp::now() + Duration::from_secs(3600))), false)]
    {
        let sqs = Sqs { in_flight_elsewhere, arrivals, ..Sqs::default() }.with(20);
        let letters = sqs.letters().await;
        let mut walk = letters.walk(HOLD);
        ids(&mut walk).await;
        assert_eq!(walk.is_whole().await.unwrap(), whole, "{in_flight_elsewhere} elsewhere, {arrivals:?} arrive");
        walk.release().await.unwrap();
    }
}
