//! Commands and their responses on one connection.

use std::sync::Arc;

use rustls::ClientConfig;
use secrecy::ExposeSecret;

use super::{
    config::ImapConfig,
    error::{Failure, Refusal, configuration},
    login::SaslResponse,
    response::{Code, Condition, Response, Status, Word, parse},
    wire::Wire,
};
use crate::MailboxError;

/// The capabilities of the server.
#[derive(Debug, Default)]
pub(super) struct Capabilities(Vec<String>);

impl Capabilities {
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|capability| capability.eq_ignore_ascii_case(name))
    }

    /// Returns the maximum size of a message, in bytes (RFC 7889); `None` if there is no APPENDLIMIT, or none with a
    /// number: then the limit depends on the folder, and the server rejects larger messages.
    pub(super) fn append_limit(&self) -> Option<u64> {
        let limit = |capability: &String| capability.to_ascii_uppercase().strip_prefix("APPENDLIMIT=")?.parse().ok();
        self.0.iter().find_map(limit)
    }

    fn update(&mut self, condition: &Condition) -> bool {
        match &condition.code {
            Some(Code { name, arguments }) if name == "CAPABILITY" => {
                self.0.clone_from(arguments);
                true
            }
            _ => false,
        }
    }
}

/// A connection after login.
pub(super) struct Client {
    pub(super) wire: Wire,
    pub(super) capabilities: Capabilities,
    tag: u32,
}

impl Client {
    /// Connects and logs in.
    pub(super) async fn login(
        config: &ImapConfig,
        tls: &Arc<ClientConfig>,
        sasl_response: &SaslResponse,
    ) -> Result<Self, Failure> {
        let wire = Wire::connect(&config.host, tls, config.response_timeout).await?;
        let mut client = Self { wire, capabilities: Capabilities::default(), tag: 0 };
        client.greet().await?;
        client.authenticate(sasl_response).await?;
        Ok(client)
    }

    async fn greet(&mut self) -> Result<(), Failure> {
        self.wire.start_command();
        let greeting = self.wire.read().await?;
        match parse(&greeting) {
            Some(Response::Untagged(condition)) if condition.status == Status::Ok => {
                if !self.capabilities.update(&condition) {
                    self.fetch_capabilities().await?;
                }
                Ok(())
            }
            Some(Response::Untagged(condition)) if condition.status == Status::Bye => {
                Err(Failure::Refused(Refusal { command: "the connection", condition, is_tagged: false }))
            }
            Some(Response::Untagged(condition)) if condition.status == Status::PreAuth => Err(configuration(
                "the server starts without a login (PREAUTH): the mailbox of a given user cannot be opened there",
            )),
            _ => Err(Failure::Protocol("the peer is not an IMAP server")),
        }
    }

    async fn authenticate(&mut self, sasl_response: &SaslResponse) -> Result<(), Failure> {
        if !self.capabilities.has(&format!("AUTH={}", sasl_response.mechanism)) {
            let detail = format!("the server does not offer the login mechanism {}", sasl_response.mechanism);
            return Err(MailboxError::Configuration { detail }.into());
        }
        let response = sasl_response.response.expose_secret();
        let command = "AUTHENTICATE";
        let tag = if self.capabilities.has("SASL-IR") {
            self.send(command, &format!(" {} {response}", sasl_response.mechanism)).await?
        } else {
            let tag = self.send(command, &format!(" {}", sasl_response.mechanism)).await?;
            self.wait_for_continuation(command, &tag).await?;
            self.send_line(response).await?;
            tag
        };
        let condition = loop {
            match self.next(command, &tag, &mut |_| {}).await? {
                Some(condition) => break condition,
                // XOAUTH2: the server sends the reason of a rejection, which the client must acknowledge.
                None => self.send_line("").await?,
            }
        };
        if condition.status != Status::Ok {
            return Err(Failure::Refused(Refusal { command, condition, is_tagged: true }));
        }
        if !self.capabilities.update(&condition) {
            self.fetch_capabilities().await?;
        }
        Ok(())
    }

    async fn fetch_capabilities(&mut self) -> Result<(), Failure> {
        let mut all = Vec::new();
        self.run("CAPABILITY", "", |words| {
            if let [name, rest @ ..] = words
                && name.is("CAPABILITY")
            {
                let names = rest.iter().filter_map(Word::text);
                all = names.map(|name| String::from_utf8_lossy(name).into_owned()).collect();
            }
        })
        .await?;
        self.capabilities = Capabilities(all);
        Ok(())
    }

    /// Runs a command. `each` receives the untagged data responses.
    pub(super) async fn run(
        &mut self,
        command: &'static str,
        arguments: &str,
        mut each: impl FnMut(&[Word]),
    ) -> Result<Condition, Failure> {
        self.run_with(command, arguments, |response| {
            if let Response::Data(words) = response {
                each(words);
            }
        })
        .await
    }

    /// Runs a command. `each` receives all untagged responses.
    pub(super) async fn run_with(
        &mut self,
        command: &'static str,
        arguments: &str,
        mut each: impl FnMut(&Response),
    ) -> Result<Condition, Failure> {
        let tag = self.send(command, arguments).await?;
        self.wait_for_end(command, &tag, &mut each).await
    }

    /// Sends a command and returns its tag.
    pub(super) async fn send(&mut self, command: &'static str, arguments: &str) -> Result<Vec<u8>, Failure> {
        self.tag += 1;
        let tag = format!("A{}", self.tag);
        self.wire.start_command();
        self.send_line(&format!("{tag} {command}{arguments}")).await?;
        Ok(tag.into_bytes())
    }

    pub(super) async fn send_line(&mut self, line: &str) -> Result<(), Failure> {
        self.wire.write(format!("{line}\r\n").as_bytes()).await?;
        Ok(self.wire.flush().await?)
    }

    /// Waits until the server requests the rest of a command. A server that cannot parse the command may respond with
    /// an untagged `* BAD` only.
    pub(super) async fn wait_for_continuation(&mut self, command: &'static str, tag: &[u8]) -> Result<(), Failure> {
        loop {
            let (condition, is_tagged) = match self.receive().await? {
                Response::Continue => return Ok(()),
                Response::Done(ours, condition) if ours == tag => (condition, true),
                Response::Done(..) => return Err(OTHER_COMMAND),
                Response::Untagged(condition) if matches!(condition.status, Status::Bad | Status::Bye) => {
                    (condition, false)
                }
                Response::Untagged(_) | Response::Data(_) => continue,
            };
            return Err(match condition.status {
                Status::Ok => Failure::Protocol("the server ended a command before it was complete"),
                _ => Failure::Refused(Refusal { command, condition, is_tagged }),
            });
        }
    }

    /// Waits for the tagged response, which ends a command.
    pub(super) async fn wait_for_end(
        &mut self,
        command: &'static str,
        tag: &[u8],
        each: &mut impl FnMut(&Response),
    ) -> Result<Condition, Failure> {
        match self.next(command, tag, each).await? {
            Some(condition) if condition.status == Status::Ok => Ok(condition),
            Some(condition) => Err(Failure::Refused(Refusal { command, condition, is_tagged: true })),
            None => Err(Failure::Protocol("the server requests more of a command that has ended")),
        }
    }

    /// Returns the result of a command; `None` if the server requests the rest of the command.
    async fn next(
        &mut self,
        command: &'static str,
        tag: &[u8],
        each: &mut impl FnMut(&Response),
    ) -> Result<Option<Condition>, Failure> {
        let mut bad = None;
        loop {
            let response = match self.receive().await {
                // Before the server closed the connection, it reported the reason.
                Err(Failure::NotSent(_)) if bad.is_some() => {
                    let Some(condition) = bad.take() else { continue };
                    return Err(Failure::Refused(Refusal { command, condition, is_tagged: false }));
                }
                result => result?,
            };
            match response {
                Response::Continue => return Ok(None),
                Response::Done(ours, condition) if ours == tag => return Ok(Some(condition)),
                Response::Done(..) => return Err(OTHER_COMMAND),
                Response::Untagged(condition) if condition.status == Status::Bye => {
                    return Err(Failure::Refused(Refusal { command, condition, is_tagged: false }));
                }
                // An untagged BAD may concern this command, whose tag the server could not parse.
                Response::Untagged(condition) if condition.status == Status::Bad => bad = Some(condition),
                response @ (Response::Untagged(_) | Response::Data(_)) => each(&response),
            }
        }
    }

    async fn receive(&mut self) -> Result<Response, Failure> {
        let bytes = self.wire.read().await?;
        // A busy server sends signs of life, such as `* OK Still here`.
        self.wire.extend_deadline();
        parse(&bytes).ok_or(Failure::Protocol("the response is not IMAP"))
    }
}

const OTHER_COMMAND: Failure = Failure::Protocol("the server responds to a command that was not sent");

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// Runs a command whose only response is this one. Returns the error, and whether the deadline was extended.
    async fn run(response: &[u8]) -> (Failure, bool) {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        theirs.write_all(response).await.unwrap();
        theirs.shutdown().await.unwrap();
        let mut client = Client { wire: Wire::to_test(ours), capabilities: Capabilities::default(), tag: 0 };
        let tag = client.send("NOOP", "").await.unwrap();
        let deadline = client.wire.deadline();
        let failure = client.wait_for_end("NOOP", &tag, &mut |_| {}).await.unwrap_err();
        (failure, client.wire.deadline() > deadline)
    }

    #[tokio::test]
    async fn deadline_is_extended_by_a_sign_of_life_and_not_without_one() {
        assert!(run(b"* OK Still here\r\n").await.1);
        assert!(!run(b"").await.1);
        assert!(!run(b"* OK half a li").await.1);
    }

    #[tokio::test]
    async fn untagged_bad_is_the_error_when_nothing_follows() {
        let (failure, _) = run(b"* BAD Line too long\r\n").await;
        assert!(
            matches!(&failure, Failure::Refused(refusal) if refusal.detail().contains("line too long")),
            "{failure:?}"
        );
        assert!(matches!(run(b"* OK fine\r\n").await.0, Failure::NotSent(_)));
    }
}
