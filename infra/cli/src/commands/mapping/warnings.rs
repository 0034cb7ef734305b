//! Warnings about a valid user map.

use std::collections::{BTreeMap, BTreeSet};

use mapping::UserMap;

/// More numbers than this for one mailbox cause a warning.
const USUAL_NUMBERS_PER_MAILBOX: usize = 3;

/// Limit of examples in a warning.
const MAX_EXAMPLES: usize = 5;

/// Returns warnings about valid entries that may be mistakes, one sentence each. They contain domains and addresses, for the
/// operator's own terminal.
pub fn warnings(map: &UserMap) -> Vec<String> {
    let mut found = Vec::new();
    if map.is_empty() {
        found.push(
            "the file has no entries: recipients would be resolved by the items' own e-mail property alone".to_owned(),
        );
    }
    found.extend(map.warnings().iter().map(ToString::to_string));
    let mut domains = BTreeMap::<&str, usize>::new();
    let mut mailboxes = BTreeMap::<&str, usize>::new();
    for (_, addresses) in map.numbers() {
        // A number with several periods has its mailbox once.
        for address in addresses.collect::<BTreeSet<_>>() {
            let domain = address.as_str().split_once('@').map_or("", |(_, domain)| domain);
            *domains.entry(domain).or_default() += 1;
            *mailboxes.entry(address.as_str()).or_default() += 1;
        }
    }
    if domains.len() > 1 {
        let mut domains: Vec<_> = domains.into_iter().collect();
        domains.sort_by_key(|&(domain, count)| (count, domain));
        let shown: Vec<_> =
            domains.iter().take(MAX_EXAMPLES).map(|(domain, count)| format!("{domain} ({count})")).collect();
        let more = domains.len().saturating_sub(MAX_EXAMPLES);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        found.push(format!(
            "the mailboxes have {} domains, the rarest first: {}{more}; check for misspelt domains and private addresses",
            domains.len(),
            shown.join(", ")
        ));
    }
    let many: Vec<_> = mailboxes.into_iter().filter(|(_, numbers)| *numbers > USUAL_NUMBERS_PER_MAILBOX).collect();
    for (address, numbers) in many.iter().take(MAX_EXAMPLES) {
        found.push(format!(
            "{numbers} numbers have the mailbox {address}: check whether a cell was filled down by mistake"
        ));
    }
    if many.len() > MAX_EXAMPLES {
        found.push(format!(
            "and {} more mailboxes have more than {USUAL_NUMBERS_PER_MAILBOX} numbers",
            many.len() - MAX_EXAMPLES
        ));
    }
    found
}
