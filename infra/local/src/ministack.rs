//! The emulator of S3, SQS and Secrets Manager: [ministack](https://pypi.org/project/ministack/), as a child process
//! on loopback. It is served by uvicorn, whose HTTP parser is compiled: a request costs half of what it costs under
//! ministack's own server, and in `make test` the emulators are the largest part of the work.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, SeekFrom},
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};
use uuid::Uuid;

use super::process_group::{EndMethod, ProcessGroup};

/// Options of the emulator.
#[derive(Debug, Clone)]
pub struct MinistackOptions {
    /// Path of the program that the Python package installs. The server beside it, `uvicorn`, is what runs.
    pub program: PathBuf,
    /// Port on 127.0.0.1; `None` selects a free one.
    pub port: Option<u16>,
    /// Directory that keeps objects, messages and secrets between runs; `None` keeps nothing.
    ///
    /// Objects are written at once. Messages and secrets are written when the server ends ([`Ministack::stop`] or drop);
    /// they are lost if the server is killed or the machine stops.
    pub state: Option<PathBuf>,
    /// File that the server's output is appended to.
    pub log: PathBuf,
    /// Additional environment variables. They override the default ones.
    pub variables: Vec<(String, String)>,
}

/// Error of starting or stopping the emulator.
#[derive(Debug, thiserror::Error)]
pub enum MinistackError {
    #[error("the emulator of AWS is not installed: {} is missing, `make .venv/.installed` installs it", .0.display())]
    NotInstalled(PathBuf),
    #[error("port {0} on 127.0.0.1 is taken by another process")]
    PortTaken(u16),
    /// Another server uses the same state, and the two would overwrite each other's files.
    #[error("another run uses {}: end it first, or name another directory", .0.display())]
    StateInUse(PathBuf),
    /// The server ended before it was ready.
    #[error("ministack ended at once ({status}); end of its log:\n{log_tail}")]
    Exited { status: ExitStatus, log_tail: String },
    /// The server runs and does not respond.
    #[error("ministack does not respond after {} seconds; end of its log:\n{log_tail}", START_LIMIT.as_secs())]
    NotReady { log_tail: String },
    /// The server was killed and did not write its state.
    #[error("ministack did not end after SIGTERM and was killed: recent messages and secrets may be lost")]
    Killed,
    /// A file or a process could not be opened or started.
    #[error("{doing}: {source}")]
    Io { doing: &'static str, source: std::io::Error },
}

/// A start takes about a second, and longer on a machine that compiles at the same time.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Ports for servers: below those that systems give to programs that name none, so that only another server of this kind
/// can take a port between its selection and the server's bind.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// The part of the log that an error contains.
const LOG_TAIL_BYTES: u64 = 2_000;

/// A running emulator. Dropping it sends SIGTERM; [`stop`](Self::stop) also waits until it has ended.
pub struct Ministack {
    process: Child,
    group: ProcessGroup,
    address: SocketAddr,
    _port: ReservedPort,
    /// The lock on the state.
    _lock: Option<File>,
}

/// A TCP port on 127.0.0.1. Other servers of this kind do not select it, because the UDP port of the same number is bound:
/// the health check would find another run's server there, and the two runs would work on the same queues.
struct ReservedPort {
    number: u16,
    _reservation: UdpSocket,
}

impl ReservedPort {
    /// Reserves this port.
    fn reserve(number: u16) -> Result<Self, MinistackError> {
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::AddrInUse => MinistackError::PortTaken(number),
            _ => io("reserve a port")(error),
        };
        let reservation = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)).map_err(failed)?;
        drop(TcpListener::bind((Ipv4Addr::LOCALHOST, number)).map_err(failed)?);
        Ok(Self { number, _reservation: reservation })
    }

    /// Reserves a free port.
    fn any() -> Result<Self, MinistackError> {
        let count = PORTS.len();
        let first = usize::from(Uuid::new_v4().as_fields().1) % count;
        let mut reserved = PORTS.cycle().skip(first).take(count).map(Self::reserve);
        let is_decided = |reserved: &Result<_, _>| !matches!(reserved, Err(MinistackError::PortTaken(_)));
        reserved.find(is_decided).unwrap_or(Err(MinistackError::PortTaken(PORTS.start)))
    }
}

impl Ministack {
    /// Region of the resources. It occurs in the queues' ARNs only.
    pub const REGION: &str = "us-east-1";

    /// Account of the resources.
    pub const ACCOUNT: &str = "000000000000";

    /// Starts the emulator and waits until it is ready.
    ///
    /// # Errors
    /// If the program is missing, ends, or is not ready within a minute, or if the port or the state is in use.
    pub async fn start(options: &MinistackOptions) -> Result<Self, MinistackError> {
        let server = options.program.with_file_name("uvicorn");
        if let Some(missing) = [&options.program, &server].into_iter().find(|program| !program.is_file()) {
            return Err(MinistackError::NotInstalled(missing.clone()));
        }
        let lock = match &options.state {
            Some(directory) => Some(lock(directory).await?),
            None => None,
        };
        let port = options.port.map_or_else(ReservedPort::any, ReservedPort::reserve)?;
        let group = ProcessGroup::start(EndMethod::Gentle).map_err(io("start a process group for ministack"))?;
        let process = spawn(&server, options, port.number, &group, lock.as_ref())?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.number));
        let mut server = Self { process, group, address, _port: port, _lock: lock };
        server.ready(&options.log).await?;
        Ok(server)
    }

    /// Returns the value for `AWS_ENDPOINT_URL`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends the emulator and waits until it has written its state.
    ///
    /// # Errors
    /// If it did not end within ten seconds and was killed.
    pub async fn stop(mut self) -> Result<(), MinistackError> {
        match self.group.end(&mut self.process).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(MinistackError::Killed),
            Err(error) => Err(io("end ministack")(error)),
        }
    }

    async fn ready(&mut self, log: &Path) -> Result<(), MinistackError> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if let Some(status) = self.process.try_wait().map_err(io("check whether ministack runs"))? {
                return Err(MinistackError::Exited { status, log_tail: log_tail(log) });
            }
            if timeout(Duration::from_secs(2), is_healthy(self.address))
                .await
                .is_ok_and(|healthy| healthy.is_ok_and(|healthy| healthy))
            {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(MinistackError::NotReady { log_tail: log_tail(log) });
            }
            sleep(Duration::from_millis(25)).await;
        }
    }
}

fn io(doing: &'static str) -> impl Fn(std::io::Error) -> MinistackError {
    move |source| MinistackError::Io { doing, source }
}

/// Locks a state directory. The server inherits the open file and with it the lock, so the lock is held as long as any
/// server uses the state, whether or not its parent still runs. A server that was just dropped gets time to end.
async fn lock(directory: &Path) -> Result<File, MinistackError> {
    std::fs::create_dir_all(directory).map_err(io("create the state directory"))?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(directory.join("lock"))
        .map_err(io("open the lock of the state"))?;
    let deadline = Instant::now() + ProcessGroup::GRACE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(Duration::from_millis(100)).await,
            Err(TryLockError::WouldBlock) => return Err(MinistackError::StateInUse(directory.to_owned())),
            Err(TryLockError::Error(error)) => return Err(io("lock the state")(error)),
        }
    }
}

fn spawn(
    server: &Path,
    options: &MinistackOptions,
    port: u16,
    group: &ProcessGroup,
    lock: Option<&File>,
) -> Result<Child, MinistackError> {
    if let Some(directory) = options.log.parent() {
        std::fs::create_dir_all(directory).map_err(io("create the directory of ministack's log"))?;
    }
    let log = OpenOptions::new().create(true).append(true).open(&options.log).map_err(io("open ministack's log"))?;
    let stderr_log = log.try_clone().map_err(io("open ministack's log"))?;
    let mut command = Command::new(server);
    command
        .args(["ministack.app:app", "--http", "httptools", "--loop", "uvloop", "--ws", "none", "--lifespan", "on"])
        .args(["--host", &Ipv4Addr::LOCALHOST.to_string(), "--port", &port.to_string()])
        // As long as AWS keeps an idle connection at least; and AWS names no server.
        .args(["--timeout-keep-alive", "75", "--no-server-header", "--no-date-header"])
        .args(["--log-level", "warning", "--no-access-log"]);
    // The operator's environment is not passed on: it may contain credentials or settings that the server would use.
    // Docker is hidden because the server removes containers that it considers its own.
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
        // The server's own address, for functions that the server runs.
        .env("AWS_ENDPOINT_URL", format!("http://{}:{port}", Ipv4Addr::LOCALHOST))
        .env("MINISTACK_REGION", Ministack::REGION)
        .env("MINISTACK_ACCOUNT_ID", Ministack::ACCOUNT)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(stderr_log);
    if let (Some(directory), Some(lock)) = (&options.state, lock) {
        let objects = directory.join("objects");
        command
            .env("PERSIST_STATE", "1")
            .env("STATE_DIR", directory)
            .env("S3_PERSIST", "1")
            .env("S3_DATA_DIR", objects)
            .stdin(lock.try_clone().map_err(io("pass the lock of the state to ministack"))?);
    }
    command.envs(options.variables.iter().map(|(name, value)| (name, value)));
    group.add(&mut command).spawn().map_err(io("start ministack"))
}

/// Requests the health endpoint. Plain HTTP without a client, because it is a single request.
async fn is_healthy(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /_ministack/health HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut status = [0; 12];
    stream.read_exact(&mut status).await?;
    Ok(&status == b"HTTP/1.1 200")
}

/// Reads the end of a log for an error message.
fn log_tail(log: &Path) -> String {
    let tail = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    tail().unwrap_or_default()
}
