//! OData: query options, and lists that are returned in pages.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::sync::Semaphore;
use url::Url;

use super::{
    client::{Client, Request},
    error::Failure,
};
use http_client::RetryBudget;

const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Upper bound of the pages of a list.
const MAX_PAGES: usize = 100;

/// Adds options to a URL. A space is encoded as `%20`, because some servers take `+` literally.
pub(super) fn with_options(mut url: Url, options: &[(&str, &str)]) -> Url {
    let options: Vec<_> =
        options.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, ENCODED))).collect();
    url.set_query(Some(&options.join("&")));
    url
}

/// Quotes a string for an OData filter.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct Page<T> {
    value: Vec<T>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
}

impl Client {
    /// Reads all pages of a list. Follows pages on Graph's own host only, because the token is sent with each request.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        permits: Option<&Semaphore>,
        url: Url,
        budget: &mut RetryBudget,
    ) -> Result<Vec<T>, Failure> {
        let mut all = Vec::new();
        let mut next = Some(url);
        for _ in 0..MAX_PAGES {
            let Some(url) = next else { return Ok(all) };
            let page: Page<T> = self.send(permits, &Request::get(url), budget).await?.json()?;
            all.extend(page.value);
            next = match page.next {
                None => None,
                Some(link) => match Url::parse(&link) {
                    Ok(url) if self.hosts.is_graph(&url) => Some(url),
                    _ => {
                        return Err(Failure::Protocol { what: "the next page of a list is on another host" });
                    }
                },
            };
        }
        Err(Failure::Protocol { what: "a list exceeds 100 pages" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filter_literal_is_quoted_and_encoded() {
        let filter = format!("mail eq {}", literal("o'hara+wa&x=1#@example.com"));
        let url = with_options("https://graph.example/v1.0/users".parse().unwrap(), &[("$filter", &filter)]);
        assert_eq!(
            url.as_str(),
            "https://graph.example/v1.0/users?$filter=mail%20eq%20%27o%27%27hara%2Bwa%26x%3D1%23%40example.com%27"
        );
    }
}
