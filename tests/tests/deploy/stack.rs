//! template.yaml, deployed by the real `sam` into ministack.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, ensure};
use archiver::local::{
    cloud::{Cloud, Queue},
    event_source,
    ministack::{Ministack, MinistackOptions},
};
use pipeline_tests::{binaries, ministack};
use serde_json::Value;
use store::Store;
use tempfile::TempDir;
use tokio::process::Command;

use crate::api::Api;

/// The stack's name in the example of a `samconfig.toml`, from which the tests' own is made.
pub(crate) const STACK: &str = "whatsapp-archiver";

/// The functions, by the names of their binaries.
const FUNCTIONS: [&str; 3] = ["fetch", "convert", "import"];

/// The longest that something may take before a test says that it hangs. No assertion depends on it.
const HANGS: Duration = Duration::from_secs(300);

/// An account of its own, with nothing in it, and a folder from which to deploy.
pub(crate) struct Account {
    /// The way to its buckets, queues and secrets.
    pub(crate) cloud: Cloud,
    /// The way to its functions and schedules.
    pub(crate) api: Api,
    ministack: Ministack,
    directory: TempDir,
}

impl Account {
    /// Starts one.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let directory = TempDir::new()?;
        let options = MinistackOptions {
            program: ministack(),
            port: None,
            state: None,
            log: directory.path().join("ministack.log"),
            variables: vec![
                // ministack takes the SAM transform from the package that `sam` itself brings.
                ("PYTHONPATH".to_owned(), packages()?.to_string_lossy().into_owned()),
                // Every service.
                ("SERVICES".to_owned(), String::new()),
                // Where it unpacks what is deployed, and leaves it.
                ("TMPDIR".to_owned(), directory.path().to_string_lossy().into_owned()),
                // What the functions print is in its log.
                ("LOG_LEVEL".to_owned(), "INFO".to_owned()),
            ],
        };
        let ministack = Ministack::start(&options).await?;
        let cloud = Cloud::at(&ministack.endpoint()).await;
        let api = Api::at(&ministack.endpoint())?;
        lay_out(directory.path())?;
        Ok(Self { cloud, api, ministack, directory })
    }

    /// Deploys as `make deploy` does after its build, with these changes to the example's parameters. Tells what `sam`
    /// said.
    pub(crate) async fn deploy(&self, parameters: &[(&str, &str)]) -> anyhow::Result<String> {
        fs::write(self.directory.path().join("samconfig.toml"), samconfig(parameters)?)?;
        let said = self.sam(&["deploy", "--no-confirm-changeset", "--no-fail-on-empty-changeset"]).await?;
        self.api.count_by_numbers().await?;
        Ok(said)
    }

    /// What the stack puts out.
    pub(crate) async fn outputs(&self) -> anyhow::Result<Outputs> {
        let said = self.sam(&["list", "stack-outputs", "--stack-name", STACK, "--output", "json"]).await?;
        let outputs: Vec<Value> = serde_json::from_str(&said).with_context(|| format!("no outputs: {said}"))?;
        let text = |output: &Value, name: &str| output[name].as_str().unwrap_or_default().to_owned();
        let outputs = outputs.iter().map(|output| (text(output, "OutputKey"), text(output, "OutputValue")));
        Ok(Outputs(outputs.collect()))
    }

    /// Removes the stack.
    pub(crate) async fn delete(&self) -> anyhow::Result<()> {
        self.sam(&["delete", "--no-prompts", "--stack-name", STACK]).await.map(drop)
    }

    /// The bucket of the stack.
    pub(crate) fn bucket(&self, outputs: &Outputs) -> anyhow::Result<Store> {
        Ok(Store::new(self.cloud.config(), outputs.get("BucketName")?.to_owned()))
    }

    /// Returns when the queues of both steps are empty.
    pub(crate) async fn drained(&self, outputs: &Outputs) -> anyhow::Result<()> {
        let queues = [outputs.queue("ConvertQueueUrl")?, outputs.queue("ImportQueueUrl")?];
        let mut depths = Vec::new();
        let drained = event_source::drained(&self.cloud, &queues, |now| depths = now.to_vec());
        let drained = tokio::time::timeout(HANGS, drained).await;
        drained.with_context(|| format!("the queues do not come to rest: {depths:?}\n{}", self.log()))??;
        Ok(())
    }

    /// Returns when `there` is.
    pub(crate) async fn until(&self, what: &str, there: impl AsyncFn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
        let waited = tokio::time::timeout(HANGS, async {
            while !there().await? {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            anyhow::Ok(())
        });
        waited.await.with_context(|| format!("never came: {what}\n{}", self.log()))?
    }

    /// What ministack and the functions have said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("ministack.log")).unwrap_or_default()
    }

    async fn sam(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(build_tools().join("bin/sam"));
        // Nothing of the operator's own: no credentials, no region, no settings.
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LANG", "C.UTF-8").env("HOME", self.directory.path());
        command.env("AWS_ENDPOINT_URL", self.endpoint()).env("AWS_DEFAULT_REGION", Ministack::REGION);
        command.env("AWS_ACCESS_KEY_ID", "local").env("AWS_SECRET_ACCESS_KEY", "local").env("SAM_CLI_TELEMETRY", "0");
        command.current_dir(self.directory.path()).args(arguments).args(["--region", Ministack::REGION]);
        let output = command.kill_on_drop(true).output().await.context("start sam")?;
        let (said, erred) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "sam {}: {}\n{said}\n{erred}\n{}", arguments[0], output.status, self.log());
        Ok(if arguments[0] == "list" { said.into_owned() } else { format!("{said}{erred}") })
    }

    /// What `AWS_ENDPOINT_URL` has to be.
    pub(crate) fn endpoint(&self) -> String {
        self.ministack.endpoint()
    }
}

/// What a stack puts out, by name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outputs(BTreeMap<String, String>);

impl Outputs {
    pub(crate) fn get(&self, name: &str) -> anyhow::Result<&str> {
        self.0.get(name).map(String::as_str).with_context(|| format!("no output {name} in {self:?}"))
    }

    /// A queue by the output that has its URL.
    pub(crate) fn queue(&self, name: &str) -> anyhow::Result<Queue> {
        let url = self.get(name)?;
        let queue = url.rsplit('/').next().context("a URL without a name")?;
        let arn = format!("arn:aws:sqs:{}:{}:{queue}", Ministack::REGION, Ministack::ACCOUNT);
        Ok(Queue { url: url.to_owned(), arn })
    }
}

/// The folder of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where `sam` is installed.
fn build_tools() -> PathBuf {
    root().join(".venv-build")
}

/// The Python packages of the same place.
pub(crate) fn packages() -> anyhow::Result<PathBuf> {
    let missing = "aws-sam-cli is not installed: `make .venv-build/.installed` installs it";
    let entries = fs::read_dir(build_tools().join("lib")).context(missing)?;
    let packages = entries.flatten().map(|entry| entry.path().join("site-packages"));
    let found = packages.filter(|path| path.join("samtranslator").is_dir()).find_map(|path| path.canonicalize().ok());
    found.context(missing)
}

/// What `sam deploy` finds in its folder: the template, and what `sam build` would have put beside it.
///
/// `sam build` compiles and then writes the template again with the place of each bootstrap. Its compiling is left out
/// here, so the test writes that one line for each function itself; nothing else of the template is changed.
fn lay_out(folder: &Path) -> anyhow::Result<()> {
    let mut template = fs::read_to_string(root().join("template.yaml"))?;
    for function in FUNCTIONS {
        let name = format!("      FunctionName: !Sub \"${{AWS::StackName}}-{function}\"\n");
        ensure!(template.matches(&name).count() == 1, "template.yaml has no line {name}");
        template = template.replace(&name, &format!("      CodeUri: {function}\n{name}"));
        fs::create_dir(folder.join(function))?;
        std::os::unix::fs::symlink(bootstrap(function)?, folder.join(function).join("bootstrap"))?;
    }
    Ok(fs::write(folder.join("template.yaml"), template)?)
}

/// What is deployed of a function: the binary that `make test` builds; or, where the variable `BOOTSTRAPS` names the
/// folder that `make build` fills, what a customer gets.
#[expect(clippy::disallowed_methods, reason = "a setting of the test's own, not of the system under test")]
pub(crate) fn bootstrap(function: &str) -> anyhow::Result<PathBuf> {
    let program = match std::env::var("BOOTSTRAPS") {
        Ok(folder) => root().join(folder).join(function).join("bootstrap"),
        Err(_) => binaries()?.join(function),
    };
    program.canonicalize().with_context(|| format!("there is no {}", program.display()))
}

/// The example that the runbook has operators copy, with some parameters changed as they would.
fn samconfig(parameters: &[(&str, &str)]) -> anyhow::Result<String> {
    const BEGIN: &str = "parameter_overrides = [\n";
    let example = fs::read_to_string(root().join("infra/samconfig.example.toml"))?;
    let set = |line: &str| parameters.iter().any(|(name, _)| line.contains(&format!("\"{name}=")));
    let kept: String = example.split_inclusive('\n').filter(|line| !set(line)).collect();
    ensure!(kept.matches(BEGIN).count() == 1, "the example has no list of parameters");
    let changed = parameters.iter().map(|(name, value)| format!("  '{name}=\"{value}\"',\n"));
    Ok(kept.replace(BEGIN, &(BEGIN.to_owned() + &changed.collect::<String>())))
}
