//! Generates a day of webhooks of every kind in Meta's format: two business numbers, their clients, and unexpected
//! content.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::meta::MediaFile;

/// A business number: its digits and Meta's id.
type Number = (&'static str, &'static str);

/// A number in the user map.
const ADA: Number = ("46701740605", "700800900100201");
const KARIM: Number = ("447700900104", "700800900100202");
/// A number that is not in the user map.
const UNMAPPED: Number = ("12025550143", "700800900100203");

const CLIENT: &str = "447700900123";
const OTHER_CLIENT: &str = "351912345678";

/// Meta's id of a user who hides the phone number.
const HIDDEN: &str = "GB.10000000000000002";

const GROUP: &str = "Y2FwaV9ncm91cDo0NjcwMTc0MDYwNToxMjAzNjMwNDExMjIzMzQ0NTVAZy51cw==";

/// A day of webhooks.
pub struct WebhookDay {
    /// The bodies, in the order in which they are posted.
    pub bodies: Vec<Vec<u8>>,
    /// The files to which the webhooks refer.
    pub files: Vec<MediaFile>,
    /// Names, numbers, ids and texts that no log may contain.
    pub confidential: Vec<String>,
}

/// Returns an id in WhatsApp's format: base64 of the other party, the direction and the number of the message.
pub fn wamid(party: &str, incoming: bool, stanza: u32) -> String {
    let mut bytes = Vec::new();
    let mut text = |mark: &[u8], text: &str| {
        bytes.extend(mark);
        bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        bytes.extend(text.bytes());
    };
    text(b"\x1c\x18", party);
    let party_kind = if party.contains('.') { 0x14 } else { 0x02 };
    let direction = if incoming { 0x12 } else { 0x11 };
    text(&[0x15, party_kind, 0, direction, 0x18], &format!("3EB0{stanza:016X}"));
    bytes.push(0);
    format!("wamid.{}", BASE64_STANDARD.encode(bytes))
}

/// Returns the id of the item of a message between two, whichever side reports it.
pub fn item_id(sender: &str, recipient: &str, stanza: u32) -> String {
    format!("wa:{sender}:{recipient}:3EB0{stanza:016X}")
}

struct Builder {
    now: Timestamp,
    day: WebhookDay,
}

impl WebhookDay {
    /// Creates the day that ends at `now`.
    pub fn new(now: Timestamp) -> Self {
        let mut builder =
            Builder { now, day: Self { bodies: Vec::new(), files: Vec::new(), confidential: Vec::new() } };
        builder.files();
        builder.messages();
        builder.changes();
        builder.echoes();
        builder.groups_and_calls();
        builder.statuses();
        builder.history();
        builder.account();
        let mut day = builder.day;
        let words =
            [CLIENT, OTHER_CLIENT, ADA.0, KARIM.0, HIDDEN, GROUP, "Client", "Inês Carvalho", "quarterly figures"];
        day.confidential.extend(words.map(str::to_owned));
        day
    }
}

impl Builder {
    fn seconds(&self, minutes_ago: i64) -> String {
        (self.now - SignedDuration::from_mins(minutes_ago)).as_second().to_string()
    }

    /// Creates a message to a business number.
    fn incoming(&mut self, from: &str, stanza: u32, minutes_ago: i64, kind: &str, content: Value) -> Value {
        let id = wamid(from, true, stanza);
        self.day.confidential.push(id.clone());
        let mut message = json!({"from": from, "from_user_id": format!("GB.{from}"), "id": id,
            "timestamp": self.seconds(minutes_ago), "type": kind});
        message[kind] = content;
        message
    }

    /// Adds a webhook with messages to a business number.
    fn post(&mut self, number: Number, messages: Vec<Value>) {
        let contacts: Vec<_> = messages
            .iter()
            .filter_map(|message| message["from"].as_str())
            .map(|from| {
                let name = if from == CLIENT { "Client" } else { "Inês Carvalho" };
                json!({"profile": {"name": name}, "wa_id": from, "user_id": format!("GB.{from}")})
            })
            .collect();
        self.change(number, "messages", json!({"contacts": contacts, "messages": messages}));
    }

    /// Adds a webhook with one change of a number.
    fn change(&mut self, (digits, id): Number, field: &str, mut value: Value) {
        value["messaging_product"] = json!("whatsapp");
        value["metadata"] = json!({"display_phone_number": digits, "phone_number_id": id});
        self.body(&json!([{"id": "900100200300400", "changes": [{"field": field, "value": value}]}]));
    }

    fn body(&mut self, entry: &Value) {
        let body = json!({"object": "whatsapp_business_account", "entry": entry}).to_string();
        // Meta escapes non-ASCII characters, and signs the escaped text.
        let escaped: String = body
            .chars()
            .map(|char| {
                let mut units = [0; 2];
                let escape = |unit: &u16| format!("\\u{unit:04x}");
                if char.is_ascii() {
                    char.to_string()
                } else {
                    char.encode_utf16(&mut units).iter().map(escape).collect()
                }
            })
            .collect();
        self.day.bodies.push(escaped.into_bytes());
    }

    /// Creates the member of a message that names a file.
    fn file(&self, id: &str, more: Value) -> Value {
        let file = self.day.files.iter().find(|file| file.id == id);
        let mut content = json!({"id": id, "mime_type": file.map(|file| file.media_type), "sha256": file.map(MediaFile::sha256_base64)});
        if let (Some(members), Value::Object(more)) = (content.as_object_mut(), more) {
            members.extend(more);
        }
        content
    }

    fn files(&mut self) {
        const CHART: &[u8] = include_bytes!("../../sample/media/chart.png");
        const TERM_SHEET: &[u8] = include_bytes!("../../sample/media/term-sheet.pdf");
        const VOICE: &[u8] = include_bytes!("../../sample/media/voice.ogg");
        const SMILE: &[u8] = include_bytes!("../../sample/media/smile.webp");
        for (id, (_, number), media_type, bytes) in [
            ("1000000000000001", ADA, "image/png", CHART),
            ("1000000000000002", ADA, "application/pdf", TERM_SHEET),
            ("1000000000000003", ADA, "audio/ogg; codecs=opus", VOICE),
            ("1000000000000004", ADA, "image/webp", SMILE),
            ("1000000000000005", KARIM, "application/pdf", TERM_SHEET),
            ("1000000000000006", ADA, "image/png", CHART),
        ] {
            let bytes = Bytes::from_static(bytes);
            self.day.files.push(MediaFile { id: id.to_owned(), phone_number_id: number.to_owned(), media_type, bytes });
        }
    }

    fn messages(&mut self) {
        let text =
            self.incoming(CLIENT, 1, 300, "text", json!({"body": "Could you send the quarterly figures? \u{1F4C8}"}));
        self.post(ADA, vec![text]);
        let mut reply = self.incoming(CLIENT, 2, 299, "text", json!({"body": "By noon, please"}));
        reply["context"] = json!({"from": CLIENT, "id": wamid(CLIENT, true, 1), "forwarded": true});
        self.post(ADA, vec![reply]);
        let image = self.file("1000000000000001", json!({"caption": "the chart"}));
        let document = self.file("1000000000000002", json!({"filename": "term sheet.pdf", "caption": "please see"}));
        let voice = self.file("1000000000000003", json!({"voice": true}));
        let sticker = self.file("1000000000000004", json!({"animated": false}));
        // One body with messages from two clients.
        let messages = vec![
            self.incoming(CLIENT, 3, 290, "image", image),
            self.incoming(CLIENT, 4, 289, "document", document),
            self.incoming(OTHER_CLIENT, 5, 288, "audio", voice),
            self.incoming(OTHER_CLIENT, 6, 287, "sticker", sticker),
        ];
        self.post(ADA, messages);
        let contact = json!([{"name": {"formatted_name": "Inês Carvalho"}, "phones": [{"phone": "+351 912 345 678", "wa_id": OTHER_CLIENT}]}]);
        for (stanza, kind, content) in [
            (10, "location", json!({"latitude": 55.6761, "longitude": 12.5683, "name": "Office"})),
            (11, "contacts", contact),
            (12, "reaction", json!({"message_id": wamid(CLIENT, true, 1), "emoji": "\u{1F44D}"})),
            (13, "reaction", json!({"message_id": wamid(CLIENT, true, 1)})),
            (14, "button", json!({"payload": "yes", "text": "Yes"})),
            (
                15,
                "interactive",
                json!({"type": "list_reply", "list_reply": {"id": "a", "title": "Bonds", "description": "Fixed income"}}),
            ),
            (
                16,
                "interactive",
                json!({"type": "nfm_reply", "nfm_reply": {"name": "flow", "body": "Sent", "response_json": "{\"amount\":\"100\"}"}}),
            ),
            (
                17,
                "order",
                json!({"catalog_id": "1", "text": "two", "product_items": [{"product_retailer_id": "p", "quantity": 2, "item_price": 9.5, "currency": "EUR"}]}),
            ),
            (18, "unsupported", json!({"type": "poll_creation"})),
            (19, "something_new", json!({"of": "next year"})),
        ] {
            let mut message = self.incoming(CLIENT, stanza, 280 - i64::from(stanza), kind, content);
            if kind == "unsupported" {
                message["errors"] = json!([{"code": 131_051, "title": "Message type unknown"}]);
            }
            self.post(KARIM, vec![message]);
        }
        let mut system = self.incoming(CLIENT, 20, 250, "system", json!({"body": "User changed from 447700900123 to 447700900124", "type": "user_changed_number", "wa_id": "447700900124"}));
        system["from_user_id"] = Value::Null;
        self.change(KARIM, "messages", json!({"messages": [system]}));
        // A user whose number is hidden.
        let id = wamid(HIDDEN, true, 21);
        self.day.confidential.push(id.clone());
        self.change(ADA, "messages", json!({
            "contacts": [{"profile": {"name": "Hidden", "username": "hidden.user"}, "user_id": HIDDEN}],
            "messages": [{"from_user_id": HIDDEN, "id": id, "timestamp": self.seconds(240), "type": "text", "text": {"body": "hello"}}]}));
        let unmapped = self.incoming(CLIENT, 22, 239, "text", json!({"body": "to a number without a mailbox"}));
        self.post(UNMAPPED, vec![unmapped]);
    }

    /// Edits and deletions; one edit comes before its message.
    fn changes(&mut self) {
        let edit = json!({"original_message_id": wamid(CLIENT, true, 31), "message": {"type": "text", "text": {"body": "at eleven"}}});
        let edit = self.incoming(CLIENT, 30, 199, "edit", edit);
        self.post(ADA, vec![edit]);
        let original = self.incoming(CLIENT, 31, 200, "text", json!({"body": "at ten"}));
        self.post(ADA, vec![original]);
        let revoke = self.incoming(CLIENT, 32, 198, "revoke", json!({"original_message_id": wamid(CLIENT, true, 31)}));
        self.post(ADA, vec![revoke]);
    }

    /// Messages that a person wrote in the WhatsApp Business app.
    fn echoes(&mut self) {
        let document = self.file("1000000000000005", json!({"filename": "offer.pdf"}));
        for (stanza, kind, content) in [
            (40, "text", json!({"body": "Here you are"})),
            (41, "document", document),
            (42, "revoke", json!({"original_message_id": wamid(CLIENT, false, 40)})),
        ] {
            let id = wamid(CLIENT, false, stanza);
            self.day.confidential.push(id.clone());
            let mut echo = json!({"from": KARIM.0, "to": CLIENT, "to_user_id": format!("GB.{CLIENT}"), "id": id,
                "timestamp": self.seconds(180 - i64::from(stanza)), "type": kind});
            echo[kind] = content;
            self.change(KARIM, "smb_message_echoes", json!({"message_echoes": [echo]}));
        }
    }

    fn groups_and_calls(&mut self) {
        let mut text = self.incoming(CLIENT, 50, 120, "text", json!({"body": "Hello everybody"}));
        text["group_id"] = json!(GROUP);
        self.post(ADA, vec![text]);
        let group = json!({"timestamp": self.seconds(121), "group_id": GROUP, "type": "group_create", "request_id": "r", "subject": "Rates desk"});
        self.change(ADA, "group_lifecycle_update", json!({"groups": [group]}));
        let joined = json!({"timestamp": self.seconds(119), "group_id": GROUP, "type": "group_participants_add", "added_participants": [{"wa_id": CLIENT}]});
        self.change(ADA, "group_participants_update", json!({"groups": [joined]}));
        let call = |event: &str, more: Value| {
            let mut call = json!({"id": format!("wacid.{}", BASE64_STANDARD.encode(CLIENT)), "from": CLIENT, "to": ADA.0, "event": event,
                "direction": "USER_INITIATED"});
            if let (Some(members), Value::Object(more)) = (call.as_object_mut(), more) {
                members.extend(more);
            }
            call
        };
        let began = call("connect", json!({"timestamp": self.seconds(100)}));
        self.change(ADA, "calls", json!({"calls": [began]}));
        let ended = json!({"timestamp": self.seconds(95), "status": "COMPLETED", "start_time": self.seconds(100), "end_time": self.seconds(95), "duration": 300});
        self.change(ADA, "calls", json!({"calls": [call("terminate", ended)]}));
    }

    /// Statuses of a message with content, and of a message that was sent through the API, so that no webhook has its
    /// content.
    fn statuses(&mut self) {
        for (stanza, words) in [(40, &["sent", "delivered", "read"][..]), (60, &["sent", "delivered"])] {
            let id = wamid(CLIENT, false, stanza);
            self.day.confidential.push(id.clone());
            for word in words {
                let status = json!({"id": id, "status": word, "timestamp": self.seconds(90), "recipient_id": CLIENT});
                self.change(KARIM, "messages", json!({"statuses": [status]}));
            }
        }
    }

    /// Returns the history of the phone: a message that was also received live, an older one, and a file that comes
    /// later.
    fn history(&mut self) {
        let message = |stanza: u32, kind: &str, content: Value, minutes| {
            let mut message = json!({"from": CLIENT, "id": wamid(CLIENT, true, stanza), "timestamp": self.seconds(minutes), "type": kind,
                "history_context": {"status": "READ"}});
            message[kind] = content;
            message
        };
        let placeholder = message(71, "media_placeholder", json!({}), 3_000);
        let threads = json!([{"id": CLIENT, "messages": [
            message(1, "text", json!({"body": "Could you send the quarterly figures? \u{1F4C8}"}), 300),
            message(70, "text", json!({"body": "An older message"}), 3_001),
            placeholder,
        ]}]);
        let image = message(71, "image", self.file("1000000000000006", json!({"caption": "an older picture"})), 3_000);
        for stanza in [70, 71] {
            self.day.confidential.push(wamid(CLIENT, true, stanza));
        }
        self.change(
            ADA,
            "history",
            json!({"history": [{"metadata": {"phase": 0, "chunk_order": 1, "progress": 50}, "threads": threads}]}),
        );
        self.change(ADA, "history", json!({"messages": [image]}));
        self.change(
            KARIM,
            "history",
            json!({"history": [{"errors": [{"code": 2_593_109, "title": "History sharing is turned off"}]}]}),
        );
    }

    fn account(&mut self) {
        let contact = json!({"type": "contact", "action": "add", "contact": {"full_name": "Inês Carvalho", "first_name": "Inês", "phone_number": OTHER_CLIENT}, "metadata": {"timestamp": self.seconds(60)}});
        self.change(ADA, "smb_app_state_sync", json!({"state_sync": [contact]}));
        let removed = json!({"event": "PARTNER_REMOVED", "phone_number": UNMAPPED.0, "disconnection_info": {"reason": "user", "initiated_by": "business"}});
        self.body(&json!([{"id": "900100200300400", "changes": [{"field": "account_update", "value": removed}]}]));
        self.body(&json!([{"id": "900100200300400", "changes": [{"field": "of_next_year", "value": {"a": 1}}]}]));
    }
}
