//! The pipeline under test: the real binaries, an emulator of S3, SQS and Secrets Manager, the sample source or chat
//! exports, and a mail system.

pub mod fault_proxy;
mod log_leak_check;
mod pace;
mod queue_messages;
mod template;

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, ensure};
use aws::s3::{Condition, Put, Store};
use aws_sdk_sqs::Client as Sqs;
use dovecot::{Dovecot, MASTER, MASTER_PASSWORD};
use graph_fake::{CLIENT_ID, CLIENT_SECRET, GraphFake, TENANT_ID};
use jiff::Timestamp;
use local::{
    cloud::{Queue, Redelivery, Step},
    event_source::{self, Depth},
    machine::{Fetched, Machine, MachineOptions},
    ministack::MinistackOptions,
    sample_source::{Sample, SampleSource, SourceCredentials},
    totals::Totals,
    webhooks::{
        APP_SECRET, FunctionUrlServer, MediaFile, MetaFake, Sender, VERIFY_TOKEN, WEBHOOK_SECRET, webhook_secret,
    },
};
use log_leak_check::Confidential;
use model::{RunId, keys};
use serde_json::{Value, json};
use tempfile::TempDir;

pub use crate::{
    pace::Pace,
    queue_messages::{DeadLetterMessage, queue_messages},
    template::{template_memory, template_memory_for_inbox},
};

/// Folder of the filed copies.
pub const FOLDER: &str = "WhatsApp Archiver";

/// Opens the fake of Meta's media endpoint.
pub const ACCESS_TOKEN: &str = "EAAG-access-token-of-the-tests";

/// A pipeline that needs longer counts as hanging. No assertion depends on this.
const STALL_LIMIT: Duration = Duration::from_secs(300);

/// The source of the items.
pub enum ItemSource {
    /// The sample source over HTTP.
    Api(Sample),
    /// Chat exports in the bucket, from phones in this time zone.
    ChatExports(&'static str),
    /// Mails of a capture vendor in the bucket.
    Mails,
    /// WhatsApp's webhooks, with these files at Meta.
    Webhooks(Vec<MediaFile>),
}

/// The mail system.
pub enum MailSystem<'a> {
    /// One directory for each of these addresses.
    Maildir(Vec<String>),
    /// The fake of Microsoft Graph.
    Graph(&'a GraphFake),
    /// The fake of Microsoft Graph, with importMime.
    GraphImportMime(&'a GraphFake),
    /// An IMAP server and one existing mailbox.
    Imap(&'a Dovecot, &'a str),
}

/// The logs are searched for the content of at most this many items. The items of a large sample are alike.
const CHECKED_ITEMS_MAX: usize = 300;

/// A running pipeline.
pub struct Pipeline {
    pub machine: Machine,
    pub store: Store,
    /// The sample source, if the pipeline uses it.
    pub source: Option<SampleSource>,
    /// The fake of Meta's media endpoint, if the pipeline receives webhooks.
    pub meta: Option<MetaFake>,
    confidential: Confidential,
    directory: TempDir,
}

impl Pipeline {
    /// Starts a pipeline. `variables` override the default ones.
    ///
    /// # Errors
    /// If a process cannot be started.
    pub async fn start(
        source: ItemSource,
        mail_system: MailSystem<'_>,
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        Self::start_at(Pace::default(), source, mail_system, variables).await
    }

    /// Starts a pipeline with other timeouts and limits.
    ///
    /// # Errors
    /// If a process cannot be started.
    pub async fn start_at(
        pace: Pace,
        source: ItemSource,
        mail_system: MailSystem<'_>,
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let directory = TempDir::new()?;
        let mail = directory.path().join("mail");
        std::fs::create_dir(&mail)?;
        let credentials = SourceCredentials { username: "connector".to_owned(), password: "correct horse".to_owned() };
        let confidential = Confidential::new();
        for secret in [credentials.password.as_str(), CLIENT_SECRET, MASTER_PASSWORD] {
            confidential.word(secret);
        }
        let mut all = vec![
            ("ARCHIVE_DOMAIN".to_owned(), "archive.example.com".to_owned()),
            ("RETRY_BASE_SECONDS".to_owned(), "1".to_owned()),
            // A deployment waits for at least a minute.
            ("SETTLE_SECONDS".to_owned(), "12".to_owned()),
            // An item that a test's source does not have will not appear later.
            ("MISSING_RETRY_SECONDS".to_owned(), "0".to_owned()),
            ("LOG_LEVEL".to_owned(), "debug".to_owned()),
        ];
        let mut set = |name: &str, value: &str| all.push((name.to_owned(), value.to_owned()));
        let mut meta = None;
        let sample_source = match source {
            ItemSource::Api(sample) => {
                sample.items().take(CHECKED_ITEMS_MAX).for_each(|item| confidential.item(&item));
                let server = SampleSource::start(sample, credentials.clone()).await?;
                set("SOURCE", "archiver-api");
                set("ARCHIVER_URL", server.url());
                set("ARCHIVER_SECRET_ID", "archiver");
                Some(server)
            }
            ItemSource::ChatExports(zone) => {
                set("SOURCE", "chat-export");
                set("EXPORT_TIME_ZONE", zone);
                None
            }
            ItemSource::Mails => {
                set("SOURCE", "eml-drop");
                None
            }
            ItemSource::Webhooks(files) => {
                [APP_SECRET, VERIFY_TOKEN, ACCESS_TOKEN].iter().for_each(|secret| confidential.word(secret));
                let server = MetaFake::start(ACCESS_TOKEN, files).await?;
                set("SOURCE", "cloud-api");
                set("WEBHOOK_SECRET_ID", WEBHOOK_SECRET);
                set("META_GRAPH_URL", &format!("{}/v25.0", server.url()));
                meta = Some(server);
                None
            }
        };
        match &mail_system {
            MailSystem::Maildir(addresses) => {
                for address in addresses {
                    confidential.word(address);
                    std::fs::create_dir(mail.join(address))?;
                }
                set("MAILBOX", "maildir");
                set("MAILDIR", path(&mail)?);
            }
            MailSystem::Graph(graph) | MailSystem::GraphImportMime(graph) => {
                set("MAILBOX", if matches!(mail_system, MailSystem::Graph(_)) { "graph" } else { "graph-import-mime" });
                set("GRAPH_URL", graph.url());
                set("GRAPH_LOGIN_URL", graph.login_url());
                set("GRAPH_TENANT_ID", TENANT_ID);
                set("GRAPH_CLIENT_ID", CLIENT_ID);
                set("GRAPH_SECRET_ID", "graph");
            }
            MailSystem::Imap(server, probe) => {
                set("MAILBOX", "imap");
                set("IMAP_HOST", &server.host());
                set("IMAP_DOMAINS", "example.com");
                set("IMAP_PROBE_MAILBOX", probe);
                set("IMAP_SECRET_ID", "imap");
                if let Some(authority) = server.authority() {
                    set("SSL_CERT_FILE", path(&authority)?);
                }
            }
        }
        for (name, value) in variables {
            set(name, value);
        }
        let options = MachineOptions {
            binaries: binaries()?,
            logs: directory.path().to_owned(),
            ministack: MinistackOptions {
                program: ministack(),
                port: None,
                state: None,
                log: directory.path().join("ministack.log"),
                // Topics are for webhooks of AWS.
                variables: vec![("SERVICES".to_owned(), "s3,sns,sqs,secretsmanager".to_owned())],
            },
            redelivery: Redelivery { visibility: pace.visibility, max_receives: pace.max_receives },
            timeout: pace.timeout,
            concurrency: pace.concurrency,
            variables: all,
        };
        let machine = Machine::start(options).await?;
        let secret = json!({"username": credentials.username, "password": credentials.password});
        machine.cloud.put_secret("archiver", &secret).await?;
        machine.cloud.put_secret("graph", &json!({"client_secret": CLIENT_SECRET})).await?;
        machine.cloud.put_secret(WEBHOOK_SECRET, &webhook_secret(ACCESS_TOKEN)).await?;
        machine.cloud.put_secret("imap", &json!({"username": MASTER, "password": MASTER_PASSWORD})).await?;
        let store = Store::new(machine.cloud.config(), machine.resources.bucket.clone());
        Ok(Self { machine, store, source: sample_source, meta, confidential, directory })
    }

    /// Starts a server for the Function URL. Like Lambda, it rejects requests while the function handles `concurrency`
    /// others.
    ///
    /// # Errors
    /// If the pipeline receives no webhooks.
    pub async fn start_function_url(&self, concurrency: usize) -> anyhow::Result<(FunctionUrlServer, Sender)> {
        let function = self.machine.receive().context("the pipeline receives no webhooks")?;
        let server =
            FunctionUrlServer::start(Arc::clone(function), (Ipv4Addr::LOCALHOST, 0).into(), concurrency).await?;
        let sender = Sender::new(server.url())?;
        Ok((server, sender))
    }

    /// Runs receive until its queue is empty, so that the events and files of all webhooks are stored.
    ///
    /// # Errors
    /// If the queue is not empty in time.
    pub async fn store_events(&self) -> anyhow::Result<()> {
        let queue = [self.machine.resources.receive.clone().context("the pipeline receives no webhooks")?];
        let working = self.machine.work_receive().context("the pipeline receives no webhooks")?;
        let drained = event_source::drained(&self.machine.cloud, &queue, |_| {});
        let drained = tokio::time::timeout(STALL_LIMIT, drained).await;
        drained.with_context(|| format!("the queue is not empty in time:\n{}", self.logs()))??;
        working.stop().await;
        Ok(())
    }

    /// Writes an object.
    ///
    /// # Errors
    /// If the write fails.
    pub async fn put(&self, key: &str, bytes: impl Into<Vec<u8>>) -> anyhow::Result<()> {
        let bytes = bytes.into();
        match str::from_utf8(&bytes) {
            Ok(csv) if key.ends_with(".csv") => self.confidential.user_map(csv),
            Ok(chat) if key.starts_with(keys::INBOX) && key.ends_with(".txt") => self.confidential.chat(chat),
            Ok(_) | Err(_) => {}
        }
        let put = Put { key, bytes: bytes.into(), content_type: "application/octet-stream", sha256: None };
        self.store.put(put, Condition::Always).await?;
        Ok(())
    }

    /// Writes the user map.
    ///
    /// # Errors
    /// If the write fails.
    pub async fn put_user_map(&self, csv: &str) -> anyhow::Result<()> {
        self.put(keys::USER_MAP, csv).await
    }

    /// Adds an item's content to the words that the logs must not contain.
    pub fn keep_confidential(&self, item: &Value) {
        self.confidential.item(item);
    }

    /// Adds a word to the words that the logs must not contain.
    pub fn keep_word_confidential(&self, word: &str) {
        self.confidential.word(word);
    }

    /// Returns the number of words that the logs must not contain.
    pub fn confidential_words(&self) -> usize {
        self.confidential.len()
    }

    /// Returns the timer's event as EventBridge Scheduler sends it.
    pub fn timer() -> Value {
        json!({"version": "0", "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa", "detail-type": "Scheduled Event",
               "source": "aws.scheduler", "account": "000000000000", "time": Timestamp::now(), "region": "us-east-1",
               "resources": ["arn:aws:scheduler:us-east-1:000000000000:schedule/default/fetch"], "detail": "{}"})
    }

    /// Returns the event of a backfill of the last two days and the next hour, which includes new objects in the inbox.
    pub fn backfill() -> Value {
        let hour = jiff::SignedDuration::from_hours(1);
        let now = Timestamp::now();
        json!({"from": now - hour * 48, "to": now + hour})
    }

    /// Invokes fetch and runs convert and import until both queues are empty.
    ///
    /// # Errors
    /// If fetch fails or the queues are not empty in time.
    pub async fn run(&self, event: &Value) -> anyhow::Result<Fetched> {
        let fetched = self.machine.fetch(event).await?;
        self.drain().await?;
        Ok(fetched)
    }

    /// Runs convert and import until both queues are empty.
    ///
    /// # Errors
    /// If the queues are not empty in time.
    pub async fn drain(&self) -> anyhow::Result<()> {
        let working = self.machine.work();
        let drained = tokio::time::timeout(STALL_LIMIT, self.machine.drained(|_| {})).await;
        drained.with_context(|| format!("the queues are not empty in time:\n{}", self.logs()))??;
        working.stop().await;
        Ok(())
    }

    /// Waits until a log contains a text, because output reaches the log shortly after the response.
    ///
    /// # Errors
    /// If the text is not logged in time.
    pub async fn until_logged(&self, what: &str) -> anyhow::Result<()> {
        let logged = async {
            while !self.logs().contains(what) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let result = tokio::time::timeout(STALL_LIMIT, logged).await;
        result.with_context(|| format!("{what:?} was not logged:\n{}", self.logs()))
    }

    /// Runs convert and import until a log contains a text, then stops and returns the queues' depths.
    ///
    /// # Errors
    /// If the text is not logged in time.
    pub async fn work_until_logged(&self, what: &str) -> anyhow::Result<Vec<Depth>> {
        let working = self.machine.work();
        self.until_logged(what).await?;
        working.stop().await;
        let mut depths = Vec::new();
        for queue in [&self.machine.resources.convert, &self.machine.resources.import] {
            depths.push(event_source::depth(&self.machine.cloud, queue).await?);
        }
        Ok(depths)
    }

    /// Lists the keys that begin with a prefix.
    ///
    /// # Errors
    /// If the list cannot be read.
    pub async fn keys(&self, prefix: &str) -> anyhow::Result<Vec<String>> {
        let mut keys = Vec::new();
        let keep = |page: Vec<aws::s3::Listed>| {
            keys.extend(page.into_iter().map(|object| object.key));
            std::future::ready(Ok::<_, aws::s3::StoreError>(()))
        };
        self.store.list(prefix, keep).await?;
        Ok(keys)
    }

    /// Counts a run.
    ///
    /// # Errors
    /// If a manifest or an outcome cannot be read.
    pub async fn totals(&self, run: &RunId) -> anyhow::Result<Totals> {
        Ok(Totals::of(&self.store, run).await?)
    }

    /// Reads every copy in a mailbox's folder, by file name.
    ///
    /// # Errors
    /// If the mailbox does not exist or the folder cannot be read.
    pub fn mail(&self, address: &str) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
        let mailbox = self.directory.path().join("mail").join(address);
        ensure!(mailbox.is_dir(), "mailbox {address} does not exist");
        let folder = mailbox.join(FOLDER);
        let mut mail = BTreeMap::new();
        for part in ["cur", "new"] {
            let Ok(entries) = std::fs::read_dir(folder.join(part)) else { continue };
            for entry in entries {
                let entry = entry?;
                mail.insert(entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path())?);
            }
        }
        Ok(mail)
    }

    /// Counts the copies per mailbox. Empty mailboxes are left out.
    ///
    /// # Errors
    /// If the mail cannot be read.
    pub fn copies(&self) -> anyhow::Result<BTreeMap<String, usize>> {
        let mut copies = BTreeMap::new();
        for entry in std::fs::read_dir(self.directory.path().join("mail"))? {
            let address = entry?.file_name().to_string_lossy().into_owned();
            let count = self.mail(&address)?.len();
            if count > 0 {
                copies.insert(address, count);
            }
        }
        Ok(copies)
    }

    /// Reads every dead letter. The messages stay in the queue.
    ///
    /// # Errors
    /// If the queue does not respond, or a detail contains personal data.
    pub async fn dead_letters(&self) -> anyhow::Result<Vec<DeadLetterMessage>> {
        let dead_letters = queue_messages(&self.machine.cloud, &self.machine.resources.dead_letters.url).await?;
        let details = dead_letters.iter().filter_map(|dead_letter| dead_letter.attributes.get("detail"));
        let leaked = self.confidential.find_leak(details.map(String::as_str));
        ensure!(leaked.is_none(), "{leaked:?} is in the detail of a dead letter");
        Ok(dead_letters)
    }

    /// Counts the dead letters per reason.
    ///
    /// # Errors
    /// If the queue does not respond.
    pub async fn dead_letters_by_reason(&self) -> anyhow::Result<BTreeMap<String, usize>> {
        let mut reasons = BTreeMap::new();
        for dead_letter in self.dead_letters().await? {
            *reasons.entry(dead_letter.attributes.get("reason").cloned().unwrap_or_default()).or_default() += 1;
        }
        Ok(reasons)
    }

    /// Sends a message without attributes.
    ///
    /// # Errors
    /// If the send fails.
    pub async fn send(&self, queue: &Queue, body: &str) -> anyhow::Result<()> {
        let client = Sqs::new(self.machine.cloud.config());
        client.send_message().queue_url(&queue.url).message_body(body).send().await?;
        Ok(())
    }

    /// Returns the peak memory of a function's processes, in kB.
    ///
    /// # Errors
    /// If no process runs, or the peak cannot be read.
    pub fn peak_kilobytes(&self, step: Step) -> anyhow::Result<u64> {
        let pids = self.machine.function(step).pids();
        let peaks = pids.into_iter().map(peak_kilobytes_of).collect::<anyhow::Result<Vec<_>>>()?;
        peaks.into_iter().max().context("no process is left")
    }

    /// Returns everything that the functions have logged.
    pub fn logs(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default();
        // A full log is rotated.
        let log = |name: &str| read(&format!("{name}.old")) + &read(name);
        ["receive.log", "fetch.log", "convert.log", "import.log"].map(log).concat()
    }
}

/// Checks at the end of every test that the logs, written at `debug`, contain no personal data and no secret.
impl Drop for Pipeline {
    fn drop(&mut self) {
        // The failure of the test itself is reported first.
        if !std::thread::panicking()
            && let Some(word) = self.confidential.find_leak([self.logs().as_str()])
        {
            panic!("{word:?} is in the log");
        }
    }
}

/// Returns the peak memory of a process, in kB.
///
/// # Errors
/// If it cannot be read.
pub fn peak_kilobytes_of(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    Ok(line.context("no VmHWM")?.parse::<u64>()?)
}

fn path(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("the path is not UTF-8")
}

/// Returns the directory of the functions' binaries, beside those of the tests and benchmarks.
///
/// # Errors
/// If the functions are not built.
pub fn binaries() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    // Tests are in the directory `deps` beside the binaries.
    let binaries = own.ancestors().skip(1).take(2).find(|directory| directory.join("import").is_file());
    Ok(binaries.context("the functions are not built: make test")?.to_owned())
}

/// Returns the path of the emulator that `make test` installs.
pub fn ministack() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/ministack")
}
