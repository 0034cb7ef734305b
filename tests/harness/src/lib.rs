//! The whole pipeline under test: the real binaries, a real S3, SQS and Secrets Manager server, the sample archive (or
//! chat exports) on one side and mailboxes on the other.

pub mod cutter;
mod discretion;

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, ensure};
use aws::s3::{Condition, Put, Store};
use aws_sdk_sqs::Client as Sqs;
use discretion::Confidential;
use dovecot::{Dovecot, MASTER, MASTER_PASSWORD};
use graph_fake::{CLIENT_ID, CLIENT_SECRET, GraphFake, TENANT_ID};
use jiff::Timestamp;
use local::{
    archive::{ArchiveCredentials, Sample, SampleArchive},
    cloud::{Cloud, Queue, Redelivery, Step},
    event_source::Depth,
    machine::{Fetched, Machine, MachineOptions},
    ministack::MinistackOptions,
    totals::Totals,
};
use model::{RunId, keys};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The archive folder.
pub const FOLDER: &str = "WhatsApp Archiver";

/// The longest that a pipeline may take before a test says that it hangs. No assertion depends on it.
const HANGS: Duration = Duration::from_secs(300);

/// Where items come from.
pub enum From {
    /// An archive over HTTP.
    Archive(Sample),
    /// Chat exports in the bucket, from phones in this time zone.
    Exports(&'static str),
    /// Mails of a capture vendor in the bucket.
    Mails,
}

/// Where items go.
pub enum To<'a> {
    /// Directories, one for each of these addresses.
    Maildir(Vec<String>),
    /// A fake of Microsoft Graph.
    Graph(&'a GraphFake),
    /// The same, by importMime.
    GraphImportMime(&'a GraphFake),
    /// A mail server, of which one mailbox is known to be there.
    Imap(&'a Dovecot, &'a str),
}

/// How a pipeline is paced: what the template sets, scaled down.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The longest invocation.
    pub timeout: Duration,
    /// How long a message that was received stays away. Not shorter than `timeout`.
    pub visibility: Duration,
    /// The most processes of convert, and of import.
    pub concurrency: usize,
    /// After how many receives SQS gives a message up.
    pub max_receives: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
            visibility: Duration::from_secs(120),
            concurrency: 2,
            max_receives: 50,
        }
    }
}

/// Of so many items a pipeline's logs are searched for what they say. Those of a large sample are all alike.
const MOST_ITEMS: usize = 300;

/// A pipeline that is running.
pub struct Pipeline {
    /// What it runs on.
    pub machine: Machine,
    /// Its bucket.
    pub store: Store,
    /// Its archive, where it has one.
    pub archive: Option<SampleArchive>,
    confidential: Confidential,
    directory: TempDir,
}

/// A dead letter as it stands in the queue.
#[derive(Debug)]
pub struct Letter {
    /// The message's body.
    pub body: String,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
}

impl Pipeline {
    /// Starts one. `variables` come last, and so win.
    ///
    /// # Errors
    /// What could not be started.
    pub async fn start(from: From, to: To<'_>, variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start_at(Pace::default(), from, to, variables).await
    }

    /// The same at another pace.
    ///
    /// # Errors
    /// What could not be started.
    pub async fn start_at(pace: Pace, from: From, to: To<'_>, variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        let directory = TempDir::new()?;
        let mail = directory.path().join("mail");
        std::fs::create_dir(&mail)?;
        let credentials = ArchiveCredentials { username: "connector".to_owned(), password: "correct horse".to_owned() };
        let confidential = Confidential::new();
        for secret in [credentials.password.as_str(), CLIENT_SECRET, MASTER_PASSWORD] {
            confidential.word(secret);
        }
        let mut all = vec![
            ("ARCHIVE_DOMAIN".to_owned(), "archive.example.com".to_owned()),
            ("RETRY_BASE_SECONDS".to_owned(), "1".to_owned()),
            // What a test's source does not have it will not have later.
            ("MISSING_RETRY_SECONDS".to_owned(), "0".to_owned()),
            ("LOG_LEVEL".to_owned(), "debug".to_owned()),
        ];
        let mut set = |name: &str, value: &str| all.push((name.to_owned(), value.to_owned()));
        let archive = match from {
            From::Archive(sample) => {
                sample.items().take(MOST_ITEMS).for_each(|item| confidential.item(&item));
                let archive = SampleArchive::start(sample, credentials.clone()).await?;
                set("SOURCE", "archiver-api");
                set("ARCHIVER_URL", archive.url());
                set("ARCHIVER_SECRET_ID", "archiver");
                Some(archive)
            }
            From::Exports(zone) => {
                set("SOURCE", "chat-export");
                set("EXPORT_TIME_ZONE", zone);
                None
            }
            From::Mails => {
                set("SOURCE", "eml-drop");
                None
            }
        };
        match &to {
            To::Maildir(addresses) => {
                for address in addresses {
                    confidential.word(address);
                    std::fs::create_dir(mail.join(address))?;
                }
                set("MAILBOX", "maildir");
                set("MAILDIR", path(&mail)?);
            }
            To::Graph(graph) | To::GraphImportMime(graph) => {
                set("MAILBOX", if matches!(to, To::Graph(_)) { "graph" } else { "graph-import-mime" });
                set("GRAPH_URL", graph.url());
                set("GRAPH_LOGIN_URL", graph.login_url());
                set("GRAPH_TENANT_ID", TENANT_ID);
                set("GRAPH_CLIENT_ID", CLIENT_ID);
                set("GRAPH_SECRET_ID", "graph");
            }
            To::Imap(server, probe) => {
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
                variables: Vec::new(),
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
        machine.cloud.put_secret("imap", &json!({"username": MASTER, "password": MASTER_PASSWORD})).await?;
        let store = Store::new(machine.cloud.config(), machine.resources.bucket.clone());
        Ok(Self { machine, store, archive, confidential, directory })
    }

    /// Writes an object.
    ///
    /// # Errors
    /// When the bucket refuses.
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
    /// When the bucket refuses.
    pub async fn put_user_map(&self, csv: &str) -> anyhow::Result<()> {
        self.put(keys::USER_MAP, csv).await
    }

    /// Adds an item of another archive's to what no log may tell.
    pub fn keep_confidential(&self, item: &Value) {
        self.confidential.item(item);
    }

    /// Adds a word to what no log may tell.
    pub fn keep_word_confidential(&self, word: &str) {
        self.confidential.word(word);
    }

    /// How many words no log may tell.
    pub fn confidential_words(&self) -> usize {
        self.confidential.len()
    }

    /// The timer's event, as EventBridge Scheduler sends it.
    pub fn timer() -> Value {
        json!({"version": "0", "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa", "detail-type": "Scheduled Event",
               "source": "aws.scheduler", "account": "000000000000", "time": Timestamp::now(), "region": "us-east-1",
               "resources": ["arn:aws:scheduler:us-east-1:000000000000:schedule/default/fetch"], "detail": "{}"})
    }

    /// A backfill of the last two days and the next minute, so that what was just put into the inbox is in it.
    pub fn backfill() -> Value {
        let hour = jiff::SignedDuration::from_hours(1);
        let now = Timestamp::now();
        json!({"from": now - hour * 48, "to": now + hour})
    }

    /// Fetches, and works until both queues are empty.
    ///
    /// # Errors
    /// When fetch fails, or the queues do not come to rest.
    pub async fn run(&self, event: &Value) -> anyhow::Result<Fetched> {
        let fetched = self.machine.fetch(event).await?;
        self.drain().await?;
        Ok(fetched)
    }

    /// Works until both queues are empty.
    ///
    /// # Errors
    /// When they do not come to rest.
    pub async fn drain(&self) -> anyhow::Result<()> {
        let working = self.machine.work();
        let drained = tokio::time::timeout(HANGS, self.machine.drained(|_| {})).await;
        drained.with_context(|| format!("the queues do not come to rest:\n{}", self.logs()))??;
        working.stop().await;
        Ok(())
    }

    /// Works until the log of a function says something; then stops, and tells the queues' depths.
    ///
    /// # Errors
    /// When it does not say it.
    pub async fn work_until_logged(&self, what: &str) -> anyhow::Result<Vec<Depth>> {
        let working = self.machine.work();
        let said = async {
            while !self.logs().contains(what) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let heard = tokio::time::timeout(HANGS, said).await;
        heard.with_context(|| format!("{what:?} was not logged:\n{}", self.logs()))?;
        working.stop().await;
        let mut depths = Vec::new();
        for queue in [&self.machine.resources.convert, &self.machine.resources.import] {
            depths.push(local::event_source::depth(&self.machine.cloud, queue).await?);
        }
        Ok(depths)
    }

    /// What a run came to.
    ///
    /// # Errors
    /// When a manifest or an outcome cannot be read.
    pub async fn tally(&self, run: &RunId) -> anyhow::Result<Totals> {
        Ok(Totals::of(&self.store, run).await?)
    }

    /// Every message in a mailbox's archive folder, by file name.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn mail(&self, address: &str) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
        let folder = self.directory.path().join("mail").join(address).join(FOLDER);
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

    /// How many copies each mailbox has, the empty ones left out.
    ///
    /// # Errors
    /// When the mail cannot be read.
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

    /// Every dead letter. They stay in the queue.
    ///
    /// # Errors
    /// When the queue does not answer.
    pub async fn dead_letters(&self) -> anyhow::Result<Vec<Letter>> {
        let letters = letters(&self.machine.cloud, &self.machine.resources.dead_letters.url).await?;
        let details = letters.iter().filter_map(|letter| letter.attributes.get("detail"));
        let betrayed = self.confidential.betrayed_by(details.map(String::as_str));
        ensure!(betrayed.is_none(), "{betrayed:?} is in the detail of a dead letter");
        Ok(letters)
    }

    /// How many dead letters there are of each reason.
    ///
    /// # Errors
    /// When the queue does not answer.
    pub async fn dead_letters_by_reason(&self) -> anyhow::Result<BTreeMap<String, usize>> {
        let mut reasons = BTreeMap::new();
        for letter in self.dead_letters().await? {
            *reasons.entry(letter.attributes.get("reason").cloned().unwrap_or_default()).or_default() += 1;
        }
        Ok(reasons)
    }

    /// Puts a message on a queue, as it is and without attributes.
    ///
    /// # Errors
    /// When the queue refuses.
    pub async fn send(&self, queue: &Queue, body: &str) -> anyhow::Result<()> {
        let client = Sqs::new(self.machine.cloud.config());
        client.send_message().queue_url(&queue.url).message_body(body).send().await?;
        Ok(())
    }

    /// The most memory that a process of a function has taken, in kB.
    ///
    /// # Errors
    /// When there is no process, or the system does not say.
    pub fn peak_kilobytes(&self, step: Step) -> anyhow::Result<u64> {
        let peak = |pid| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
            Ok(line.context("no VmHWM")?.parse::<u64>()?)
        };
        let peaks = self.machine.function(step).pids().into_iter().map(peak).collect::<anyhow::Result<Vec<_>>>()?;
        peaks.into_iter().max().context("no process is left")
    }

    /// All that the functions have logged.
    pub fn logs(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default();
        // A full log is put aside.
        let log = |name: &str| read(&format!("{name}.old")) + &read(name);
        ["fetch.log", "convert.log", "import.log"].map(log).concat()
    }
}

/// Whatever a test is about: what its functions have logged, at `debug`, says nothing that they were given.
impl Drop for Pipeline {
    fn drop(&mut self) {
        // A test that has failed already says why.
        if !std::thread::panicking()
            && let Some(word) = self.confidential.betrayed_by([self.logs().as_str()])
        {
            panic!("{word:?} is in the log");
        }
    }
}

/// Every message of a queue, as dead letters are. They stay in it, and can be received again at once.
///
/// # Errors
/// When the queue does not answer.
pub async fn letters(cloud: &Cloud, queue_url: &str) -> anyhow::Result<Vec<Letter>> {
    let client = Sqs::new(cloud.config());
    let mut letters = HashMap::new();
    let mut receipts = Vec::new();
    loop {
        let receive = client.receive_message().queue_url(queue_url);
        let answer = receive.max_number_of_messages(10).visibility_timeout(60).message_attribute_names("All").send();
        let messages = answer.await?.messages.unwrap_or_default();
        if messages.is_empty() {
            break;
        }
        for message in messages {
            let attributes = message.message_attributes.unwrap_or_default().into_iter();
            let attributes = attributes.filter_map(|(name, value)| Some((name, value.string_value?))).collect();
            let id = message.message_id.context("a message without an id")?;
            letters.insert(id, Letter { body: message.body.unwrap_or_default(), attributes });
            receipts.push(message.receipt_handle.context("a message without a receipt")?);
        }
    }
    for receipt in receipts {
        let back = client.change_message_visibility().queue_url(queue_url).receipt_handle(receipt);
        back.visibility_timeout(0).send().await?;
    }
    Ok(letters.into_values().collect())
}

fn path(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path is no UTF-8")
}

/// The folder of the binaries, which lie beside the tests' or the benchmarks' own: `make` builds them first.
///
/// # Errors
/// They are not there.
pub fn binaries() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    // A test lies in the folder `deps` beside them.
    let binaries = own.ancestors().skip(1).take(2).find(|directory| directory.join("import").is_file());
    Ok(binaries.context("the functions are not built: make test")?.to_owned())
}

/// The stand-in for AWS, where `make test` installs it.
pub fn ministack() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/ministack")
}
