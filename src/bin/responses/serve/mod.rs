//! `responses serve`: runs the scripted server.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    pin::pin,
    process, thread,
};

use futures_util::FutureExt;
use responses_client::testing::{Script, ScriptedServer};
use serde::Serialize;
use tokio::sync::oneshot;

use self::log::LogLines;
use crate::{
    notes::note,
    stop::{Stop, in_words, interrupted},
};

mod log;

/// Runs a scripted server of the Responses API on loopback, with WebSocket and SSE on one port
///
/// The first line of the output is {"url":"http://127.0.0.1:8080/v1","ca":null}. Other paths are
/// answered with 404, and requests without streaming with one JSON object. With --tls, "ca"
/// is the path of a PEM file with the certificate to trust, which is removed at the end. The server
/// ends at the end of its standard input, and at ctrl-c.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Port on 127.0.0.1; 0 chooses a free port
    #[arg(long, value_name = "P", default_value_t = 0)]
    port: u16,

    /// Responses to send: a script, a recording of `run --record`, or the built-in agent
    ///
    /// `agent` simulates a loop of tool calls, based on the history in each request.
    #[arg(long, value_name = "FILE|agent", default_value = "agent")]
    script: PathBuf,

    /// Write requests, those for other paths included, and ended connections to a file, as JSON lines without credentials
    /// [default: no log]
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,

    /// Refuse the requests that the API refuses, with its errors, for example an output without its
    /// call, or an empty input [default: off]
    #[arg(long)]
    strict: bool,

    /// Use https and wss, with a generated certificate [default: off]
    #[arg(long)]
    tls: bool,
}

const AFTER_HELP: &str = "\
Examples:
  responses serve --port 8080
  responses serve --script run.jsonl --log log.jsonl
  responses serve --strict
  responses serve --tls    # then: SSL_CERT_FILE=$ca responses run --base-url $url

Exit status: 0, or 2 for bad usage.";

/// First line of the output.
#[derive(Serialize)]
struct Ready<'a> {
    url: &'a str,
    ca: Option<&'a Path>,
}

/// Serves until standard input ends or a signal arrives.
pub(crate) async fn serve(args: Args) -> Result<bool, Stop> {
    let mut script = script(&args.script)?.base_path("/v1");
    if args.strict {
        script = script.strict();
    }
    let mut log = match &args.log {
        Some(path) => {
            let file = File::create(path).map_err(|error| log_failed(path, &error))?;
            Some((path.as_path(), file))
        }
        None => None,
    };
    let address = (Ipv4Addr::LOCALHOST, args.port).into();
    let server = match args.tls {
        true => ScriptedServer::start_tls_on(address, script).await,
        false => ScriptedServer::start_on(address, script).await,
    };
    let server = server.map_err(|error| {
        Stop::Bad(format!("could not start a server on port {}: {error}", args.port))
    })?;
    // The signal handlers are installed before the URL is written, so that a caller who has read
    // the URL can stop the server with a signal.
    let mut told_to_end = pin!(told_to_end());
    if told_to_end.as_mut().now_or_never().is_some() {
        return Ok(true);
    }
    let ca = server.ca_certificate_pem().map(CaFile::create).transpose()?;
    ready(&server.url(), ca.as_ref().map(|ca| ca.0.as_path())).map_err(Stop::output)?;

    let mut lines = LogLines::default();
    tokio::select! {
        () = end_of_input() => note("standard input has ended, and the server with it"),
        () = told_to_end => {}
        failed = write_log(&server, &mut lines, log.as_mut()) => return Err(failed),
    }
    server.stop();
    let seen = server.log();
    if let Some((path, file)) = &mut log {
        let mut rest = Vec::new();
        lines.add(&seen, true, &mut rest);
        file.write_all(&rest).map_err(|error| log_failed(path, &error))?;
    }
    if let Some(mistake) = seen.panics.first() {
        // Dropping the server would panic with the same mistake.
        std::mem::forget(server);
        return Err(Stop::Bad(format!("the script: {mistake}")));
    }
    Ok(true)
}

/// Writes new log entries to the file. Returns only if writing fails.
async fn write_log(
    server: &ScriptedServer,
    lines: &mut LogLines,
    file: Option<&mut (&Path, File)>,
) -> Stop {
    let Some((path, file)) = file else { return std::future::pending().await };
    loop {
        let mut new = Vec::new();
        server
            .wait_for(|log| {
                lines.add(log, false, &mut new);
                !new.is_empty()
            })
            .await;
        if let Err(error) = file.write_all(&new) {
            return log_failed(path, &error);
        }
    }
}

fn script(path: &Path) -> Result<Script, Stop> {
    if path == Path::new("agent") {
        return Ok(Script::agent());
    }
    let bad = |why: String| Stop::Bad(format!("the script {}: {why}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
    Script::parse(&text).map_err(|error| bad(in_words(&error)))
}

fn ready(url: &str, ca: Option<&Path>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, &Ready { url, ca })?;
    out.write_all(b"\n")?;
    out.flush()
}

/// A file with the CA certificate in the temporary folder. Dropping the value removes the file.
struct CaFile(PathBuf);

impl CaFile {
    fn create(pem: &str) -> Result<Self, Stop> {
        let path = env::temp_dir().join(format!("responses-ca-{}.pem", process::id()));
        // A killed process with the same process id may have left a file.
        let _ = fs::remove_file(&path);
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        file.and_then(|mut file| file.write_all(pem.as_bytes())).map_err(|error| {
            Stop::Bad(format!("the certificate {} cannot be written: {error}", path.display()))
        })?;
        Ok(Self(path))
    }
}

impl Drop for CaFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Resolves at the end of standard input.
async fn end_of_input() {
    let (ended, end) = oneshot::channel();
    // A separate thread, because a blocking read from a terminal cannot be cancelled.
    thread::spawn(move || {
        let mut input = io::stdin().lock();
        let mut buffer = [0; 1024];
        while matches!(input.read(&mut buffer), Ok(1..)) {}
        let _ = ended.send(());
    });
    let _ = end.await;
}

/// Resolves at ctrl-c and at SIGTERM.
async fn told_to_end() {
    tokio::select! {
        () = interrupted() => {}
        () = terminated() => {}
    }
}

async fn terminated() {
    #[cfg(unix)]
    if let Ok(mut told) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
    {
        told.recv().await;
        return;
    }
    std::future::pending().await
}

fn log_failed(path: &Path, error: &io::Error) -> Stop {
    Stop::Bad(format!("the log {} cannot be written: {error}", path.display()))
}
