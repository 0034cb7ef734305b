//! The dependencies between crates, as `cargo metadata` reports them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::files::sources;

/// The levels from top to bottom. A level may use the levels below it, and no crate of its own level.
const LEVELS: &[&[&str]] = &[
    &["pipeline-tests"],
    &["bench", "fuzz"],
    &["harness"],
    &["archiver"],
    &["local"],
    &["fetch", "convert", "import", "receive"],
    &["sqs-batch"],
    &["source", "mailbox", "ledger"],
    &["aws", "http-client"],
    &["rsmf", "runtime"],
    &["message", "mapping", "chat-export", "cloud-api", "eml-drop"],
    &["model"],
    &["phone"],
];

/// Crates of the tests that use no crate of the product: other programs, fakes of external services.
const APART: &[&str] = &["aws-fake", "dovecot", "graph-fake", "imap-servers", "structure-tests"];

/// Crates without input and output.
const PURE: &[&str] = &["model", "phone", "mapping", "chat-export", "cloud-api", "eml-drop", "message", "rsmf"];

/// Crates on which a pure crate must not depend.
const IMPURE: &[&str] = &[
    "aws-config",
    "aws-sdk-s3",
    "aws-sdk-sqs",
    "aws-sdk-secretsmanager",
    "axum",
    "lambda_runtime",
    "reqwest",
    "tokio",
];

/// A crate of the workspace.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) directory: PathBuf,
    /// Its dependencies, without those of its tests.
    dependencies: BTreeSet<String>,
    /// Roots of its libraries and programs that are built without tests (`test = false`).
    untested_roots: Vec<PathBuf>,
}

/// Returns the members of the workspace.
pub(crate) fn members() -> Vec<Member> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root)
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| Member {
            name: text(&package["name"]),
            directory: Path::new(&text(&package["manifest_path"])).parent().unwrap().to_owned(),
            dependencies: package["dependencies"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|dependency| dependency["kind"] != "dev")
                .map(|dependency| text(&dependency["name"]))
                .collect(),
            untested_roots: package["targets"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|target| target["test"] == false && [json!(["lib"]), json!(["bin"])].contains(&target["kind"]))
                .map(|target| PathBuf::from(text(&target["src_path"])))
                .collect(),
        })
        .collect()
}

fn levels() -> BTreeMap<&'static str, usize> {
    LEVELS.iter().rev().enumerate().flat_map(|(level, names)| names.iter().map(move |name| (*name, level))).collect()
}

/// Returns each package with its features, as they are when these kinds of dependencies are built.
fn features(kinds: &str) -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--workspace", "--edges", kinds, "--prefix", "none", "--format", "{p} {f}"])
        .args(["--locked", "--offline"])
        .current_dir(root)
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let listed = String::from_utf8(output.stdout).unwrap();
    listed.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
}

/// If a test needs another feature of a dependency, `make test` compiles everything above that dependency a second time:
/// of tokio, the AWS SDKs, which are most of a build.
#[test]
fn tests_add_no_feature_to_a_dependency() {
    let (built, with_tests) = (features("normal,build"), features("normal,build,dev"));
    let twice: Vec<_> = built.difference(&with_tests).collect();
    assert!(!built.is_empty() && twice.is_empty(), "dev-dependencies add features to {twice:?}");
}

/// A test in a target with `test = false` would never run.
#[test]
fn target_without_tests_has_none() {
    let mut examined = 0;
    for member in members() {
        for root in &member.untested_roots {
            let is_library = root.file_name().is_some_and(|name| name == "lib.rs");
            let mut files = vec![root.clone()];
            if is_library {
                sources(root.parent().unwrap(), &mut files);
            }
            for file in files {
                let code = std::fs::read_to_string(&file).unwrap();
                let has_tests =
                    ["#[test]", "::test]", "::test(", "cfg(test)", "proptest!"].iter().any(|mark| code.contains(mark));
                assert!(!has_tests, "{} has a test", file.display());
                assert!(is_library || !code.contains("\nmod "), "{} has modules, which may have tests", file.display());
                examined += 1;
            }
        }
    }
    assert!(examined > 0, "no target has `test = false`");
}

#[test]
fn every_crate_has_a_level() {
    let placed: BTreeSet<_> = levels().into_keys().chain(APART.iter().copied()).map(str::to_owned).collect();
    let members: BTreeSet<_> = members().into_iter().map(|member| member.name).collect();
    assert_eq!(placed, members, "LEVELS and the workspace's members differ");
}

#[test]
fn dependencies_point_down() {
    let levels = levels();
    let mut wrong = Vec::new();
    for member in members() {
        let Some(level) = levels.get(member.name.as_str()) else { continue };
        for dependency in &member.dependencies {
            if levels.get(dependency.as_str()).is_some_and(|other| other >= level) {
                wrong.push(format!("{} uses {dependency}", member.name));
            }
        }
    }
    assert!(wrong.is_empty(), "dependencies that do not point down: {wrong:#?}");
}

#[test]
fn command_links_no_function() {
    for member in members() {
        if ["archiver", "local", "harness"].contains(&member.name.as_str()) {
            let functions = ["fetch", "convert", "import", "receive"];
            let linked: Vec<_> = functions.into_iter().filter(|name| member.dependencies.contains(*name)).collect();
            assert!(linked.is_empty(), "{} links {linked:?}", member.name);
        }
    }
}

#[test]
fn pure_crates_have_no_input_or_output() {
    for member in members().into_iter().filter(|member| PURE.contains(&member.name.as_str())) {
        let impure: Vec<_> = IMPURE.iter().filter(|name| member.dependencies.contains(**name)).collect();
        assert!(impure.is_empty(), "{} uses {impure:?}", member.name);
    }
}

/// Returns the crates of the product, each with the crates that it uses, from top to bottom.
fn picture() -> String {
    let levels = levels();
    let tests = ["pipeline-tests", "bench", "fuzz", "harness"];
    let mut members: Vec<_> = members().into_iter().filter(|member| !tests.contains(&member.name.as_str())).collect();
    members.retain(|member| levels.contains_key(member.name.as_str()));
    members.sort_by_key(|member| (usize::MAX - levels[member.name.as_str()], member.name.clone()));
    let line = |member: &Member| {
        let mut used: Vec<_> = member.dependencies.iter().filter(|name| levels.contains_key(name.as_str())).collect();
        used.sort_by_key(|name| (usize::MAX - levels[name.as_str()], (*name).clone()));
        let used = used.into_iter().map(String::as_str).collect::<Vec<_>>().join(" ");
        format!("{:<12} {}", member.name, if used.is_empty() { "-" } else { &used })
    };
    members.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn architecture_shows_the_crates_as_they_are() {
    let document =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ARCHITECTURE.md")).unwrap();
    let picture = picture();
    assert!(document.contains(&picture), "ARCHITECTURE.md needs this list of crates:\n{picture}");
}

#[test]
fn log_includes_every_crate_that_logs() {
    let code = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/runtime/src/log.rs"));
    let code = code.unwrap();
    let (_, list) = code.split_once("const OWN: &[&str] =").unwrap();
    let (list, _) = list.split_once(';').unwrap();
    let levels = levels();
    let functions = levels["import"];
    for member in members() {
        let logs = member.dependencies.contains("tracing");
        if logs && levels.get(member.name.as_str()).is_some_and(|level| *level <= functions) {
            let target = member.name.replace('-', "_");
            let named = list.contains(&format!("\"{target}\"")) || list.contains(&format!("\"{target}::"));
            assert!(named, "the log leaves out {target}");
            // A directive applies to every target that begins with it.
            assert!(!list.contains("\"aws\""), "the log would include the AWS SDKs");
        }
    }
}
