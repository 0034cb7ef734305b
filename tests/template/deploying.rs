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

use crate::document::{Template, list_folders, read_text, root};

/// Maximum length of names at AWS, in characters.
const MAX_NAME_LENGTHS: &[(&str, &str, usize)] = &[
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
    for (resource_type, property, limit) in MAX_NAME_LENGTHS {
        for (id, properties) in template.resources_of_type(resource_type) {
            let name = properties[property]["Fn::Sub"].as_str().unwrap_or_else(|| panic!("{id} has no name"));
            longest = longest.min(limit - name.replace("${AWS::StackName}", "").len());
        }
    }
    let runbook = read_text("infra/runbook/deploy.md");
    assert!(runbook.contains(&format!("at most {longest} characters")), "the longest name has {longest} characters");
}

/// Resources that a failed deployment must not delete.
#[test]
fn stack_policy_protects_data_keys_queues_and_secrets() {
    let policy: Value =
        serde_json::from_str(&read_text("infra/deploy/stack-policy.json")).expect("the text is not JSON");
    let statements = policy["Statement"].as_array().expect("no statements");
    let deny = statements.iter().find(|statement| statement["Effect"] == "Deny").expect("no statement denies");
    let actions: BTreeSet<_> =
        deny["Action"].as_array().expect("no actions").iter().filter_map(Value::as_str).collect();
    assert_eq!(actions, ["Update:Delete", "Update:Replace"].into());
    let denied: BTreeSet<_> = deny["Resource"].as_array().expect("no ids").iter().filter_map(Value::as_str).collect();
    let template = Template::read();
    let kinds = ["AWS::S3::Bucket", "AWS::KMS::Key", "AWS::SQS::Queue", "AWS::SecretsManager::Secret"];
    let ids =
        kinds.iter().flat_map(|kind| template.resources_of_type(kind)).map(|(id, _)| format!("LogicalResourceId/{id}"));
    assert_eq!(denied, ids.collect::<BTreeSet<_>>().iter().map(String::as_str).collect());
}

/// A folder with the files that `infra/deploy/deploy-stack` needs, and with a `sam` that only prints its arguments.
struct DeploymentFolder(TempDir);

impl DeploymentFolder {
    fn new(architecture: Option<&str>, elf_machine: u8) -> Self {
        let folder = TempDir::new().expect("creating a folder failed");
        let at = |path: &str| folder.path().join(path);
        for path in ["infra/deploy", "bin"] {
            fs::create_dir_all(at(path)).expect("creating a folder failed");
        }
        fs::copy(root().join("infra/deploy/deploy-stack"), at("infra/deploy/deploy-stack"))
            .expect("the script cannot be copied");
        if let Some(architecture) = architecture {
            let config = format!("parameter_overrides = [\n  \"Architecture={architecture}\",\n]\n");
            fs::write(at("samconfig.toml"), config).expect("writing a file failed");
        }
        let mut header = b"\x7fELF\x02\x01\x01".to_vec();
        header.resize(18, 0);
        header.push(elf_machine);
        header.resize(64, 0);
        for function in list_folders("functions") {
            fs::create_dir_all(at(&format!("target/lambda/{function}"))).expect("creating a folder failed");
            fs::write(at(&format!("target/lambda/{function}/bootstrap")), &header).expect("writing a file failed");
        }
        let sam = at("bin/sam");
        fs::write(&sam, "#!/bin/sh\necho sam \"$@\"\n[ \"$1\" != package ] || : > \"$5\"\n")
            .expect("writing a file failed");
        fs::set_permissions(&sam, fs::Permissions::from_mode(0o755)).expect("setting the mode failed");
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

/// Returns stdout and stderr.
fn output_text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Machine number of x86-64 in the header of an ELF file.
const X86_64: u8 = 0x3e;

/// Machine number of ARM64 in the header of an ELF file.
const ARM64: u8 = 0xb7;

#[test]
fn deploy_rejects_a_bootstrap_of_another_architecture() {
    for (architecture, elf_machine) in [("arm64", X86_64), ("x86_64", ARM64)] {
        let output = DeploymentFolder::new(Some(architecture), elf_machine).deploy(&[]);
        assert!(!output.status.success() && !output_text(&output).contains("sam "), "{}", output_text(&output));
        assert!(output_text(&output).contains(architecture), "{}", output_text(&output));
    }
    for (architecture, elf_machine) in [("arm64", ARM64), ("x86_64", X86_64)] {
        let output = DeploymentFolder::new(Some(architecture), elf_machine).deploy(&[]);
        assert!(output.status.success(), "{}", output_text(&output));
        assert!(
            output_text(&output).contains("sam package") && output_text(&output).contains("sam deploy"),
            "{}",
            output_text(&output)
        );
    }
}

#[test]
fn deploy_requires_samconfig_and_is_not_interactive() {
    let output = DeploymentFolder::new(None, X86_64).deploy(&[]);
    assert!(!output.status.success(), "{}", output_text(&output));
    assert!(output_text(&output).contains("infra/deploy/samconfig.example.toml"), "{}", output_text(&output));
    let scripts = [read_text("infra/deploy/deploy-stack"), read_text("Makefile")].concat();
    assert!(
        !scripts.contains("--guided") && !scripts.contains("sam build"),
        "a script builds again with sam, or asks the operator for parameters"
    );
}

/// Lambda rejects the unsigned code of a function that is left out.
#[test]
fn signing_profile_is_passed_for_every_function() {
    let deployment = DeploymentFolder::new(Some("x86_64"), X86_64);
    let unsigned = output_text(&deployment.deploy(&[]));
    assert!(!unsigned.contains("--signing-profiles"), "{unsigned}");
    let output =
        deployment.command(&[]).env("SIGNING_PROFILE", "archiver").output().expect("the script does not start");
    let output = output_text(&output);
    let (_, profiles) = output.split_once("--signing-profiles ").expect("no signing profiles in the output");
    let profiles: BTreeSet<_> = profiles.lines().next().unwrap_or_default().split(' ').collect();
    let template = Template::read();
    let functions: Vec<_> = template.functions().into_iter().map(|(_, id, _)| format!("{id}=archiver")).collect();
    assert_eq!(profiles, functions.iter().map(String::as_str).collect());
}

/// `sam package` packages every function of the template, also those that the parameters do not create.
#[test]
fn deploy_checks_the_bootstrap_of_every_function() {
    for function in list_folders("functions") {
        let deployment = DeploymentFolder::new(Some("x86_64"), X86_64);
        fs::remove_file(deployment.0.path().join(format!("target/lambda/{function}/bootstrap")))
            .expect("removing the bootstrap failed");
        let output = deployment.deploy(&[]);
        assert!(!output.status.success() && output_text(&output).contains(&function), "{}", output_text(&output));
    }
}

/// A rollback needs no build.
#[test]
fn rollback_deploys_an_earlier_package() {
    let deployment = DeploymentFolder::new(Some("x86_64"), X86_64);
    let unknown = deployment.deploy(&["--release", "v1"]);
    assert!(
        !unknown.status.success() && output_text(&unknown).contains("deployed/v1.yaml"),
        "{}",
        output_text(&unknown)
    );
    fs::create_dir(deployment.0.path().join("deployed")).expect("creating a folder failed");
    let record = |name: &str, text: &str| {
        fs::write(deployment.0.path().join(format!("deployed/{name}")), text).expect("writing a file failed");
    };
    record("v1.yaml", "");
    for (recorded, words) in [(None, "v1.architecture is missing"), (Some("arm64\n"), "has code for arm64")] {
        if let Some(recorded) = recorded {
            record("v1.architecture", recorded);
        }
        let rejected = output_text(&deployment.deploy(&["--release", "v1"]));
        assert!(rejected.contains(words) && !rejected.contains("sam deploy"), "{rejected}");
    }
    record("v1.architecture", "x86_64\n");
    let existing = deployment.deploy(&["--release", "v1"]);
    assert!(existing.status.success(), "{}", output_text(&existing));
    assert!(output_text(&existing).contains("--template-file deployed/v1.yaml"), "{}", output_text(&existing));
    assert!(!output_text(&existing).contains("sam package"), "{}", output_text(&existing));
}

/// Lambda accepts a package for the other processor, and every invocation of it fails.
#[test]
fn deployed_package_records_its_architecture() {
    let deployment = DeploymentFolder::new(Some("x86_64"), X86_64);
    let deployed = output_text(&deployment.deploy(&[]));
    let name = deployed.lines().find_map(|line| line.strip_prefix("Deploying deployed/")?.strip_suffix(".yaml"));
    let name = name.unwrap_or_else(|| panic!("{deployed}"));
    let recorded = fs::read_to_string(deployment.0.path().join(format!("deployed/{name}.architecture")));
    assert_eq!(recorded.expect("the architecture is not recorded"), "x86_64\n");
    let config = "parameter_overrides = [\n  \"Architecture=arm64\",\n]\n";
    fs::write(deployment.0.path().join("samconfig.toml"), config).expect("writing a file failed");
    let rolled_back = deployment.deploy(&["--release", name]);
    let output = output_text(&rolled_back);
    assert!(!rolled_back.status.success() && !output.contains("sam deploy"), "{output}");
}

#[test]
fn build_is_locked_and_writes_to_the_packaged_folder() {
    let makefile = read_text("Makefile");
    let (_, build) = makefile.split_once("\nbuild:").expect("the Makefile has no target build");
    let build = build.split("\n\n").next().unwrap_or_default();
    assert!(build.contains("--release --locked"), "{build}");
    assert!(build.contains("--lambda-dir target/lambda"), "{build}");
}

/// An emulator on this machine runs the functions of a rehearsal, so they are not built for the deployed architecture.
#[test]
fn rehearsal_builds_for_this_machine() {
    let (this_machine, other) = if cfg!(target_arch = "aarch64") { ("arm64", "x86_64") } else { ("x86_64", "arm64") };
    let deployment = DeploymentFolder::new(Some(other), ARM64);
    let folder = deployment.0.path();
    fs::copy(root().join("Makefile"), folder.join("Makefile")).expect("copying the Makefile failed");
    fs::create_dir(folder.join("infra/deploy/python")).expect("creating a folder failed");
    for list in ["build", "run"] {
        fs::write(folder.join(format!("infra/deploy/python/{list}.txt")), "").expect("writing a file failed");
    }
    for (target, architecture) in [("build", other), ("rehearse", this_machine)] {
        let output =
            Command::new("make").args(["--dry-run", target]).current_dir(folder).output().expect("make does not start");
        let output = output_text(&output);
        let (_, build) = output.split_once("cargo-lambda lambda build").unwrap_or_else(|| panic!("{target}: {output}"));
        assert!(build.contains(&format!("--{}", architecture.replace('_', "-"))), "{target}: {build}");
    }
}

/// The example sets each parameter that has no default in the template.
#[test]
fn samconfig_example_satisfies_the_template() {
    let example = read_text("infra/deploy/samconfig.example.toml");
    let assignments: Vec<_> = example
        .lines()
        .filter_map(|line| line.trim().strip_prefix('"')?.strip_suffix("\",")?.split_once('='))
        .collect();
    let template = Template::read();
    for (name, parameter) in template.section("Parameters") {
        let value = assignments.iter().find(|(assigned, _)| assigned == name).map(|(_, value)| *value);
        assert!(parameter.get("Default").is_some() || value.is_some(), "{name} has no value");
        if let (Some(value), Some(allowed)) = (value, parameter["AllowedValues"].as_array()) {
            assert!(allowed.iter().any(|allowed| allowed == value), "{name}={value}");
        }
    }
    for (name, _) in &assignments {
        assert!(template.section("Parameters").contains_key(*name), "{name} is not a parameter");
    }
    assert_eq!(template.violations(&assignments), Vec::<&str>::new());
    // Fn::ForEach is expanded by CloudFormation, which requires this acknowledgement.
    assert!(example.contains("CAPABILITY_AUTO_EXPAND") && example.contains("CAPABILITY_IAM"));
    assert!(example.contains("\ntags = "));
    assert!(assignments.contains(&("Architecture", "arm64")), "the architecture is not arm64");
}

/// Returns the anchor that GitHub gives to a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|character| character.is_alphanumeric() || " -_".contains(*character));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// Returns the anchors of all headings of a document.
fn read_anchors(path: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

/// Collects the documents of a folder and of the folders in it. Of the repository's root, only its own documents.
fn find_documents(folder: &str, found: &mut Vec<String>) {
    let entries = fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}")).flatten();
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        if entry.path().is_dir() {
            if !folder.is_empty() && !path.ends_with("/node_modules") {
                find_documents(&path, found);
            }
        } else if path.ends_with(".md") {
            found.push(path);
        }
    }
}

#[test]
fn document_links_resolve() {
    let mut documents = Vec::new();
    for folder in ["", "infra", "shared", "tests/bench"] {
        find_documents(folder, &mut documents);
    }
    assert!(documents.iter().any(|path| path == "infra/runbook/deploy.md"), "{documents:?}");
    let mut links = 0;
    for document in documents {
        let path = root().join(&document);
        let folder = path.parent().expect("the document has no folder");
        for link in read_text(&document).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("http") || link.starts_with("mailto:") {
                continue;
            }
            let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { folder.join(file) };
            assert!(target.exists(), "{document}: {link}");
            if !fragment.is_empty() && target.extension().is_some_and(|extension| extension == "md") {
                assert!(read_anchors(&target).contains(fragment), "{document}: {link}");
            }
            links += 1;
        }
    }
    assert!(links > 40, "only {links} links were found");
}
