//! template.yaml, deployed by `infra/deploy/deploy-stack` and the real `sam` into ministack.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, ensure};
use aws::s3::Store;
use graph_fake::GraphFake;
use harness::{binaries, ministack};
use local::{
    cloud::{Cloud, Queue},
    event_source,
    ministack::{Ministack, MinistackOptions},
};
use tempfile::TempDir;
use tokio::process::Command;

use crate::api::Api;

/// The stack's name in the example of `samconfig.toml`, from which the tests create their own.
pub(crate) const STACK: &str = "whatsapp-archiver";

/// Names of the binaries of the functions.
const FUNCTIONS: [&str; 4] = ["fetch", "convert", "import", "receive"];

/// Time limit of an operation, after which the test fails. No assertion depends on it.
const STALL_LIMIT: Duration = Duration::from_secs(300);

/// An emulated AWS account and a folder from which the tests deploy.
pub(crate) struct Account {
    /// Connection to the buckets, queues and secrets.
    pub(crate) cloud: Cloud,
    /// Connection to the functions and schedules.
    pub(crate) api: Api,
    ministack: Ministack,
    directory: TempDir,
    bootstrap_directory: Option<TempDir>,
}

impl Account {
    /// Starts an account with the real bootstraps, without their symbols: what is deployed has none either, and a package
    /// takes half the time.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let directory = TempDir::new()?;
        for function in FUNCTIONS {
            let (program, stripped) = (bootstrap(function)?, directory.path().join(function));
            let status = Command::new("strip").arg("-o").arg(stripped).arg(&program).status().await;
            let status = status.context("strip is missing; it comes with the linker, in the package binutils")?;
            ensure!(status.success(), "strip {}: {status}", program.display());
        }
        let mut account = Self::start_with(|function| Ok(directory.path().join(function))).await?;
        account.bootstrap_directory = Some(directory);
        Ok(account)
    }

    /// Starts an account whose functions are never invoked: each bootstrap is only the header of a program.
    pub(crate) async fn start_without_functions() -> anyhow::Result<Self> {
        // `deploy-stack` checks the architecture in the header; the test program has that of this machine.
        let directory = TempDir::new()?;
        let program = directory.path().join("bootstrap");
        fs::write(&program, &fs::read(std::env::current_exe()?)?[..64])?;
        let mut account = Self::start_with(|_| Ok(program.clone())).await?;
        account.bootstrap_directory = Some(directory);
        Ok(account)
    }

    async fn start_with(bootstrap: impl Fn(&str) -> anyhow::Result<PathBuf>) -> anyhow::Result<Self> {
        let directory = TempDir::new()?;
        let options = MinistackOptions {
            program: ministack(),
            port: None,
            state: None,
            log: directory.path().join("ministack.log"),
            variables: vec![
                // ministack uses the SAM transform of the package that `sam` contains.
                ("PYTHONPATH".to_owned(), packages()?.to_string_lossy().into_owned()),
                // Every service.
                ("SERVICES".to_owned(), String::new()),
                // The directory into which it unpacks the deployed code.
                ("TMPDIR".to_owned(), directory.path().to_string_lossy().into_owned()),
                // Prints the functions' output into its log.
                ("LOG_LEVEL".to_owned(), "INFO".to_owned()),
            ],
        };
        let ministack = Ministack::start(&options).await?;
        let cloud = Cloud::at(&ministack.endpoint()).await;
        let api = Api::at(&ministack.endpoint())?;
        create_build_files(directory.path(), bootstrap)?;
        Ok(Self { cloud, api, ministack, directory, bootstrap_directory: None })
    }

    /// Deploys as `make deploy` does after its build, with these changes to the example's parameters. Returns the
    /// output of `infra/deploy/deploy-stack`.
    pub(crate) async fn deploy(&self, parameters: &[(&str, &str)]) -> anyhow::Result<String> {
        fs::write(self.directory().join("samconfig.toml"), samconfig(parameters)?)?;
        let stdout = self.run("infra/deploy/deploy-stack", &["--no-confirm-changeset"]).await?;
        self.api.set_numeric_concurrency().await?;
        Ok(stdout)
    }

    /// Deploys with code that AWS Signer signs with a profile, as `make deploy SIGNING_PROFILE=…` does.
    pub(crate) async fn deploy_signed(&self, profile: &str, parameters: &[(&str, &str)]) -> anyhow::Result<String> {
        fs::write(self.directory().join("samconfig.toml"), samconfig(parameters)?)?;
        let signing = [("SIGNING_PROFILE", profile)];
        self.run_with("infra/deploy/deploy-stack", &["--no-confirm-changeset"], &signing).await
    }

    /// Changes the parameters of a deployed package and deploys the same package again.
    pub(crate) async fn update(&self, release: &str, parameters: &[(&str, &str)]) -> anyhow::Result<String> {
        fs::write(self.directory().join("samconfig.toml"), samconfig(parameters)?)?;
        self.roll_back(release).await
    }

    /// Returns the text of a package.
    pub(crate) fn package(&self, release: &str) -> anyhow::Result<String> {
        Ok(fs::read_to_string(self.directory().join(format!("deployed/{release}.yaml")))?)
    }

    /// Deploys an earlier package, as `make rollback` does.
    pub(crate) async fn roll_back(&self, release: &str) -> anyhow::Result<String> {
        let stdout = self.run("infra/deploy/deploy-stack", &["--release", release, "--no-confirm-changeset"]).await?;
        self.api.set_numeric_concurrency().await?;
        Ok(stdout)
    }

    /// Returns the packages that were deployed, the oldest first.
    pub(crate) fn releases(&self) -> anyhow::Result<Vec<String>> {
        let files = fs::read_dir(self.directory().join("deployed"))?;
        let names = files.flatten().filter_map(|file| file.file_name().into_string().ok());
        let mut releases: Vec<_> = names.filter_map(|name| name.strip_suffix(".yaml").map(str::to_owned)).collect();
        releases.sort();
        Ok(releases)
    }

    /// Changes the template for the following deployments.
    pub(crate) fn edit_template(&self, edit: impl FnOnce(String) -> String) -> anyhow::Result<()> {
        let path = self.directory().join("template.yaml");
        Ok(fs::write(&path, edit(fs::read_to_string(&path)?))?)
    }

    /// Points import at the fake of Graph. These variables are not parameters, because no deployment needs them.
    pub(crate) fn set_graph_urls(&self, graph: &GraphFake) -> anyhow::Result<()> {
        const PREVIOUS_LINE: &str = "          GRAPH_TENANT_ID: !Ref GraphTenantId\n";
        let template = fs::read_to_string(self.directory().join("template.yaml"))?;
        ensure!(
            template.matches(PREVIOUS_LINE).count() == 1,
            "template.yaml does not have the line {PREVIOUS_LINE} once"
        );
        let (url, login) = (graph.url(), graph.login_url());
        let urls = format!("{PREVIOUS_LINE}          GRAPH_URL: \"{url}\"\n          GRAPH_LOGIN_URL: \"{login}\"\n");
        self.edit_template(|template| template.replace(PREVIOUS_LINE, &urls))
    }

    /// Returns the stack's outputs.
    pub(crate) async fn outputs(&self) -> anyhow::Result<Outputs> {
        let described = self.cloudformation().describe_stacks().stack_name(STACK).send().await?;
        let stack = described.stacks().first().context("the stack does not exist")?;
        let outputs = stack.outputs().iter().map(|output| {
            let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
            (text(output.output_key()), text(output.output_value()))
        });
        Ok(Outputs(outputs.collect()))
    }

    /// Removes the stack.
    pub(crate) async fn delete(&self) -> anyhow::Result<()> {
        self.sam(&["delete", "--no-prompts", "--stack-name", STACK]).await.map(drop)
    }

    /// Returns a client of CloudFormation.
    pub(crate) fn cloudformation(&self) -> aws_sdk_cloudformation::Client {
        aws_sdk_cloudformation::Client::new(self.cloud.config())
    }

    /// Returns the physical id of each resource of the stack, by its logical id.
    pub(crate) async fn resources(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let listed = self.cloudformation().describe_stack_resources().stack_name(STACK).send().await?;
        let ids = listed.stack_resources().iter().map(|resource| {
            let id = |id: Option<&str>| id.unwrap_or_default().to_owned();
            (id(resource.logical_resource_id()), id(resource.physical_resource_id()))
        });
        Ok(ids.collect())
    }

    /// Returns the bucket of the stack.
    pub(crate) fn bucket(&self, outputs: &Outputs) -> anyhow::Result<Store> {
        Ok(Store::new(self.cloud.config(), outputs.get("BucketName")?.to_owned()))
    }

    /// Waits until the queues of convert and import are empty.
    pub(crate) async fn wait_until_drained(&self, outputs: &Outputs) -> anyhow::Result<()> {
        let queues = [outputs.queue("ConvertQueueUrl")?, outputs.queue("ImportQueueUrl")?];
        let mut depths = Vec::new();
        let drained = event_source::drained(&self.cloud, &queues, |now| depths = now.to_vec());
        let drained = tokio::time::timeout(STALL_LIMIT, drained).await;
        drained.with_context(|| format!("the queues did not become empty in time: {depths:?}\n{}", self.log()))??;
        Ok(())
    }

    /// Waits until a condition returns `true`. The event is named in the error.
    pub(crate) async fn wait_until(
        &self,
        event: &str,
        is_reached: impl AsyncFn() -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let waited = tokio::time::timeout(STALL_LIMIT, async {
            while !is_reached().await? {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            anyhow::Ok(())
        });
        waited.await.with_context(|| format!("timed out waiting for {event}\n{}", self.log()))?
    }

    /// Returns the log of ministack and the functions.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory().join("ministack.log")).unwrap_or_default()
    }

    /// Returns the directory with the files that an operator has in the repository's root.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    async fn sam(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let region = [arguments, &["--region", Ministack::REGION]].concat();
        let program = deploy_tools().join("bin/sam");
        self.run(&program.to_string_lossy(), &region).await
    }

    async fn run(&self, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
        self.run_with(program, arguments, &[]).await
    }

    async fn run_with(&self, program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<String> {
        let mut command = Command::new(self.directory().join(program));
        // The environment of the tester, with its credentials, region and settings, is not passed on.
        let path = format!("{}:/usr/bin:/bin", deploy_tools().canonicalize()?.join("bin").display());
        command.env_clear().env("PATH", path).env("LANG", "C.UTF-8").env("HOME", self.directory());
        command.env("AWS_ENDPOINT_URL", self.endpoint()).env("AWS_DEFAULT_REGION", Ministack::REGION);
        command.env("AWS_ACCESS_KEY_ID", "local").env("AWS_SECRET_ACCESS_KEY", "local").env("SAM_CLI_TELEMETRY", "0");
        command.envs(variables.iter().copied()).current_dir(self.directory()).args(arguments);
        let output = command.kill_on_drop(true).output().await.with_context(|| format!("starting {program} failed"))?;
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(
            output.status.success(),
            "{program} {arguments:?}: {}\n{stdout}\n{stderr}\n{}",
            output.status,
            self.log()
        );
        Ok(format!("{stdout}{stderr}"))
    }

    /// Returns the value for `AWS_ENDPOINT_URL`.
    pub(crate) fn endpoint(&self) -> String {
        self.ministack.endpoint()
    }
}

/// Outputs of a stack by name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outputs(BTreeMap<String, String>);

impl Outputs {
    /// Returns the value of an output.
    pub(crate) fn get(&self, name: &str) -> anyhow::Result<&str> {
        self.0.get(name).map(String::as_str).with_context(|| format!("no output {name} in {self:?}"))
    }

    /// Returns the queue whose URL is the value of an output.
    pub(crate) fn queue(&self, name: &str) -> anyhow::Result<Queue> {
        let url = self.get(name)?;
        let queue = url.rsplit('/').next().context("a URL without a name")?;
        let arn = format!("arn:aws:sqs:{}:{}:{queue}", Ministack::REGION, Ministack::ACCOUNT);
        Ok(Queue { url: url.to_owned(), arn })
    }
}

/// Returns the folder of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns the path of the Python environment in which `sam` is installed.
fn deploy_tools() -> PathBuf {
    root().join(".venv-deploy")
}

/// Returns the directory of the Python packages of `sam`.
pub(crate) fn packages() -> anyhow::Result<PathBuf> {
    let missing = "aws-sam-cli is not installed: `make .venv-deploy/.installed` installs it";
    let entries = fs::read_dir(deploy_tools().join("lib")).context(missing)?;
    let packages = entries.flatten().map(|entry| entry.path().join("site-packages"));
    let found = packages.filter(|path| path.join("samtranslator").is_dir()).find_map(|path| path.canonicalize().ok());
    found.context(missing)
}

/// Creates the files that an operator has in the repository's root after `make build`.
fn create_build_files(folder: &Path, bootstrap: impl Fn(&str) -> anyhow::Result<PathBuf>) -> anyhow::Result<()> {
    fs::copy(root().join("template.yaml"), folder.join("template.yaml"))?;
    fs::create_dir_all(folder.join("infra/deploy"))?;
    fs::copy(root().join("infra/deploy/deploy-stack"), folder.join("infra/deploy/deploy-stack"))?;
    for function in FUNCTIONS {
        let place = folder.join("target/lambda").join(function);
        fs::create_dir_all(&place)?;
        std::os::unix::fs::symlink(bootstrap(function)?, place.join("bootstrap"))?;
    }
    Ok(())
}

/// Returns the binary of a function to deploy: the one that `make test` builds or, if the variable `BOOTSTRAPS` names
/// the folder of `make build`, the one that a customer deploys.
#[expect(clippy::disallowed_methods, reason = "a setting of the test's own, not of the system under test")]
pub(crate) fn bootstrap(function: &str) -> anyhow::Result<PathBuf> {
    let program = match std::env::var("BOOTSTRAPS") {
        Ok(folder) => root().join(folder).join(function).join("bootstrap"),
        Err(_) => binaries()?.join(function),
    };
    program.canonicalize().with_context(|| format!("the bootstrap {} is missing", program.display()))
}

/// Returns the example that operators copy according to the runbook, with some changed parameters.
pub(crate) fn samconfig(parameters: &[(&str, &str)]) -> anyhow::Result<String> {
    const BEGIN: &str = "parameter_overrides = [\n";
    let example = fs::read_to_string(root().join("infra/deploy/samconfig.example.toml"))?;
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    let is_set = parameters.iter().any(|(name, _)| *name == "Architecture");
    let of_this_machine = (!is_set).then_some(("Architecture", architecture));
    let parameters: Vec<_> = parameters.iter().copied().chain(of_this_machine).collect();
    let is_changed = |line: &str| parameters.iter().any(|(name, _)| line.contains(&format!("\"{name}=")));
    let kept: String = example.split_inclusive('\n').filter(|line| !is_changed(line)).collect();
    ensure!(kept.matches(BEGIN).count() == 1, "the example has no list of parameters");
    let changed = parameters.iter().map(|(name, value)| format!("  '{name}=\"{value}\"',\n"));
    let kept = kept.replace("region = \"eu-west-1\"", &format!("region = \"{}\"", Ministack::REGION));
    Ok(kept.replace(BEGIN, &(BEGIN.to_owned() + &changed.collect::<String>())))
}
