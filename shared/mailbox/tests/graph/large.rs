//! A message that exceeds one request is assembled in the hidden folder and moved when it is complete.

use graph_fake::{Fault, Gate, GraphFake, Kind, On, Quirks, Refusal};
use mailbox::{Attempt, MailboxError, Mailboxes, Message};
use model::FilingResult;

use crate::support::{
    ADA, FOLDER, assert_one_complete_copy, assert_outcome_unknown, bytes, file, file_with_retry, graph, mailbox,
    message, tenant,
};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn large_file_is_uploaded_in_pieces() {
    let fake = tenant().await;
    let big = bytes(1, 10 * MIB);
    let files: [(&str, &[u8]); 2] = [("video.mp4", &big), ("whatsapp-item.json", b"{}")];
    let filed = file(&graph(&fake), &message("1", &files), Attempt::First).await.unwrap();
    assert_one_complete_copy(&fake, &files);
    let stored = &fake.visible(ADA)[0];
    assert_eq!((&filed.message, &stored.id), (&stored.first_id, &stored.first_id), "the move keeps the id");
    assert_eq!(fake.visible_folders(ADA), [FOLDER], "the staging folder is hidden");
    assert_eq!(fake.count(Kind::Upload), 3);
}

#[tokio::test]
async fn three_large_files_are_filed_in_one_message() {
    let fake = tenant().await;
    let (a, b, c) = (bytes(1, 4 * MIB), bytes(2, 3 * MIB + MIB / 2), bytes(3, 5 * MIB / 2));
    let files: [(&str, &[u8]); 3] = [("a", &a), ("b", &b), ("c", &c)];
    file(&graph(&fake), &message("1", &files), Attempt::First).await.unwrap();
    assert_one_complete_copy(&fake, &files);
}

#[tokio::test]
async fn many_small_files_are_all_attached() {
    let fake = tenant().await;
    let data: Vec<_> = (0..23).map(|seed| bytes(seed, 250_000)).collect();
    let names: Vec<_> = (0..23).map(|number| format!("{number}.jpg")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().zip(&data).map(|(name, data)| (name.as_str(), &data[..])).collect();
    file(&graph(&fake), &message("1", &files), Attempt::First).await.unwrap();
    assert_one_complete_copy(&fake, &files);
    assert_eq!(fake.count(Kind::SessionCreate), 0);
}

/// Graph reports sizes above those of the files, by an undocumented amount, so that two pictures of nearly the same
/// size could be confused.
#[tokio::test]
async fn files_with_one_name_are_both_attached() {
    for (first, second) in [(2_905_000, 2_900_000), (2_900_000, 2_905_000), (2_900_000, 2_900_000)] {
        let fake = tenant().await;
        let (one, other) = (bytes(1, first), bytes(2, second));
        let files: [(&str, &[u8]); 3] = [("IMG.jpg", &one), ("IMG.jpg", &other), ("whatsapp-item.json", b"{}")];
        file(&graph(&fake), &message("1", &files), Attempt::First).await.unwrap();
        let names = ["IMG.jpg", "IMG (2).jpg", "whatsapp-item.json"];
        let wanted: Vec<(&str, &[u8])> = names.into_iter().zip(files.map(|(_, bytes)| bytes)).collect();
        assert_one_complete_copy(&fake, &wanted);
    }
}

/// "3 MB" may be 3,000,000 bytes or 3,145,728 bytes, and a request has at most 4,000,000 bytes. A file between the two
/// limits is packed into a ZIP archive.
#[tokio::test]
async fn file_of_about_3_mb_fits_into_requests_of_4_000_000_bytes() {
    let sizes =
        [2_990_000, 2_999_850, 2_999_900, 2_999_950, 2_999_999, 3_000_000, 3_100_000, 3_145_727, 3_145_728, 3_145_729];
    for (size, binary_megabytes) in sizes.into_iter().flat_map(|size| [(size, false), (size, true)]) {
        let fake = tenant().await;
        fake.set_quirks(Quirks { binary_megabytes, ..Quirks::default() });
        let edge = bytes(1, size);
        let files: [(&str, &[u8]); 2] = [("edge.jpg", &edge), ("edge.jpg.zip", b"another file")];
        let message = message("1", &files);
        file(&graph(&fake), &message, Attempt::First).await.unwrap();
        assert!(fake.longest_request() <= 4_000_000, "{size}: {}", fake.longest_request());
        let session_min = if binary_megabytes { 3 * MIB } else { 3_000_000 };
        if (2_999_900..session_min).contains(&size) {
            let [visible] = &fake.visible(ADA)[..] else { panic!("one copy") };
            let packed = visible.attachments.iter().find(|file| file.name == "edge.jpg (2).zip").expect("packed");
            assert!(packed.bytes.windows(edge.len()).any(|part| part == edge), "{size}: the file is stored unchanged");
            assert_eq!(visible.attachments.len(), 2);
        } else {
            assert_one_complete_copy(&fake, &files);
        }
    }
}

#[tokio::test]
async fn packed_file_is_completed_after_an_interruption_anywhere() {
    let (gap, other) = (bytes(1, 2_999_999), bytes(2, 2_000_000));
    let files: [(&str, &[u8]); 2] = [("gap.jpg", &gap), ("other.jpg", &other)];
    let message = message("1", &files);
    for n in 1.. {
        let fake = tenant().await;
        if !end_after(&fake, &message, n).await {
            assert!(n > 7, "only {n} requests");
            break;
        }
        file(&graph(&fake), &message, Attempt::Retry).await.unwrap();
        let [stored] = &fake.messages(ADA)[..] else { panic!("one copy, at request {n}") };
        assert_eq!((stored.visible, stored.attachments.len()), (true, 2), "at request {n}");
    }
}

/// The rejected request is the first, the second or a piece of an upload.
#[tokio::test]
async fn rejected_large_message_leaves_nothing_in_the_hidden_folder() {
    let (big, second) = (bytes(1, 4_200_000), bytes(2, 2_500_000));
    let files: [(&str, &[u8]); 3] = [("a", &big), ("b", &second), ("c", &second)];
    for kind in [Kind::AttachmentCreate, Kind::SessionCreate, Kind::Upload, Kind::MessageMove] {
        for (status, code) in
            [(507, "ErrorQuotaExceeded"), (400, "ErrorMessageSizeExceeded"), (400, "ErrorSomethingNew"), (412, "x")]
        {
            if kind == Kind::Upload && code != "ErrorQuotaExceeded" {
                // This error ends the upload session only.
                continue;
            }
            let fake = tenant().await;
            fake.fault(On::kind(kind).times(1000), Fault::Refuse(Refusal::new(status, code)));
            let error = file(&graph(&fake), &message("1", &files), Attempt::First).await.unwrap_err();
            assert!(!matches!(error, MailboxError::Unavailable { .. }), "{kind:?} {code}: {error:?}");
            assert!(fake.messages(ADA).is_empty(), "{kind:?} {code}");
            fake.clear_faults();
            file(&graph(&fake), &message("1", &files), Attempt::Retry).await.unwrap();
            assert_one_complete_copy(&fake, &files);
        }
    }
}

/// An interrupted filing leaves its message in the hidden folder for the next attempt, until the item becomes a dead
/// letter.
#[tokio::test]
async fn message_of_a_dead_letter_is_removed_from_the_hidden_folder() {
    let (big, message) = (bytes(1, 4_200_000), |files: &[(&str, &[u8])]| message("1", files));
    let files: [(&str, &[u8]); 1] = [("a", &big)];
    let fake = tenant().await;
    let graph = graph(&fake);
    let ada = mailbox(&graph, ADA).await;
    graph.remove_incomplete(&ada, &message(&files)).await.unwrap();
    let error = Refusal::new(500, "ErrorInternalServerError");
    fake.fault(On::kind(Kind::MessageMove).times(1000), Fault::Refuse(error));
    let error = graph.file(&ada, &message(&files), Attempt::First).await.unwrap_err();
    assert!(matches!(error.cause(), MailboxError::Unavailable { .. }), "{error:?}");
    assert_eq!((fake.messages(ADA).len(), fake.visible(ADA).len()), (1, 0), "left for the next attempt");
    graph.remove_incomplete(&ada, &message(&files)).await.unwrap();
    assert!(fake.messages(ADA).is_empty());
    fake.clear_faults();
    graph.file(&ada, &message(&files), Attempt::Retry).await.unwrap();
    graph.remove_incomplete(&ada, &message(&files)).await.unwrap();
    assert_one_complete_copy(&fake, &files);
}

#[tokio::test]
async fn message_with_a_thousand_files_and_the_evidence_is_completed() {
    let big = bytes(1, 4_200_000);
    let names: Vec<_> = (0..1000).map(|at| format!("{at}.txt")).collect();
    let small = names.iter().map(|name| (name.as_str(), &b"x"[..]));
    let files: Vec<_> = small.chain([("evidence.json", &big[..])]).collect();
    let fake = tenant().await;
    file(&graph(&fake), &message("1", &files), Attempt::First).await.unwrap();
    assert_one_complete_copy(&fake, &files);
    assert!(fake.count(Kind::AttachmentList) > 100, "the list has pages");
}

/// Exchange finds both items by either id, because it compares ids case-insensitively.
#[tokio::test]
async fn items_whose_ids_differ_in_case_are_both_completed() {
    let (one, other) = (bytes(1, 4_200_000), bytes(2, 4_300_000));
    let fake = tenant().await;
    let messages = [("WA-x", &one), ("WA-X", &other)].map(|(item, file)| message(item, &[("a", &file[..])]));
    for message in &messages {
        fake.fault(On::kind(Kind::SessionCreate).times(1000), Fault::Refuse(Refusal::new(503, "ErrorServerBusy")));
        assert!(file(&graph(&fake), message, Attempt::First).await.is_err());
        fake.clear_faults();
    }
    assert_eq!(fake.messages(ADA).len(), 2, "both are incomplete");
    for message in messages.iter().rev() {
        file(&graph(&fake), message, Attempt::Retry).await.unwrap();
    }
    let visible = fake.visible(ADA);
    assert_eq!((visible.len(), fake.messages(ADA).len()), (2, 2));
    for (id, file) in [("<WA-x@archive.example>", &one), ("<WA-X@archive.example>", &other)] {
        let stored = visible.iter().find(|stored| stored.internet_message_id == id).expect("a copy of each");
        assert!(stored.attachments[0].bytes == *file, "{id} has its own file");
    }
}

fn in_one() -> Vec<(&'static str, Vec<u8>)> {
    vec![("video.mp4", bytes(1, 4_200_000)), ("whatsapp-item.json", b"{}".to_vec())]
}

fn in_three() -> Vec<(&'static str, Vec<u8>)> {
    vec![("a", bytes(1, 3_200_000)), ("b", bytes(2, 1_500_000)), ("c", bytes(3, 2_000_000))]
}

fn borrowed<'a>(files: &'a [(&'static str, Vec<u8>)]) -> Vec<(&'static str, &'a [u8])> {
    files.iter().map(|(name, bytes)| (*name, &bytes[..])).collect()
}

/// Interrupts a filing after its n-th request is executed and before the response arrives. Returns `false` if the
/// filing has fewer than n requests.
async fn end_after(fake: &GraphFake, message: &Message, n: usize) -> bool {
    let graph = graph(fake);
    let ada = mailbox(&graph, ADA).await;
    let gate = Gate::default();
    fake.fault(On::any().nth(n), Fault::HoldAfter(gate.clone()));
    let ended = tokio::select! {
        filed = graph.file(&ada, message, Attempt::First) => { filed.unwrap(); false }
        () = gate.reached(1) => true,
    };
    fake.clear_faults();
    ended
}

async fn assert_completed_after_any_interruption(files: Vec<(&'static str, Vec<u8>)>, min_requests: usize) {
    let files = borrowed(&files);
    let message = message("1", &files);
    let mut n = 1;
    loop {
        let fake = tenant().await;
        if !end_after(&fake, &message, n).await {
            break;
        }
        for visible in fake.visible(ADA) {
            assert_eq!(visible.attachments.len(), files.len(), "the visible message is complete, at request {n}");
        }
        file(&graph(&fake), &message, Attempt::Retry).await.unwrap();
        assert_one_complete_copy(&fake, &files);
        assert_eq!(fake.messages(ADA).len(), 1, "no other message remains, at request {n}");
        n += 1;
    }
    assert!(n > min_requests, "only {n} requests were seen");
}

#[tokio::test]
async fn interrupted_filing_of_one_file_is_completed() {
    assert_completed_after_any_interruption(in_one(), 8).await;
}

#[tokio::test]
async fn interrupted_filing_of_three_files_is_completed() {
    assert_completed_after_any_interruption(in_three(), 8).await;
}

#[tokio::test]
async fn interrupted_filing_of_one_request_is_completed() {
    assert_completed_after_any_interruption(vec![("a", b"a".to_vec())], 3).await;
}

async fn assert_completed_after_any_fault(files: Vec<(&'static str, Vec<u8>)>, faults: &[Fault]) {
    let files = borrowed(&files);
    let message = message("1", &files);
    let clean = tenant().await;
    file(&graph(&clean), &message, Attempt::First).await.unwrap();
    let requests = clean.requests();
    assert!(requests.contains(&Kind::Upload) && requests.contains(&Kind::MessageMove));
    for n in 1..=requests.len() {
        for fault in faults {
            let fake = tenant().await;
            fake.fault(On::any().nth(n), fault.clone());
            let filed = file_with_retry(&graph(&fake), &message, Attempt::First).await;
            assert!(filed.is_ok(), "{:?} {fault:?}: {filed:?}", requests[n - 1]);
            assert_one_complete_copy(&fake, &files);
            assert_eq!(fake.messages(ADA).len(), 1, "{:?} {fault:?}", requests[n - 1]);
        }
    }
}

#[tokio::test]
async fn large_message_is_completed_after_a_lost_response() {
    assert_completed_after_any_fault(in_three(), &[Fault::LoseResponse]).await;
}

#[tokio::test]
async fn large_message_is_completed_after_a_failed_request() {
    let faults = [
        Fault::Reset,
        Fault::DoAndRefuse(Refusal::new(504, "ErrorTimeoutExpired")),
        Fault::Refuse(Refusal::new(503, "ErrorServerBusy").retry_after("0.002")),
    ];
    assert_completed_after_any_fault(in_one(), &faults).await;
}

#[tokio::test]
async fn upload_continues_at_the_requested_position() {
    let fake = tenant().await;
    fake.set_quirks(Quirks { capitalizes_members: true, ..Quirks::default() });
    let big = bytes(1, 9_000_000);
    let files: [(&str, &[u8]); 1] = [("a", &big)];
    let throttled = Refusal::new(429, "ApplicationThrottled").retry_after("0.001");
    fake.fault(On::kind(Kind::Upload).nth(2), Fault::Refuse(throttled));
    file(&graph(&fake), &message("1", &files), Attempt::First).await.unwrap();
    assert_one_complete_copy(&fake, &files);
    assert_eq!((fake.count(Kind::SessionCreate), fake.count(Kind::Upload)), (1, 4));
}

#[tokio::test]
async fn piece_is_not_sent_without_tls() {
    let fake = tenant().await;
    fake.set_quirks(Quirks { uploads_to_other_host: true, ..Quirks::default() });
    let big = bytes(1, 4_200_000);
    let error = file(&graph(&fake), &message("1", &[("a", &big)]), Attempt::First).await.unwrap_err();
    assert!(error.to_string().contains("not https"), "{error}");
    assert!(fake.visible(ADA).is_empty());
}

#[tokio::test]
async fn message_with_changed_attachments_stays_hidden() {
    let fake = tenant().await;
    fake.set_quirks(Quirks { truncates_names: true, ..Quirks::default() });
    let big = bytes(1, 4_200_000);
    let error = file(&graph(&fake), &message("1", &[("abc", &big)]), Attempt::First).await.unwrap_err();
    assert!(matches!(error, MailboxError::Unrecognized { .. }), "{error:?}");
    assert!(fake.messages(ADA).is_empty(), "nothing stays in the hidden folder");
}

#[tokio::test]
async fn wrong_staged_message_is_created_again() {
    let fake = tenant().await;
    let big = bytes(1, 4_200_000);
    let files: [(&str, &[u8]); 1] = [("abc", &big)];
    fake.set_quirks(Quirks { truncates_names: true, ..Quirks::default() });
    assert!(file(&graph(&fake), &message("1", &files), Attempt::First).await.is_err());
    fake.set_quirks(Quirks::default());
    file(&graph(&fake), &message("1", &files), Attempt::Retry).await.unwrap();
    assert_one_complete_copy(&fake, &files);
    assert_eq!(fake.messages(ADA).len(), 1);
}

/// Files a large message. The connection of its first request breaks, and the fake executes the request when the gate
/// opens.
async fn lost(files: &[(&'static str, &[u8])]) -> (GraphFake, Message, Gate) {
    let fake = tenant().await;
    let message = message("1", files);
    let gate = Gate::default();
    fake.fault(On::kind(Kind::MessageCreate), Fault::DoLater(gate.clone()));
    assert_outcome_unknown(&file(&graph(&fake), &message, Attempt::First).await.unwrap_err());
    (fake, message, gate)
}

#[tokio::test]
async fn message_staged_after_a_lost_response_is_completed() {
    let files = in_three();
    let files = borrowed(&files);
    let (fake, message, gate) = lost(&files).await;
    gate.open();
    gate.done(1).await;
    file(&graph(&fake), &message, Attempt::Retry).await.unwrap();
    assert_one_complete_copy(&fake, &files);
    assert_eq!((fake.messages(ADA).len(), fake.count(Kind::MessageCreate)), (1, 1), "it is not sent again");
}

/// The delayed message appears while the retry assembles another one, or after that one is filed.
#[tokio::test]
async fn second_staged_message_is_removed_by_the_next_attempt() {
    let files = in_one();
    let files = borrowed(&files);
    let (fake, message, late) = lost(&files).await;
    let complete = Gate::default();
    fake.fault(On::kind(Kind::MessageMove), Fault::HoldBefore(complete.clone()));
    let graph = graph(&fake);
    let (filed, ()) = tokio::join!(file(&graph, &message, Attempt::Retry), async {
        complete.reached(1).await;
        late.open();
        late.done(1).await;
        complete.open();
    });
    filed.unwrap();
    assert_one_complete_copy(&fake, &files);
    assert_eq!(fake.messages(ADA).len(), 1, "the delayed message is removed");

    let (fake, message, late) = lost(&files).await;
    file(&self::graph(&fake), &message, Attempt::Retry).await.unwrap();
    late.open();
    late.done(1).await;
    assert_eq!(fake.messages(ADA).len(), 2);
    let again = file(&self::graph(&fake), &message, Attempt::Retry).await.unwrap();
    assert_eq!(again.result, FilingResult::Skipped);
    assert_one_complete_copy(&fake, &files);
    assert_eq!(fake.messages(ADA).len(), 1, "the delayed message is removed");
}

/// The response is lost, and the file appears after the time at which it could have been sent again.
#[tokio::test]
async fn delayed_file_is_attached_once() {
    let (in_one_request, in_one_piece) = (bytes(1, 2_000_000), bytes(2, 3_500_000));
    for (kind, big) in [(Kind::AttachmentCreate, &in_one_request), (Kind::Upload, &in_one_piece)] {
        let files: [(&str, &[u8]); 3] = [("a", &in_one_request), ("b", big), ("c", big)];
        let fake = tenant().await;
        let late = Gate::default();
        fake.fault(On::kind(kind), Fault::DoLater(late.clone()));
        let message = message("1", &files);
        assert_outcome_unknown(&file(&graph(&fake), &message, Attempt::First).await.unwrap_err());
        assert_eq!(fake.count(kind), 1, "it is not sent again");
        late.open();
        late.done(1).await;
        file(&graph(&fake), &message, Attempt::Retry).await.unwrap();
        assert_one_complete_copy(&fake, &files);
        assert_eq!(fake.messages(ADA).len(), 1);
    }
}

/// The message is in the hidden folder or in the archive, and the next requests fail.
#[tokio::test]
async fn lost_move_leaves_the_outcome_unknown_whatever_follows() {
    let files = in_one();
    let files = borrowed(&files);
    let full = || Fault::Refuse(Refusal::new(507, "ErrorQuotaExceeded"));
    let denied = || Fault::Refuse(Refusal::new(403, "ErrorAccessDenied"));
    for (kind, fault) in [(Kind::MessageMove, full()), (Kind::MessageSearch, denied())] {
        let (fake, gate) = (tenant().await, Gate::default());
        fake.fault(On::kind(Kind::MessageMove), Fault::DoLater(gate.clone()));
        if kind == Kind::MessageMove {
            fake.fault(On::kind(kind).nth(2), fault);
        } else {
            fake.fault(On::kind(kind).times(1000), fault);
        }
        let message = message("1", &files);
        assert_outcome_unknown(&file(&graph(&fake), &message, Attempt::First).await.unwrap_err());
        assert_eq!(fake.messages(ADA).len(), 1, "the staged message stays");
        fake.clear_faults();
        gate.open();
        gate.done(1).await;
        file(&graph(&fake), &message, Attempt::Retry).await.unwrap();
        assert_one_complete_copy(&fake, &files);
        assert_eq!(fake.messages(ADA).len(), 1);
    }
}

/// The URL of an upload expires, and the codes that report this are not documented.
#[tokio::test]
async fn rejected_upload_starts_again() {
    let big = bytes(1, 9_000_000);
    let files: [(&str, &[u8]); 1] = [("a", &big)];
    for (status, code) in [
        (401, "InvalidAuthenticationToken"),
        (403, "ErrorAccessDenied"),
        (404, "itemNotFound"),
        (404, "ErrorItemNotFound"),
        (410, "resourceModified"),
        (416, "InvalidContentRange"),
    ] {
        let fake = tenant().await;
        fake.fault(On::kind(Kind::Upload).nth(2), Fault::Refuse(Refusal::new(status, code)));
        file(&graph(&fake), &message("1", &files), Attempt::First).await.unwrap();
        assert_one_complete_copy(&fake, &files);
        assert_eq!((fake.count(Kind::SessionCreate), fake.count(Kind::MessageCreate)), (2, 1), "{status} {code}");

        let fake = tenant().await;
        fake.fault(On::kind(Kind::Upload).times(100_000), Fault::Refuse(Refusal::new(status, code)));
        let error = file(&graph(&fake), &message("1", &files), Attempt::First).await.unwrap_err();
        assert!(matches!(error, MailboxError::Unavailable { .. }), "{status} {code}: {error:?}");
    }
    for (status, code) in [(507, "ErrorQuotaExceeded"), (413, "ErrorMessageSizeExceeded")] {
        let fake = tenant().await;
        fake.fault(On::kind(Kind::Upload), Fault::Refuse(Refusal::new(status, code)));
        let error = file(&graph(&fake), &message("1", &files), Attempt::First).await.unwrap_err();
        assert!(matches!(error, MailboxError::Full | MailboxError::Rejected { .. }), "{status} {code}: {error:?}");
        assert_eq!(fake.count(Kind::SessionCreate), 1);
    }
}
