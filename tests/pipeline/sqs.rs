//! An SQS emulator with message move tasks, which ministack lacks.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, ensure};
use aws_sdk_sqs::{
    Client,
    types::{MessageAttributeValue, QueueAttributeName, SendMessageBatchRequestEntry},
};
use futures::{StreamExt, TryStreamExt, stream};
use local::cloud::{Cloud, Queue};
use saphyr::{LoadableYamlNode, Yaml};
use serde_json::json;

/// The running emulator. It ends when its standard input closes, and so with this process.
pub(crate) struct Sqs {
    pub(crate) cloud: Cloud,
    pub(crate) client: Client,
    pub(crate) convert: Queue,
    pub(crate) import: Queue,
    pub(crate) dead_letters: Queue,
    url: String,
    process: Child,
}

impl Sqs {
    /// Starts the emulator with queues as in the template.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fakes/sqs");
        ensure!(directory.join("node_modules").is_dir(), "the SQS emulator is not installed: make test");
        let mut command = Command::new("node");
        command.arg(directory.join("server.mjs")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().context("node does not start: make test installs it")?;
        let mut url = String::new();
        BufReader::new(process.stdout.take().context("no pipe")?).read_line(&mut url)?;
        let url = url.trim().to_owned();
        let cloud = Cloud::at(&url).await;
        let client = Client::new(cloud.config());

        let template = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml"))?;
        let template = Yaml::load_from_str(&template)?;
        let resources = &template.first().context("an empty template")?["Resources"];
        // A dead letter held by a failed move task becomes visible after a second instead of half a minute.
        let seconds = (QueueAttributeName::VisibilityTimeout, "1".to_owned());
        let dead_letters = create_queue(&client, "dead-letters", vec![seconds]).await?;
        let mut queues = Vec::new();
        for (name, resource) in [("convert", "ConvertQueue"), ("import", "ImportQueue")] {
            let properties = &resources[resource]["Properties"];
            let receives = properties["RedrivePolicy"]["maxReceiveCount"].as_integer();
            let receives = receives.context("the template has no maxReceiveCount")?;
            let redrive = json!({"deadLetterTargetArn": dead_letters.arn, "maxReceiveCount": receives});
            let attributes = vec![
                (QueueAttributeName::VisibilityTimeout, "120".to_owned()),
                (QueueAttributeName::RedrivePolicy, redrive.to_string()),
                (QueueAttributeName::RedriveAllowPolicy, json!({"redrivePermission": "denyAll"}).to_string()),
            ];
            queues.push(create_queue(&client, name, attributes).await?);
        }
        let allow = &resources["DeadLetterQueue"]["Properties"]["RedriveAllowPolicy"];
        ensure!(allow["redrivePermission"].as_str() == Some("byQueue"), "the template has changed");
        let sources: Vec<_> = queues.iter().map(|queue| &queue.arn).collect();
        let allow = json!({"redrivePermission": "byQueue", "sourceQueueArns": sources}).to_string();
        let set = client.set_queue_attributes().queue_url(&dead_letters.url);
        set.attributes(QueueAttributeName::RedriveAllowPolicy, allow).send().await?;
        let [convert, import] =
            <[Queue; 2]>::try_from(queues).map_err(|_| anyhow::anyhow!("there are not two queues"))?;
        Ok(Self { cloud, client, convert, import, dead_letters, url, process })
    }

    /// Returns the functions' variables for the emulator.
    pub(crate) fn variables(&self) -> [(&str, &str); 4] {
        [
            ("AWS_ENDPOINT_URL_SQS", self.url.as_str()),
            ("CONVERT_QUEUE_URL", self.convert.url.as_str()),
            ("IMPORT_QUEUE_URL", self.import.url.as_str()),
            ("DEAD_LETTER_QUEUE_URL", self.dead_letters.url.as_str()),
        ]
    }

    /// Sends dead letters with a body and string attributes, as the functions do.
    pub(crate) async fn fill_dead_letters(
        &self,
        dead_letters: impl Iterator<Item = (String, HashMap<&'static str, String>)>,
    ) -> anyhow::Result<()> {
        let entry = |(index, (body, attributes)): (usize, (String, HashMap<&str, String>))| {
            let attribute = |(name, value): (&str, String)| {
                let value = MessageAttributeValue::builder().data_type("String").string_value(value).build();
                Ok((name.to_owned(), value?))
            };
            let attributes: HashMap<_, _> = attributes.into_iter().map(attribute).collect::<anyhow::Result<_>>()?;
            let entry = SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(body);
            anyhow::Ok(entry.set_message_attributes(Some(attributes)).build()?)
        };
        let entries: Vec<_> = dead_letters.enumerate().map(entry).collect::<Result<_, _>>()?;
        let sends = stream::iter(entries.chunks(10)).map(|chunk| {
            let send = self.client.send_message_batch().queue_url(&self.dead_letters.url);
            send.set_entries(Some(chunk.to_vec())).send()
        });
        let responses: Vec<_> = sends.buffer_unordered(8).try_collect().await?;
        ensure!(responses.iter().all(|response| response.failed.is_empty()), "SQS rejected a dead letter");
        Ok(())
    }
}

impl Drop for Sqs {
    fn drop(&mut self) {
        // The process may have ended by itself.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

async fn create_queue(
    client: &Client,
    name: &str,
    attributes: Vec<(QueueAttributeName, String)>,
) -> anyhow::Result<Queue> {
    let create = client.create_queue().queue_name(name).set_attributes(Some(attributes.into_iter().collect()));
    let url = create.send().await?.queue_url.context("a queue without a URL")?;
    let request = client.get_queue_attributes().queue_url(&url).attribute_names(QueueAttributeName::QueueArn);
    let arn = request.send().await?.attributes.and_then(|mut all| all.remove(&QueueAttributeName::QueueArn));
    Ok(Queue { url, arn: arn.context("a queue without an ARN")? })
}
