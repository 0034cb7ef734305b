//! The query part of a URL: supported options, and filters of the documented forms.

use std::collections::HashMap;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use crate::reply::{Outcome, Rejection, Reply};

/// The default page size.
const PAGE_ENTRIES: usize = 10;

const SUPPORTED_OPTIONS: &[&str] = &["$expand", "$filter", "$select", "$skip", "includeHiddenFolders"];

/// The options of a request.
pub(crate) struct Query(HashMap<String, String>);

impl Query {
    /// Decodes percent-encoding only: a `+` stays a `+`.
    pub(crate) fn parse(query: Option<&str>) -> Result<Self, Rejection> {
        let mut options = HashMap::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or(Rejection(400, "BadRequest"))?;
            let decode = |text: &str| match percent_decode_str(text).decode_utf8() {
                Ok(text) => Ok(text.into_owned()),
                Err(_) => Err(Rejection(400, "BadRequest")),
            };
            let name = decode(name)?;
            if !SUPPORTED_OPTIONS.contains(&name.as_str()) || options.insert(name, decode(value)?).is_some() {
                return Err(Rejection(400, "BadRequest"));
            }
        }
        Ok(Self(options))
    }

    pub(crate) fn filter(&self) -> Option<&str> {
        self.0.get("$filter").map(String::as_str)
    }

    pub(crate) fn expand(&self) -> Option<&str> {
        self.0.get("$expand").map(String::as_str)
    }

    /// Returns `true` if a member is selected by its name.
    pub(crate) fn selects(&self, member: &str) -> bool {
        self.0.get("$select").is_some_and(|selected| selected.split(',').any(|name| name == member))
    }

    pub(crate) fn includes_hidden(&self) -> bool {
        self.0.get("includeHiddenFolders").is_some_and(|value| value == "true")
    }

    /// Returns the selected members of an object, its `id` and the expanded members.
    pub(crate) fn select(&self, value: Value) -> Value {
        let (true, Value::Object(members)) = (self.0.contains_key("$select"), &value) else { return value };
        let always = ["id", "singleValueExtendedProperties", "@odata.type"];
        let chosen: Map<_, _> = members
            .iter()
            .filter(|(name, _)| always.contains(&name.as_str()) || self.selects(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        Value::Object(chosen)
    }

    /// Returns a page of a list, with a link to the next.
    pub(crate) fn page(&self, all: Vec<Value>, url: &str, path: &str) -> Outcome {
        let skip = match self.0.get("$skip") {
            None => 0,
            Some(skip) => skip.parse::<usize>().map_err(|_| Rejection(400, "BadRequest"))?,
        };
        let total = all.len();
        let entries: Vec<_> = all.into_iter().skip(skip).take(PAGE_ENTRIES).map(|value| self.select(value)).collect();
        let mut body = json!({ "value": entries });
        if skip + PAGE_ENTRIES < total {
            let mut options: Vec<_> = self.0.iter().filter(|(name, _)| *name != "$skip").collect();
            options.sort();
            let mut link = format!("{url}{path}?$skip={}", skip + PAGE_ENTRIES);
            for (name, value) in options {
                let value = percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC);
                link.push_str(&format!("&{name}={value}"));
            }
            body["@odata.nextLink"] = link.into();
        }
        Ok(Reply::json(200, &body))
    }
}

/// Returns the literals of a filter of this form, in which `{}` marks a literal.
pub(crate) fn literals(shape: &str, filter: &str) -> Option<Vec<String>> {
    let mut rest = filter;
    let mut found = Vec::new();
    let mut pieces = shape.split("{}");
    rest = rest.strip_prefix(pieces.next()?)?;
    for piece in pieces {
        let (literal, after) = literal(rest)?;
        found.push(literal);
        rest = after.strip_prefix(piece)?;
    }
    rest.is_empty().then_some(found)
}

/// Parses a quoted string at the start. Returns it unquoted, and the rest.
fn literal(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('\'')?;
    let mut literal = String::new();
    loop {
        let (piece, after) = rest.split_once('\'')?;
        literal.push_str(piece);
        match after.strip_prefix('\'') {
            Some(after) => {
                literal.push('\'');
                rest = after;
            }
            None => return Some((literal, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filter_is_matched_by_its_shape() {
        assert_eq!(literals("a eq {}", "a eq 'o''hara'"), Some(vec!["o'hara".into()]));
        assert_eq!(literals("a eq {} or b eq {}", "a eq '' or b eq 'x'"), Some(vec![String::new(), "x".into()]));
        for bad in ["a eq 'o'hara'", "a eq x", "a eq 'x", "a eq 'x' or b eq 'y'", "a+eq+'x'"] {
            assert_eq!(literals("a eq {}", bad), None, "{bad}");
        }
    }
}
