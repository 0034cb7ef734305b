//! A call through the API. WhatsApp sends one event when it begins and one when it ends; each becomes an item.

use serde_json::{Value, json};

use crate::{json::Members, people::insert};

pub(super) fn describe(event: &Members<'_>, item: &mut Value) {
    item["type"] = json!("call");
    let status = event.text("status").map(|status| match status.as_str() {
        "COMPLETED" => "answered".to_owned(),
        "FAILED" => "failed".to_owned(),
        "REJECTED" => "rejected".to_owned(),
        _ => status.to_lowercase(),
    });
    let mut call = json!({});
    // An event without a status has its own name as status: `connect`.
    insert(&mut call, "status", status.or_else(|| event.text("event").map(|event| event.to_lowercase())));
    insert(&mut call, "startTime", event.time("start_time"));
    insert(&mut call, "endTime", event.time("end_time"));
    insert(&mut call, "durationSeconds", event.value("duration"));
    item["call"] = call;
}
