//! Builds the function from its configuration and starts it.

// The future of the whole function nests deeply.
#![recursion_limit = "256"]

use std::sync::Arc;

use aws::{s3::Store, secrets::Secrets, sqs::Queue};
use convert::{Convert, MemoryBudget, Settings, VARIABLES};
use message::write::Renderer;
use runtime::{LogLevel, Variables};
use source::SourceSettings;
use sqs_batch::{Backoff, Batch};

/// Items of the API that are rendered concurrently: a whole batch. Each may be in memory twice, as bytes and as base64.
const CONCURRENT_ITEMS: usize = 10;

/// Items of chat exports that are rendered concurrently: each may open an export of 256 MiB.
const CONCURRENT_EXPORTS: usize = 4;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    let variables = Variables::read(VARIABLES);
    runtime::start_log(LogLevel::read(&variables)?);
    let settings = Settings::read(&variables).inspect_err(|error| tracing::error!(%error, "start failed"))?;
    let renderer = Renderer::new(&settings.archive_domain)
        .inspect_err(|error| tracing::error!(%error, "start failed: environment variable ARCHIVE_DOMAIN"))?
        .with_time_zone(settings.time_zone.clone());
    let aws = aws::load_config().await;
    let large_item_max_bytes = settings.large_item_max_bytes();
    let concurrency = match settings.source {
        SourceSettings::ArchiverApi { .. } | SourceSettings::CloudApi | SourceSettings::EmlDrop { .. } => {
            CONCURRENT_ITEMS
        }
        SourceSettings::ChatExport { .. } => CONCURRENT_EXPORTS,
    };
    let store = Store::new(&aws, settings.bucket);
    let batch = Batch {
        work: Arc::new(Convert {
            source: settings.source.connect(&store, &Secrets::new(&aws)),
            store,
            renderer,
            max_item_bytes: settings.max_item_bytes,
            large_item_max_bytes,
            memory: MemoryBudget::default(),
            missing_retry: settings.missing_retry,
        }),
        source: Queue::new(&aws, settings.convert_queue_url),
        next: Some(Queue::new(&aws, settings.import_queue_url)),
        dead_letters: Queue::new(&aws, settings.dead_letter_queue_url),
        backoff: Backoff { base: settings.retry_base, cap: Backoff::CAP },
        concurrency,
    };
    batch.serve().await
}
