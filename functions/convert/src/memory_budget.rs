//! The memory budget of the process: bounds what items with large JSON and items above the size limit take together.

use model::ItemJson;
use tokio::sync::{Mutex, MutexGuard, OwnedSemaphorePermit};

/// Memory of all items with large JSON together: half of the function's. A batch of the largest attachments takes a
/// seventh.
const JSON_BUDGET_KIB: u32 = 512 << 10;

/// Bytes in memory while a message is rendered, for each byte of the item's JSON. The worst case is a text of ampersands:
/// five bytes each in HTML, and then base64.
const RENDERED_PER_BYTE: u64 = 24;

/// Bytes in addition for each of the first 768 KiB: marks become HTML elements in an item's three texts (its own, the
/// quoted and the target's), if they have at most 256 KiB.
const MARKED_PER_BYTE: u64 = 100;
const MARKED_MAX_BYTES: u64 = 3 << 18;

/// The memory budget of one process.
pub struct MemoryBudget {
    json: runtime::MemoryBudget,
    /// Held while an item above the size limit is converted: the disk has space for one, and memory for its pieces beside
    /// items of the usual size.
    large_item: Mutex<()>,
}

impl Default for MemoryBudget {
    fn default() -> Self {
        Self { json: runtime::MemoryBudget::of_kib(JSON_BUDGET_KIB), large_item: Mutex::default() }
    }
}

impl MemoryBudget {
    /// Waits until an item fits into the budget. It is held until the message is in the bucket. `None`: the item is so small
    /// that it does not count.
    pub(crate) async fn reserve(&self, json: &ItemJson) -> Option<OwnedSemaphorePermit> {
        self.json.acquire(json.memory()? + rendered(json.bytes())).await
    }

    /// Waits until no other large item is converted.
    pub(crate) async fn large_item(&self) -> MutexGuard<'_, ()> {
        self.large_item.lock().await
    }
}

fn rendered(json: u64) -> u64 {
    json.saturating_mul(RENDERED_PER_BYTE) + json.min(MARKED_MAX_BYTES) * MARKED_PER_BYTE
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use message::write::Renderer;
    use model::ItemId;

    use super::*;

    /// Returns an item with these members. If two members have the same name, the later one counts.
    fn item(members: &str) -> ItemJson {
        let json = format!(
            r#"{{"id":"WA-1","type":"text","messageTime":"2026-11-21T09:59:58Z","archivedTime":"2026-11-21T09:59:58Z",
                "chat":{{"id":"c","type":"group"}},"from":{{"name":"Ada"}},"to":[],{members}}}"#
        );
        ItemJson::new(json.into_bytes()).unwrap_or_else(|error| panic!("{error}"))
    }

    fn text(part: &str, times: usize) -> String {
        format!(r#""text":"{}""#, part.repeat(times))
    }

    fn list(name: &str, part: &str) -> String {
        format!(r#""{name}":[{}{part}]"#, format!("{part},").repeat((1 << 19) / part.len()))
    }

    #[test]
    fn item_takes_at_most_the_memory_that_it_reserves() {
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
            let json = item(&members);
            let parsed = allocation_counter::measure(|| drop(json.read(&id))).bytes_max;
            // Besides the values, the evidence in a buffer that has doubled.
            let estimated = json.memory().unwrap_or_default() + 3 * json.bytes();
            assert!(
                parsed <= estimated,
                "{}: {parsed} of {estimated} bytes to parse",
                members.chars().take(40).collect::<String>()
            );
            let reserved = json.memory().unwrap_or_default() + rendered(json.bytes());
            let took = allocation_counter::measure(|| {
                let captured = json.read(&id).unwrap_or_else(|error| panic!("{error}"));
                let participants: Vec<_> = captured.item.participants().cloned().collect();
                let rendered = renderer.render(&captured, &[]).unwrap_or_else(|error| panic!("{error}"));
                drop((rendered.mime(|_| &[]), participants));
            });
            let shown: String = members.chars().take(40).collect();
            println!("{shown}: {} of {reserved} bytes, {} times", took.bytes_max, took.bytes_max / json.bytes());
            assert!(took.bytes_max <= reserved, "{shown}: {} of {reserved} bytes", took.bytes_max);
        }
    }

    #[tokio::test]
    async fn large_items_wait_for_each_other_and_small_ones_do_not_wait() {
        let budget = MemoryBudget::default();
        let large = item(&format!("{},{}", list("business", r#"{"":0}"#), text("&", 4 << 20)));
        let first = budget.reserve(&large).await;
        assert!(first.is_some());
        assert!(budget.reserve(&large).now_or_never().is_none(), "two at the same time");
        assert!(budget.reserve(&item(&text("hi", 1))).now_or_never().is_some_and(|reserved| reserved.is_none()));
        drop(first);
        assert!(budget.reserve(&large).now_or_never().flatten().is_some());
    }
}
