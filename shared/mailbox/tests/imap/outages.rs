//! Connections that break during a filing, and the copies afterwards.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use dovecot::{Dovecot, MASTER_PASSWORD};
use mailbox::Attempt;
use model::FilingResult;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::support::{
    ADA, FOLDER, SecretStore, assert_not_sent, assert_one_copy, assert_outcome_unknown, config, file, imap_with,
    mailbox, message, server,
};

/// A proxy to the server that breaks the connection once, after this many bytes.
struct Fuse {
    host: String,
    left: Arc<AtomicUsize>,
}

impl Fuse {
    async fn before(server: &Dovecot, bytes: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = format!("imap://{}", listener.local_addr().unwrap());
        let (port, left) = (server.port(), Arc::new(AtomicUsize::new(bytes)));
        let fuse = Arc::clone(&left);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let fuse = Arc::clone(&fuse);
                tokio::spawn(carry(client, server, fuse));
            }
        });
        Self { host, left }
    }

    /// Returns the number of bytes until the connection breaks.
    fn left(&self) -> usize {
        self.left.load(Ordering::SeqCst)
    }
}

async fn carry(client: TcpStream, server: TcpStream, fuse: Arc<AtomicUsize>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let back = async move { tokio::io::copy(&mut from_server, &mut to_client).await.map(drop) };
    let there = async move {
        let mut buffer = [0; 4096];
        loop {
            let read = from_client.read(&mut buffer).await?;
            let left = fuse.load(Ordering::SeqCst);
            if read == 0 {
                return Ok(());
            }
            if read > left && left > 0 {
                to_server.write_all(&buffer[..left]).await?;
                // The connection breaks once.
                fuse.store(usize::MAX, Ordering::SeqCst);
                return Ok(());
            }
            fuse.fetch_sub(read, Ordering::SeqCst);
            to_server.write_all(&buffer[..read]).await?;
        }
    };
    // When one direction ends, both are closed.
    let ended: std::io::Result<()> = tokio::select! { result = back => result, result = there => result };
    ended.ok();
}

#[tokio::test]
async fn connection_broken_anywhere_leaves_one_copy_after_a_retry() {
    let small = message("1", 0);
    let large = message("2", 1_000_000);
    for message in [&small, &large] {
        let server = server();
        let whole = 1 << 30;
        let uncut = Fuse::before(&server, whole).await;
        let imap = imap_with(config(&uncut.host), SecretStore::with(MASTER_PASSWORD, None));
        mailbox(&imap, ADA).await;
        let before = whole - uncut.left();
        file(&imap, message, Attempt::First).await.unwrap();
        let after = whole - uncut.left();
        server.run_in(ADA, "INBOX", &format!("DELETE \"{FOLDER}\"")).unwrap();
        // In CREATE, before the literal, at its start, in its middle, before its last byte, and before the end of the
        // command.
        let length = message.mime.in_memory().len();
        for cut in [before + 5, after - length - 10, after - length + 1, after - length / 2, after - 3, after - 1] {
            let fuse = Fuse::before(&server, cut).await;
            let imap = imap_with(config(&fuse.host), SecretStore::with(MASTER_PASSWORD, None));
            mailbox(&imap, ADA).await;
            let error = file(&imap, message, Attempt::First).await.unwrap_err();
            // In CREATE, and before the server has accepted the size, no part of the message was sent.
            let large = length > 256 * 1024;
            if cut == before + 5 || (large && cut == after - length - 10) {
                assert_not_sent(&error)
            } else {
                assert_outcome_unknown(&error)
            }
            file(&imap, message, Attempt::Retry).await.unwrap();
            assert_one_copy(&server, message);
            server.run_in(ADA, "INBOX", &format!("DELETE \"{FOLDER}\"")).unwrap();
        }
    }
}

#[tokio::test]
async fn server_killed_within_a_message_has_one_copy_after_a_retry() {
    let mut server = server();
    let message = message("1", 5_000_000);
    let (host, port) = (server.host(), server.port());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let slow = format!("imap://{}", listener.local_addr().unwrap());
    let (half, reached) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                pass(client, port).await;
            }
        });
        let (mut from, mut to) = server.split();
        let (mut from_client, mut to_client) = client.split();
        let there = async {
            let mut front = (&mut from_client).take(2_500_000);
            tokio::io::copy(&mut front, &mut to).await.unwrap();
            half.send(()).unwrap();
            std::future::pending::<()>().await;
        };
        let back = async { tokio::io::copy(&mut from, &mut to_client).await };
        tokio::select! { () = there => {}, _ = back => {} }
    });
    let first = imap_with(config(&slow), SecretStore::with(MASTER_PASSWORD, None));
    let (filed, ()) = tokio::join!(file(&first, &message, Attempt::First), async {
        reached.await.unwrap();
        server.kill();
    });
    assert_outcome_unknown(&filed.unwrap_err());
    server.run().unwrap();
    let second = imap_with(config(&host), SecretStore::with(MASTER_PASSWORD, None));
    assert_eq!(file(&second, &message, Attempt::Retry).await.unwrap().result, FilingResult::Imported);
    assert_one_copy(&server, &message);
    assert_eq!(file(&second, &message, Attempt::Retry).await.unwrap().result, FilingResult::Skipped);
}

/// Carries a connection to the server, unchanged.
async fn pass(mut client: TcpStream, port: u16) {
    let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    // Either side may break the connection.
    tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await.ok() });
}

/// Returns a proxy to the server that breaks the connection once, instead of passing on a response with this word.
pub(crate) async fn losing(port: u16, word: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("imap://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let broken = Arc::new(AtomicBool::new(false));
        while let Ok((client, _)) = listener.accept().await {
            if broken.load(Ordering::SeqCst) {
                pass(client, port).await;
                continue;
            }
            let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            tokio::spawn(pass_without(word, client, server, Arc::clone(&broken)));
        }
    });
    host
}

/// Carries a connection until the server sends this word, unless another connection was broken before.
async fn pass_without(word: &str, client: TcpStream, server: TcpStream, broken: Arc<AtomicBool>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let there = async { tokio::io::copy(&mut from_client, &mut to_server).await.map(drop) };
    let back = async {
        let mut buffer = [0; 4096];
        loop {
            let read = from_server.read(&mut buffer).await?;
            let said = String::from_utf8_lossy(&buffer[..read]);
            if read == 0 || said.contains(word) && !broken.swap(true, Ordering::SeqCst) {
                return Ok(());
            }
            to_client.write_all(&buffer[..read]).await?;
        }
    };
    // When one direction ends, both are closed.
    let ended: std::io::Result<()> = tokio::select! { result = there => result, result = back => result };
    ended.ok();
}

#[tokio::test]
async fn lost_response_makes_no_second_copy() {
    let server = server();
    let message = message("1", 0);
    let imap = imap_with(config(&losing(server.port(), "APPENDUID").await), SecretStore::with(MASTER_PASSWORD, None));
    assert_outcome_unknown(&file(&imap, &message, Attempt::First).await.unwrap_err());
    // The server has stored the message.
    assert_one_copy(&server, &message);
    assert_eq!(file(&imap, &message, Attempt::Retry).await.unwrap().result, FilingResult::Skipped);
    assert_one_copy(&server, &message);
}
