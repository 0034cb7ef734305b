//! A function under the Runtime API: the handling of every behaviour of a process, as in Lambda.

use crate::support;

use std::{path::Path, time::Duration};

use bytes::Bytes;
use local::function::{Function, FunctionOptions, InvokeError, StartError};
use serde_json::{Value, json};

fn records(bodies: &[&str]) -> Bytes {
    let record = |(number, body): (usize, &&str)| json!({"messageId": number.to_string(), "body": body, "attributes": {"ApproximateReceiveCount": "1"}, "messageAttributes": {}});
    json!({"Records": bodies.iter().enumerate().map(record).collect::<Vec<_>>()}).to_string().into()
}

/// Waits for a line in a function's log: it comes through a pipe.
async fn wait_for_line(log: &Path, line: &str) {
    let is_there = || std::fs::read_to_string(log).unwrap().lines().any(|output| output == line);
    let wait = async {
        while !is_there() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("the line comes");
}

async fn request(function: &Function, event: Value) -> Value {
    serde_json::from_slice(&function.invoke(event.to_string().into()).await.unwrap()).unwrap()
}

#[tokio::test]
async fn process_is_reused_for_the_next_event() {
    let directory = tempfile::tempdir().unwrap();
    let function = Function::start(support::function(directory.path())).await.unwrap();
    let first = request(&function, json!({"number": 1})).await;
    assert_eq!(first["event"], json!({"number": 1}));
    assert_eq!(first["variable"], "good day");
    assert_eq!(first["inherited"], Value::Null, "the environment of this process is not passed on");
    assert!((1..=60_000).contains(&first["left_ms"].as_u64().unwrap()), "{first}");
    let second = request(&function, json!({"number": 2})).await;
    assert_eq!(second["pid"], first["pid"]);
    assert_eq!(function.pids(), [first["pid"].as_u64().unwrap() as u32]);
}

#[tokio::test]
async fn failure_affects_one_invocation_only() {
    let directory = tempfile::tempdir().unwrap();
    let options = FunctionOptions { timeout: Duration::from_secs(2), ..support::function(directory.path()) };
    let function = Function::start(options).await.unwrap();
    let mut pids = function.pids();

    let error = function.invoke(records(&["error"])).await.unwrap_err();
    assert!(matches!(&error, InvokeError::Function(reported) if reported.message == "commanded to fail"), "{error}");
    let error = function.invoke(records(&["panic"])).await.unwrap_err();
    assert!(
        matches!(&error, InvokeError::Function(reported) if reported.message.contains("commanded to panic")),
        "{error}"
    );
    assert_eq!(function.pids(), pids, "the process continues");

    let error = function.invoke(records(&["exit"])).await.unwrap_err();
    assert!(matches!(&error, InvokeError::Crashed { how, .. } if how == "exit status: 7"), "{error}");
    assert!(function.pids().is_empty(), "the process has ended");
    function.invoke(records(&["go on"])).await.unwrap();
    assert_ne!(function.pids(), pids, "a new process was started");
    pids = function.pids();

    let error = function.invoke(records(&["hang"])).await.unwrap_err();
    assert!(matches!(error, InvokeError::TimedOut(_)), "{error}");
    assert!(function.pids().is_empty(), "the process was killed");
    function.invoke(records(&["go on"])).await.unwrap();
    assert_ne!(function.pids(), pids, "a new process was started");
}

#[tokio::test]
async fn killed_process_fails_an_invocation_only_if_it_was_busy() {
    let directory = tempfile::tempdir().unwrap();
    let function = Function::start(support::function(directory.path())).await.unwrap();
    let [resting] = function.pids()[..] else { panic!("one process") };
    assert!(function.kill(resting).await);
    assert!(!function.kill(resting).await);
    function.invoke(records(&["go on"])).await.unwrap();

    let [working] = function.pids()[..] else { panic!("one process") };
    let kill = async {
        wait_for_line(&function.options().log, "hang").await;
        assert!(function.kill(working).await);
    };
    let (response, ()) = futures::join!(function.invoke(records(&["hang"])), kill);
    let error = response.unwrap_err();
    assert!(matches!(&error, InvokeError::Crashed { how, .. } if how.contains("signal: 9")), "{error}");
}

#[tokio::test]
async fn processes_run_up_to_the_concurrency_limit() {
    let directory = tempfile::tempdir().unwrap();
    let options = FunctionOptions { concurrency: 2, ..support::function(directory.path()) };
    let function = Function::start(options).await.unwrap();
    let pid = function.pids()[0];
    let mut hang = Box::pin(function.invoke(records(&["hang"])));
    assert!(futures::poll!(&mut hang).is_pending());
    // The second process responds while the first one hangs; there is no third process.
    for _ in 0..3 {
        let response = request(&function, json!({})).await;
        assert_ne!(response["pid"], pid);
        assert_eq!(function.pids().len(), 2);
    }
    // A cancelled invocation ends its process, so only the other one is left.
    drop(hang);
    let wait = async {
        while function.pids().contains(&pid) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("the process ends");
}

#[tokio::test]
async fn function_reports_why_it_cannot_start() {
    let directory = tempfile::tempdir().unwrap();
    let start = async |change: &dyn Fn(&mut FunctionOptions)| {
        let mut options = support::function(directory.path());
        change(&mut options);
        Function::start(options).await.err().expect("it does not start")
    };
    let refused = start(&|options| options.variables = vec![("START".into(), "refuse".into())]).await;
    let StartError::Ended { how, log_tail, .. } = &refused else { panic!("{refused}") };
    assert_eq!((how.as_str(), log_tail.as_str()), ("exit status: 3", "the variable BUCKET is not set"));

    let missing = start(&|options| options.program = directory.path().join("bootstrap")).await;
    assert!(matches!(missing, StartError::NotBuilt { .. }), "{missing}");
}

#[tokio::test]
async fn function_output_is_written_to_its_log() {
    let directory = tempfile::tempdir().unwrap();
    let options = support::function(directory.path());
    let log = options.log.clone();
    let function = Function::start(options).await.unwrap();
    function.invoke(records(&["a line of its own"])).await.unwrap();
    wait_for_line(&log, "a line of its own").await;
}
