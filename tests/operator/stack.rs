//! A small stack with the parts and the outputs of a deployment, in an AWS emulator that includes CloudFormation,
//! Lambda and EventBridge Scheduler. Its functions are fakes; the command uses the API of the emulator.

use aws::s3::{Condition, Put, Store};
use aws_config::SdkConfig;
use graph_fake::{CLIENT_ID, CLIENT_SECRET, GraphFake, TENANT_ID, User};
use jiff::{SignedDuration, Timestamp};
use local::{
    cloud::Cloud,
    ministack::{Ministack, MinistackOptions},
    sample_source::{Sample, SampleSource, SourceCredentials},
};
use model::{RunId, RunRecord, Window, keys};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::transcript::{ministack, run_archiver};

/// Name of the stack.
pub(crate) const NAME: &str = "wa";
/// The window of the run that [`Stack::put_run`] writes.
pub(crate) const FROM: &str = "2026-11-21T00:00:00Z";
pub(crate) const TO: &str = "2026-11-22T00:00:00Z";
/// Address of the only user who has a mailbox.
pub(crate) const ADA: &str = "ada@example.com";

/// Services of the emulator. The roles of the functions require IAM and STS.
const SERVICES: &str = "s3,sqs,secretsmanager,cloudformation,lambda,scheduler,iam,sts,logs";

/// Code of a fake of fetch that lists one hour per invocation. It fails for 2020 and reports no progress for 2021.
const FETCH: &str = r#"
import datetime

def handler(event, context):
    at = lambda text: datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")
    begin, to = at(event["from"]), at(event["to"])
    if begin.year == 2020:
        raise Exception("listing the archive: the source rejected the request: HTTP 401")
    end = min(begin + datetime.timedelta(hours=1), to)
    reached = None if begin.year == 2021 else end.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"run": "20261122T070000Z-backfill-0badcafe", "from": event["from"], "to": event["to"],
            "listed": 2, "queued": 2, "complete": end == to, "reached": reached}
"#;

/// A running stack, with fakes of the source and of Graph.
pub(crate) struct Stack {
    pub(crate) cloud: Cloud,
    pub(crate) graph: GraphFake,
    pub(crate) archive: SourceCredentials,
    pub(crate) bucket: String,
    endpoint: String,
    // These fields are dropped last, because the fields above use them.
    _archive: SampleSource,
    _ministack: Ministack,
    _directory: TempDir,
}

impl Stack {
    pub(crate) async fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let options = MinistackOptions {
            program: ministack(),
            port: None,
            state: None,
            log: directory.path().join("ministack.log"),
            variables: vec![("SERVICES".to_owned(), SERVICES.to_owned())],
        };
        let ministack = Ministack::start(&options).await.unwrap();
        let cloud = Cloud::at(&ministack.endpoint()).await;
        let credentials = SourceCredentials { username: "connector".to_owned(), password: "right".to_owned() };
        let archive = SampleSource::start(Sample::many(1, Timestamp::now()), credentials.clone()).await.unwrap();
        let graph = GraphFake::start().await.unwrap();
        graph.add(User::new(ADA));
        let template = template(archive.url(), &graph);
        create_stack(cloud.config(), NAME, &template).await;
        let outputs = aws_sdk_cloudformation::Client::new(cloud.config()).describe_stacks().stack_name(NAME).send();
        let outputs = outputs.await.unwrap().stacks.unwrap().remove(0).outputs.unwrap();
        let bucket = outputs.into_iter().find(|output| output.output_key() == Some("BucketName")).unwrap();
        let stack = Self {
            cloud,
            graph,
            archive: credentials,
            bucket: bucket.output_value.unwrap(),
            endpoint: ministack.endpoint(),
            _archive: archive,
            _ministack: ministack,
            _directory: directory,
        };
        stack.fill_in_secrets().await;
        stack.put_cursor(SignedDuration::from_mins(150)).await;
        stack.put(keys::USER_MAP, "Mobile number,E-mail address\n+4520123456,ada@example.com\n").await;
        stack
    }

    /// Fills in the secrets, as an operator does after the first deployment.
    pub(crate) async fn fill_in_secrets(&self) {
        let archive = json!({"username": self.archive.username, "password": self.archive.password});
        self.put_secret("wa-archive", &archive).await;
        self.put_secret("wa-graph", &json!({"client_secret": CLIENT_SECRET})).await;
    }

    pub(crate) async fn put_secret(&self, id: &str, value: &Value) {
        self.cloud.put_secret(id, value).await.unwrap();
    }

    /// Writes a cursor whose archived time is of this age.
    pub(crate) async fn put_cursor(&self, age: SignedDuration) {
        let cursor = json!({"v": 1, "archived_time": Timestamp::now() - age, "run": "20261122T070000Z-daily-0badcafe"});
        self.put(keys::CURSOR, &cursor.to_string()).await;
    }

    pub(crate) async fn put(&self, key: &str, text: &str) {
        let bytes = text.as_bytes().to_vec().into();
        let put = Put { key, bytes, content_type: "text/plain", sha256: None };
        let store = Store::new(self.cloud.config(), self.bucket.clone());
        store.put(put, Condition::Always).await.unwrap();
    }

    /// Writes the manifest and the record of a run that fetched the whole day.
    pub(crate) async fn put_run(&self, line: &str) {
        let run: RunId = "20261121T080000Z-daily-0badcafe".parse().unwrap();
        let window = Window::between(FROM.parse().unwrap(), TO.parse().unwrap()).unwrap();
        let record = RunRecord {
            queued: 1,
            pages: 1,
            complete: true,
            ended: Some(window.to),
            ..RunRecord::begun(run.clone(), window)
        };
        self.put(&keys::run(&run), &serde_json::to_string(&record).unwrap()).await;
        self.put(&keys::manifest(&run, 1), line).await;
    }

    /// Runs the command with credentials for the emulator, and returns its transcript.
    pub(crate) async fn run(&self, arguments: &[&str]) -> String {
        run_archiver(arguments, &self.variables()).await
    }

    pub(crate) fn variables(&self) -> [(&'static str, &str); 4] {
        [
            ("AWS_ENDPOINT_URL", self.endpoint.as_str()),
            ("AWS_REGION", Ministack::REGION),
            ("AWS_ACCESS_KEY_ID", "operator"),
            ("AWS_SECRET_ACCESS_KEY", "operator"),
        ]
    }
}

/// Creates a stack and waits until it exists.
pub(crate) async fn create_stack(config: &SdkConfig, name: &str, template: &Value) {
    let client = aws_sdk_cloudformation::Client::new(config);
    client.create_stack().stack_name(name).template_body(template.to_string()).send().await.unwrap();
    loop {
        let described = client.describe_stacks().stack_name(name).send().await.unwrap();
        let status = described.stacks.unwrap().remove(0).stack_status.unwrap();
        match status.as_str() {
            "CREATE_COMPLETE" => return,
            "CREATE_IN_PROGRESS" => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
            other => panic!("the stack was not created: {other}"),
        }
    }
}

/// Returns the template of the stack.
fn template(archive: &str, graph: &GraphFake) -> Value {
    let sub = |text: &str| json!({"Fn::Sub": text});
    let reference = |name: &str| json!({"Ref": name});
    let arn = |name: &str| json!({"Fn::GetAtt": [name, "Arn"]});
    let function = |name: &str, code: &str, variables: Value| {
        json!({"Type": "AWS::Lambda::Function", "Properties": {
            "FunctionName": sub(&format!("${{AWS::StackName}}-{name}")), "Runtime": "python3.12",
            "Handler": "index.handler", "Role": "arn:aws:iam::000000000000:role/none", "Code": {"ZipFile": code},
            "Environment": {"Variables": variables}}})
    };
    let queue = |name: &str| {
        json!({"Type": "AWS::SQS::Queue", "Properties": {
            "QueueName": sub(&format!("${{AWS::StackName}}-{name}")),
            "RedrivePolicy": {"deadLetterTargetArn": arn("DeadLetterQueue"), "maxReceiveCount": 300}}})
    };
    let trigger = |queue: &str, function: &str, concurrency: u32| {
        json!({"Type": "AWS::Lambda::EventSourceMapping", "Properties": {
            "EventSourceArn": arn(queue), "FunctionName": reference(function),
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "ScalingConfig": {"MaximumConcurrency": concurrency}}})
    };
    let source = |name: &str| {
        sub(&format!("arn:${{AWS::Partition}}:sqs:${{AWS::Region}}:${{AWS::AccountId}}:${{AWS::StackName}}-{name}"))
    };
    let no_op_code = "def handler(event, context):\n    return {}\n";
    json!({
        "Parameters": {
            "DefaultRegion": {"Type": "String", "Default": "DK"},
            "CatchAllMailbox": {"Type": "String", "Default": "compliance@example.com"},
            "AutomaticMapping": {"Type": "String", "Default": "false"}},
        "Resources": {
            "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {
                "VersioningConfiguration": {"Status": "Enabled"},
                "PublicAccessBlockConfiguration": {"BlockPublicAcls": true, "BlockPublicPolicy": true,
                    "IgnorePublicAcls": true, "RestrictPublicBuckets": true}}},
            "ConvertQueue": queue("convert"),
            "ImportQueue": queue("import"),
            "DeadLetterQueue": {"Type": "AWS::SQS::Queue", "Properties": {
                "QueueName": sub("${AWS::StackName}-dead-letters"),
                "RedriveAllowPolicy": {"redrivePermission": "byQueue",
                    "sourceQueueArns": [source("convert"), source("import")]}}},
            "Fetch": function("fetch", FETCH, json!({
                "BUCKET": reference("Bucket"), "CONVERT_QUEUE_URL": reference("ConvertQueue"), "SOURCE": "archiver-api",
                "ARCHIVER_URL": archive, "ARCHIVER_SECRET_ID": "wa-archive", "EXPORT_TIME_ZONE": "", "LOG_LEVEL": "info"})),
            "Convert": function("convert", no_op_code, json!({
                "BUCKET": reference("Bucket"), "CONVERT_QUEUE_URL": reference("ConvertQueue"),
                "IMPORT_QUEUE_URL": reference("ImportQueue"), "DEAD_LETTER_QUEUE_URL": reference("DeadLetterQueue"),
                "SOURCE": "archiver-api", "ARCHIVER_URL": archive, "ARCHIVER_SECRET_ID": "wa-archive",
                "ARCHIVE_DOMAIN": "archive.example.com"})),
            "Import": function("import", no_op_code, import_variables(graph, "graph")),
            "ConvertTrigger": trigger("ConvertQueue", "Convert", 10),
            "ImportTrigger": trigger("ImportQueue", "Import", 4),
            "Schedule": {"Type": "AWS::Scheduler::Schedule", "Properties": {
                "Name": sub("${AWS::StackName}-fetch"), "ScheduleExpression": "rate(1 day)", "State": "ENABLED",
                "FlexibleTimeWindow": {"Mode": "OFF"},
                "Target": {"Arn": arn("Fetch"), "RoleArn": "arn:aws:iam::000000000000:role/none"}}},
        },
        "Outputs": {
            "BucketName": {"Value": reference("Bucket")},
            "FetchFunctionName": {"Value": reference("Fetch")},
            "ConvertFunctionName": {"Value": reference("Convert")},
            "ImportFunctionName": {"Value": reference("Import")},
            "ScheduleName": {"Value": reference("Schedule")},
            "ConvertQueueUrl": {"Value": reference("ConvertQueue")},
            "ImportQueueUrl": {"Value": reference("ImportQueue")},
            "DeadLetterQueueUrl": {"Value": reference("DeadLetterQueue")},
        }
    })
}

/// Returns the environment variables of import.
pub(crate) fn import_variables(graph: &GraphFake, mailbox: &str) -> Value {
    json!({"BUCKET": {"Ref": "Bucket"}, "IMPORT_QUEUE_URL": {"Ref": "ImportQueue"},
           "DEAD_LETTER_QUEUE_URL": {"Ref": "DeadLetterQueue"}, "MAILBOX": mailbox, "GRAPH_CLOUD": "global",
           "GRAPH_URL": graph.url(), "GRAPH_LOGIN_URL": graph.login_url(), "GRAPH_TENANT_ID": TENANT_ID,
           "GRAPH_CLIENT_ID": CLIENT_ID, "GRAPH_SECRET_ID": "wa-graph", "CATCH_ALL_MAILBOX": ""})
}
