//! An independent mail client, so that tests do not read mailboxes with the code under test.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// A message on the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// UID in its folder.
    pub uid: u32,
    /// Flags, such as `\Seen`.
    pub flags: String,
    /// INTERNALDATE, such as `22-Nov-2026 07:00:00 +0000`.
    pub date: String,
    /// The whole message.
    pub bytes: Vec<u8>,
}

/// A connection to the server after the login.
pub struct Client {
    reader: Box<dyn BufRead>,
    writer: Box<dyn Write>,
    /// The process of openssl, which handles TLS.
    tls: Option<Child>,
}

impl Client {
    /// Connects and logs in. The connection uses TLS if the certificate of an authority is given.
    ///
    /// # Errors
    /// The server does not respond or rejects the login.
    pub fn connect(port: u16, authority: Option<&Path>, user: &str, password: &str) -> io::Result<Self> {
        let mut client = match authority {
            None => {
                let stream = TcpStream::connect(("127.0.0.1", port))?;
                Self { reader: Box::new(BufReader::new(stream.try_clone()?)), writer: Box::new(stream), tls: None }
            }
            Some(authority) => {
                let mut command = Command::new("openssl");
                command.args(["s_client", "-quiet", "-verify_return_error", "-connect", &format!("127.0.0.1:{port}")]);
                command
                    .arg("-CAfile")
                    .arg(authority)
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::null());
                let mut process = command.spawn()?;
                let (stdin, stdout): (Option<ChildStdin>, Option<ChildStdout>) =
                    (process.stdin.take(), process.stdout.take());
                let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
                    return Err(io::Error::other("the process of openssl has no pipes"));
                };
                Self { reader: Box::new(BufReader::new(stdout)), writer: Box::new(stdin), tls: Some(process) }
            }
        };
        client.read_line()?;
        client.run(&format!("LOGIN {user} \"{password}\""))?;
        Ok(client)
    }

    /// Returns all messages of a folder in the order of their UIDs, or none if the folder does not exist.
    ///
    /// # Errors
    /// The server does not respond.
    pub fn copies(&mut self, folder: &str) -> io::Result<Vec<Copy>> {
        let Ok(lines) = self.run(&format!("EXAMINE \"{folder}\"")) else { return Ok(Vec::new()) };
        if lines.iter().any(|(line, _)| line == "* 0 EXISTS") {
            return Ok(Vec::new());
        }
        let lines = self.run("FETCH 1:* (UID FLAGS INTERNALDATE BODY.PEEK[])")?;
        let between = |line: &str, from: &str, to: &str| {
            line.split_once(from).and_then(|(_, rest)| rest.split_once(to)).map(|(text, _)| text.to_owned())
        };
        let copies = lines.into_iter().filter_map(|(line, bytes)| {
            Some(Copy {
                uid: between(&line, "UID ", " ")?.parse().ok()?,
                flags: between(&line, "FLAGS (", ")")?,
                date: between(&line, "INTERNALDATE \"", "\"")?,
                bytes: bytes?,
            })
        });
        Ok(copies.collect())
    }

    /// Selects a folder and runs a command. Returns the untagged lines of the response.
    pub(crate) fn run_in(&mut self, folder: &str, command: &str) -> io::Result<Vec<String>> {
        self.run(&format!("SELECT \"{folder}\""))?;
        Ok(self.run(command)?.into_iter().map(|(line, _)| line).collect())
    }

    /// Appends a message to a folder.
    pub(crate) fn append(&mut self, folder: &str, message: &[u8]) -> io::Result<()> {
        self.writer.write_all(format!("a APPEND \"{folder}\" {{{}+}}\r\n", message.len()).as_bytes())?;
        self.writer.write_all(message)?;
        self.writer.write_all(b"\r\n")?;
        self.read_response().map(drop)
    }

    /// Runs a command. Returns the untagged lines of the response, each with the literal that it announces.
    ///
    /// # Errors
    /// The server does not respond or rejects the command.
    pub fn run(&mut self, command: &str) -> io::Result<Vec<(String, Option<Vec<u8>>)>> {
        self.writer.write_all(format!("a {command}\r\n").as_bytes())?;
        self.read_response()
    }

    /// Reads the response to a command. Returns its untagged lines, each with the literal that it announces.
    fn read_response(&mut self) -> io::Result<Vec<(String, Option<Vec<u8>>)>> {
        self.writer.flush()?;
        let mut lines = Vec::new();
        loop {
            let line = self.read_line()?;
            if let Some(status) = line.strip_prefix("a ") {
                return if status.starts_with("OK") { Ok(lines) } else { Err(io::Error::other(line)) };
            }
            let length = line.strip_suffix('}').and_then(|line| line.rsplit_once('{')?.1.parse().ok());
            let literal = match length {
                None => None,
                Some(length) => {
                    let mut literal = vec![0; length];
                    self.reader.read_exact(&mut literal)?;
                    // The line with the closing bracket.
                    self.read_line()?;
                    Some(literal)
                }
            };
            lines.push((line, literal));
        }
    }

    fn read_line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.reader.by_ref().read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(process) = &mut self.tls {
            // The process may have ended by itself.
            process.kill().ok();
            process.wait().ok();
        }
    }
}
