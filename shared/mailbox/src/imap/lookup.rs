//! Finds the copy of an item in the archive folder.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::{
    error::Failure,
    folder::quoted,
    response::{Code, Condition, Response, Word},
    session::{Session, Uid},
};
use crate::{CopyHeader, Identity};
use message::read::{CONTENT_HEADER, ITEM_HEADER, KIND_HEADER, field};

/// Maximum number of headers that are fetched with one command.
const UIDS_PER_FETCH: usize = 200;

impl Session {
    /// Finds the copy of an item: a message that names the item, or a message with exactly this Message-ID that does not
    /// belong to another item. `date` is the date with which a copy was stored, if it is known.
    pub(super) async fn find_copy(
        &mut self,
        copy: &Identity<'_>,
        date: Option<Timestamp>,
    ) -> Result<Option<Uid>, Failure> {
        Ok(self.find_copies(copy, date, 1).await?.into_iter().next())
    }

    /// Finds up to `max` copies of an item.
    ///
    /// A server's search is only a hint. It finds every message that contains the text, ignoring case, so the header
    /// itself is compared. It may also miss a message with a long header: Cyrus indexes the first 1,000 lines
    /// (`maxheaderlines`), and the Message-ID of a message to 1,100 recipients may come after them. Such messages
    /// appear to have no Message-ID, and a second search lists them, with those that name the item. All copies of an item have the same layout, so the
    /// server has indexed either all of them or none.
    pub(super) async fn find_copies(
        &mut self,
        copy: &Identity<'_>,
        date: Option<Timestamp>,
        max: usize,
    ) -> Result<Vec<Uid>, Failure> {
        self.list_folder().await?;
        if !self.has_folder {
            return Ok(Vec::new());
        }
        if !copy.message_id.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(Failure::Internal("the Message-ID contains characters that are invalid in a search"));
        }
        let validity = self.examine().await?;
        let hits = self.search(&format!("HEADER Message-ID {}", quoted(copy.message_id))).await?;
        let with_validity = |uids: Vec<u32>| uids.into_iter().map(|uid| Uid { validity, uid }).collect();
        let found = self.verified(copy, &hits, max).await?;
        if !found.is_empty() {
            return Ok(with_validity(found));
        }
        // The Message-ID changes if the sender's number becomes known, or another archive domain is configured.
        let item = format!("HEADER {ITEM_HEADER} {}", copy.item.key());
        let others = format!("OR {item} NOT HEADER Message-ID \"\"{}", around(date));
        let hidden = match self.search(&others).await {
            Ok(hidden) => hidden,
            // The server does not support a search for a missing field. NO may be a transient failure, after which it is
            // unknown whether there is a copy.
            Err(failure) if failure.is_syntax_error() => return Ok(Vec::new()),
            Err(failure) => return Err(failure),
        };
        let hidden: Vec<_> = hidden.into_iter().filter(|uid| !hits.contains(uid)).collect();
        Ok(with_validity(self.verified(copy, &hidden, max).await?))
    }

    /// Selects the archive folder read-only, and returns its UIDVALIDITY.
    async fn examine(&mut self) -> Result<u32, Failure> {
        let path = format!(" {}", self.path);
        let mut validity = None;
        self.client
            .run_with("EXAMINE", &path, |response| {
                if let Response::Untagged(Condition { code: Some(Code { name, arguments }), .. }) = response
                    && name == "UIDVALIDITY"
                {
                    validity = arguments.first().and_then(|number| number.parse().ok());
                }
            })
            .await?;
        self.is_selected = true;
        validity.ok_or(Failure::Protocol("the server does not report UIDVALIDITY"))
    }

    async fn search(&mut self, criteria: &str) -> Result<Vec<u32>, Failure> {
        let mut hits: Option<Vec<u32>> = None;
        self.client
            .run("UID", &format!(" SEARCH {criteria}"), |words| {
                if let [name, numbers @ ..] = words
                    && name.is("SEARCH")
                {
                    hits.get_or_insert_default().extend(numbers.iter().filter_map(Word::number::<u32>));
                }
            })
            .await?;
        hits.ok_or(Failure::Protocol("the server does not report the result of a search"))
    }

    /// Returns the messages whose header identifies them as a copy. Stops fetching when `max` are found.
    async fn verified(&mut self, copy: &Identity<'_>, hits: &[u32], max: usize) -> Result<Vec<u32>, Failure> {
        let mut found = Vec::new();
        for batch in hits.chunks(UIDS_PER_FETCH) {
            let mut missing: HashSet<u32> = batch.iter().copied().collect();
            let set = batch.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
            let fields = format!("MESSAGE-ID {ITEM_HEADER} {CONTENT_HEADER} {KIND_HEADER}");
            let fetch = format!(" FETCH {set} (UID BODY.PEEK[HEADER.FIELDS ({fields})])");
            self.client
                .run("UID", &fetch, |words| {
                    if let Some((uid, header)) = fetched(words)
                        && missing.remove(&uid)
                    {
                        let same = field(header, "Message-ID") == Some(copy.message_id.as_bytes());
                        let fields = CopyHeader::read(|name| std::str::from_utf8(field(header, name)?).ok());
                        if copy.is_named_by(&fields).unwrap_or_else(|| same && copy.may_be_of(&fields)) {
                            found.push(uid);
                        }
                    }
                })
                .await?;
            if found.len() >= max {
                break;
            }
            if !missing.is_empty() {
                return Err(Failure::Protocol("the server does not show a message that its search found"));
            }
        }
        found.truncate(max);
        Ok(found)
    }
}

/// Limits a search to the days around the date with which a copy was stored. SINCE and BEFORE ignore the time of day
/// and the time zone.
fn around(date: Option<Timestamp>) -> String {
    let day = |days: i64| {
        let at = date?.checked_add(SignedDuration::from_hours(24 * days)).ok()?;
        Some(at.to_zoned(TimeZone::UTC).strftime("%-d-%b-%Y").to_string())
    };
    match (day(-1), day(2)) {
        (Some(since), Some(before)) => format!(" SINCE {since} BEFORE {before}"),
        _ => String::new(),
    }
}

/// Reads the UID and the header of a message from the response to FETCH.
fn fetched(words: &[Word]) -> Option<(u32, &[u8])> {
    let [_, name, ..] = words else { return None };
    let at = words.iter().position(|word| word.is("UID")).filter(|_| name.is("FETCH"))?;
    let uid = words.get(at + 1)?.number()?;
    // The last string is the requested header. Courier also quotes the names of the fields, which come before it.
    let header = words.iter().rev().find_map(|word| match word {
        Word::Text(text) => Some(text.as_slice()),
        _ => None,
    });
    Some((uid, header?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::response::data_words;

    #[test]
    fn header_is_read_from_the_response_of_each_server() {
        for line in [
            b"* 1 FETCH (UID 3 BODY[HEADER.FIELDS (MESSAGE-ID)] {23}\r\nMessage-ID: <a@b.c>\r\n\r\n)\r\n".as_slice(),
            b"* 1 FETCH (BODY[HEADER.FIELDS (\"MESSAGE-ID\")] {23}\r\nMessage-ID: <a@b.c>\r\n\r\n UID 3 FLAGS (\\Seen))\r\n",
            b"* 1 FETCH (UID 3 BODY[HEADER.FIELDS (MESSAGE-ID)] {25}\r\nmessage-id:\r\n <a@b.c>\r\n\r\n)\r\n",
        ] {
            let words = data_words(line);
            let (uid, header) = fetched(&words).unwrap();
            assert_eq!((uid, field(header, "Message-ID")), (3, Some(b"<a@b.c>".as_slice())), "{}", line.escape_ascii());
        }
        assert_eq!(fetched(&data_words(b"* 1 FETCH (FLAGS (\\Seen))\r\n")), None);
    }

    #[test]
    fn search_is_limited_to_the_days_around_the_date() {
        let date = "2026-11-01T07:00:00Z".parse().unwrap();
        assert_eq!(around(Some(date)), " SINCE 31-Oct-2026 BEFORE 3-Nov-2026");
        assert_eq!(around(None), "");
    }
}
