//! A server on loopback that responds to the one request of each connection with bytes that the test chooses.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// The end of an "endless" response, in bytes: far more than the buffers of two sockets, which are filled without being
/// read.
pub(crate) const ENDLESS: u64 = 256 << 20;

/// The response to a request.
#[derive(Clone)]
pub(crate) enum Reply {
    /// A complete response.
    Whole(Vec<u8>),
    /// This head, these bytes, and the end of the connection; with `x-stay`, the connection stays open and silent.
    Raw(&'static str, &'static [u8]),
    /// This head, and zeros (chunked if the head says so) until the client hangs up, or [`ENDLESS`] of them.
    Endless(&'static str),
    /// One byte of a body every few milliseconds, without end.
    Drip,
    /// No response on an open connection.
    Silent,
    /// The end of the connection.
    Close,
}

impl Reply {
    pub(crate) fn json(body: &str) -> Self {
        Self::with("200 OK\r\ncontent-type: application/json", body.as_bytes())
    }

    /// Creates a response. `head` is the status and further headers, without the last line end.
    pub(crate) fn with(head: &str, body: &[u8]) -> Self {
        let mut whole =
            format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len()).into_bytes();
        whole.extend_from_slice(body);
        Self::Whole(whole)
    }
}

pub(crate) struct Server {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
    sent: Arc<AtomicU64>,
    hung_up: watch::Receiver<bool>,
}

impl Server {
    /// Starts a server. `reply` gets the head of the request and the number of earlier requests.
    pub(crate) async fn start(reply: impl Fn(&str, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/v1", listener.local_addr().unwrap());
        let (hang_up, hung_up) = watch::channel(false);
        let server = Self { url, requests: Arc::default(), sent: Arc::default(), hung_up };
        let (requests, sent, reply) = (server.requests.clone(), server.sent.clone(), Arc::new(reply));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (requests, sent, reply, hang_up) = (requests.clone(), sent.clone(), reply.clone(), hang_up.clone());
                tokio::spawn(async move {
                    let Some(head) = read_head(&mut stream).await else { return };
                    let nth = {
                        let mut requests = requests.lock().unwrap();
                        requests.push(head.clone());
                        requests.len() - 1
                    };
                    answer(&mut stream, reply(&head, nth), &sent).await;
                    hang_up.send_replace(true);
                });
            }
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// Returns the heads of all requests.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Waits until the client of an endless body has hung up, and returns the number of bytes that the server could
    /// send.
    pub(crate) async fn until_hung_up(&self) -> u64 {
        self.hung_up.clone().wait_for(|hung_up| *hung_up).await.unwrap();
        self.sent.load(Ordering::SeqCst)
    }
}

async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return None,
        }
        // A TLS handshake: this server does not support TLS, says so as other servers do, and lets the client hang up.
        if head == [0x16] {
            let mut rest = Vec::new();
            if stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.is_ok() && stream.shutdown().await.is_ok() {
                stream.read_to_end(&mut rest).await.ok();
            }
            return None;
        }
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// Responds to one connection. The client may close it at any time: many tests wait for that.
async fn answer(stream: &mut TcpStream, reply: Reply, sent: &AtomicU64) {
    let head = |head: &str| format!("HTTP/1.1 {head}\r\n\r\n").into_bytes();
    match reply {
        Reply::Whole(bytes) => _ = stream.write_all(&bytes).await.is_ok(),
        Reply::Raw(status, body) => {
            _ = stream.write_all(&head(status)).await.is_ok() && stream.write_all(body).await.is_ok();
            if status.contains("x-stay") {
                std::future::pending::<()>().await;
            }
        }
        Reply::Endless(status) => {
            let zeros = [0; 16 << 10];
            let chunk = if status.contains("chunked") {
                [format!("{:x}\r\n", zeros.len()).as_bytes(), &zeros, b"\r\n"].concat()
            } else {
                zeros.to_vec()
            };
            if stream.write_all(&head(status)).await.is_ok() {
                while sent.load(Ordering::SeqCst) < ENDLESS && stream.write_all(&chunk).await.is_ok() {
                    sent.fetch_add(chunk.len() as u64, Ordering::SeqCst);
                }
            }
        }
        Reply::Drip => {
            if stream.write_all(&head("200 OK\r\ncontent-length: 1000000")).await.is_ok() {
                while stream.write_all(b" ").await.is_ok() {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
            }
        }
        Reply::Silent => std::future::pending().await,
        Reply::Close => {}
    }
}
