//! A panic in the log. It runs in a process of its own, because the output of the test itself is not a log.

use std::{env, process::Command};

use runtime::{LogLevel, Variables};

const INSIDE: &str = "PANIC";

#[test]
fn panic_is_logged_by_location_only() {
    if Variables::read(&[INSIDE]).optional::<String>(INSIDE, "anything").unwrap().is_some() {
        runtime::start_log(LogLevel::Error);
        let text = "Ada Lovelace";
        panic!("cannot read {text}");
    }
    let arguments = ["--exact", "panic_is_logged_by_location_only", "--nocapture"];
    let output = Command::new(env::current_exe().unwrap()).args(arguments).env(INSIDE, "yes").output().unwrap();
    let log = [output.stdout, output.stderr].concat();
    let log = String::from_utf8_lossy(&log);
    assert!(!output.status.success() && log.contains("\"place\":\"") && log.contains("panics.rs:"), "{log}");
    assert!(!log.contains("Lovelace"), "{log}");
}
