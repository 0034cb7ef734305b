//! Runs each bootstrap under the runtime interface emulator that AWS publishes and `sam` contains: an independent
//! implementation of the Runtime API.
#![cfg(target_os = "linux")]

use std::{net::TcpListener, path::PathBuf, process::Stdio, time::Duration};

use anyhow::Context;
use harness::{ministack, queue_messages};
use jiff::Timestamp;
use local::{
    cloud::{Cloud, Redelivery, Step},
    ministack::{Ministack, MinistackOptions},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

use crate::{
    api::Api,
    stack::{bootstrap, packages},
};

/// Time limit for the start of a bootstrap.
const STALL_LIMIT: Duration = Duration::from_secs(60);

/// Returns the path of the emulator for this machine.
fn emulator() -> anyhow::Result<PathBuf> {
    let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    Ok(packages()?.join(format!("samcli/local/rapid/aws-lambda-rie-{machine}")))
}

/// A bootstrap that waits for events.
struct EmulatedFunction {
    _process: Child,
    api: Api,
}

impl EmulatedFunction {
    async fn start(step: Step, variables: Vec<(String, String)>) -> anyhow::Result<Self> {
        // Both listeners stay open until both ports are known, so that the ports differ.
        let ports = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
        let [events, runtime] = [ports[0].local_addr()?.to_string(), ports[1].local_addr()?.to_string()];
        drop(ports);
        let mut command = Command::new(emulator()?);
        command.args(["--runtime-interface-emulator-address", &events, "--runtime-api-address", &runtime]);
        command.arg(bootstrap(step.name())?).env_clear().envs(variables);
        command.env("AWS_REGION", Ministack::REGION).env("AWS_LAMBDA_FUNCTION_NAME", step.name());
        command.env("AWS_LAMBDA_FUNCTION_TIMEOUT", "60").env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let process = command.spawn().context("starting the emulator failed")?;
        let listens = async {
            while TcpStream::connect(&events).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(STALL_LIMIT, listens).await.context("the emulator does not listen")?;
        Ok(Self { _process: process, api: Api::at(&format!("http://{events}"))? })
    }

    /// Invokes the function by the only name that the emulator accepts.
    async fn invoke(&self, event: &Value) -> anyhow::Result<Value> {
        self.api.invoke("function", event).await
    }
}

#[tokio::test]
async fn bootstrap_handles_an_event_under_aws_runtime_emulator() -> anyhow::Result<()> {
    let directory = TempDir::new()?;
    let log = directory.path().join("ministack.log");
    let options = MinistackOptions { program: ministack(), port: None, state: None, log, variables: Vec::new() };
    let server = Ministack::start(&options).await?;
    let cloud = Cloud::at(&server.endpoint()).await;
    let resources = cloud.create(Redelivery { visibility: Duration::from_secs(120), max_receives: 3 }, false).await?;
    let start = async |step: Step, settings: &[(&str, &str)]| {
        let mut variables = cloud.variables(step, &resources);
        variables.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        EmulatedFunction::start(step, variables).await
    };
    let exports = [("SOURCE", "chat-export"), ("EXPORT_TIME_ZONE", "UTC"), ("ARCHIVE_DOMAIN", "archive.example.com")];

    let fetch = start(Step::Fetch, &exports).await?;
    let response = fetch.invoke(&json!({"from": "2026-11-21T00:00:00Z", "to": "2026-11-22T00:00:00Z"})).await?;
    assert_eq!((&response["listed"], &response["complete"]), (&json!(0), &json!(true)));

    let graph = [("MAILBOX", "graph"), ("GRAPH_TENANT_ID", "t"), ("GRAPH_CLIENT_ID", "c"), ("GRAPH_SECRET_ID", "s")];
    for (step, settings, queue) in
        [(Step::Convert, &exports[..], &resources.convert), (Step::Import, &graph[..], &resources.import)]
    {
        let function = start(step, settings).await?;
        let record = json!({"messageId": "1", "receiptHandle": "r", "body": step.name(), "md5OfBody": "",
            "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": Timestamp::now().as_millisecond().to_string(),
                "SenderId": "s", "ApproximateFirstReceiveTimestamp": "1"},
            "messageAttributes": {}, "eventSource": "aws:sqs", "eventSourceARN": queue.arn, "awsRegion": Ministack::REGION});
        let response = function.invoke(&json!({"Records": [record]})).await?;
        assert_eq!(response, json!({"batchItemFailures": []}), "{}", step.name());
    }
    // Each malformed task became a dead letter, which shows that the functions ran.
    let dead_letters = queue_messages(&cloud, &resources.dead_letters.url).await?;
    let mut stages: Vec<_> = dead_letters
        .iter()
        .map(|dead_letter| (dead_letter.body.as_str(), dead_letter.attributes["stage"].as_str()))
        .collect();
    stages.sort_unstable();
    assert_eq!(stages, [("convert", "convert"), ("import", "import")]);
    Ok(())
}
