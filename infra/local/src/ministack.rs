//! The stand-in for S3, SQS and Secrets Manager: [ministack](https://pypi.org/project/ministack/), as a child process
//! on loopback.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, SeekFrom},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use super::guard::{Ending, Guard};

/// How a server is started.
#[derive(Debug, Clone)]
pub struct MinistackOptions {
    /// The program, as the Python package installs it.
    pub program: PathBuf,
    /// The port on 127.0.0.1. `None`: one that is free.
    pub port: Option<u16>,
    /// The directory that keeps objects, messages and secrets from one run to the next. `None`: nothing is kept.
    ///
    /// Objects are written as they come. Messages and secrets are written when the server ends, [`Ministack::stop`] or
    /// a drop; what it held when it is killed by force, or the machine stops, is lost.
    pub state: Option<PathBuf>,
    /// The file that what it says is appended to.
    pub log: PathBuf,
    /// Environment variables of the server beyond those that it is always given. They come last, and so win.
    pub variables: Vec<(String, String)>,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum MinistackError {
    /// The program is not there: nobody ran `make` yet.
    #[error("ministack is not installed at {}: `make .venv/.installed` installs it", .0.display())]
    NotInstalled(PathBuf),
    /// The port that was asked for belongs to another process.
    #[error("port {0} on 127.0.0.1 is taken by another process")]
    PortTaken(u16),
    /// Another server works on the same state, and would overwrite what this one writes.
    #[error("another run uses {}: end it first, or name another directory", .0.display())]
    StateInUse(PathBuf),
    /// It ended before it answered.
    #[error("ministack ended at once ({status}); it last said:\n{last_words}")]
    Exited {
        /// How.
        status: ExitStatus,
        /// The end of its log.
        last_words: String,
    },
    /// It runs and does not answer.
    #[error("ministack does not answer after {} seconds; it last said:\n{last_words}", READY_WITHIN.as_secs())]
    NotReady {
        /// The end of its log.
        last_words: String,
    },
    /// It had to be killed, and did not write its state.
    #[error("ministack did not end when asked, so what it held may not have been written")]
    Killed,
    /// A file or a process could not be opened or started.
    #[error("{doing}: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// A start takes about a second; a laptop that compiles at the same time takes more.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// How much of its log is shown when it fails.
const LAST_WORDS: u64 = 2_000;

/// A running server. Dropped, it is asked to end and ends by itself; [`stop`](Self::stop) waits for that too.
pub struct Ministack {
    process: Child,
    guard: Guard,
    address: SocketAddr,
    /// Holds the lock on the state.
    _lock: Option<File>,
}

impl Ministack {
    /// The region that its resources are in. It is written into the queues' ARNs and nothing else.
    pub const REGION: &str = "us-east-1";

    /// The account that its resources are in.
    pub const ACCOUNT: &str = "000000000000";

    /// Starts a server and returns when it answers.
    ///
    /// # Errors
    /// When the program is missing, dies, or does not answer within a minute; when the port is taken or the state is
    /// in use.
    pub async fn start(options: &MinistackOptions) -> Result<Self, MinistackError> {
        if !options.program.is_file() {
            return Err(MinistackError::NotInstalled(options.program.clone()));
        }
        let lock = match &options.state {
            Some(directory) => Some(lock(directory).await?),
            None => None,
        };
        let port = free_port(options.port).await?;
        let guard = Guard::start(Ending::Gentle).map_err(io("start a guard for ministack"))?;
        let process = spawn(options, port, &guard, lock.as_ref())?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut server = Self { process, guard, address, _lock: lock };
        server.ready(&options.log).await?;
        Ok(server)
    }

    /// What `AWS_ENDPOINT_URL` has to be.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends the server and returns when it has written its state.
    ///
    /// # Errors
    /// When it did not end within ten seconds and was killed.
    pub async fn stop(mut self) -> Result<(), MinistackError> {
        match self.guard.end(&mut self.process).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(MinistackError::Killed),
            Err(error) => Err(io("end ministack")(error)),
        }
    }

    async fn ready(&mut self, log: &Path) -> Result<(), MinistackError> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if let Some(status) = self.process.try_wait().map_err(io("ask after ministack"))? {
                return Err(MinistackError::Exited { status, last_words: last_words(log) });
            }
            if timeout(Duration::from_secs(2), is_healthy(self.address))
                .await
                .is_ok_and(|answer| answer.is_ok_and(|ok| ok))
            {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(MinistackError::NotReady { last_words: last_words(log) });
            }
            sleep(Duration::from_millis(25)).await;
        }
    }
}

fn io(doing: &'static str) -> impl Fn(std::io::Error) -> MinistackError {
    move |source| MinistackError::Io { doing, source }
}

/// Takes the lock on a state. The server inherits the open file, and so the lock: while any server works on the
/// state, its parent dead or alive, it is held. One that was just dropped has its grace to write and to go.
async fn lock(directory: &Path) -> Result<File, MinistackError> {
    std::fs::create_dir_all(directory).map_err(io("make the directory for the state"))?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(directory.join("lock"))
        .map_err(io("open the lock of the state"))?;
    let deadline = Instant::now() + Guard::GRACE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(Duration::from_millis(100)).await,
            Err(TryLockError::WouldBlock) => return Err(MinistackError::StateInUse(directory.to_owned())),
            Err(TryLockError::Error(error)) => return Err(io("lock the state")(error)),
        }
    }
}

async fn free_port(wanted: Option<u16>) -> Result<u16, MinistackError> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, wanted.unwrap_or(0))).await {
        Ok(listener) => Ok(listener.local_addr().map_err(io("read the free port"))?.port()),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            Err(MinistackError::PortTaken(wanted.unwrap_or(0)))
        }
        Err(error) => Err(io("find a free port")(error)),
    }
}

fn spawn(options: &MinistackOptions, port: u16, guard: &Guard, lock: Option<&File>) -> Result<Child, MinistackError> {
    if let Some(directory) = options.log.parent() {
        std::fs::create_dir_all(directory).map_err(io("make the directory for ministack's log"))?;
    }
    let log = OpenOptions::new().create(true).append(true).open(&options.log).map_err(io("open ministack's log"))?;
    let log_again = log.try_clone().map_err(io("open ministack's log"))?;
    let mut command = Command::new(&options.program);
    // Nothing of the operator's environment: it may hold credentials, an account, or settings of other tools that the
    // server would obey. Docker is hidden from it, because it removes containers that it takes for its own.
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LANG", "C.UTF-8")
        .env("PYTHONUNBUFFERED", "1")
        .env("DOCKER_HOST", "unix:///dev/null")
        .env("SERVICES", "s3,sqs,secretsmanager")
        .env("SFTP_ENABLED", "0")
        .env("IOT_MTLS_ENABLED", "0")
        .env("LOG_LEVEL", "WARNING")
        .env("BIND_HOST", Ipv4Addr::LOCALHOST.to_string())
        .env("GATEWAY_PORT", port.to_string())
        // Itself, for the functions that it runs where it is made to.
        .env("AWS_ENDPOINT_URL", format!("http://{}:{port}", Ipv4Addr::LOCALHOST))
        .env("MINISTACK_REGION", Ministack::REGION)
        .env("MINISTACK_ACCOUNT_ID", Ministack::ACCOUNT)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(log_again);
    if let (Some(directory), Some(lock)) = (&options.state, lock) {
        let objects = directory.join("objects");
        command
            .env("PERSIST_STATE", "1")
            .env("STATE_DIR", directory)
            .env("S3_PERSIST", "1")
            .env("S3_DATA_DIR", objects)
            .stdin(lock.try_clone().map_err(io("hand the lock of the state to ministack"))?);
    }
    command.envs(options.variables.iter().map(|(name, value)| (name, value)));
    guard.admit(&mut command).spawn().map_err(io("start ministack"))
}

/// Whether what listens there says that it is well. Plain HTTP by hand: it is one request of one line.
async fn is_healthy(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /_ministack/health HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await?;
    Ok(&answer == b"HTTP/1.1 200")
}

/// The end of a log, for an error's text.
fn last_words(log: &Path) -> String {
    let tail = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LAST_WORDS)))?;
        let mut bytes = Vec::new();
        file.take(LAST_WORDS).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    tail().unwrap_or_default()
}
