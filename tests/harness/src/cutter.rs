//! A wire that can be cut: a proxy between the functions and the stand-in for AWS.

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

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cut {
    /// It goes on, and its answer comes back.
    Never,
    /// The connection ends before anything is done.
    Before,
    /// It is done, and the connection ends before the answer.
    After,
}

/// A running proxy: one request a connection. It ends when it is dropped.
pub struct Cutter {
    url: String,
    upstream: Arc<OnceLock<SocketAddr>>,
    server: JoinHandle<()>,
}

/// A request's head is not longer.
const HEAD: usize = 64 << 10;

impl Cutter {
    /// Starts one that asks `judge` about each request, head and body as text. It forwards nothing before
    /// [`lead_to`](Self::lead_to).
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(judge: impl Fn(&str) -> Cut + Send + Sync + 'static) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (upstream, judge) = (Arc::new(OnceLock::new()), Arc::new(judge));
        let known = Arc::clone(&upstream);
        let server = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Some(upstream) = known.get().copied() else { continue };
                let judge = Arc::clone(&judge);
                // A connection that breaks by itself is what the client has to bear anyway.
                tokio::spawn(async move { carry(client, upstream, judge.as_ref()).await.ok() });
            }
        });
        Ok(Self { url, upstream, server })
    }

    /// What the functions take for AWS.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where requests go from now on; the first call counts.
    pub fn lead_to(&self, upstream: SocketAddr) {
        self.upstream.get_or_init(|| upstream);
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn carry(mut client: TcpStream, upstream: SocketAddr, judge: &(dyn Fn(&str) -> Cut + Sync)) -> io::Result<()> {
    let Some(request) = request(&mut client).await? else { return Ok(()) };
    let cut = judge(&String::from_utf8_lossy(&request));
    if cut == Cut::Before {
        return Ok(());
    }
    let mut server = TcpStream::connect(upstream).await?;
    // The answer ends with the connection, so that it needs no reading.
    let line = request.iter().position(|byte| *byte == b'\n').unwrap_or_default() + 1;
    server.write_all(&[&request[..line], b"connection: close\r\n", &request[line..]].concat()).await?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await?;
    if cut == Cut::Never {
        client.write_all(&answer).await?;
        client.shutdown().await?;
    }
    Ok(())
}

/// One whole request; `None` where the client hangs up first.
async fn request(client: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    const END: &[u8] = b"\r\n\r\n";
    let mut request = Vec::new();
    loop {
        if let Some(head) = request.windows(END.len()).position(|window| window == END) {
            let head = head + END.len();
            if request.len() >= head + content_length(&request[..head]) {
                return Ok(Some(request));
            }
        } else if request.len() > HEAD {
            return Err(io::Error::other("the head of a request has no end"));
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
