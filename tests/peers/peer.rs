//! Programs of others as children of a test.

use std::{
    fmt, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{self, ExitStatus, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::{io::AsyncReadExt, net::TcpStream, process::Command, time::timeout};

/// Variable that asks for the tests with programs of others, which `.ci/run` installs.
pub(crate) const PEERS: &str = "RESPONSES_CLIENT_PEERS";
/// Variable that asks for the test with litellm, which is large, so that only `.ci/long` installs it.
pub(crate) const LITELLM: &str = "RESPONSES_CLIENT_LITELLM";

/// Whether the tests with programs of others are asked for.
pub(crate) fn wanted() -> bool {
    is_set(PEERS)
}

/// Returns `true` if `variable` asks for a test.
pub(crate) fn is_set(variable: &str) -> bool {
    let is_set = std::env::var_os(variable).is_some_and(|value| value == "1");
    if !is_set {
        println!("not run: {variable}=1 asks for it");
    }
    is_set
}

/// What `.ci/run` installed at `path`, or for litellm `.ci/long`.
pub(crate) fn installed(path: &str) -> PathBuf {
    let script = if path.starts_with("litellm") { ".ci/long" } else { ".ci/run" };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers").join(path);
    assert!(path.exists(), "{} is not there; {script} installs it", path.display());
    path
}

/// Whether to run the test `name` here: if there can be a network of its own, with nothing but
/// loopback, it runs there instead, in another process.
pub(crate) async fn isolated(name: &str) -> bool {
    const ENTER: [&str; 3] = ["sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""];
    if is_inside() {
        return true;
    }
    // Root keeps the accounts of the machine, which some programs change to.
    let mut flags = None;
    for flag in ["-n", "-rn"] {
        let entered = Command::new("unshare").arg(flag).args(ENTER).arg("true").output().await;
        if entered.is_ok_and(|output| output.status.success()) {
            flags = Some(flag);
            break;
        }
    }
    let Some(flags) = flags else { return true };
    let mut again = Command::new("unshare");
    again.arg(flags).args(ENTER).arg(std::env::current_exe().unwrap());
    again.args(["--exact", name, "--nocapture"]);
    // Long enough for what runs in there to be stopped by itself.
    let ended = run_within(5 * LONGEST, piped(again.env(INSIDE, "1"))).await;
    println!("{}", ended.stdout);
    assert!(ended.status.success() && ended.stdout.contains("1 passed"), "{ended}");
    false
}

/// Returns `true` in a process that has a network of its own.
pub(crate) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Variable that is set in a process with a network of its own.
const INSIDE: &str = "RESPONSES_CLIENT_ISOLATED";

/// A program with nothing of this user's settings, whose proxies lead nowhere but to loopback.
pub(crate) fn program(path: impl AsRef<Path>, home: &Folder) -> Command {
    let nowhere = "http://127.0.0.1:9";
    let mut command = Command::new(path.as_ref());
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home.path())
        .env("HTTP_PROXY", nowhere)
        .env("HTTPS_PROXY", nowhere)
        .env("NO_PROXY", "127.0.0.1")
        .current_dir(home.path())
        .stdin(Stdio::null());
    command
}

/// How a program ended, and what it said.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}", self.status, self.stdout, self.stderr)
    }
}

/// Runs a program to its end.
pub(crate) async fn run(command: &mut Command) -> Ended {
    run_within(LONGEST, piped(command)).await
}

/// Lets a program write to pipes.
pub(crate) fn piped(command: &mut Command) -> &mut Command {
    command.stdout(Stdio::piped()).stderr(Stdio::piped())
}

async fn run_within(time: Duration, command: &mut Command) -> Ended {
    let mut child = Group::spawn(command);
    let (mut stdout, mut stderr) = (String::new(), String::new());
    let mut out = child.process.stdout.take().unwrap();
    let mut err = child.process.stderr.take().unwrap();
    let ends = async {
        let (out, err) =
            tokio::join!(out.read_to_string(&mut stdout), err.read_to_string(&mut stderr));
        out.and(err).unwrap();
        child.process.wait().await.unwrap()
    };
    match timeout(time, ends).await {
        Ok(status) => Ended { status, stdout, stderr },
        Err(_) => panic!("{command:?} does not end\n{stdout}\n{stderr}"),
    }
}

/// A child and its own children; killed when dropped.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) process: tokio::process::Child,
    leader: Option<u32>,
}

impl Group {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let process = command
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { leader: process.id(), process }
    }

    /// Waits until the child listens on `address`. Returns `false` if the child ends, or takes
    /// longer than 2 min: litellm takes 6 s on an idle machine, and over 30 s on a busy one.
    pub(crate) async fn listens(&mut self, address: SocketAddr) -> bool {
        // A process of others gives no other sign that it is ready.
        let mut ready = tokio::time::interval(Duration::from_millis(50));
        for _ in 0..2400 {
            ready.tick().await;
            if TcpStream::connect(address).await.is_ok() {
                return true;
            }
            if self.process.try_wait().unwrap().is_some() {
                break;
            }
        }
        false
    }
}

/// Returns an address on which nothing listens.
pub(crate) fn free_address(host: Ipv4Addr) -> SocketAddr {
    TcpListener::bind((host, 0)).unwrap().local_addr().unwrap()
}

impl Drop for Group {
    fn drop(&mut self) {
        // A child that was waited for has no id any more, and its group may be another's.
        if let (Some(leader), Some(_)) = (self.leader, self.process.id()) {
            _ = process::Command::new("kill").args(["-KILL", "--", &format!("-{leader}")]).status();
        }
    }
}

/// A folder for the files of a test; gone when dropped.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("responses-client-peers-{}-{count}", process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// No program here takes longer.
const LONGEST: Duration = Duration::from_secs(60);
