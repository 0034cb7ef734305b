//! Transcripts of `archiver mapping`.

#![expect(clippy::unwrap_used, reason = "tests and their helpers may panic")]

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use local::{
    cloud::{Cloud, Redelivery, Step},
    ministack::{Ministack, MinistackOptions},
};

/// Path of the emulator: `MINISTACK`, or the place where `make` installs it.
#[expect(clippy::disallowed_methods, reason = "a test has no list of variables")]
fn ministack_program() -> PathBuf {
    let installed = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/ministack");
    std::env::var("MINISTACK").map_or_else(|_| installed(), PathBuf::from)
}

async fn ministack(directory: &Path) -> Ministack {
    let options = MinistackOptions {
        program: ministack_program(),
        port: None,
        state: None,
        log: directory.join("logs/ministack.log"),
        variables: Vec::new(),
    };
    Ministack::start(&options).await.unwrap_or_else(|error| panic!("{error}"))
}

const REDELIVERY: Redelivery = Redelivery { visibility: std::time::Duration::from_secs(60), max_receives: 3 };

fn archiver(directory: &Path, variables: &[(String, String)], arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_archiver"));
    command.current_dir(directory).env_clear().envs(variables.iter().cloned()).args(arguments).output().unwrap()
}

fn transcript(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn check(file: &str, arguments: &[&str]) -> (i32, String, String) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("people.csv"), file).unwrap();
    let arguments = [&["mapping", "check", "people.csv"], arguments].concat();
    transcript(&archiver(directory.path(), &[], &arguments))
}

#[test]
fn valid_file_is_counted() {
    let file = "Mobile number,E-mail address\n+4520123456,ada@example.com\n+4530123456,ada@example.com\n";
    let expected = "people.csv is valid: 2 numbers, 1 mailboxes\n";
    assert_eq!(check(file, &[]), (0, expected.to_owned(), String::new()));
    let json =
        "{\"ignored_columns\":[],\"mailboxes\":1,\"numbers\":2,\"period_rows\":0,\"valid\":true,\"warnings\":[]}\n";
    assert_eq!(check(file, &["--json"]), (0, json.to_owned(), String::new()));
}

#[test]
fn default_region_applies_to_numbers_without_a_country() {
    let file = "Mobile;E-mail\n20 12 34 56;ada@example.com\n";
    let (code, out, _) = check(file, &[]);
    assert!(code == 1 && out.starts_with("line 2: invalid mobile number: "), "{out}");
    assert_eq!(check(file, &["--default-region", "DK"]).0, 0);
}

#[test]
fn suspicious_entries_cause_warnings() {
    let file = "Mobile,E-mail\n+4520123456,ada@example.com\n+4520123457,bob@example.com\n+4520123458,eve@exmaple.com\n";
    let (code, out, err) = check(file, &[]);
    assert_eq!((code, out.as_str()), (0, "people.csv is valid: 3 numbers, 3 mailboxes\n"));
    let expected = "warning: the mailboxes have 2 domains, the rarest first: exmaple.com (1), example.com (2); \
                    check for misspelt domains and private addresses\n";
    assert_eq!(err, expected);

    let row = |last: u32| format!("+452012345{last},ada@example.com\n");
    let (code, _, err) = check(&format!("Mobile,E-mail\n{}", (0..4).map(row).collect::<String>()), &[]);
    assert_eq!(
        (code, err.as_str()),
        (0, "warning: 4 numbers have the mailbox ada@example.com: check whether a cell was filled down by mistake\n")
    );

    let (code, _, err) = check("Mobile,E-mail\n", &[]);
    assert!(code == 0 && err.starts_with("warning: the file has no entries"), "{err}");
}

#[test]
fn invalid_rows_are_reported_by_line_with_a_remedy() {
    let file = "Mobile,E-mail\n+4520123456,ada@example.com\n4.52E+09,bob@example.com\n+4520123457,eve.example.com\n\
                +4520123456,carl@example.com\n";
    let (code, out, err) = check(file, &[]);
    assert_eq!((code, err.as_str()), (1, ""));
    let lines: Vec<_> = out.lines().collect();
    assert!(lines[0].starts_with("line 3: ") && lines[0].contains("format the column as text"), "{out}");
    assert_eq!(lines[1], "line 4: invalid e-mail address: an e-mail address has one @ with text before and after it");
    assert!(lines[2].starts_with("line 5: line 2 has the same mobile number with another e-mail address"), "{out}");
    assert_eq!(lines[3], "people.csv is invalid: rows with errors: 3");

    let (code, out, _) = check(file, &["--json"]);
    let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &answer["valid"], &answer["wrong_rows"]), (1, &false.into(), &3.into()));
    assert_eq!((&answer["errors"][0]["line"], &answer["errors"][0]["kind"]), (&3.into(), &"phone".into()));
}

#[test]
fn empty_or_missing_file_is_rejected() {
    let (code, out, _) = check("", &[]);
    assert!(code == 1 && out.starts_with("line 1: the file is empty: the first row names the columns"), "{out}");
    let directory = tempfile::tempdir().unwrap();
    let (code, out, err) = transcript(&archiver(directory.path(), &[], &["mapping", "check", "missing.csv"]));
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("error: missing.csv cannot be read: No such file or directory"), "{err}");
}

#[tokio::test]
async fn upload_needs_confirmation_and_resolve_uses_the_bucket() {
    let directory = tempfile::tempdir().unwrap();
    let server = ministack(directory.path()).await;
    let cloud = Cloud::at(&server.endpoint()).await;
    let resources = cloud.create(REDELIVERY, false).await.unwrap();
    let mut variables = cloud.variables(Step::Convert, &resources);
    variables.push(("AWS_REGION".to_owned(), "us-east-1".to_owned()));
    let run = async |arguments: &[&str]| {
        let (directory, variables) = (directory.path().to_owned(), variables.clone());
        let arguments: Vec<_> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let run = move || {
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            transcript(&archiver(&directory, &variables, &arguments))
        };
        tokio::task::spawn_blocking(run).await.unwrap()
    };
    let write = |file: &str| std::fs::write(directory.path().join("people.csv"), file).unwrap();

    write("Mobile,E-mail\n+4520123456,ada@example.com\n");
    let (code, _, err) = run(&["mapping", "upload", "people.csv"]).await;
    assert!(code == 1 && err.contains("standard input is not a terminal, so confirm with --yes"), "{err}");
    let (code, _, _) = run(&["mapping", "resolve", "+45 20 12 34 56"]).await;
    assert_eq!(code, 1, "nothing was uploaded without consent");

    let (code, out, err) = run(&["mapping", "upload", "people.csv", "--yes"]).await;
    assert_eq!((code, out.starts_with("config/user-map.csv uploaded: 1 numbers.")), (0, true), "{out}{err}");
    assert_eq!(err, "config/user-map.csv: 0 numbers now, 1 after: 1 added, 0 removed, 0 to another mailbox\n");

    write("Mobile,E-mail\n+4520123456,bob@example.com\n+4530123456,eve@example.com\n4.52E+09,x@example.com\n");
    let (code, out, _) = run(&["mapping", "upload", "people.csv", "--yes"]).await;
    assert!(code == 1 && out.starts_with("line 4: "), "{out}");
    let (code, out, _) = run(&["mapping", "resolve", "+45 20 12 34 56"]).await;
    assert!(
        code == 0
            && out.starts_with("ada@example.com\n  by the user map.\nThe existence of the mailbox is not checked: "),
        "{out}"
    );

    write("Mobile,E-mail\n+4520123456,bob@example.com\n+4530123456,eve@example.com\n");
    let (code, out, _) = run(&["mapping", "upload", "people.csv", "--yes", "--json"]).await;
    let change = "{\"numbers_before\":1,\"numbers_after\":2,\"added\":1,\"removed\":0,\"to_another_mailbox\":1,\"period_rows_changed\":0}\n";
    assert_eq!((code, out.as_str()), (0, change));

    // The file in the bucket was replaced in another way, or an upload with --confirm-shrink ended before its second write.
    let put = |body: &str| {
        let request = aws_sdk_s3::Client::new(cloud.config()).put_object().bucket(&resources.bucket);
        request.key("state/user-map.json").body(body.as_bytes().to_vec().into()).send()
    };
    for refused in [r#"{"v":1,"numbers":20}"#, r#"{"v":9}"#] {
        put(refused).await.unwrap();
        let (code, out, _) = run(&["status", "--json"]).await;
        let status: serde_json::Value = serde_json::from_str(&out).unwrap();
        let problem = status["user_map_problem"].as_str().unwrap_or_default();
        assert!(code == 0 && problem.contains("archiver mapping confirm"), "{refused}: {out}");
        assert_eq!(run(&["mapping", "resolve", "+45 20 12 34 56"]).await.0, 1, "{refused}");
        let (code, _, err) = run(&["mapping", "upload", "people.csv", "--yes"]).await;
        assert!(code == 1 && err.contains("--confirm-shrink"), "{refused}: {err}");
        let (code, out, err) = run(&["mapping", "upload", "people.csv", "--yes", "--confirm-shrink"]).await;
        assert!(code == 0 && out.contains("confirmed: 2 numbers"), "{refused}: {out}{err}");
        let (code, _, err) = run(&["mapping", "upload", "people.csv", "--yes"]).await;
        assert!(code == 0 && err.contains("has the same file already"), "{refused}: {err}");
    }

    let (code, out, _) = run(&["mapping", "resolve", "carl@example.com", "--json"]).await;
    let answer = "{\"mailbox\":\"carl@example.com\",\"mailbox_exists\":\"not asked\",\"rule\":\"email-property\"}\n";
    assert_eq!((code, out.as_str()), (0, answer));
    let by_property = ["mapping", "resolve", "carl@example.com", "--automatic-mapping", "false"];
    let (code, out, _) = run(&by_property).await;
    assert!(code == 1 && out.starts_with("no mailbox\n"), "{out}");
    let (_, out, _) = run(&[&by_property[..], &["--catch-all", "all@example.com"]].concat()).await;
    assert!(out.starts_with("all@example.com\n  by the catch-all mailbox"), "{out}");

    // A row that has ended, and the time of an old message.
    write("Mobile,E-mail,valid_to\n+4520123456,bob@example.com,2026-01-31\n+4530123456,eve@example.com,\n");
    let (code, _, err) = run(&["mapping", "upload", "people.csv", "--yes", "--confirm-shrink"]).await;
    assert_eq!(code, 0, "{err}");
    let (code, out, _) = run(&["mapping", "resolve", "+45 20 12 34 56"]).await;
    assert!(code == 1 && out.contains("has rows for other periods") && !out.contains("does not contain"), "{out}");
    let (code, out, _) = run(&["mapping", "resolve", "+45 20 12 34 56", "--at", "2026-01-31T12:00:00Z"]).await;
    assert!(code == 0 && out.starts_with("bob@example.com\n  by the user map.\n"), "{out}");
    assert!(out.contains("The catch-all mailbox is not used.") && !out.contains("other periods"), "{out}");
    let (_, out, _) = run(&["mapping", "resolve", "+45 40 12 34 56"]).await;
    assert!(out.contains("does not contain this number"), "{out}");

    // The file in the bucket was replaced by one with as many other numbers.
    let table = |prefix: &str| -> String {
        let rows: String = (0..20).map(|row| format!("+45{prefix}2345{row:02},p{row}@example.com\n")).collect();
        format!("Mobile,E-mail\n{rows}")
    };
    write(&table("20"));
    let (code, _, err) = run(&["mapping", "upload", "people.csv", "--yes", "--confirm-shrink"]).await;
    assert_eq!(code, 0, "{err}");
    // An earlier import has recorded the map.
    assert_eq!(run(&["mapping", "confirm", "--yes"]).await.0, 0);
    write(&table("30"));
    let (code, _, err) = run(&["mapping", "upload", "people.csv", "--yes"]).await;
    assert!(code == 1 && err.contains("examined numbers") && err.contains("--confirm-shrink"), "{err}");
    let request = aws_sdk_s3::Client::new(cloud.config()).put_object().bucket(&resources.bucket);
    request.key("config/user-map.csv").body(table("30").into_bytes().into()).send().await.unwrap();
    let (code, _, err) = run(&["mapping", "resolve", "+45 30 23 45 01"]).await;
    assert!(code == 1 && err.contains("DefaultRegion") && err.contains("archiver mapping confirm"), "{err}");
    let (code, out, err) = run(&["mapping", "confirm", "--yes"]).await;
    assert!(code == 0 && out.contains("confirmed: 20 numbers") && err.contains("lacks"), "{out}{err}");
    assert_eq!(run(&["mapping", "resolve", "+45 30 23 45 01"]).await.0, 0);
    let (code, out, _) = run(&["mapping", "confirm", "--yes"]).await;
    assert!(code == 0 && out.contains("nothing to confirm"), "{out}");
}
