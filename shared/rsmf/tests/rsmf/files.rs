//! Whole files: they are reproducible, and a validator in Python accepts them.

use std::{fs, path::Path, process::Command};

use model::Captured;
use pretty_assertions::assert_eq;
use serde_json::{Value, json};

use crate::support::{Item, Written, client, export, item, target};

/// Runs the validator on files. Returns a line for each.
fn validate(files: &[Vec<u8>]) -> Vec<Value> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let directory = tempfile::tempdir().unwrap();
    let paths: Vec<_> = (0..files.len()).map(|number| directory.path().join(format!("{number}.rsmf"))).collect();
    for (path, file) in paths.iter().zip(files) {
        fs::write(path, file).unwrap();
    }
    let python = tests.join("../../../.venv-deploy/bin/python");
    let output = Command::new(&python).arg(tests.join("validate.py")).args(&paths).output();
    let output =
        output.unwrap_or_else(|error| panic!("{} did not start ({error}): make test installs it", python.display()));
    let lines: Vec<Value> =
        String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), files.len(), "{}", String::from_utf8_lossy(&output.stderr));
    lines
}

/// Returns the golden items of the mails, with a file for each attachment.
fn golden() -> Vec<Item> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../message/tests/golden");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let item = Item::of(serde_json::from_slice(&fs::read(path).unwrap()).unwrap());
        let attachments = item.captured.item.attachments.clone();
        attachments.iter().fold(item, |item, attachment| {
            let name = attachment.name.as_deref().unwrap_or("file.bin");
            item.with_file(name, format!("the bytes of {name}").as_bytes())
        })
    };
    paths.iter().map(read).collect()
}

#[test]
fn every_file_is_accepted_by_the_validator() {
    let items = golden();
    assert!(items.len() >= 40);
    let files = export(&items);
    let found = validate(&files.iter().map(|file| file.bytes.clone()).collect::<Vec<_>>());
    let mut ids: Vec<String> = Vec::new();
    for (file, found) in files.iter().zip(&found) {
        assert_eq!(found["problems"], json!([]), "{}", file.manifest);
        assert_eq!(found["events"], json!(file.finished.events));
        assert_eq!(found["hashes_checked"], json!(file.finished.attachments));
        ids.extend(found["archive_ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()));
    }
    ids.sort();
    let mut expected: Vec<_> = items.iter().map(|item: &Item| id(&item.captured)).collect();
    expected.sort();
    assert_eq!(ids, expected, "every item is in the export once");
}

fn id(captured: &Captured) -> String {
    captured.item.id.to_string()
}

#[test]
fn same_items_make_the_same_bytes_in_any_order() {
    let mut items = golden();
    let first = export(&items);
    items.reverse();
    let again = export(&items);
    let bytes = |files: Vec<Written>| files.into_iter().map(|file| file.bytes).collect::<Vec<_>>();
    assert!(bytes(first) == bytes(again));
}

/// Returns a file whose manifest is changed.
fn with_manifest(change: impl Fn(&mut Value)) -> Vec<u8> {
    use std::io::Write;

    use base64::{Engine, engine::general_purpose::STANDARD};

    let items = [
        item(1, "text", json!({"text": "x"})).with_file("a.pdf", b"pdf"),
        item(2, "reaction", json!({"reaction": {"emoji": "👍"}, "target": target(1, client())})),
        item(3, "text", json!({"text": "yes", "quoted": {"messageId": "M1", "from": client()}})),
    ];
    let file = &export(&items)[0];
    let mut manifest = file.manifest.clone();
    change(&mut manifest);
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in
        [("000001.pdf", b"pdf".to_vec()), ("rsmf_manifest.json", serde_json::to_vec(&manifest).unwrap())]
    {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(&bytes).unwrap();
    }
    let zip = STANDARD.encode(zip.finish().unwrap().into_inner());
    let mail = String::from_utf8(file.bytes.clone()).unwrap();
    let (before, after) = mail.split_once("filename=\"rsmf.zip\"").unwrap();
    let (headers, after) = after.split_once("\r\n\r\n").unwrap();
    let (_, end) = after.split_once("--").unwrap();
    format!("{before}filename=\"rsmf.zip\"{headers}\r\n\r\n{zip}\r\n--{end}").into_bytes()
}

type Change = fn(&mut Value);

#[test]
fn validator_rejects_invalid_files() {
    let changes: [(&str, Change); 14] = [
        ("", |_| {}),
        ("schema", |manifest| {
            manifest["participants"][0].as_object_mut().unwrap().remove("id");
        }),
        ("schema", |manifest| manifest["events"][0]["type"] = json!("messages")),
        ("schema", |manifest| manifest["conversations"][0]["type"] = json!("group")),
        ("schema", |manifest| manifest["events"][0]["timestamp"] = json!("yesterday")),
        ("schema", |manifest| manifest["events"][0]["custom"][0]["value"] = json!("")),
        ("does not resolve", |manifest| manifest["events"][0]["participant"] = json!("p9")),
        ("does not resolve", |manifest| manifest["events"][1]["parent"] = json!("m9")),
        ("does not resolve", |manifest| manifest["conversations"][0]["participants"] = json!(["p9"])),
        ("does not resolve", |manifest| manifest["events"][0]["reactions"][0]["participants"] = json!(["p9"])),
        ("is not in the package", |manifest| manifest["events"][0]["attachments"][0]["id"] = json!("000002.pdf")),
        ("are not the attachments", |manifest| {
            manifest["events"][0].as_object_mut().unwrap().remove("attachments");
        }),
        ("another size", |manifest| manifest["events"][0]["attachments"][0]["size"] = json!(4)),
        ("X-RSMF-EventCount", |manifest| {
            manifest["events"].as_array_mut().unwrap().pop();
        }),
    ];
    let mut files: Vec<_> = changes.iter().map(|(_, change)| with_manifest(change)).collect();
    let text = |file: &[u8]| String::from_utf8(file.to_vec()).unwrap();
    let whole = text(&files[0]);
    files.push(whole.replacen("rsmf.zip", "other.zip", 2).into_bytes());
    files.push(whole.replacen("X-RSMF-Version: 2.0.0", "X-RSMF-Version: 3.0.0", 1).into_bytes());
    files.push(b"Subject: x\r\n\r\nno attachment\r\n".to_vec());
    let expected: Vec<_> =
        changes.iter().map(|(problem, _)| *problem).chain(["is not rsmf.zip", "Version", "attachments"]).collect();
    for (found, expected) in validate(&files).iter().zip(expected) {
        let problems = found["problems"].to_string();
        assert!(
            if expected.is_empty() { problems == "[]" } else { problems.contains(expected) },
            "{expected}: {problems}"
        );
    }
}
