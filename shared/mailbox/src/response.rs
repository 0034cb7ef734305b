//! Reads the responses of mail systems, and counts those that throttle.

use http_client::{HttpResponse, NoResponse};
use reqwest::{Response, StatusCode};
use runtime::metrics::{self, Metric};

/// Reads a response of at most `limit` bytes.
pub(crate) async fn read(sent: reqwest::Result<Response>, limit: usize) -> Result<HttpResponse, NoResponse> {
    if sent.as_ref().is_ok_and(|response| response.status() == StatusCode::TOO_MANY_REQUESTS) {
        metrics::add(Metric::MailboxThrottles, 1);
    }
    http_client::read(sent, limit).await
}
