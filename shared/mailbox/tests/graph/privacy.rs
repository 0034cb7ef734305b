//! Errors, `Debug` output and logs contain no secrets, names, addresses or content.

use std::{
    io,
    sync::{Arc, Mutex},
};

use graph_fake::{CLIENT_SECRET, Fault, On, Quirks, Refusal};
use mailbox::{Attempt, Mailboxes};
use tracing::instrument::WithSubscriber;

use crate::support::{ADA, FOLDER, SecretStore, bytes, config, graph_with, message, tenant};

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn assert_no_personal_data(text: &str) {
    for private in [CLIENT_SECRET, "ada@", "example.com", "4520123456", "Jensen", "hello", FOLDER, "Bearer", "contoso"]
    {
        assert!(!text.contains(private), "{private:?} in {text:?}");
    }
}

#[tokio::test]
async fn errors_and_logs_contain_no_personal_data() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone());
    async {
        let big = bytes(1, 4_200_000);
        for message in [message("WA-1", &[]), message("WA-1", &[("Jensen.mp4", &big)])] {
            for (status, code) in [(400, "x"), (401, "x"), (403, "x"), (404, "x"), (503, "x"), (507, "x")] {
                for n in 1..=12 {
                    let fake = tenant().await;
                    fake.set_quirks(Quirks { refuses_foreign_from: true, ..Quirks::default() });
                    let mut config = config(&fake);
                    config.retry_budget = std::time::Duration::from_millis(5);
                    let graph = graph_with(config, SecretStore::with(CLIENT_SECRET));
                    fake.fault(On::any().nth(n).times(1000), Fault::Refuse(Refusal::new(status, code)));
                    assert_no_personal_data(&format!("{graph:?}"));
                    let error = match graph.find(&ADA.parse().unwrap()).await {
                        Ok(Some(ada)) => graph.file(&ada, &message, Attempt::First).await.err(),
                        Ok(None) => None,
                        Err(error) => Some(error),
                    };
                    if let Some(error) = error {
                        assert_no_personal_data(&format!("{error} {error:?}"));
                    }
                }
            }
        }
        let fake = tenant().await;
        let wrong = graph_with(config(&fake), SecretStore::with("wrong~secret"));
        let error = wrong.find(&ADA.parse().unwrap()).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("wrong~secret"));
        assert_no_personal_data(&format!("{error} {error:?}"));
    }
    .with_subscriber(subscriber.finish())
    .await;
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let own: Vec<_> = log.lines().filter(|line| line.contains("mailbox::")).collect();
    assert!(own.iter().any(|line| line.contains("foreign sender")), "the log was captured");
    assert_no_personal_data(&own.join("\n"));
    assert!(!log.contains(CLIENT_SECRET) && !log.contains("Bearer "), "libraries log no secrets");
}
