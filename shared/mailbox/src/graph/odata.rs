//! OData: query options, and lists that are returned in pages.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::sync::Semaphore;
use url::Url;

use super::{
    client::{Client, Request},
    error::Failure,
    hosts::Hosts,
};
use http_client::RetryBudget;

const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Upper bound of the pages of a list. The list of a message with 1,000 files has 101 pages with Graph's default of 10
/// entries.
const MAX_PAGES: usize = 1000;

/// Sets the query of a URL to the options. A space is encoded as `%20`, because some servers take `+` literally.
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
    /// `permits` limits the concurrent requests to one mailbox; each page takes one permit.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        permits: Option<&Semaphore>,
        url: Url,
        budget: &mut RetryBudget,
    ) -> Result<Vec<T>, Failure> {
        let (mut all, mut next, mut pages) = (Vec::new(), Some(url), 0);
        while let Some(url) = next {
            let page: Page<T> = self.send(permits, &Request::get(url), budget).await?.json()?;
            all.extend(page.value);
            pages += 1;
            next = next_page(page.next.as_deref(), pages, &self.hosts)?;
        }
        Ok(all)
    }
}

/// Returns the URL of the next page, after `pages` pages were read; `None` after the last one.
fn next_page(link: Option<&str>, pages: usize, hosts: &Hosts) -> Result<Option<Url>, Failure> {
    let Some(link) = link else { return Ok(None) };
    let problem = match Url::parse(link) {
        Ok(_) if pages >= MAX_PAGES => "a list exceeds 1,000 pages",
        Ok(url) if hosts.is_graph(&url) => return Ok(Some(url)),
        Ok(_) => "the next page of a list is on another host",
        Err(_) => "the link to the next page of a list is not a URL",
    };
    Err(Failure::Protocol { what: problem })
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

    #[test]
    fn list_of_exactly_the_maximum_of_pages_is_complete() {
        let hosts = Hosts::new(crate::entra::Cloud::Global, Some("https://graph.example".parse().unwrap())).unwrap();
        let next = |link, pages| match next_page(link, pages, &hosts) {
            Ok(url) => url.map_or("end".to_owned(), String::from),
            Err(Failure::Protocol { what }) => what.to_owned(),
            Err(_) => panic!("another failure"),
        };
        let link = "https://graph.example/v1.0/users?page=2";
        assert_eq!(next(Some(link), MAX_PAGES - 1), link);
        assert_eq!(next(None, MAX_PAGES), "end");
        assert_eq!(next(Some(link), MAX_PAGES), "a list exceeds 1,000 pages");
        assert_eq!(next(Some("https://elsewhere.example/"), 1), "the next page of a list is on another host");
        assert_eq!(next(Some("page 2"), 1), "the link to the next page of a list is not a URL");
    }
}
