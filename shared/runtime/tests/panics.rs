//! What a panic leaves in the log. A process of its own shows it: the test's own output is no log.

use std::{env, process::Command};

use runtime::{LogLevel, Variables};

const INSIDE: &str = "PANIC";

#[test]
fn of_a_panic_only_its_place_is_logged() {
    if Variables::read(&[INSIDE]).optional::<String>(INSIDE, "anything").unwrap().is_some() {
        runtime::start_log(LogLevel::Error);
        let text = "Ada Lovelace";
        panic!("cannot read {text}");
    }
    let arguments = ["--exact", "of_a_panic_only_its_place_is_logged", "--nocapture"];
    let output = Command::new(env::current_exe().unwrap()).args(arguments).env(INSIDE, "yes").output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(!output.status.success() && said.contains("\"place\":\"") && said.contains("panics.rs:"), "{said}");
    assert!(!said.contains("Lovelace"), "{said}");
}
