//! Wires the function.

// With optimisation the compiler follows the future of the whole function, every request of the SDKs in it.
#![recursion_limit = "256"]

use std::sync::Arc;

use aws::{s3::Store, secrets::Secrets, sqs::Queue};
use convert::{Convert, Settings, VARIABLES};
use message::write::Renderer;
use runtime::{LogLevel, Variables};
use source::SourceSettings;
use sqs_batch::{Backoff, Batch};

/// How many of an archive's items are rendered at once: a whole batch. Each may hold an item of the largest size twice, as
/// bytes and as base64.
const AT_ONCE: usize = 10;

/// How many of chat exports': each may open an export of 256 MiB.
const EXPORTS_AT_ONCE: usize = 4;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    let variables = Variables::read(VARIABLES);
    runtime::start_log(LogLevel::read(&variables)?);
    let settings = Settings::read(&variables).inspect_err(|error| tracing::error!(%error, "cannot start"))?;
    let renderer = Renderer::new(&settings.archive_domain)
        .inspect_err(|error| tracing::error!(%error, "cannot start: environment variable ARCHIVE_DOMAIN"))?
        .with_time_zone(settings.time_zone.clone());
    let aws = aws::load_config().await;
    let most_item_bytes = settings.most_item_bytes();
    let at_once = match settings.source {
        SourceSettings::ArchiverApi { .. } => AT_ONCE,
        SourceSettings::ChatExport { .. } => EXPORTS_AT_ONCE,
    };
    let store = Store::new(&aws, settings.bucket);
    let batch = Batch {
        work: Arc::new(Convert {
            source: settings.source.connect(&store, &Secrets::new(&aws)),
            store,
            renderer,
            max_item_bytes: settings.max_item_bytes,
            most_item_bytes,
            missing_retry: settings.missing_retry,
        }),
        source: Queue::new(&aws, settings.convert_queue_url),
        next: Some(Queue::new(&aws, settings.import_queue_url)),
        dead_letters: Queue::new(&aws, settings.dead_letter_queue_url),
        backoff: Backoff { base: settings.retry_base, cap: Backoff::CAP },
        at_once,
    };
    batch.serve().await
}
