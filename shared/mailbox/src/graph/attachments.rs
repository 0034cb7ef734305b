//! Compares, attaches and uploads the files of a staged message.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    Graph,
    body::{attachment_json, attachment_json_length, to_json},
    client::Request,
    content::{Attachment, Data, InMemory},
    error::Failure,
    limits::{PIECE, REQUEST_MAX_BYTES, UPLOAD_SESSION_MIN_BYTES},
    odata::with_options,
    packed,
    work::Work,
};
use http_client::RetryBudget;

/// Maximum difference between an attachment's size in Graph and the file's: Graph includes the name and other
/// properties, which take a few hundred bytes.
const SIZE_SURPLUS_MAX: u64 = 16 * 1024;

/// An attachment of a staged message.
#[derive(Deserialize)]
pub(super) struct StagedAttachment {
    #[serde(default)]
    name: String,
    #[serde(default)]
    size: u64,
}

/// The difference between a staged message and the files of the message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    /// Missing files, by their index in the message.
    Missing(Vec<usize>),
    /// The staged message has an unexpected attachment.
    Unexpected,
}

#[derive(Serialize)]
struct NewSession<'a> {
    #[serde(rename = "AttachmentItem")]
    item: SessionItem<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SessionItem<'a> {
    attachment_type: &'a str,
    name: &'a str,
    size: usize,
    content_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_id: Option<&'a str>,
}

/// Some servers capitalize the names of the members.
#[derive(Deserialize)]
struct Session {
    #[serde(rename = "uploadUrl", alias = "UploadUrl")]
    upload_url: String,
}

#[derive(Deserialize, Default)]
struct Progress {
    #[serde(rename = "nextExpectedRanges", alias = "NextExpectedRanges", default)]
    next: Vec<String>,
}

/// Compares the attachments with the files, whose names are all different. The size shows whether a file is complete; it
/// cannot identify a file, because Graph adds an undocumented number of bytes.
pub(super) fn compare(wanted: &[Attachment<'_>], present: &[StagedAttachment]) -> Comparison {
    let mut places = HashMap::with_capacity(wanted.len());
    for (at, file) in wanted.iter().enumerate() {
        let size = file.data.len() as u64;
        places.insert(file.name.as_str(), (at, size));
        if let Some(packed) = &file.packed_name {
            places.insert(packed, (at, UPLOAD_SESSION_MIN_BYTES as u64));
        }
    }
    let mut missing = vec![true; wanted.len()];
    for file in present {
        let Some(&(at, size)) = places.get(file.name.as_str()) else { return Comparison::Unexpected };
        let is_complete = (size..=size + SIZE_SURPLUS_MAX).contains(&file.size);
        if !std::mem::take(&mut missing[at]) || !is_complete {
            return Comparison::Unexpected;
        }
    }
    Comparison::Missing((0..).zip(missing).filter_map(|(at, missing)| missing.then_some(at)).collect())
}

impl Graph {
    pub(super) async fn attachments(
        &self,
        work: &Work<'_>,
        message: &str,
        budget: &mut RetryBudget,
    ) -> Result<Vec<StagedAttachment>, Failure> {
        let url = self.client.hosts.graph(&["users", work.mailbox, "messages", message, "attachments"]);
        let url = with_options(url, &[("$select", "id,name,size")]);
        self.client.list(Some(&work.state.permits), url, budget).await
    }

    /// Adds one file. After a failure with an unknown outcome the file may be attached.
    pub(super) async fn attach(
        &self,
        work: &Work<'_>,
        message: &str,
        file: &Attachment<'_>,
        budget: &mut RetryBudget,
    ) -> Result<(), Failure> {
        if attachment_json_length(file) <= REQUEST_MAX_BYTES {
            return self.attach_in_one_request(work, message, file, budget).await;
        }
        match (self.attach_in_pieces(work, message, file, budget).await, &file.packed_name) {
            // Too large for a request, and too small for an upload session of this tenant.
            (Err(Failure::Refused(refusal)), Some(name))
                if refusal.has_code("ErrorAttachmentSizeShouldNotBeLessThanMinimumSize") =>
            {
                let bytes = packed::pack(&file.name, &file.data.read(0..file.data.len()).await?)?;
                let packed = Attachment {
                    name: name.clone(),
                    content_type: "application/zip".to_owned(),
                    content_id: None,
                    data: Data::Decoded(bytes.into()),
                    packed_name: None,
                };
                self.attach_in_pieces(work, message, &packed, budget).await
            }
            (result, _) => result,
        }
    }

    async fn attach_in_one_request(
        &self,
        work: &Work<'_>,
        message: &str,
        file: &Attachment<'_>,
        budget: &mut RetryBudget,
    ) -> Result<(), Failure> {
        let url = self.client.hosts.graph(&["users", work.mailbox, "messages", message, "attachments"]);
        let read;
        let content = match file.data.in_memory_data() {
            Some(content) => content,
            None => {
                read = file.data.read(0..file.data.len()).await?;
                InMemory::Bytes(&read)
            }
        };
        // The response contains the file.
        let request = Request::post(url, attachment_json(file, &content)).with_message_response();
        self.client.send_once(Some(&work.state.permits), &request, budget).await.map(drop)
    }

    async fn attach_in_pieces(
        &self,
        work: &Work<'_>,
        message: &str,
        file: &Attachment<'_>,
        budget: &mut RetryBudget,
    ) -> Result<(), Failure> {
        let permits = &work.state.permits;
        let segments = ["users", work.mailbox, "messages", message, "attachments", "createUploadSession"];
        let size = file.data.len();
        let item = SessionItem {
            attachment_type: "file",
            name: &file.name,
            size,
            content_type: &file.content_type,
            content_id: file.content_id.as_deref(),
        };
        // A second session does no harm: only the last piece of a session creates the attachment.
        let request = Request::post(self.client.hosts.graph(&segments), to_json(&NewSession { item }));
        let session = self.client.send(Some(permits), &request, budget).await;
        let session: Session =
            session.and_then(|response| Ok(response.json::<Session>()?)).map_err(Failure::of_a_step)?;
        let url = Url::parse(&session.upload_url).map_err(|_| Failure::StepFailed { what: "invalid upload URL" })?;

        let mut start = 0;
        while start < size {
            let end = size.min(start + PIECE);
            let piece = file.data.read(start..end).await?;
            let response = match self.client.upload(permits, &url, (start, size), piece).await {
                Ok(response) => response,
                Err(failure) if failure.is_throttled() && budget.pause(failure.retry_after()).await => continue,
                // The upload URL expires, and the codes for that are not documented.
                Err(Failure::Refused(refusal)) if refusal.ends_an_upload() => {
                    return Err(Failure::StepFailed { what: "the upload session ended early and must start again" });
                }
                Err(failure) if end < size => return Err(failure.of_a_step()),
                Err(failure) => return Err(failure),
            };
            let next = next_start(&response.body);
            start = match next {
                // Graph may accept fewer bytes than were sent.
                Some(next) if next > start && next <= end => next,
                None => end,
                Some(_) => return Err(Failure::StepFailed { what: "upload made no progress" }),
            };
        }
        Ok(())
    }
}

/// Reads the position at which the upload continues from the response to a piece. The response to the last piece has
/// none.
fn next_start(response: &[u8]) -> Option<usize> {
    let progress: Progress = serde_json::from_slice(response).unwrap_or_default();
    let range = progress.next.first()?;
    range.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    fn wanted(files: &[(&str, usize)]) -> Vec<Attachment<'static>> {
        let file = |&(name, size): &(&str, usize)| Attachment {
            name: name.to_owned(),
            content_type: "application/octet-stream".into(),
            content_id: None,
            data: Data::Decoded(vec![0; size].into()),
            packed_name: None,
        };
        files.iter().map(file).collect()
    }

    fn present(files: &[(&str, u64)]) -> Vec<StagedAttachment> {
        files.iter().map(|&(name, size)| StagedAttachment { name: name.into(), size }).collect()
    }

    #[test]
    fn staged_message_is_compared_by_name_and_size() {
        let files = wanted(&[("a", 100_000), ("b", 10), ("a (2)", 99_900)]);
        assert_eq!(compare(&files, &[]), Comparison::Missing(vec![0, 1, 2]));
        assert_eq!(compare(&files, &present(&[("a (2)", 100_137)])), Comparison::Missing(vec![0, 1]));
        assert_eq!(
            compare(&files, &present(&[("a", 100_237), ("b", 10), ("a (2)", 100_137)])),
            Comparison::Missing(vec![])
        );
        assert_eq!(compare(&files, &present(&[("a", 99_999)])), Comparison::Unexpected);
        assert_eq!(compare(&files, &present(&[("c", 10)])), Comparison::Unexpected);
        assert_eq!(compare(&files, &present(&[("b", 9)])), Comparison::Unexpected);
        assert_eq!(compare(&files, &present(&[("b", 10), ("b", 10)])), Comparison::Unexpected);
        assert_eq!(compare(&files, &present(&[("b", 99_999)])), Comparison::Unexpected);
    }

    #[test]
    fn next_piece_is_read_in_every_form() {
        for (response, expected) in [
            (r#"{"nextExpectedRanges":["3932160-"]}"#, Some(3_932_160)),
            (r#"{"NextExpectedRanges":["3932160"]}"#, Some(3_932_160)),
            (r#"{"nextExpectedRanges":["5-9","20-"]}"#, Some(5)),
            (r#"{"nextExpectedRanges":[]}"#, None),
            (r#"{"nextExpectedRanges":["x"]}"#, None),
            ("", None),
        ] {
            assert_eq!(next_start(response.as_bytes()), expected, "{response}");
        }
    }
}
