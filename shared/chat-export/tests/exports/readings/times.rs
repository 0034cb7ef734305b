//! Times that occurred twice or not at all.

use pretty_assertions::assert_eq;

use super::support::{items, text};

/// Returns the time in UTC of each message, with `*` if its mail has a note about the time.
fn times(lines: &[&str]) -> Vec<String> {
    let chat: String = lines.iter().map(|line| format!("{line}: x\n")).collect();
    let shown = |(item, _): (model::Item, serde_json::Value)| {
        let notes = item.upload.map(|upload| upload.notes).unwrap_or_default();
        let note = if notes.iter().any(|note| note.starts_with("this hour ")) { "*" } else { "" };
        format!("{}{note}", item.message_time.strftime("%dT%H:%M"))
    };
    items(&text(&chat).unwrap()).into_iter().map(shown).collect()
}

#[test]
fn second_of_two_equal_hours_begins_where_time_goes_back() {
    let lines = [
        "27/10/2024, 01:59 - Ada",
        "27/10/2024, 02:50 - Ada",
        "27/10/2024, 02:05 - Bob",
        "27/10/2024, 02:04 - Ada",
        "27/10/2024, 02:40 - Bob",
        "27/10/2024, 03:00 - Ada",
    ];
    assert_eq!(times(&lines), ["26T23:59", "27T00:50*", "27T01:05*", "27T01:04*", "27T01:40*", "27T02:00"]);
    // Clocks of two phones differ by minutes.
    assert_eq!(times(&["27/10/2024, 02:30 - Ada", "27/10/2024, 02:27 - Bob"]), ["27T00:30*", "27T00:27*"]);
    // After both.
    let after = ["27/10/2024, 03:01 - Ada", "27/10/2024, 02:59 - Bob", "27/10/2024, 03:02 - Ada"];
    assert_eq!(times(&after), ["27T02:01", "27T01:59*", "27T02:02"]);
    // Pasted lines prove nothing.
    let pasted =
        ["27/10/2024, 10:00 - Ada", "27/10/2024, 02:10 - Bob", "27/10/2024, 02:20 - Bob", "27/10/2024, 10:01 - Ada"];
    assert_eq!(times(&pasted), ["27T09:00", "27T00:10*", "27T00:20*", "27T09:01"]);
    let pasted =
        ["27/10/2024, 02:50 - Ada", "27/10/2024, 02:10 - Bob", "26/10/2024, 09:00 - Eve", "27/10/2024, 02:20 - Bob"];
    assert_eq!(times(&pasted), ["27T00:50*", "27T01:10*", "26T07:00", "27T01:20*"]);
}

#[test]
fn skipped_hour_is_read_as_if_the_clock_had_stayed() {
    let lines = ["31/03/2024, 01:59 - Ada", "31/03/2024, 02:30 - Ada", "31/03/2024, 03:30 - Bob"];
    assert_eq!(times(&lines), ["31T00:59", "31T01:30*", "31T01:30"]);
}

#[test]
fn equal_times_of_both_hours_keep_distinct_ids() {
    let chat = "27/10/2024, 02:30 - Ada: x\n27/10/2024, 02:50 - Bob: y\n27/10/2024, 02:30 - Ada: x\n";
    let all = items(&text(chat).unwrap());
    assert!(all[0].0.id != all[2].0.id && all[0].0.message_time < all[2].0.message_time);
}
