//! The files with which an operator deploys: the example of samconfig.toml, the Makefile, the stack policy, and the
//! runbook.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::document::{Template, folders, root, text};

/// Maximum length of names at AWS, in characters.
const LIMITS: &[(&str, &str, usize)] = &[
    ("AWS::Serverless::Function", "FunctionName", 64),
    ("AWS::SQS::Queue", "QueueName", 80),
    ("AWS::Scheduler::Schedule", "Name", 64),
    ("AWS::CloudWatch::Alarm", "AlarmName", 255),
    ("AWS::Logs::LogGroup", "LogGroupName", 512),
];

#[test]
fn runbook_gives_the_longest_stack_name() {
    let template = Template::read();
    let mut longest = 128;
    for (of_type, property, limit) in LIMITS {
        for (id, properties) in template.of_type(of_type) {
            let name = properties[property]["Fn::Sub"].as_str().unwrap_or_else(|| panic!("{id} has no name"));
            longest = longest.min(limit - name.replace("${AWS::StackName}", "").len());
        }
    }
    let runbook = text("infra/runbook/deploy.md");
    assert!(runbook.contains(&format!("at most {longest} characters")), "{longest}");
}

/// Resources that a failed deployment must not delete.
#[test]
fn stack_policy_protects_data_keys_queues_and_secrets() {
    let policy: Value = serde_json::from_str(&text("infra/deploy/stack-policy.json")).expect("JSON");
    let statements = policy["Statement"].as_array().expect("statements");
    let deny = statements.iter().find(|statement| statement["Effect"] == "Deny").expect("a denial");
    let actions: BTreeSet<_> = deny["Action"].as_array().expect("actions").iter().filter_map(Value::as_str).collect();
    assert_eq!(actions, ["Update:Delete", "Update:Replace"].into());
    let denied: BTreeSet<_> = deny["Resource"].as_array().expect("ids").iter().filter_map(Value::as_str).collect();
    let template = Template::read();
    let kinds = ["AWS::S3::Bucket", "AWS::KMS::Key", "AWS::SQS::Queue", "AWS::SecretsManager::Secret"];
    let ids = kinds.iter().flat_map(|kind| template.of_type(kind)).map(|(id, _)| format!("LogicalResourceId/{id}"));
    assert_eq!(denied, ids.collect::<BTreeSet<_>>().iter().map(String::as_str).collect());
}

/// A folder with a copy of the files that `infra/deploy/deploy-stack` needs, and tools that only print their arguments.
struct Operator(TempDir);

impl Operator {
    fn with(architecture: Option<&str>, machine: u8) -> Self {
        let folder = TempDir::new().expect("a folder");
        let at = |path: &str| folder.path().join(path);
        for path in ["infra/deploy", "bin"] {
            fs::create_dir_all(at(path)).expect("a folder");
        }
        fs::copy(root().join("infra/deploy/deploy-stack"), at("infra/deploy/deploy-stack"))
            .expect("the script cannot be copied");
        if let Some(architecture) = architecture {
            let config = format!("parameter_overrides = [\n  \"Architecture={architecture}\",\n]\n");
            fs::write(at("samconfig.toml"), config).expect("a file");
        }
        let mut header = b"\x7fELF\x02\x01\x01".to_vec();
        header.resize(18, 0);
        header.push(machine);
        header.resize(64, 0);
        for function in folders("functions") {
            fs::create_dir_all(at(&format!("target/lambda/{function}"))).expect("a folder");
            fs::write(at(&format!("target/lambda/{function}/bootstrap")), &header).expect("a file");
        }
        let sam = at("bin/sam");
        fs::write(&sam, "#!/bin/sh\necho sam \"$@\"\n[ \"$1\" != package ] || : > \"$5\"\n").expect("a file");
        fs::set_permissions(&sam, fs::Permissions::from_mode(0o755)).expect("a mode");
        Self(folder)
    }

    fn deploy(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the script does not start")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let path = |path: &str| self.0.path().join(path);
        let mut command = Command::new(path("infra/deploy/deploy-stack"));
        command.args(arguments).current_dir(self.0.path()).env_clear();
        command.env("PATH", format!("{}:/usr/bin:/bin", path("bin").display()));
        command
    }
}

fn output_text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const X86_64: u8 = 0x3e;

const ARM64: u8 = 0xb7;

#[test]
fn deploy_rejects_a_bootstrap_of_another_architecture() {
    for (architecture, machine) in [("arm64", X86_64), ("x86_64", ARM64)] {
        let output = Operator::with(Some(architecture), machine).deploy(&[]);
        assert!(!output.status.success() && !output_text(&output).contains("sam "), "{}", output_text(&output));
        assert!(output_text(&output).contains(architecture), "{}", output_text(&output));
    }
    for (architecture, machine) in [("arm64", ARM64), ("x86_64", X86_64)] {
        let output = Operator::with(Some(architecture), machine).deploy(&[]);
        assert!(output.status.success(), "{}", output_text(&output));
        assert!(
            output_text(&output).contains("sam package") && output_text(&output).contains("sam deploy"),
            "{}",
            output_text(&output)
        );
    }
}

#[test]
fn deploy_asks_for_no_parameter_and_needs_samconfig() {
    let output = Operator::with(None, X86_64).deploy(&[]);
    assert!(!output.status.success(), "{}", output_text(&output));
    assert!(output_text(&output).contains("infra/deploy/samconfig.example.toml"), "{}", output_text(&output));
    let scripts = [text("infra/deploy/deploy-stack"), text("Makefile")].concat();
    assert!(
        !scripts.contains("--guided") && !scripts.contains("sam build"),
        "the script did not build once, or asked a question"
    );
}

/// Lambda would reject the function that is left out.
#[test]
fn signing_profile_is_passed_for_every_function() {
    let operator = Operator::with(Some("x86_64"), X86_64);
    let unsigned = output_text(&operator.deploy(&[]));
    assert!(!unsigned.contains("--signing-profiles"), "{unsigned}");
    let output = operator.command(&[]).env("SIGNING_PROFILE", "archiver").output().expect("the script does not start");
    let output = output_text(&output);
    let (_, profiles) = output.split_once("--signing-profiles ").expect("profiles");
    let profiles: BTreeSet<_> = profiles.lines().next().unwrap_or_default().split(' ').collect();
    let template = Template::read();
    let functions: Vec<_> = template.functions().into_iter().map(|(_, id, _)| format!("{id}=archiver")).collect();
    assert_eq!(profiles, functions.iter().map(String::as_str).collect());
}

/// The template packages every function, whether its parameters make it or not.
#[test]
fn deploy_checks_the_bootstrap_of_every_function() {
    for function in folders("functions") {
        let operator = Operator::with(Some("x86_64"), X86_64);
        fs::remove_file(operator.0.path().join(format!("target/lambda/{function}/bootstrap"))).expect("a bootstrap");
        let output = operator.deploy(&[]);
        assert!(!output.status.success() && output_text(&output).contains(&function), "{}", output_text(&output));
    }
}

/// A rollback needs no build.
#[test]
fn rollback_deploys_an_earlier_package() {
    let operator = Operator::with(Some("x86_64"), X86_64);
    let unknown = operator.deploy(&["--release", "v1"]);
    assert!(
        !unknown.status.success() && output_text(&unknown).contains("deployed/v1.yaml"),
        "{}",
        output_text(&unknown)
    );
    fs::create_dir(operator.0.path().join("deployed")).expect("a folder");
    fs::write(operator.0.path().join("deployed/v1.yaml"), "").expect("a file");
    let existing = operator.deploy(&["--release", "v1"]);
    assert!(existing.status.success(), "{}", output_text(&existing));
    assert!(output_text(&existing).contains("--template-file deployed/v1.yaml"), "{}", output_text(&existing));
    assert!(!output_text(&existing).contains("sam package"), "{}", output_text(&existing));
}

#[test]
fn build_is_locked_and_fills_the_folders_that_are_packaged() {
    let makefile = text("Makefile");
    let (_, build) = makefile.split_once("\nbuild:").expect("a target");
    let build = build.split("\n\n").next().unwrap_or_default();
    assert!(build.contains("--release --locked"), "{build}");
    assert!(build.contains("--lambda-dir target/lambda"), "{build}");
}

/// An emulator runs what a rehearsal builds, whatever architecture is deployed.
#[test]
fn rehearsal_builds_for_this_machine() {
    let (own, other) = if cfg!(target_arch = "aarch64") { ("arm64", "x86_64") } else { ("x86_64", "arm64") };
    let operator = Operator::with(Some(other), ARM64);
    let folder = operator.0.path();
    fs::copy(root().join("Makefile"), folder.join("Makefile")).expect("the Makefile");
    fs::create_dir(folder.join("infra/deploy/python")).expect("a folder");
    for list in ["build", "run"] {
        fs::write(folder.join(format!("infra/deploy/python/{list}.txt")), "").expect("a file");
    }
    for (target, architecture) in [("build", other), ("rehearse", own)] {
        let output =
            Command::new("make").args(["--dry-run", target]).current_dir(folder).output().expect("make does not start");
        let output = output_text(&output);
        let (_, build) = output.split_once("cargo-lambda lambda build").unwrap_or_else(|| panic!("{target}: {output}"));
        assert!(build.contains(&format!("--{}", architecture.replace('_', "-"))), "{target}: {build}");
    }
}

/// The example sets what the template cannot default.
#[test]
fn samconfig_example_satisfies_the_template() {
    let example = text("infra/deploy/samconfig.example.toml");
    let set: Vec<_> = example
        .lines()
        .filter_map(|line| line.trim().strip_prefix('"')?.strip_suffix("\",")?.split_once('='))
        .collect();
    let template = Template::read();
    for (name, parameter) in template.section("Parameters") {
        let value = set.iter().find(|(set, _)| set == name).map(|(_, value)| *value);
        assert!(parameter.get("Default").is_some() || value.is_some(), "{name}");
        if let (Some(value), Some(allowed)) = (value, parameter["AllowedValues"].as_array()) {
            assert!(allowed.iter().any(|allowed| allowed == value), "{name}={value}");
        }
    }
    for (name, _) in &set {
        assert!(template.section("Parameters").contains_key(*name), "{name}");
    }
    assert_eq!(template.violations(&set), Vec::<&str>::new());
    // Fn::ForEach is expanded by CloudFormation, which requires this acknowledgement.
    assert!(example.contains("CAPABILITY_AUTO_EXPAND") && example.contains("CAPABILITY_IAM"));
    assert!(example.contains("\ntags = "));
    assert!(set.contains(&("Architecture", "arm64")), "the architecture is not arm64");
}

/// GitHub's anchor of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn anchors(path: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

#[test]
fn document_links_resolve() {
    let documents =
        ["README.md", "ARCHITECTURE.md", "BENCHMARKS.md", "infra/RUNBOOK.md", "infra/deploy/PERMISSIONS.md"];
    let runbook = ["deploy", "operate", "alarms", "compliance"].map(|part| format!("infra/runbook/{part}.md"));
    let mut links = 0;
    for document in documents.into_iter().map(str::to_owned).chain(runbook) {
        let path = root().join(&document);
        let folder = path.parent().expect("a folder");
        for link in text(&document).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("http") || link.starts_with("mailto:") {
                continue;
            }
            let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { folder.join(file) };
            assert!(target.exists(), "{document}: {link}");
            if !fragment.is_empty() && target.extension().is_some_and(|extension| extension == "md") {
                assert!(anchors(&target).contains(fragment), "{document}: {link}");
            }
            links += 1;
        }
    }
    assert!(links > 40, "{links}");
}
