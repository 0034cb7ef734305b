//! Posts a day of webhooks to the function that receives them.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use anyhow::{Context, ensure};
use jiff::Timestamp;
use local::{
    event_source::drained,
    machine::Machine,
    webhooks::{APP_SECRET, FunctionUrlServer, Sender, VERIFY_TOKEN, WebhookDay},
};

/// Requests that the function handles concurrently. Further requests are rejected, as by Lambda.
const CONCURRENCY: usize = 2;

/// Posts the webhooks, and returns when their events and files are in the bucket. With a port it also accepts other
/// webhooks, until Ctrl-C.
///
/// # Errors
/// A webhook is not confirmed.
#[expect(clippy::print_stderr, reason = "this is the command's own output")]
pub(super) async fn receive(machine: &Machine, now: Timestamp, listen: Option<u16>) -> anyhow::Result<()> {
    let function = machine.receive().context("the function receive does not run")?;
    let queue = machine.resources.receive.clone().context("the queue of receive is missing")?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, listen.unwrap_or_default()));
    let server = FunctionUrlServer::start(Arc::clone(function), address, CONCURRENCY).await;
    let server = server.with_context(|| format!("listening on {address}"))?;
    let working = machine.work_receive();
    let sender = Sender::new(server.url())?;
    let (status, challenge) = sender.verify("1158201444").await?;
    ensure!(
        (status, challenge.as_str()) == (200, "1158201444"),
        "the verification request was answered with status {status}"
    );
    let bodies = WebhookDay::new(now).bodies;
    for body in &bodies {
        sender.deliver(body).await?;
    }
    eprintln!("receive: the URL is verified, {} webhooks are posted and confirmed", bodies.len());
    if listen.is_some() {
        let url = server.url();
        eprintln!(
            "Waiting for webhooks on {url}; Ctrl-C ends the wait and files the received ones.\n  app secret    {APP_SECRET}\n  verify token  {VERIFY_TOKEN}"
        );
        tokio::signal::ctrl_c().await?;
    }
    drop(server);
    drained(&machine.cloud, &[queue], |_| {}).await?;
    if let Some(working) = working {
        working.stop().await;
    }
    Ok(())
}
