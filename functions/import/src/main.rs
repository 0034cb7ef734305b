//! Wires the function.

// With optimisation the compiler follows the future of the whole function, every request of the SDKs in it.
#![recursion_limit = "256"]

use std::sync::Arc;

use batch::{Backoff, Batch};
use environment::{LogLevel, Variables};
use import::{
    Import, MailboxSettings, SecretCredentials, Settings, UserMapFile, VARIABLES,
    mailbox::{
        Mailboxes,
        graph::Graph,
        imap::{Imap, ImapLogin},
        maildir::Maildir,
    },
};
use queue::Queue;
use secrets::Secrets;
use store::Store;

/// How many items are filed at once: as many as a batch has, since each mostly waits for the mail system. An item is
/// held twice, as MIME and as the mail system's own form.
const AT_ONCE: usize = 10;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    let variables = Variables::read(VARIABLES);
    environment::start_log(LogLevel::read(&variables)?);
    let settings = Settings::read(&variables).inspect_err(|error| tracing::error!(%error, "cannot start"))?;
    let aws = environment::aws_config().await;
    let store = Store::new(&aws, settings.bucket);
    let mailboxes: Arc<dyn Mailboxes> = match settings.mailbox {
        MailboxSettings::Graph { config, secret_id } => {
            let credentials = Arc::new(SecretCredentials::new(Secrets::new(&aws), secret_id));
            let graph = Graph::new(*config, credentials);
            Arc::new(graph.inspect_err(|error| tracing::error!(%error, "cannot start: the GRAPH_… variables"))?)
        }
        MailboxSettings::Imap { config, application, secret_id } => {
            let secret = Arc::new(SecretCredentials::new(Secrets::new(&aws), secret_id));
            let login = match application {
                Some(application) => ImapLogin::Entra(application, secret),
                None => ImapLogin::Account(secret),
            };
            let imap = Imap::new(*config, login);
            Arc::new(imap.inspect_err(|error| tracing::error!(%error, "cannot start: IMAP_… or MAIL_FOLDER"))?)
        }
        MailboxSettings::Maildir { root, folder } => {
            let maildir = Maildir::new(root, &folder);
            Arc::new(maildir.inspect_err(|error| tracing::error!(%error, "cannot start: MAILDIR or MAIL_FOLDER"))?)
        }
    };
    let batch = Batch {
        work: Arc::new(Import {
            user_map: UserMapFile::new(store.clone(), settings.user_map_key, settings.default_region),
            store,
            mailboxes,
            automatic_mapping: settings.automatic_mapping,
            catch_all: settings.catch_all,
        }),
        source: Queue::new(&aws, settings.import_queue_url),
        next: None,
        dead_letters: Queue::new(&aws, settings.dead_letter_queue_url),
        backoff: Backoff { base: settings.retry_base, cap: Backoff::CAP },
        at_once: AT_ONCE,
    };
    batch.serve().await
}
