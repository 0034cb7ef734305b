//! The totals that `archiver local` prints.

use std::path::Path;

use tempfile::TempDir;

use crate::transcript::{ministack, run_archiver};

/// The state directory of a one-machine run.
struct OneMachine {
    directory: TempDir,
    program: String,
}

impl OneMachine {
    /// Returns the path of the state directory.
    fn state(&self) -> &str {
        self.directory.path().to_str().unwrap()
    }

    /// Runs `archiver local` and returns the number of imported items that it prints.
    async fn run(&self, options: &[&str]) -> u64 {
        let arguments = ["local", "--state", self.state(), "--ministack", &self.program];
        let output = run_archiver(&[&arguments, options].concat(), &[]).await;
        assert!(output.ends_with("exit code 0\n"), "{output}");
        let line = output.lines().find(|line| line.contains("Items imported")).unwrap_or_else(|| panic!("{output}"));
        line.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap()
    }

    /// Adds a row for a new mailbox to the user map, replays the unmapped dead letters, and asserts the count that the
    /// command prints.
    async fn map_and_replay(&self, row: &str, address: &str, expected_count: &str) {
        let people = self.directory.path().join("people.csv");
        let mut map = std::fs::read_to_string(&people).unwrap_or_else(|_| {
            let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/local/sample/user-map.csv");
            std::fs::read_to_string(sample).unwrap().replace("+44 7700 900105;tom.leaver@example.com;2025-12-31\n", "")
        });
        map.push_str(row);
        std::fs::write(&people, map).unwrap();
        std::fs::create_dir_all(self.directory.path().join("mail").join(address)).unwrap();
        self.run_command(&["mapping", "upload", "--yes", "--confirm-shrink", people.to_str().unwrap()]).await;
        let replayed = self.run_command(&["dead-letters", "replay", "--yes", "--reason", "unmapped"]).await;
        assert!(replayed.contains(expected_count), "{replayed}");
    }

    /// Runs another command on the state directory and returns its transcript.
    async fn run_command(&self, arguments: &[&str]) -> String {
        let local = format!("--local={}", self.state());
        let output = run_archiver(&[arguments, &[&local, "--ministack", &self.program]].concat(), &[]).await;
        assert!(output.ends_with("exit code 0\n"), "{output}");
        output
    }
}

/// Items of an earlier run that are filed in the run after a replay count as imported, also if that run does not list
/// them again.
#[tokio::test]
async fn run_after_a_replay_counts_what_it_imported() {
    let machine = OneMachine { directory: TempDir::new().unwrap(), program: ministack().to_str().unwrap().to_owned() };
    let first = machine.run(&[]).await;
    assert!(first > 100, "{first}");
    assert_eq!(machine.run(&[]).await, 0, "an item was imported twice");
    let two_items = ["--items", "2"];
    assert!(machine.run(&two_items).await > 0, "the run imported no item");

    machine.map_and_replay("+44 7700 900105;tom.leaver@example.com;\n", "tom.leaver@example.com", "2 of 2").await;
    assert_eq!(machine.run(&two_items).await, 1, "the run did not count Tom's item, which it does not list");
    machine.map_and_replay("+49 171 3920001;jonas@example.com;\n", "jonas@example.com", "1 of 1").await;
    assert_eq!(machine.run(&[]).await, 1, "the run did not count the item for Jonas, which it lists again");
    assert_eq!(machine.run(&[]).await, 0);

    // The task of a dead letter of convert is not given to a run with another source.
    machine.run_command(&["dead-letters", "replay", "--yes", "--reason", "attachment-missing"]).await;
    let other = ["local", "--state", machine.state(), "--ministack", &machine.program, "--items", "2"];
    let refused = run_archiver(&other, &[]).await;
    assert!(refused.contains("an earlier run left tasks (1)") && refused.ends_with("exit code 1\n"), "{refused}");
    assert_eq!(machine.run(&[]).await, 0);
}
