//! The bytes between us and the server: over TLS, or without it on this machine. Nothing is waited for without an end,
//! and nothing that the server says is held without a bound.

use std::{sync::Arc, time::Duration};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsConnector;

use super::{
    error::{Failure, setup},
    host::ImapHost,
};

/// The most that a server may say to one command, in bytes. A look-up that found a thousand messages is below it.
const MOST: usize = 1024 * 1024;

/// A message is written in pieces of so many bytes.
const PIECE: usize = 64 * 1024;

/// How slowly a server may store a message and still be waited for, in bytes a second.
const SLOWEST: u64 = 1 << 20;

/// How long a name may take to be a connection.
const CONNECTING: Duration = Duration::from_secs(15);

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection.
pub(super) struct Wire {
    stream: BufReader<Box<dyn Stream>>,
    /// What the server may still say to this command.
    left: usize,
    /// Until when it has time for it.
    until: Instant,
    /// How long it has for a command.
    time: Duration,
}

impl Wire {
    /// Connects. Whoever is not who the certificate's issuer says is not talked to.
    pub(super) async fn connect(host: &ImapHost, tls: &Arc<ClientConfig>, time: Duration) -> Result<Self, Failure> {
        let until = Instant::now() + CONNECTING;
        let connecting = timeout_at(until, TcpStream::connect((host.name.as_str(), host.port))).await;
        let Ok(Ok(tcp)) = connecting else {
            return Err(Failure::Lost("no connection: the name, the port or the network's way out"));
        };
        // Commands are short and waited for. Where it is refused they only take longer.
        tcp.set_nodelay(true).ok();
        let stream: Box<dyn Stream> = if host.tls {
            let name = ServerName::try_from(host.name.clone()).map_err(|_| setup("IMAP_HOST names no host"))?;
            let shaking = timeout_at(until, TlsConnector::from(Arc::clone(tls)).connect(name, tcp)).await;
            match shaking {
                Ok(Ok(stream)) => Box::new(stream),
                Ok(Err(error)) if is_untrusted(&error) => {
                    return Err(setup(
                        "the server's certificate is not one that this system trusts for IMAP_HOST: nothing was sent",
                    ));
                }
                Ok(Err(_)) | Err(_) => return Err(Failure::Lost("TLS could not be agreed on")),
            }
        } else {
            Box::new(tcp)
        };
        Ok(Self { stream: BufReader::new(stream), left: MOST, until: Instant::now() + time, time })
    }

    /// What follows is one command and the answers to it.
    pub(super) fn begin(&mut self) {
        self.left = MOST;
        self.until = Instant::now() + self.time;
    }

    /// Sends bytes, however many.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        for piece in bytes.chunks(PIECE) {
            match timeout_at(self.until, self.stream.write_all(piece)).await {
                // A server that takes another piece is alive.
                Ok(Ok(())) => self.until = self.until.max(Instant::now() + self.time),
                Ok(Err(_)) => return Err(BROKEN),
                Err(_) => return Err(SILENT),
            }
        }
        Ok(())
    }

    /// The command has so many bytes with it: the server has more time for its answer, as it has to store them.
    pub(super) fn carries(&mut self, bytes: u64) {
        self.until = self.until.max(Instant::now() + self.time + Duration::from_secs(bytes / SLOWEST));
    }

    /// Sees to it that what was written is sent.
    pub(super) async fn flush(&mut self) -> Result<(), Failure> {
        match timeout_at(self.until, self.stream.flush()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(BROKEN),
            Err(_) => Err(SILENT),
        }
    }

    /// One whole response: a line, and wherever it announces a literal, the literal and the line that goes on.
    pub(super) async fn read(&mut self) -> Result<Vec<u8>, Failure> {
        match timeout_at(self.until, read(&mut self.stream, &mut self.left)).await {
            Ok(result) => result,
            Err(_) => Err(SILENT),
        }
    }
}

const BROKEN: Failure = Failure::Lost("the connection broke");
const SILENT: Failure = Failure::Lost("no answer in time");
const TOO_LONG: Failure = Failure::Lost("the answer is longer than any that is expected");

async fn read(stream: &mut BufReader<Box<dyn Stream>>, left: &mut usize) -> Result<Vec<u8>, Failure> {
    let mut response = Vec::new();
    loop {
        let start = response.len();
        let mut line = (&mut *stream).take(*left as u64);
        let length = line.read_until(b'\n', &mut response).await.map_err(|_| BROKEN)?;
        *left -= length;
        if response.last() != Some(&b'\n') || length == 0 {
            return Err(if *left == 0 { TOO_LONG } else { BROKEN });
        }
        let Some(literal) = announced(&response[start..]) else { return Ok(response) };
        *left = left.checked_sub(literal).ok_or(TOO_LONG)?;
        let read = (&mut *stream).take(literal as u64).read_to_end(&mut response).await.map_err(|_| BROKEN)?;
        if read < literal {
            return Err(BROKEN);
        }
    }
}

/// The length of the literal that a line announces: it ends with `{42}`.
pub(super) fn announced(line: &[u8]) -> Option<usize> {
    let line = line.strip_suffix(b"\n")?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = line.strip_suffix(b"}")?;
    let digits = &line[line.iter().rposition(|&byte| byte == b'{')? + 1..];
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // A number that is too large for us is too large for the bound as well.
    Some(std::str::from_utf8(digits).ok()?.parse().unwrap_or(usize::MAX))
}

fn is_untrusted(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
}
