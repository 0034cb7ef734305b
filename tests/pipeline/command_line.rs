//! The command `archiver`, run as a program on a pipeline.

use std::process::Command;

use harness::Pipeline;
use local::cloud::Step;

/// Returns the command with import's variables and the URLs of the queues that import does not use.
pub(crate) fn archiver_command(pipeline: &Pipeline, arguments: &[&str]) -> anyhow::Result<Command> {
    let resources = &pipeline.machine.resources;
    let mut command = Command::new(harness::binaries()?.join("archiver"));
    command.env_clear().env("AWS_REGION", "us-east-1").args(arguments);
    command.envs(pipeline.machine.variables(Step::Import));
    command.env("CONVERT_QUEUE_URL", &resources.convert.url);
    if let Some(receive) = &resources.receive {
        command.env("RECEIVE_QUEUE_URL", &receive.url);
    }
    Ok(command)
}

/// Runs a command. Returns its exit code, stdout and stderr.
pub(crate) async fn run(mut command: Command) -> anyhow::Result<(Option<i32>, String, String)> {
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    Ok((output.status.code(), String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?))
}
