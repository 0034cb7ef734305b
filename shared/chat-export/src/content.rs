//! Determines the kind and the fields of a message from its text.

use std::{
    borrow::Cow,
    cmp::Reverse,
    collections::{BTreeSet, HashMap, HashSet},
    sync::LazyLock,
};

use model::{
    Call, CallMedia, CallStatus, Deletion, DeletionScope, DeletionState, GroupEvent, Kind, Location, Participant, Poll,
};

use crate::{
    marker::{self, Proof},
    marks::{folded, is_mark, is_space, outside_quotations, trim, words},
    media,
    package::Package,
    words::{self, LANGUAGES, Language, phrase_key},
};

/// The content of a message, as far as it was recognized.
#[derive(Default)]
pub(crate) struct Content {
    /// `None`: a plain text.
    kind: Option<Kind>,
    /// The text as written, without the words that name a file; `None` if nothing is left.
    pub(crate) text: Option<String>,
    pub(crate) file: Option<File>,
    pub(crate) deletion: Option<Deletion>,
    pub(crate) call: Option<Call>,
    pub(crate) location: Option<Location>,
    pub(crate) poll: Option<Poll>,
    pub(crate) event: Option<GroupEvent>,
    pub(crate) reason: Option<&'static str>,
    /// The message names a file that is not in the export.
    pub(crate) file_missing: bool,
    /// Edited before the export; the earlier text is not in the export.
    pub(crate) edited: bool,
    /// A notice of WhatsApp by its mark only, under the name of a person who wrote messages.
    pub(crate) may_be_by_sender: bool,
}

/// A file of the zip that belongs to a message.
#[derive(Debug, PartialEq)]
pub(crate) struct File {
    /// Index in the package.
    pub(crate) place: usize,
    pub(crate) content_type: &'static str,
    /// The words that name the file and are not in the text, as written in the export.
    pub(crate) marker: Option<String>,
}

/// Context of a message.
#[derive(Default)]
pub(crate) struct MessageContext<'a> {
    /// The export's files, and those that a message names in a phone's form.
    pub(crate) package: Option<(&'a Package, &'a BTreeSet<usize>)>,
    /// The file that the message names.
    pub(crate) file: Option<usize>,
    /// `true` if the export is from an iPhone, where a mark precedes notices of WhatsApp.
    pub(crate) iphone: bool,
    /// `true` if the sender's name is the name of a group, under which no person writes.
    pub(crate) by_whatsapp: bool,
    /// `true` for the first message.
    pub(crate) first: bool,
    /// Texts in angle brackets that occur repeatedly.
    pub(crate) repeated: Option<&'a HashSet<String>>,
}

/// The note on a message whose file is not in the export.
pub(crate) const FILE_MISSING: &str = "the file was not in the export";
/// The reason of an item for a file of the zip that no message names.
const UNNAMED: &str =
    "the export contains this file, and none of its messages names it; the time is the newest message's";
const UNKNOWN_WORDS: &str =
    "WhatsApp wrote this line itself, in words that are not recognized: most likely a file that was not exported";
const NOT_EXPORTED: &str = "the phone exported the chat without this file";
const UNAVAILABLE: &str = "the phone did not have this message any more, or not yet, when the chat was exported";
const EMPTY: &str =
    "the phone exported nothing but the sender and the time: a message to be seen once, or one of a new kind";
const NULL: &str =
    "the phone exported only the word null: a message to be seen once, or one of a new kind, or the word itself";

const FRAGMENT: &str = "these lines are before the export's first message, so their author and time are unknown; \
     the time is the first message's";

/// A phrase that can be a whole message.
#[derive(Clone)]
enum Phrase {
    /// A file that was not exported, with its kind if the phrase contains it.
    Omitted(Option<Kind>),
    Deleted,
    LiveLocation,
    Unavailable,
}

static PHRASES: LazyLock<HashMap<&str, Phrase>> = LazyLock::new(|| {
    let mut phrases = HashMap::new();
    for language in LANGUAGES {
        for (words, meaning) in [
            (language.media_omitted, Phrase::Omitted(None)),
            (language.image_omitted, Phrase::Omitted(Some(Kind::Image))),
            (language.video_omitted, Phrase::Omitted(Some(Kind::Video))),
            (language.audio_omitted, Phrase::Omitted(Some(Kind::Audio))),
            (language.sticker_omitted, Phrase::Omitted(Some(Kind::Sticker))),
            (language.gif_omitted, Phrase::Omitted(Some(Kind::Gif))),
            (language.document_omitted, Phrase::Omitted(Some(Kind::Document))),
            (language.contact_omitted, Phrase::Omitted(Some(Kind::Contacts))),
            (language.deleted, Phrase::Deleted),
            (language.live_location, Phrase::LiveLocation),
            (language.unavailable, Phrase::Unavailable),
        ] {
            phrases.extend(words.iter().map(|word| (*word, meaning.clone())));
        }
    }
    phrases
});

impl Content {
    /// Determines the content of a message that a person sent.
    pub(crate) fn sent(body: &str, context: &MessageContext<'_>) -> Self {
        let body = unix_lines(body);
        let edited = is_edited(&body);
        if let Some((package, in_form)) = context.package
            && let Some(content) = with_file(&body, package, in_form, context.file)
        {
            return Self { edited, ..content };
        }
        let recognized = phrase(&body)
            .or_else(|| deleted_by_admin(&body))
            .or_else(|| call(&body))
            .or_else(|| location(&body))
            .or_else(|| poll(&body))
            .or_else(|| notice(&body, context.iphone && context.first))
            .or_else(|| missing_file(&body, context.iphone))
            .or_else(|| repeated(&body, context.repeated))
            .or_else(|| if context.iphone { by_whatsapp(&body, context.by_whatsapp) } else { None })
            .unwrap_or_default();
        let is_notice = matches!(recognized.kind, Some(Kind::System | Kind::GroupEvent));
        let may_be_by_sender = is_notice && !context.by_whatsapp && !has_notice_words(&body);
        Self { text: (!body.is_empty()).then(|| body.into_owned()), edited, may_be_by_sender, ..recognized }
    }

    /// Describes a file of the zip that no message names.
    pub(crate) fn unnamed(place: usize, package: &Package) -> Self {
        let (kind, content_type) = media::classify(package.name(place));
        let file = Some(File { place, content_type, marker: None });
        Self { kind: Some(kind), file, reason: Some(UNNAMED), ..Self::default() }
    }

    /// Determines the content of a line written by WhatsApp itself.
    pub(crate) fn line(body: &str) -> Self {
        let body = unix_lines(body);
        let recognized = call(&body).unwrap_or_else(|| match event(&body) {
            Some(event) => Self { kind: Some(Kind::GroupEvent), event: Some(event), ..Self::default() },
            None => Self { kind: Some(Kind::System), ..Self::default() },
        });
        Self { text: (!body.is_empty()).then(|| body.into_owned()), ..recognized }
    }

    /// Describes lines before the first message.
    pub(crate) fn fragment(body: &str) -> Self {
        let text = Some(unix_lines(body).into_owned());
        Self { kind: Some(Kind::Unsupported), text, reason: Some(FRAGMENT), ..Self::default() }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind.clone().unwrap_or(Kind::Text)
    }
}

/// Returns whether a message under a name was written by WhatsApp itself: that the chat is encrypted, that the group
/// has changed. `first` for the first message of an iPhone's export.
pub(crate) fn is_notice(body: &str, first: bool) -> bool {
    phrase(body).is_none() && notice(body, first).is_some()
}

/// Returns whether a message begins with the mark that iPhones put before notices of WhatsApp, and has more words than
/// `words_limit`, none of them for a file that was not exported.
pub(crate) fn is_marked_sentence(body: &str, words_limit: usize) -> bool {
    body.starts_with('\u{200e}')
        && !trim(body).contains('\n')
        && phrase(body).is_none()
        && words(body).len() > words_limit
}

/// Returns whether a line of WhatsApp is about a group.
pub(crate) fn is_group_event(line: &str) -> bool {
    call(line).is_none() && event(line).is_some()
}

/// Returns whether a text is one that WhatsApp writes directly after a sender's name: that a message was deleted, a call,
/// or an Android phone's words for a file. Before an iPhone's words for a file there may be a person's words.
pub(crate) fn is_own_words(text: &str) -> bool {
    match phrase(text) {
        Some(content) => content.kind == Some(Kind::Delete) || bracketed(text).is_some(),
        None => deleted_by_admin(text).is_some() || call(text).is_some() || android_file_name(text).is_some(),
    }
}

/// Replaces an iPhone's CR LF by LF.
fn unix_lines(body: &str) -> Cow<'_, str> {
    if body.contains("\r\n") { body.replace("\r\n", "\n").into() } else { body.into() }
}

fn any_language(text: &str, words: impl Fn(&'static Language) -> &'static [&'static str]) -> bool {
    let key = phrase_key(text);
    LANGUAGES.iter().any(|language| words(language).contains(&key.as_str()))
}

fn is_edited(body: &str) -> bool {
    let seen = body.trim_end_matches(|c: char| is_mark(c) || c.is_whitespace());
    seen.ends_with('>') && seen.rfind('<').is_some_and(|at| any_language(&seen[at..], |language| language.edited))
}

/// Recognizes a message that names a file of the zip.
fn with_file(body: &str, package: &Package, in_form: &BTreeSet<usize>, file: Option<usize>) -> Option<Content> {
    let named = marker::named(body, package, Proof::NameOf(in_form));
    let (place, marker, text) = match (named, file) {
        (Some(named), _) => (named.file, Some(named.marker), named.caption),
        // The name is within the text.
        (None, Some(place)) => (place, None, body.to_owned()),
        (None, None) => return None,
    };
    let (kind, content_type) = media::classify(package.name(place));
    let file = Some(File { place, content_type, marker });
    Some(Content { kind: Some(kind), text: (!text.is_empty()).then_some(text), file, ..Content::default() })
}

/// Recognizes a message that names a file as phones do, while the file is not in the export. The text stays complete,
/// because a person may have written it.
fn missing_file(body: &str, iphone: bool) -> Option<Content> {
    let found = |name: &str| {
        let name = trim(name);
        media::is_file_name(name).then(|| Content {
            kind: Some(media::classify(name).0),
            file_missing: true,
            ..Content::default()
        })
    };
    if let Some(name) = android_file_name(body).filter(|_| !iphone) {
        return found(name);
    }
    // An iPhone puts a mark before its own words; a person does not.
    let mut lines = body.lines().map(|line| line.trim_end_matches(|c: char| is_mark(c) || c.is_whitespace()));
    lines.find_map(|line| {
        let at = line.rfind("\u{200e}<")?;
        let (_, name) = line[at..].strip_suffix('>')?.split_once([':', '：'])?;
        found(name)
    })
}

/// Returns the name in an Android phone's words for a file: `NAME (file attached)`, or a mark and `NAME (word)`.
fn android_file_name(body: &str) -> Option<&str> {
    let first = trim(body.lines().next().unwrap_or_default());
    let (name, word) = first.strip_suffix(')')?.rsplit_once('(')?;
    (body.starts_with('\u{200e}') || words::is_file_attached(word)).then_some(name)
}

/// Recognizes repeated words in angle brackets: they represent files that were not exported.
fn repeated(body: &str, repeated: Option<&HashSet<String>>) -> Option<Content> {
    let omitted = repeated?.contains(bracketed(body)?);
    omitted.then(|| Content { kind: Some(Kind::Unsupported), reason: Some(NOT_EXPORTED), ..Content::default() })
}

/// Returns the whole message, if it is two or more words in angle brackets.
pub(crate) fn bracketed(body: &str) -> Option<&str> {
    let visible = trim(body);
    let inner = visible.strip_prefix('<')?.strip_suffix('>')?;
    let plain = inner.chars().all(|c| c.is_alphabetic() || c.is_whitespace() || is_mark(c));
    (plain && (2..=6).contains(&inner.split_whitespace().count())).then_some(visible)
}

/// Maximum number of words that represent a file that an iPhone did not export.
pub(crate) const MAX_MARKER_WORDS: usize = 3;

/// Recognizes a line of WhatsApp on an iPhone in unrecognized words by the mark at its beginning.
fn by_whatsapp(body: &str, group_name: bool) -> Option<Content> {
    if !body.starts_with('\u{200e}') || trim(body).contains('\n') {
        return None;
    }
    let system = Content { kind: Some(Kind::System), ..Content::default() };
    if group_name || words(body).len() > MAX_MARKER_WORDS {
        return Some(system);
    }
    Some(Content { kind: Some(Kind::Unsupported), reason: Some(UNKNOWN_WORDS), ..Content::default() })
}

/// Recognizes a message that is, or ends in, one of the phrases for content that was not exported.
fn phrase(body: &str) -> Option<Content> {
    let unsupported =
        |reason| Some(Content { kind: Some(Kind::Unsupported), reason: Some(reason), ..Content::default() });
    let visible = trim(body);
    if visible.is_empty() {
        return unsupported(EMPTY);
    }
    if visible == "null" {
        return unsupported(NULL);
    }
    // A file that was not exported may have a caption: on Android after the phrase, on an iPhone before it, separated
    // by a mark.
    let first = visible.lines().next().unwrap_or_default();
    let last = visible.rsplit_once('\u{200e}').map(|(_, last)| last);
    for (candidate, whole) in [(Some(visible), true), (Some(first), false), (last, false)] {
        let Some(candidate) = candidate.filter(|candidate| candidate.len() <= 160) else { continue };
        match PHRASES.get(phrase_key(candidate).as_str()) {
            Some(Phrase::Omitted(Some(kind))) => {
                return Some(Content { kind: Some(kind.clone()), reason: Some(NOT_EXPORTED), ..Content::default() });
            }
            Some(Phrase::Omitted(None)) if trim(candidate).starts_with('<') => return unsupported(NOT_EXPORTED),
            Some(Phrase::Unavailable) if whole => return unsupported(UNAVAILABLE),
            Some(Phrase::Deleted) if whole => return Some(deleted(None)),
            Some(Phrase::LiveLocation) if whole => {
                return Some(Content { kind: Some(Kind::LiveLocation), ..Content::default() });
            }
            _ => {}
        }
    }
    None
}

fn deleted(by: Option<Participant>) -> Content {
    let deletion = Deletion { scope: Some(DeletionScope::Everyone), by, state: Some(DeletionState::Unknown) };
    Content { kind: Some(Kind::Delete), deletion: Some(deletion), ..Content::default() }
}

fn deleted_by_admin(body: &str) -> Option<Content> {
    let visible = trim(body);
    if visible.contains('\n') || visible.len() > 400 {
        return None;
    }
    let mut prefixes = LANGUAGES.iter().flat_map(|language| language.deleted_by_admin);
    let key = folded(visible);
    let prefix = prefixes.find(|prefix| key.starts_with(*prefix))?;
    let name: String = visible.chars().filter(|c| !is_mark(*c)).skip(prefix.chars().count()).collect();
    let name = name.trim_end_matches('.').trim();
    (!name.is_empty()).then(|| deleted(Some(Participant { name: Some(name.to_owned()), ..Participant::default() })))
}

/// Recognizes a call. The export says only that there was a call, and whether it was missed.
fn call(body: &str) -> Option<Content> {
    let visible = trim(body);
    if visible.contains('\n') || visible.len() > 160 {
        return None;
    }
    let key = folded(visible);
    // A person may write "Missed voice call, sorry", too; only WhatsApp puts a mark before the words, or before those after
    // them: "Missed voice call. Tap to call back".
    let marked = body.starts_with('\u{200e}');
    let has_mark = visible.contains('\u{200e}') || marked;
    let begins = |words: &[&str]| {
        words.iter().filter_map(|word| key.strip_prefix(word)).any(|rest| {
            let rest_of_whatsapp = has_mark && rest.starts_with(['.', ',']);
            rest.trim_end_matches('.').is_empty() || rest_of_whatsapp
        })
    };
    let (media, status) = LANGUAGES.iter().find_map(|language| {
        if begins(language.missed_voice_call) {
            Some((CallMedia::Voice, Some(CallStatus::Missed)))
        } else if begins(language.missed_video_call) {
            Some((CallMedia::Video, Some(CallStatus::Missed)))
        } else if marked && begins(language.voice_call) {
            Some((CallMedia::Voice, None))
        } else if marked && begins(language.video_call) {
            Some((CallMedia::Video, None))
        } else {
            None
        }
    })?;
    let call = Call { media: Some(media), status, start_time: None, end_time: None, duration_seconds: None };
    Some(Content { kind: Some(Kind::Call), call: Some(call), ..Content::default() })
}

/// Recognizes a location: `Location: https://maps.google.com/?q=55.6,12.5`, `Place (address):
/// https://foursquare.com/v/…`, or a place's name and address on separate lines before such a link.
fn location(body: &str) -> Option<Content> {
    const MAX_LABEL: usize = 400;
    let visible = trim(body);
    let at = visible.find("https://")?;
    let (before, url) = visible.split_at(at);
    if url.contains(char::is_whitespace) || before.len() > MAX_LABEL {
        return None;
    }
    let (label, own_line) = match trim(before).strip_suffix([':', '：']) {
        Some(label) => (trim(label), false),
        None => (trim(before), before.trim_end_matches(is_space).ends_with('\n')),
    };
    if label.is_empty() || (!own_line && trim(before) == label) {
        return None;
    }
    let (name, address) = match label.split_once('\n') {
        Some((name, address)) => (trim(name), Some(trim(address).replace('\n', ", "))),
        None => (label, None),
    };
    let mut place = Location {
        latitude: None,
        longitude: None,
        name: None,
        address,
        url: Some(url.to_owned()),
        accuracy_meters: None,
    };
    if let Some(point) = url.strip_prefix("https://maps.google.com/?q=") {
        let degrees = |text: &str, max: f64| text.parse::<f64>().ok().filter(|value| value.abs() <= max);
        if let Some((latitude, longitude)) = point.split_once(',') {
            place.latitude = degrees(latitude, 90.0);
            place.longitude = degrees(longitude, 180.0);
        }
        let known = any_language(label, |language| language.location);
        let point = place.latitude.is_some() && place.longitude.is_some();
        if !known && !(point && (own_line || words(label).len() <= MAX_MARKER_WORDS)) {
            return None;
        }
        place.name = own_line.then(|| name.to_owned());
    } else if url.starts_with("https://foursquare.com/v/") {
        place.name = Some(name.to_owned());
    } else {
        return None;
    }
    Some(Content { kind: Some(Kind::Location), location: Some(place), ..Content::default() })
}

/// Recognizes a poll: `POLL:`, the question, and `OPTION: … (2 votes)` for each option, each on its own line.
fn poll(body: &str) -> Option<Content> {
    let mut lines = trim(body).lines();
    let heading = folded(lines.next()?);
    let word = heading.strip_suffix(':')?.trim();
    if !LANGUAGES.iter().any(|language| language.poll == word) {
        return None;
    }
    let question = trim(lines.next()?).to_owned();
    let option = |line: &str| {
        let (word, text) = line.split_once(':')?;
        let word = folded(word);
        LANGUAGES.iter().any(|language| language.option == word).then(|| {
            let text = trim(text);
            // The number of votes stays in the text; the contract's `votes` are those of one participant.
            let counted = |votes: &str| votes.ends_with(')') && votes.contains(|c: char| c.is_ascii_digit());
            match text.rsplit_once(" (") {
                Some((option, votes)) if counted(votes) => trim(option).to_owned(),
                _ => text.to_owned(),
            }
        })
    };
    let options: Vec<String> = lines.filter_map(option).collect();
    let poll = Poll { question: Some(question), options, selectable: None, votes: None };
    (!poll.options.is_empty()).then(|| Content { kind: Some(Kind::Poll), poll: Some(poll), ..Content::default() })
}

/// Recognizes a notice of WhatsApp under a name, as iPhones write it: with a mark, which only the `first` message of an
/// old iPhone's export does not have. Android writes notices without a name.
fn notice(body: &str, first: bool) -> Option<Content> {
    let marked = body.starts_with('\u{200e}');
    if (marked || first) && has_notice_words(body) {
        return Some(Content { kind: Some(Kind::System), ..Content::default() });
    }
    let event = if marked && !trim(body).contains('\n') { event(body) } else { None }?;
    Some(Content { kind: Some(Kind::GroupEvent), event: Some(event), ..Content::default() })
}

/// Returns whether a text begins with the words of a known notice.
fn has_notice_words(body: &str) -> bool {
    let begin: String = body.chars().take(200).collect();
    let key = folded(&begin);
    LANGUAGES.iter().flat_map(|language| language.notice).any(|notice| key.starts_with(notice))
}

/// Recognizes a change of a group by the first phrase that is in no quotation, because a group's name may contain such
/// phrases. The names of persons stay in the text: they cannot be distinguished from other words.
fn event(body: &str) -> Option<GroupEvent> {
    let begin: String = body.chars().take(400).collect();
    let key = format!("{}|", outside_quotations(&folded(&begin)).trim_end_matches('.'));
    let found = LANGUAGES.iter().flat_map(|language| language.events).filter_map(|(words, action)| {
        let at = key.find(words)?;
        Some(((at, Reverse(words.len())), action))
    });
    found.min_by_key(|(place, _)| *place).map(|(_, action)| GroupEvent {
        action: Some((*action).to_owned()),
        subjects: Vec::new(),
        old_value: None,
        new_value: None,
    })
}
