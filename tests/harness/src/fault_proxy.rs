//! A proxy between the functions and the emulator that can close connections before or after a request is executed.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// The fault of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConnectionFault {
    /// Forwards the request and the response.
    None,
    /// Closes the connection before the request is executed.
    BeforeExecution,
    /// Executes the request and closes the connection before the response.
    AfterExecution,
}

/// A running proxy with one request per connection. Dropping it stops the proxy.
pub struct FaultProxy {
    url: String,
    upstream: Arc<OnceLock<SocketAddr>>,
    server: JoinHandle<()>,
}

/// Limit for the head of a request.
const MAX_HEAD_BYTES: usize = 64 << 10;

impl FaultProxy {
    /// Starts a proxy that calls `decide` with the head and body of each request. It forwards nothing before
    /// [`set_upstream`](Self::set_upstream).
    ///
    /// # Errors
    /// If no port is available.
    pub async fn start(decide: impl Fn(&str) -> ConnectionFault + Send + Sync + 'static) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (upstream, decide) = (Arc::new(OnceLock::new()), Arc::new(decide));
        let shared_upstream = Arc::clone(&upstream);
        let server = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Some(upstream) = shared_upstream.get().copied() else { continue };
                let decide = Arc::clone(&decide);
                // An error closes the connection, which the client must handle anyway.
                tokio::spawn(async move { forward(client, upstream, decide.as_ref()).await.ok() });
            }
        });
        Ok(Self { url, upstream, server })
    }

    /// Returns the endpoint for the functions.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sets the address that requests are forwarded to. Only the first call has an effect.
    pub fn set_upstream(&self, upstream: SocketAddr) {
        self.upstream.get_or_init(|| upstream);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn forward(
    mut client: TcpStream,
    upstream: SocketAddr,
    decide: &(dyn Fn(&str) -> ConnectionFault + Sync),
) -> io::Result<()> {
    let Some(request) = request(&mut client).await? else { return Ok(()) };
    let fault = decide(&String::from_utf8_lossy(&request));
    if fault == ConnectionFault::BeforeExecution {
        return Ok(());
    }
    let mut server = TcpStream::connect(upstream).await?;
    // The end of the connection marks the end of the response, so its head needs no parsing.
    let line = request.iter().position(|byte| *byte == b'\n').unwrap_or_default() + 1;
    server.write_all(&[&request[..line], b"connection: close\r\n", &request[line..]].concat()).await?;
    let mut response = Vec::new();
    server.read_to_end(&mut response).await?;
    if fault == ConnectionFault::None {
        client.write_all(&response).await?;
        client.shutdown().await?;
    }
    Ok(())
}

/// Reads one request. Returns `None` if the client disconnects first.
async fn request(client: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    const END: &[u8] = b"\r\n\r\n";
    let mut request = Vec::new();
    loop {
        if let Some(head) = request.windows(END.len()).position(|window| window == END) {
            let head = head + END.len();
            if request.len() >= head + content_length(&request[..head]) {
                return Ok(Some(request));
            }
        } else if request.len() > MAX_HEAD_BYTES {
            return Err(io::Error::other("the head of a request exceeds the limit"));
        }
        if client.read_buf(&mut request).await? == 0 {
            return Ok(None);
        }
    }
}

fn content_length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or_default()
}
