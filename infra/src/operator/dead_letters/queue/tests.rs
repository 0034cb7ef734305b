use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use axum::{Json, Router, body::Bytes, extract::State, http::HeaderMap};
use serde_json::{Value, json};
use tokio::sync::Barrier;

use super::*;
use crate::local::cloud::Cloud;

/// The longest that a test waits for an answer that does not come. No assertion depends on it.
const HANGS: Duration = Duration::from_secs(30);

/// A queue that notes what it is asked, and from the second receive on answers two of them together or none.
struct Sqs {
    waiting: Mutex<Vec<usize>>,
    asked: Mutex<Vec<String>>,
    released: Mutex<BTreeSet<String>>,
    together: Option<Barrier>,
}

impl Sqs {
    fn new(letters: usize, together: Option<Barrier>) -> Arc<Self> {
        let waiting = Mutex::new((0..letters).collect());
        Arc::new(Self { waiting, asked: Mutex::default(), released: Mutex::default(), together })
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
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
    let receives = target == "ReceiveMessage";
    let first = {
        let mut all = sqs.asked.lock().unwrap();
        all.push(target);
        all.len() == 1
    };
    if !receives {
        let entries = asked["Entries"].as_array().unwrap();
        let receipts = entries.iter().map(|entry| entry["ReceiptHandle"].as_str().unwrap().to_owned());
        sqs.released.lock().unwrap().extend(receipts);
        return Json(json!({"Successful": [], "Failed": []}));
    }
    if let (Some(together), false) = (&sqs.together, first) {
        together.wait().await;
    }
    let mut waiting = sqs.waiting.lock().unwrap();
    let page = waiting.len().min(10);
    let messages: Vec<_> = waiting
        .drain(..page)
        .map(|number| json!({"MessageId": format!("m-{number}"), "ReceiptHandle": format!("r-{number}"), "Body": "{}"}))
        .collect();
    Json(json!({"Messages": messages}))
}

#[tokio::test]
async fn a_long_queue_is_received_by_many_requests_at_once_and_each_letter_comes_once() {
    let sqs = Sqs::new(100, Some(Barrier::new(2)));
    let letters = sqs.letters().await;
    let mut walk = letters.walk(Duration::from_secs(300));
    let mut seen = BTreeSet::new();
    loop {
        let page = tokio::time::timeout(HANGS, walk.next()).await.expect("one receive at a time").unwrap();
        assert!(page.len() <= 10, "whoever works on a page has no more in hand");
        if page.is_empty() {
            break;
        }
        seen.extend(page.into_iter().map(|letter| letter.message_id));
    }
    assert_eq!(seen.len(), 100);
    assert!(sqs.asked().iter().all(|target| target == "ReceiveMessage"), "nothing was in danger to be seen again");
    walk.release().await.unwrap();
    assert_eq!(sqs.released.lock().unwrap().len(), 100);
}

#[tokio::test]
async fn a_walk_holds_on_to_what_it_has_for_as_long_as_it_lasts() {
    let sqs = Sqs::new(25, None);
    let letters = sqs.letters().await;
    // Over before anything can be asked again.
    let mut walk = letters.walk(Duration::from_micros(1));
    let mut seen = 0;
    loop {
        let page = walk.next().await.unwrap();
        if page.is_empty() {
            break;
        }
        seen += page.len();
    }
    assert_eq!(seen, 25);
    assert_eq!(sqs.asked()[..2], ["ReceiveMessage", "ChangeMessageVisibilityBatch"]);
    // Also while letters that came ahead are worked on, and before it is asked whether there are more.
    let holds = sqs.asked().iter().filter(|target| *target != "ReceiveMessage").count();
    assert!(holds >= 4, "{:?}", sqs.asked());
}
