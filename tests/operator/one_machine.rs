//! `archiver local`: the numbers that it prints.

use std::path::Path;

use tempfile::TempDir;

use crate::transcript::{ministack, transcript};

struct OneMachine {
    directory: TempDir,
    program: String,
}

impl OneMachine {
    fn state(&self) -> &str {
        self.directory.path().to_str().unwrap()
    }

    /// Runs `archiver local`, and returns the copies that it prints as imported and as skipped.
    async fn run(&self) -> (u64, u64) {
        let output = transcript(&["local", "--state", self.state(), "--ministack", &self.program], &[]).await;
        assert!(output.ends_with("exit code 0\n"), "{output}");
        let count = |name: &str| -> u64 {
            let line = output.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{output}"));
            line.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap()
        };
        (count("Items imported"), count("Items skipped as duplicates"))
    }

    async fn archiver(&self, arguments: &[&str]) -> String {
        let local = format!("--local={}", self.state());
        let output = transcript(&[arguments, &[&local, "--ministack", &self.program]].concat(), &[]).await;
        assert!(output.ends_with("exit code 0\n"), "{output}");
        output
    }
}

/// The next run after a replay files the items, which belong to an earlier run: they count as imported by this one.
#[tokio::test]
async fn run_after_a_replay_counts_what_it_imported() {
    let machine = OneMachine { directory: TempDir::new().unwrap(), program: ministack().to_str().unwrap().to_owned() };
    let (first, _) = machine.run().await;
    assert!(first > 100, "{first}");
    assert_eq!(machine.run().await.0, 0, "nothing is new");

    // Tom, who has left, gets his mailbox back: one item of his is a dead letter, unmapped.
    let people = machine.directory.path().join("people.csv");
    let map = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/local/sample/user-map.csv"));
    std::fs::write(&people, map.unwrap().replace(";2025-12-31", ";")).unwrap();
    std::fs::create_dir_all(machine.directory.path().join("mail/tom.leaver@example.com")).unwrap();
    machine.archiver(&["mapping", "upload", "--yes", people.to_str().unwrap()]).await;
    let replayed = machine.archiver(&["dead-letters", "replay", "--yes", "--reason", "unmapped"]).await;
    assert!(replayed.contains("2 of 2"), "{replayed}");
    let (imported, _) = machine.run().await;
    assert_eq!(imported, 1, "Tom's item; nobody of the other has a mailbox");
    assert_eq!(machine.run().await.0, 0);
}
