//! Files of AWS End User Messaging Social, from its notification by SNS to the mailbox.

use std::collections::BTreeMap;

use anyhow::Context;
use aws_fake::{SocialFault, SocialFile, SocialMessaging};
use harness::{ItemSource, MailSystem, Pipeline};
use jiff::Timestamp;
use local::{
    cloud::ACCESS_KEY,
    sample_source::user_map,
    webhooks::{MediaFile, WebhookDay, wamid},
};
use mail_parser::{MessageParser, MimeHeaders};
use serde_json::{Value, json};

use crate::{
    sample_day::addresses,
    topics::{call_sns, create_topic},
    webhooks::{body, social_event},
};

const ADA: &str = "ada.lindqvist@example.com";
const CLIENT: &str = "447700900123";

/// AWS's id of the business number, without its prefix.
const PHONE_NUMBER_ID: &str = "0bb20bb20bb20bb20bb20bb20bb20bb2";

struct Social {
    pipeline: Pipeline,
    fake: SocialMessaging,
    topic: String,
    file: MediaFile,
    /// A document with the file, as Meta posts it.
    document: Vec<u8>,
}

impl Social {
    /// Starts a pipeline that retries immediately, and a fake of AWS with one file.
    async fn start() -> anyhow::Result<Self> {
        let fake = SocialMessaging::start(ACCESS_KEY).await;
        let variables = [("AWS_ENDPOINT_URL_SOCIALMESSAGING", fake.url()), ("RETRY_BASE_SECONDS", "0")];
        let day = WebhookDay::new(Timestamp::now());
        let file = day.files.iter().find(|file| file.media_type == "application/pdf").context("no PDF")?.clone();
        let source = ItemSource::Webhooks(day.files);
        let pipeline = Pipeline::start(source, MailSystem::Maildir(addresses()?), &variables).await?;
        pipeline.put_user_map(user_map()).await?;
        pipeline.keep_word_confidential(&wamid(CLIENT, true, 950));
        pipeline.keep_word_confidential("the terms");
        fake.connect(pipeline.machine.cloud.config(), &pipeline.machine.resources.bucket);
        let number = format!("phone-number-id-{PHONE_NUMBER_ID}");
        fake.add(SocialFile {
            id: file.id.clone(),
            number,
            mime: file.media_type.to_owned(),
            bytes: file.bytes.clone(),
        });
        let document = json!({"id": file.id, "mime_type": file.media_type, "sha256": file.sha256_base64(),
            "filename": "terms.pdf", "caption": "the terms"});
        let document = body(&json!({
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "46701740605", "phone_number_id": file.phone_number_id},
            "messages": [{"from": CLIENT, "id": wamid(CLIENT, true, 950), "timestamp": "1795166043", "type": "document",
                "document": document}],
        }));
        let topic = create_topic(&pipeline).await?;
        Ok(Self { pipeline, fake, topic, file, document })
    }

    /// Publishes the document, as AWS does.
    async fn publish(&self) -> anyhow::Result<()> {
        let webhook: Value = serde_json::from_slice(&self.document)?;
        let arn = format!("arn:aws:social-messaging:us-east-1:000000000000:phone-number-id/{PHONE_NUMBER_ID}");
        let numbers = json!([{"metaPhoneNumberId": self.file.phone_number_id, "arn": arn}]);
        let event = social_event(&webhook["entry"][0], numbers).to_string();
        let publish = [("Action", "Publish"), ("TopicArn", self.topic.as_str()), ("Message", event.as_str())];
        call_sns(&self.pipeline, &publish, "MessageId").await.map(drop)
    }

    /// Files what was received, and asserts that the document is filed once, with its file.
    async fn assert_filed_once(&self) -> anyhow::Result<()> {
        self.pipeline.store_events().await?;
        self.pipeline.run(&Pipeline::backfill()).await?;
        assert_eq!(self.pipeline.copies()?, BTreeMap::from([(ADA.to_owned(), 1)]));
        let mail = self.pipeline.mail(ADA)?.into_values().next().context("nothing is filed")?;
        let message = MessageParser::new().parse(&mail).context("not a mail")?;
        let part = message.attachments().find(|part| part.attachment_name() == Some("terms.pdf")).context("no file")?;
        assert_eq!(part.contents(), &self.file.bytes[..]);
        assert!(self.pipeline.dead_letters().await?.is_empty());
        Ok(())
    }
}

#[tokio::test]
async fn document_from_meta_and_aws_is_filed_once_with_its_file() -> anyhow::Result<()> {
    let social = Social::start().await?;
    social.publish().await?;
    social.assert_filed_once().await?;
    assert_eq!((social.fake.written(), social.fake.rejected().len()), (1, 0));
    let keys = social.pipeline.keys(model::keys::MEDIA).await?;
    assert!(keys.iter().any(|key| key.ends_with(&format!("/{}.pdf", social.file.id))), "{keys:?}");

    let (_server, sender) = social.pipeline.start_function_url(2).await?;
    sender.deliver(&social.document).await?;
    social.assert_filed_once().await?;
    let meta = social.pipeline.meta.as_ref().context("no fake of Meta")?;
    assert_eq!((meta.downloads(), social.fake.written()), (0, 1), "the file was fetched twice");
    Ok(())
}

#[tokio::test]
async fn faults_of_aws_delay_a_file_and_lose_none() -> anyhow::Result<()> {
    let social = Social::start().await?;
    let faults = [
        SocialFault::AccessDenied,
        SocialFault::AccessDeniedByMeta,
        SocialFault::Throttled,
        SocialFault::NotFound,
        SocialFault::Dependency,
        SocialFault::NothingWritten,
        SocialFault::OtherBytes,
        SocialFault::Shorter,
    ];
    faults.into_iter().for_each(|fault| social.fake.inject_fault(fault));
    social.publish().await?;
    social.assert_filed_once().await?;
    assert_eq!((social.fake.faults_left(), social.fake.rejected().len()), (0, 0));
    for text in [
        "configuration error, will retry until the receive limit",
        "status 403 AccessDeniedException: check the permissions",
        "status 403 AccessDeniedByMetaException: check the permissions",
        "status 429 ThrottledRequestException",
        r#""FileThrottles":1"#,
        "status 502 DependencyException",
        "WhatsApp does not have the file",
        "AWS confirmed a file that is not in the bucket",
        "does not have the SHA-256 that the webhook says",
    ] {
        social.pipeline.until_logged(text).await?;
    }
    assert!(!social.pipeline.logs().contains(r#""MailboxThrottles":1"#));
    Ok(())
}
