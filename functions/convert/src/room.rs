//! Room for items whose JSON takes much memory.

use model::Answer;
use tokio::sync::{Semaphore, SemaphorePermit};

/// What such items may take together, in KiB: half of the function's memory. A batch of the largest attachments takes
/// a seventh.
const ROOM: u32 = 512 << 10;

/// How many bytes of a message, and of what it is made of, are in memory for each byte of its item's JSON. The most come
/// of a text of ampersands: five bytes each in HTML, and then base64.
const RENDERED: u64 = 24;

/// How many more come of its first 768 KiB: of an item's three texts (its own, what it quotes and what it acts on) marks
/// become elements where they are no longer than 256 KiB.
const MARKED: u64 = 100;
const MARKED_BYTES: u64 = 3 << 18;

static FREE: Semaphore = Semaphore::const_new(ROOM as usize);

/// Waits until there is room for an item, which is held until its message is in the bucket. `None`: it needs so little
/// that it need not wait.
pub(crate) async fn room(answer: &Answer) -> Option<SemaphorePermit<'static>> {
    let room = answer.memory()? + rendered(answer.bytes());
    // Never closed.
    FREE.acquire_many(u32::try_from(room >> 10).unwrap_or(ROOM).min(ROOM)).await.ok()
}

fn rendered(json: u64) -> u64 {
    json.saturating_mul(RENDERED) + json.min(MARKED_BYTES) * MARKED
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use message::write::Renderer;
    use model::ItemId;

    use super::*;

    /// An item with these members; of two with one name the later counts.
    fn item(members: &str) -> Answer {
        let json = format!(
            r#"{{"id":"WA-1","type":"text","messageTime":"2026-11-21T09:59:58Z","archivedTime":"2026-11-21T09:59:58Z",
                "chat":{{"id":"c","type":"group"}},"from":{{"name":"Ada"}},"to":[],{members}}}"#
        );
        Answer::new(json.into_bytes()).unwrap_or_else(|error| panic!("{error}"))
    }

    fn text(part: &str, times: usize) -> String {
        format!(r#""text":"{}""#, part.repeat(times))
    }

    fn list(name: &str, part: &str) -> String {
        format!(r#""{name}":[{}{part}]"#, format!("{part},").repeat((1 << 20) / part.len()))
    }

    #[test]
    fn an_item_takes_no_more_than_the_room_that_it_waits_for() {
        let renderer = Renderer::new("archive.example.com").unwrap();
        let id: ItemId = "WA-1".parse().unwrap();
        let wide: String = (0..100_000).map(|at| format!(r#","{at}":0"#)).collect();
        for members in [
            text("&", 2 << 20),
            text("\u{1F980}", 1 << 18),
            text("> a\\n- a\\n", 25_000),
            text("`&`", 80_000),
            format!(r#"{0},"quoted":{{{0}}},"target":{{{0}}},"type":"reaction""#, text("`&`", 80_000),),
            list("to", r#"{"name":"Person 12345","phone":"+4530123456"}"#),
            list("to", "{}"),
            list("business", r#"{"":0}"#),
            list("business", "[0]"),
            list("business", "0"),
            list("business", r#""""#),
            list("business", r#"{"":[{}]}"#) + r#","type":"of tomorrow""#,
            list("contacts", r#"{"name":"A","vcard":"TEL:1\nTEL:2"}"#),
            format!(r#""of tomorrow":{{"":0{wide}}}"#),
        ] {
            let answer = item(&members);
            let room = answer.memory().unwrap_or_default() + rendered(answer.bytes());
            let took = allocation_counter::measure(|| {
                let captured = answer.read(&id).unwrap_or_else(|error| panic!("{error}"));
                let participants: Vec<_> = captured.item.participants().cloned().collect();
                let rendered = renderer.render(&captured, &[]).unwrap_or_else(|error| panic!("{error}"));
                drop((rendered.mime(|_| &[]), participants));
            });
            let shown: String = members.chars().take(40).collect();
            println!("{shown}: {} of {room} bytes, {} times", took.bytes_max, took.bytes_max / answer.bytes());
            assert!(took.bytes_max <= room, "{shown}: {} of {room} bytes", took.bytes_max);
        }
    }

    #[tokio::test]
    async fn the_largest_wait_for_each_other_and_the_small_for_nobody() {
        let large = item(&format!("{},{}", list("business", r#"{"":0}"#), text("&", 4 << 20)));
        let first = room(&large).await;
        assert!(first.is_some());
        assert!(room(&large).now_or_never().is_none(), "two at once");
        assert!(room(&item(&text("hi", 1))).now_or_never().is_some_and(|room| room.is_none()));
        drop(first);
        assert!(room(&large).now_or_never().flatten().is_some());
    }
}
