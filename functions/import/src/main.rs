//! Builds the function from its configuration and starts it.

// With optimization the compiler resolves the type of the function's whole future, which contains every request of the
// SDKs.
#![recursion_limit = "256"]

use std::sync::Arc;

use aws::{s3::Store, secrets::Secrets, sqs::Queue};
use import::{Import, MemoryBudget, Settings, Successes, VARIABLES};
use ledger::UserMapFile;
use runtime::{LogLevel, Variables};
use sqs_batch::{Backoff, Batch};

/// Number of items that are filed concurrently: a whole batch, because an item mostly waits for the mail system. An
/// item is in memory twice, as MIME and in the mail system's own format.
const CONCURRENCY: usize = 10;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    let variables = Variables::read(VARIABLES);
    runtime::start_log(LogLevel::read(&variables)?);
    let settings = Settings::read(&variables).inspect_err(|error| tracing::error!(%error, "start failed"))?;
    let aws = aws::load_config().await;
    let store = Store::new(&aws, settings.bucket);
    let mailboxes = settings.mailbox.connect(Secrets::new(&aws));
    let mailboxes = mailboxes.inspect_err(|error| tracing::error!(%error, "start failed"))?;
    let batch = Batch {
        work: Arc::new(Import {
            user_map: UserMapFile::new(store.clone(), settings.user_map_key, settings.default_region),
            store,
            mailboxes,
            automatic_mapping: settings.automatic_mapping,
            tenant_domains: settings.tenant_domains,
            catch_all: settings.catch_all,
            look_up_before: settings.look_up_before,
            settle_time: settings.settle_time,
            retry_limit: settings.retry_limit,
            successes: Successes::default(),
            memory: MemoryBudget::default(),
        }),
        source: Queue::new(&aws, settings.import_queue_url),
        next: None,
        dead_letters: Queue::new(&aws, settings.dead_letter_queue_url),
        backoff: Backoff { base: settings.retry_base, cap: Backoff::CAP },
        concurrency: CONCURRENCY,
    };
    batch.serve().await
}
