//! AWS End User Messaging Social: an SQS message contains SNS's envelope (unless raw delivery is on), the envelope
//! contains AWS's event, and the event contains one of Meta's entries.

use crate::{
    envelope::Channel,
    json::Members,
    webhook::{Malformed, Webhook, changes, decode, parse_raw, unwrap_json_string},
};

/// Parses the body of an SQS message.
///
/// # Errors
/// [`Malformed`].
pub fn aws_entries(sqs_body: &[u8]) -> Result<Webhook, Malformed> {
    const ENTRY: &str = "whatsAppWebhookEntry";
    let (text, repairs) = decode(sqs_body)?;
    let outer = parse_raw(&text)?;
    let members = Members::of(outer).ok_or(Malformed::AwsEntry)?;
    let event = match members.get(ENTRY) {
        Some(_) => outer.to_owned(),
        None => members.get("Message").and_then(unwrap_json_string).ok_or(Malformed::AwsEntry)?,
    };
    let members = Members::of(&event).ok_or(Malformed::AwsEntry)?;
    let entry = members.get(ENTRY).and_then(unwrap_json_string).ok_or(Malformed::AwsEntry)?;
    let context = members.object("context").unwrap_or_default();
    let number = |raw| {
        let number = Members::of(raw)?;
        let arn = number.text("arn")?;
        // AWS's API accepts the ARN, or `phone-number-id-` and the last part of the ARN.
        let id = arn.rsplit_once("phone-number-id/").map(|(_, id)| format!("phone-number-id-{id}"))?;
        Some((number.text("metaPhoneNumberId")?, id))
    };
    let aws_numbers = context.list("MetaPhoneNumberIds").into_iter().filter_map(number).collect();
    Ok(Webhook { changes: changes(&entry), channel: Channel::Aws, aws_numbers, repairs })
}
