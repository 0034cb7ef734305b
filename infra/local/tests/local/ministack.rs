//! The emulator as a child process: persistence and failures.

use crate::support;

use std::{net::TcpListener, time::Duration};

use local::{
    cloud::{Cloud, Redelivery},
    ministack::{Ministack, MinistackError, MinistackOptions},
};
use serde_json::json;

const REDELIVERY: Redelivery = Redelivery { visibility: Duration::from_secs(60), max_receives: 3 };

#[tokio::test]
async fn ministack_keeps_its_state_across_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let options = MinistackOptions {
        state: Some(directory.path().join("state")),
        ..support::ministack_options(directory.path())
    };
    let server = Ministack::start(&options).await.unwrap();
    let cloud = Cloud::at(&server.endpoint()).await;
    let resources = cloud.create(REDELIVERY, false).await.unwrap();
    let (s3, sqs) = (aws_sdk_s3::Client::new(cloud.config()), aws_sdk_sqs::Client::new(cloud.config()));
    for key in ["mime/2026-11-21/a.eml", "config/user map é.csv"] {
        s3.put_object().bucket(&resources.bucket).key(key).body(key.as_bytes().to_vec().into()).send().await.unwrap();
    }
    for body in ["waits", "was received"] {
        sqs.send_message().queue_url(&resources.convert.url).message_body(body).send().await.unwrap();
    }
    let received = sqs.receive_message().queue_url(&resources.convert.url).send().await.unwrap();
    assert_eq!(received.messages().len(), 1);
    cloud.put_secret("mailbox", &json!({"password": "old"})).await.unwrap();
    cloud.put_secret("mailbox", &json!({"password": "new"})).await.unwrap();
    server.stop().await.unwrap();

    let server = Ministack::start(&options).await.unwrap();
    let cloud = Cloud::at(&server.endpoint()).await;
    let again = cloud.create(REDELIVERY, false).await.unwrap();
    assert_eq!(again.bucket, resources.bucket);
    assert_eq!(again.convert.arn, resources.convert.arn);
    let (s3, sqs) = (aws_sdk_s3::Client::new(cloud.config()), aws_sdk_sqs::Client::new(cloud.config()));
    for key in ["mime/2026-11-21/a.eml", "config/user map é.csv"] {
        let object = s3.get_object().bucket(&again.bucket).key(key).send().await.unwrap();
        assert_eq!(object.body.collect().await.unwrap().into_bytes(), key);
    }
    let depth = local::event_source::depth(&cloud, &again.convert).await.unwrap();
    assert_eq!((depth.visible, depth.in_flight), (1, 1));
    let received = sqs.receive_message().queue_url(&again.convert.url).send().await.unwrap();
    assert_eq!(received.messages().len(), 1);
    let secrets = aws_sdk_secretsmanager::Client::new(cloud.config());
    let secret = secrets.get_secret_value().secret_id("mailbox").send().await.unwrap();
    assert_eq!(secret.secret_string(), Some(r#"{"password":"new"}"#));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn dropped_ministack_keeps_its_lock_until_it_has_ended() {
    let directory = tempfile::tempdir().unwrap();
    let options = MinistackOptions {
        state: Some(directory.path().join("state")),
        ..support::ministack_options(directory.path())
    };
    let server = Ministack::start(&options).await.unwrap();
    Cloud::at(&server.endpoint()).await.put_secret("mailbox", &json!({"password": "p"})).await.unwrap();
    drop(server);
    // The new server waits for the lock, which the old one holds until it has written its state.
    let server = Ministack::start(&options).await.unwrap();
    let secrets = aws_sdk_secretsmanager::Client::new(Cloud::at(&server.endpoint()).await.config());
    assert!(secrets.get_secret_value().secret_id("mailbox").send().await.is_ok());

    let second = Ministack::start(&options).await.err().expect("a second server with the same state is rejected");
    assert!(matches!(&second, MinistackError::StateInUse(_)), "{second}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn ministack_reports_why_it_cannot_start() {
    let directory = tempfile::tempdir().unwrap();
    let options = support::ministack_options(directory.path());
    let missing = MinistackOptions { program: directory.path().join("ministack"), ..options.clone() };
    let error = Ministack::start(&missing).await.err().expect("there is no program");
    assert!(matches!(error, MinistackError::NotInstalled(_)) && error.to_string().contains("`make "), "{error}");

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = Ministack::start(&MinistackOptions { port: Some(port), ..options.clone() }).await.err();
    assert!(matches!(error, Some(MinistackError::PortTaken(p)) if p == port), "{error:?}");

    let running = Ministack::start(&options).await.unwrap();
    let port: u16 = running.endpoint().rsplit(':').next().unwrap().parse().unwrap();
    assert!(
        std::net::UdpSocket::bind(("127.0.0.1", port)).is_err(),
        "a server that starts beside it could select its port"
    );
    running.stop().await.unwrap();

    let program = directory.path().join("ministack");
    for path in [&program, &directory.path().join("uvicorn")] {
        std::fs::write(path, "#!/bin/sh\necho no memory left\nexit 5\n").unwrap();
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let error = Ministack::start(&MinistackOptions { program, ..options }).await.err().expect("it dies");
    let MinistackError::Exited { status, log_tail } = &error else { panic!("{error}") };
    assert_eq!((status.code(), log_tail.as_str()), (Some(5), "no memory left"));
}
