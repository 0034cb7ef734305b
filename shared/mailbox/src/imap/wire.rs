//! The connection to the server, over TLS, or without TLS on this machine. Every wait has a time limit, and every
//! response has a size limit.

use std::{sync::Arc, time::Duration};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsConnector;

use super::{host::ImapHost, response::announced};

/// Maximum total size of the responses to one command, in bytes. The result of a search that finds 100,000 messages is
/// smaller.
const MAX_RESPONSE_BYTES: usize = 1024 * 1024;

/// A message is written in chunks of this many bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// Minimum rate at which a server must store a message, in bytes per second.
const MIN_STORE_RATE: u64 = 1 << 20;

/// Time limit for the TCP connection and the TLS handshake together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The error of sending or receiving bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum WireError {
    #[error("no connection to IMAP_HOST: check the name, the port and the network's route")]
    NoConnection,
    #[error("the TLS handshake failed")]
    NoTls,
    #[error("this system does not trust the server's certificate for IMAP_HOST; nothing was sent")]
    UntrustedCertificate,
    #[error("IMAP_HOST is not a host name")]
    InvalidHost,
    #[error("the connection broke")]
    Broken,
    #[error("no response in time")]
    Timeout,
    #[error("the response exceeds {MAX_RESPONSE_BYTES} bytes")]
    TooLong,
}

/// A connection.
pub(super) struct Wire {
    stream: BufReader<Box<dyn Stream>>,
    /// The remaining bytes of the responses to the current command.
    bytes_left: usize,
    /// Deadline of the current command.
    deadline: Instant,
    /// Time limit for a command.
    response_time: Duration,
}

impl Wire {
    /// Connects, and verifies the server's certificate.
    pub(super) async fn connect(
        host: &ImapHost,
        tls: &Arc<ClientConfig>,
        response_time: Duration,
    ) -> Result<Self, WireError> {
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        let connecting = timeout_at(deadline, TcpStream::connect((host.name.as_str(), host.port))).await;
        let Ok(Ok(tcp)) = connecting else { return Err(WireError::NoConnection) };
        // Commands are short, and each waits for its response. If setting the option fails, they only take longer.
        tcp.set_nodelay(true).ok();
        let stream: Box<dyn Stream> = if host.tls {
            let name = ServerName::try_from(host.name.clone()).map_err(|_| WireError::InvalidHost)?;
            let handshake = timeout_at(deadline, TlsConnector::from(Arc::clone(tls)).connect(name, tcp)).await;
            match handshake {
                Ok(Ok(stream)) => Box::new(stream),
                Ok(Err(error)) if is_untrusted(&error) => return Err(WireError::UntrustedCertificate),
                Ok(Err(_)) | Err(_) => return Err(WireError::NoTls),
            }
        } else {
            Box::new(tcp)
        };
        Ok(Self::over(stream, response_time))
    }

    fn over(stream: Box<dyn Stream>, response_time: Duration) -> Self {
        Self {
            stream: BufReader::new(stream),
            bytes_left: MAX_RESPONSE_BYTES,
            deadline: Instant::now() + response_time,
            response_time,
        }
    }

    /// A connection to a test, with a minute for each response.
    #[cfg(test)]
    pub(super) fn to_test(stream: tokio::io::DuplexStream) -> Self {
        Self::over(Box::new(stream), Duration::from_mins(1))
    }

    #[cfg(test)]
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Starts the limits of the next command.
    pub(super) fn start_command(&mut self) {
        self.bytes_left = MAX_RESPONSE_BYTES;
        self.deadline = Instant::now() + self.response_time;
    }

    /// Extends the deadline after a sign of life: `* OK Still here`, the progress of a search, a chunk that was accepted.
    pub(super) fn extend_deadline(&mut self) {
        self.deadline = self.deadline.max(Instant::now() + self.response_time);
    }

    /// Extends the deadline by the time that storing this many bytes may take.
    pub(super) fn extend_deadline_for(&mut self, bytes: u64) {
        let storing = Duration::from_secs(bytes / MIN_STORE_RATE);
        self.deadline = self.deadline.max(Instant::now() + self.response_time + storing);
    }

    /// Sends bytes.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        for chunk in bytes.chunks(CHUNK_BYTES) {
            match timeout_at(self.deadline, self.stream.write_all(chunk)).await {
                Ok(Ok(())) => self.extend_deadline(),
                Ok(Err(_)) => return Err(WireError::Broken),
                Err(_) => return Err(WireError::Timeout),
            }
        }
        Ok(())
    }

    /// Flushes what was written.
    pub(super) async fn flush(&mut self) -> Result<(), WireError> {
        match timeout_at(self.deadline, self.stream.flush()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(WireError::Broken),
            Err(_) => Err(WireError::Timeout),
        }
    }

    /// Reads one response: a line, and for each literal that it announces, the literal and the line that continues it.
    pub(super) async fn read(&mut self) -> Result<Vec<u8>, WireError> {
        match timeout_at(self.deadline, read(&mut self.stream, &mut self.bytes_left)).await {
            Ok(result) => result,
            Err(_) => Err(WireError::Timeout),
        }
    }
}

async fn read(stream: &mut BufReader<Box<dyn Stream>>, bytes_left: &mut usize) -> Result<Vec<u8>, WireError> {
    let mut response = Vec::new();
    loop {
        let start = response.len();
        let mut line = (&mut *stream).take(*bytes_left as u64);
        let length = line.read_until(b'\n', &mut response).await.map_err(|_| WireError::Broken)?;
        *bytes_left -= length;
        if response.last() != Some(&b'\n') || length == 0 {
            return Err(if *bytes_left == 0 { WireError::TooLong } else { WireError::Broken });
        }
        let Some(literal) = announced(&response[start..]) else { return Ok(response) };
        *bytes_left = bytes_left.checked_sub(literal).ok_or(WireError::TooLong)?;
        let read =
            (&mut *stream).take(literal as u64).read_to_end(&mut response).await.map_err(|_| WireError::Broken)?;
        if read < literal {
            return Err(WireError::Broken);
        }
    }
}

fn is_untrusted(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
}
