//! Compares the requests of a command to AWS with the operator's permissions in infra/deploy/PERMISSIONS.md.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
};

use harness::fault_proxy::{ConnectionFault, FaultProxy};

/// A proxy before the emulator that records the IAM action of each request.
pub(crate) struct RecordedActions {
    proxy: FaultProxy,
    actions: Arc<Mutex<BTreeSet<String>>>,
    /// Those of earlier commands.
    earlier: Mutex<BTreeSet<String>>,
}

impl RecordedActions {
    /// Starts the proxy.
    pub(crate) async fn start(endpoint: &str) -> Self {
        let actions = Arc::new(Mutex::new(BTreeSet::new()));
        let recorded = Arc::clone(&actions);
        let record = move |request: &str| {
            recorded.lock().unwrap().insert(action(request));
            ConnectionFault::None
        };
        let proxy = FaultProxy::start(record).await.unwrap();
        let upstream: SocketAddr = endpoint.trim_start_matches("http://").parse().unwrap();
        proxy.set_upstream(upstream);
        Self { proxy, actions, earlier: Mutex::default() }
    }

    /// Returns the endpoint for the command.
    pub(crate) fn url(&self) -> &str {
        self.proxy.url()
    }

    /// Asserts that the requests since the last call are permitted for the command with these arguments.
    pub(crate) fn assert_documented(&self, arguments: &[&str]) {
        let used = std::mem::take(&mut *self.actions.lock().unwrap());
        let permitted = permitted(arguments);
        let missing: Vec<_> = used.difference(&permitted).collect();
        assert!(missing.is_empty(), "archiver {arguments:?} needs {missing:?}, which PERMISSIONS.md does not list");
        self.earlier.lock().unwrap().extend(used);
    }

    /// Asserts that the commands sent requests of both services through the proxy.
    pub(crate) fn assert_recorded(&self) {
        let earlier = self.earlier.lock().unwrap();
        for action in ["s3:GetObject", "s3:ListBucket", "s3:PutObject", "sqs:ReceiveMessage", "sqs:SendMessage"] {
            assert!(earlier.contains(action), "no command has used {action}: {earlier:?}");
        }
    }
}

/// Returns the IAM action that a request needs.
fn action(request: &str) -> String {
    let mut lines = request.lines();
    let line = lines.next().unwrap_or_default();
    let target = lines.take_while(|line| !line.is_empty()).find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("x-amz-target").then(|| value.trim().to_owned())
    });
    if let Some(operation) = target.as_deref().and_then(|target| target.strip_prefix("AmazonSQS.")) {
        return format!("sqs:{}", operation.trim_end_matches("Batch"));
    }
    let mut words = line.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    match (method, path.contains("list-type=2"), target) {
        ("GET", true, None) => "s3:ListBucket".to_owned(),
        ("GET" | "HEAD", false, None) => "s3:GetObject".to_owned(),
        ("PUT", _, None) => "s3:PutObject".to_owned(),
        (_, _, target) => format!("unknown action: {method} {path} {target:?}"),
    }
}

/// Returns the actions in the operator's table for the command with these arguments: those of each row that names the
/// command and options that the arguments have.
fn permitted(arguments: &[&str]) -> BTreeSet<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/deploy/PERMISSIONS.md");
    let text = std::fs::read_to_string(file).unwrap();
    let (_, section) = text.split_once("## The operator").unwrap();
    let section = section.split("\n## ").next().unwrap();
    // Per row: the commands, and the actions with those of the rows that it refers to.
    let mut rows: Vec<(Vec<String>, BTreeSet<String>)> = Vec::new();
    for row in section.lines().filter(|line| line.starts_with('|')).skip(2) {
        let cells: Vec<_> = row.trim_matches('|').split('|').collect();
        let (commands, named) = (quoted(cells[0]), quoted(cells[1]));
        let mut actions: BTreeSet<_> = named.iter().filter(|name| name.contains(':')).cloned().collect();
        let previous = rows.last().map(|(_, actions)| actions.clone()).unwrap_or_default();
        if let Some((_, referred)) = rows.iter().rfind(|(commands, _)| commands.iter().any(|name| named.contains(name)))
        {
            actions.extend(referred.clone());
        } else if cells[1].trim_start().starts_with("the same") {
            actions.extend(previous.clone());
        }
        match rows.last_mut().filter(|_| commands.is_empty()) {
            // A further row of the same command.
            Some((_, before)) => before.extend(actions),
            None => rows.push((commands, actions)),
        }
    }
    let matches = |command: &String| command.split(' ').all(|word| arguments.contains(&word));
    let matching = rows.into_iter().filter(|(commands, _)| commands.iter().any(matches));
    matching.flat_map(|(_, actions)| actions).collect()
}

/// Returns the words in backticks.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn operators_table_lists_the_actions_of_a_command() {
    let actions = |arguments: &[&str]| permitted(arguments).into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(actions(&["backfill"]), "lambda:InvokeFunction s3:GetObject s3:ListBucket");
    assert_eq!(
        actions(&["dead-letters", "list", "--json"]),
        actions(&["reconcile"]).replace("s3:GetObject s3:ListBucket ", "")
    );
    assert!(actions(&["reconcile", "--requeue"]).contains("s3:PutObject"));
    // With stored webhooks an export reads the queues, as a report does.
    assert_eq!(actions(&["export", "--eml"]), actions(&["report"]));
    assert!(actions(&["export", "--rsmf"]).contains("sqs:ReceiveMessage"));
    assert!(!actions(&["reconcile"]).contains("s3:PutObject") && actions(&["unknown"]).is_empty());
}

#[test]
fn request_needs_the_action_of_its_operation() {
    for (request, expected) in [
        ("POST / HTTP/1.1\r\nX-Amz-Target: AmazonSQS.DeleteMessageBatch\r\n\r\n", "sqs:DeleteMessage"),
        ("GET /b?list-type=2&prefix=runs HTTP/1.1\r\n\r\n", "s3:ListBucket"),
        ("HEAD /b/k HTTP/1.1\r\n\r\n", "s3:GetObject"),
        ("DELETE /b/k HTTP/1.1\r\n\r\n", "unknown action: DELETE /b/k None"),
    ] {
        assert_eq!(action(request), expected);
    }
}
