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

    /// Runs `archiver local`, and returns the copies that it prints as imported.
    async fn run(&self, more: &[&str]) -> u64 {
        let arguments = ["local", "--state", self.state(), "--ministack", &self.program];
        let output = transcript(&[&arguments, more].concat(), &[]).await;
        assert!(output.ends_with("exit code 0\n"), "{output}");
        let line = output.lines().find(|line| line.contains("Items imported")).unwrap_or_else(|| panic!("{output}"));
        line.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap()
    }

    /// Gives a mailbox to a number, and replays the unmapped dead letters, of which there are this many.
    async fn replay_with(&self, row: &str, address: &str, dead_letters: &str) {
        let people = self.directory.path().join("people.csv");
        let mut map = std::fs::read_to_string(&people).unwrap_or_else(|_| {
            let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/local/sample/user-map.csv");
            std::fs::read_to_string(sample).unwrap().replace("+44 7700 900105;tom.leaver@example.com;2025-12-31\n", "")
        });
        map.push_str(row);
        std::fs::write(&people, map).unwrap();
        std::fs::create_dir_all(self.directory.path().join("mail").join(address)).unwrap();
        self.archiver(&["mapping", "upload", "--yes", "--confirm-shrink", people.to_str().unwrap()]).await;
        let replayed = self.archiver(&["dead-letters", "replay", "--yes", "--reason", "unmapped"]).await;
        assert!(replayed.contains(dead_letters), "{replayed}");
    }

    async fn archiver(&self, arguments: &[&str]) -> String {
        let local = format!("--local={}", self.state());
        let output = transcript(&[arguments, &[&local, "--ministack", &self.program]].concat(), &[]).await;
        assert!(output.ends_with("exit code 0\n"), "{output}");
        output
    }
}

/// The run after a replay files items of an earlier run, whether it lists them again or not: they count as imported.
#[tokio::test]
async fn run_after_a_replay_counts_what_it_imported() {
    let machine = OneMachine { directory: TempDir::new().unwrap(), program: ministack().to_str().unwrap().to_owned() };
    let first = machine.run(&[]).await;
    assert!(first > 100, "{first}");
    assert_eq!(machine.run(&[]).await, 0, "an item was listed again");
    let others = ["--items", "2"];
    assert!(machine.run(&others).await > 0);

    machine.replay_with("+44 7700 900105;tom.leaver@example.com;\n", "tom.leaver@example.com", "2 of 2").await;
    assert_eq!(machine.run(&others).await, 1, "the run did not count Tom's item, which it does not list");
    machine.replay_with("+49 171 3920001;jonas@example.com;\n", "jonas@example.com", "1 of 1").await;
    assert_eq!(machine.run(&[]).await, 1, "the run did not count the item for Jonas, which it lists again");
    assert_eq!(machine.run(&[]).await, 0);
}
