//! A voice or video call.

use jiff::tz::TimeZone;
use model::{CallMedia, CallStatus, Item};

use crate::write::{
    amounts,
    body::{Block, Body, Row, Sentence, Tone},
    clean::one_line,
};

pub(super) fn compose(item: &Item, zone: Option<&TimeZone>, body: &mut Body<'_>) {
    let Some(call) = &item.call else {
        body.title = "Call".into();
        body.tone = Tone::Gone;
        body.blocks.push(Block::Notice(Sentence::new("The call's details were not captured.")));
        return;
    };
    let media = match &call.media {
        Some(CallMedia::Voice) => "voice call",
        Some(CallMedia::Video) => "video call",
        Some(CallMedia::Other(word)) => &format!("call ({})", one_line(word, 60)),
        None => "call",
    };
    let (title, status) = match &call.status {
        Some(CallStatus::Answered) => (format!("Answered {media}"), "answered"),
        Some(CallStatus::Missed) => (format!("Missed {media}"), "missed"),
        Some(CallStatus::Rejected) => (format!("Rejected {media}"), "rejected"),
        Some(CallStatus::Failed) => (format!("Failed {media}"), "failed: it could not be connected"),
        Some(CallStatus::Unanswered) => (format!("Unanswered {media}"), "not answered by the other side"),
        Some(CallStatus::Other(word)) => (capital(media), &*one_line(word, 60)),
        None => (capital(media), "not captured"),
    };
    if call.status != Some(CallStatus::Answered) {
        body.tone = Tone::Notable;
    }
    body.title = title.into();
    let mut rows = vec![Row::new("Call", media.to_owned()), Row::new("Result", status.to_owned())];
    rows.extend(call.start_time.map(|time| Row::new("Began", amounts::time(time, zone))));
    rows.extend(call.end_time.map(|time| Row::new("Ended", amounts::time(time, zone))));
    rows.extend(call.duration_seconds.map(|seconds| Row::new("Duration", amounts::duration(seconds))));
    body.blocks.push(Block::Rows(rows));
}

fn capital(words: &str) -> String {
    words.replacen("voice", "Voice", 1).replacen("video", "Video", 1).replacen(
        "call",
        "Call",
        usize::from(words.starts_with("call")),
    )
}
