//! The AWS SDKs' configuration.

use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};

/// Loads the configuration of all AWS clients: region, credentials and `AWS_ENDPOINT_URL` from AWS's own variables and
/// files, TLS by rustls with ring (like the other HTTP client, so that there is one TLS library), and a limit on every
/// wait.
///
/// It also installs ring as the process's TLS provider, which reqwest uses, so call it first in every `main`.
pub async fn load_config() -> SdkConfig {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("the TLS provider was installed already");
    }
    let https = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .read_timeout(Duration::from_secs(30))
        .operation_attempt_timeout(Duration::from_secs(60))
        .build();
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(https)
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(4).with_max_backoff(Duration::from_secs(5)))
        .load()
        .await
}
