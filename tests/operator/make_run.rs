//! `make run` with the recipe of the Makefile, with and without variables. A script that records its arguments replaces
//! Cargo, because `make test` has built the binaries.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::transcript::{archiver, ministack};

/// A folder in which `make run` runs as in a clone of the repository.
struct RepositoryClone(TempDir);

impl RepositoryClone {
    fn new() -> Self {
        let clone = Self(TempDir::new().unwrap());
        for name in ["Makefile", "functions", "infra"] {
            symlink(repository().join(name), clone.path(name)).unwrap();
        }
        fs::create_dir(clone.path(".venv")).unwrap();
        symlink(ministack().parent().unwrap(), clone.path(".venv/bin")).unwrap();
        fs::write(clone.path(".venv/.installed"), "").unwrap();
        fs::write(clone.path("cargo"), "#!/bin/sh\necho \"$@\" >> cargo.log\n").unwrap();
        fs::set_permissions(clone.path("cargo"), fs::Permissions::from_mode(0o755)).unwrap();
        clone
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs `make run` with these variables, as on the command line.
    fn make_run(&self, variables: &[&str]) -> Output {
        let target = archiver().ancestors().nth(2).unwrap().to_owned();
        let make = Command::new("make")
            .current_dir(self.0.path())
            .args(["run", "CARGO=./cargo"])
            .args(variables)
            .env_clear()
            .envs([("PATH", "/usr/bin:/bin"), ("AWS_EC2_METADATA_DISABLED", "true")])
            .env("CARGO_TARGET_DIR", target)
            .output();
        make.unwrap()
    }

    /// Returns the number of mails in a mailbox's folder.
    fn mail_count(&self, mailbox: &str) -> usize {
        let folder = self.path("var/mail").join(mailbox).join("WhatsApp Archiver/cur");
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())).count()
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Returns stdout and stderr.
fn output_text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Returns the number in a row of the totals.
fn total(output: &str, name: &str) -> Option<u64> {
    let row = output.lines().find(|line| line.contains(name))?;
    row.chars().filter(char::is_ascii_digit).collect::<String>().parse().ok()
}

#[test]
fn make_run_files_the_sample_once() {
    let clone = RepositoryClone::new();
    let first = clone.make_run(&[]);
    let shown = output_text(&first);
    assert!(first.status.success(), "{shown}");
    assert_eq!((total(&shown, "Items imported"), total(&shown, "Items failed")), (Some(153), Some(8)), "{shown}");
    let again = output_text(&clone.make_run(&[]));
    assert_eq!(total(&again, "Items imported"), Some(0), "{again}");
    // The build leaves out the client code for a deployed stack, and includes every function.
    let cargo = fs::read_to_string(clone.path("cargo.log")).unwrap();
    assert!(cargo.starts_with("build --locked --no-default-features "), "{cargo}");
    for binary in ["archiver", "fetch", "convert", "import", "receive"] {
        assert!(cargo.contains(&format!("--bin {binary}")), "{binary}: {cargo}");
    }
}

#[test]
fn make_run_files_an_export_with_its_variables() {
    let clone = RepositoryClone::new();
    let chat = "21/11/2026, 09:12 - Ada: one\n21/11/2026, 09:13 - Bo: two\n";
    fs::write(clone.path("WhatsApp Chat with Ada's \"$(id)\".txt"), chat).unwrap();
    let output = clone.make_run(&[
        // make replaces `$$` by `$`, which the shell must not expand again.
        "EXPORT=WhatsApp Chat with Ada's \"$$(id)\".txt",
        "OWNER=you@example.com",
        "ZONE=Europe/Copenhagen",
    ]);
    assert!(output.status.success(), "{}", output_text(&output));
    assert_eq!(clone.mail_count("you@example.com"), 2);
}

#[test]
fn make_run_names_the_missing_variable() {
    let clone = RepositoryClone::new();
    fs::write(clone.path("chat.txt"), "21/11/2026, 09:12 - Ada: one\n").unwrap();
    let output = clone.make_run(&["EXPORT=chat.txt"]);
    let shown = output_text(&output);
    assert!(!output.status.success() && shown.contains("--owner") && shown.contains("--zone"), "{shown}");
}
