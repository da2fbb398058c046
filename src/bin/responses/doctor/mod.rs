//! `responses doctor`: finds out if turns work from this machine, and what is in their way.

use std::{
    io::{IsTerminal as _, Write as _, stdout},
    time::{Duration, Instant},
};

use indicatif::ProgressBar;
use responses_client::{
    Error, ErrorCode, ErrorKind, Phase, ResponsesClient, ResponsesClientBuilder, ResponsesRequest,
    RetryPolicy, Timeouts, TransportPolicy,
    error::{ConnectError, ConnectStep, ProxyError},
    probe::Probe,
};

use crate::{
    client_args::{self, ClientArgs},
    stop::Stop,
};

use diagnosis::{Diagnosis, Working};
use finding::{Finding, Status};

mod delivery;
mod diagnosis;
mod environment;
mod finding;
mod show;

/// Checks the way to the server, and says which transport works.
///
/// Checks the settings of proxies and certificates, name resolution, TCP, TLS, the answer to an
/// empty request (which costs nothing), a WebSocket, and with --model the delivery of short
/// answers. No check takes longer than 5 s, unless the line says so. The output has no credential.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    client: ClientArgs,

    /// Model of a short answer over each transport, to see if events arrive one by one; costs tokens
    /// [default: none]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,

    /// Also leaves WebSockets idle for this time, without and with pings, and checks if they are cut
    /// [default: none]
    #[arg(long, value_name = "TIME", value_parser = client_args::time)]
    idle: Option<Duration>,

    /// Prints one JSON object: the findings with stable ids, the transport and the flags to use
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
Exit status: 0 if both transports work, 1 if turns work with limits, 2 if they do not work.";

/// Longest time of a check.
const LIMIT: Duration = Duration::from_secs(5);

/// Time after `LIMIT` in which a time limit of the client ends a check with an error that names the
/// step.
const GRACE: Duration = Duration::from_millis(250);

/// Runs the checks. Returns `true` if all is well.
pub(crate) async fn doctor(args: Args) -> Result<bool, Stop> {
    let progress = ProgressBar::new_spinner();
    progress.enable_steady_tick(Duration::from_millis(100));
    let mut checks = Checks { findings: Vec::new(), progress, prints: !args.json };
    let working = checks.run(&args).await?;
    checks.progress.finish_and_clear();
    let diagnosis = Diagnosis::new(checks.findings, working);
    let mut out = stdout().lock();
    let written = match args.json {
        true => serde_json::to_string(&diagnosis)
            .map_err(std::io::Error::other)
            .and_then(|line| writeln!(out, "{line}")),
        false => writeln!(out, "{}", show::conclusion(&diagnosis, stdout().is_terminal())),
    };
    written.map_err(Stop::output)?;
    match diagnosis.transport {
        None => Err(Stop::Unusable),
        Some(_) => Ok(!diagnosis.is_limited()),
    }
}

/// Way to the server.
enum Way {
    Open,
    /// A proxy opens no tunnel over plain http, for the reason in this finding. The proxy may forward
    /// requests.
    NoTunnel(Finding),
    Closed,
}

struct Checks {
    findings: Vec<Finding>,
    progress: ProgressBar,
    prints: bool,
}

impl Checks {
    /// Adds a finding, and prints it.
    fn add(&mut self, finding: Finding) -> Result<(), Stop> {
        if self.prints {
            let line = show::finding(&finding, stdout().is_terminal());
            let written = self.progress.suspend(|| writeln!(stdout().lock(), "{line}"));
            written.map_err(Stop::output)?;
        }
        self.findings.push(finding);
        Ok(())
    }

    fn begin(&self, check: &'static str) -> Instant {
        self.progress.set_message(format!("checking {check}"));
        Instant::now()
    }

    async fn run(&mut self, args: &Args) -> Result<Working, Stop> {
        for finding in environment::ca_variables(|name| std::env::var_os(name)) {
            self.add(finding)?;
        }
        let without_websocket = args.client.provider_without_websocket()?;
        let builder = args.client.builder()?;
        let client = |transport| client(builder.clone(), transport, timeouts(LIMIT));
        let has_websocket = without_websocket.is_none();
        let mut working = Working { has_websocket, ..Working::default() };
        let sse = match client(TransportPolicy::SseOnly) {
            Ok(client) => client,
            Err(error) => {
                self.add(environment::of_settings(&error))?;
                return Ok(working);
            }
        };
        let way = self.connection(&sse).await?;
        if matches!(way, Way::Closed) {
            return Ok(working);
        }
        working.sse = self.http(&sse, &way).await?;
        let websockets_pass = matches!(way, Way::Open);
        if let Way::NoTunnel(finding) = way
            && (has_websocket || !working.sse)
        {
            self.no_tunnel(finding, working.sse)?;
        }
        if let Some(provider) = without_websocket {
            let message = format!("{provider} has no WebSocket: turns use SSE");
            self.add(Finding::note("no_websocket", message))?;
        } else if websockets_pass && let Ok(client) = client(TransportPolicy::WebSocketOnly) {
            working.websocket = self.websocket(&client, working.sse).await?;
        }
        match &args.model {
            Some(model) => {
                let accepted = !working.sse || self.delivery(builder.clone(), model).await?;
                if accepted && working.websocket {
                    let answers =
                        self.websocket_answer(builder.clone(), model, working.sse).await?;
                    working.websocket = answers;
                }
            }
            None if !working.sse => {}
            None => self.add(Finding::note(
                "delivery_not_checked",
                "not checked if an answer arrives, and its events one by one: pass --model, which \
                 costs tokens",
            ))?,
        }
        if working.websocket
            && let Some(idle) = args.idle
        {
            self.idle(builder, idle, args.client.ping()).await?;
        }
        Ok(working)
    }

    /// Opens a connection, as for a WebSocket.
    async fn connection(&mut self, client: &ResponsesClient) -> Result<Way, Stop> {
        let start = self.begin("the connection");
        let Probe { route, steps, error, .. } = client.probe().await;
        let time = start.elapsed();
        let succeeded: Duration = steps.iter().map(|step| step.time).sum();
        let local = environment::of_local_proxy(client.base_url(), &route);
        for finding in environment::of_route(&route).into_iter().chain(local) {
            self.add(finding)?;
        }
        for step in steps {
            let detail = step.detail.as_deref().unwrap_or(match step.step {
                ConnectStep::Proxy => "the proxy opens a tunnel",
                _ => "connected",
            });
            self.add(Finding::ok(step.step.as_str(), detail).after(step.time))?;
        }
        let Some(error) = error else { return Ok(Way::Open) };
        let finding = Finding::of_connection(&error, client.is_secure(), route.scheme);
        let finding = finding.after(time.saturating_sub(succeeded));
        let is_refused = matches!(
            error.connect_error(),
            Some(
                ConnectError::Proxy(
                    ProxyError::Refused(_)
                        | ProxyError::NotAProxy(_)
                        | ProxyError::ServerUnreachable(_)
                ) | ConnectError::TimedOut(ConnectStep::Proxy)
                    | ConnectError::Lost(ConnectStep::Proxy)
            )
        );
        // A SOCKS proxy forwards no requests.
        let forwards = route.scheme.is_some_and(|scheme| scheme.starts_with("http"));
        if is_refused && forwards && !client.is_secure() {
            return Ok(Way::NoTunnel(finding));
        }
        self.add(finding)?;
        Ok(Way::Closed)
    }

    /// Adds the finding of a proxy that opens no tunnel.
    fn no_tunnel(&mut self, finding: Finding, sse_works: bool) -> Result<(), Stop> {
        if !sse_works {
            // The check of HTTP may have added the same.
            let is_known = self.findings.iter().any(|it| it.id == finding.id);
            return if is_known { Ok(()) } else { self.add(finding) };
        }
        let finding =
            Finding { id: "websocket_blocked_by_proxy", status: Status::Limit, ..finding };
        self.add(finding.advise(
            "WebSockets over plain http do not pass this proxy: use an https address, or name the \
             host in NO_PROXY",
        ))
    }

    /// Sends an empty request over SSE. Returns `true` if the API answers.
    async fn http(&mut self, client: &ResponsesClient, way: &Way) -> Result<bool, Stop> {
        let start = self.begin("HTTP");
        let finding = match ask(client).await {
            Asked::Answered => Finding::ok("http", "the API answers"),
            Asked::Silent => Finding::fail("no_answer", "no event arrived within 5 s")
                .advise("a proxy or a gateway may hold the answer back"),
            Asked::Failed(error) => match way {
                Way::NoTunnel(why) => Finding::of_forwarded(&error, why),
                _ => Finding::of_error(&error, client.is_secure()),
            },
        };
        let works = finding.status == Status::Ok;
        self.add(finding.after(start.elapsed()))?;
        Ok(works)
    }

    /// Sends an empty request over a WebSocket. Returns `true` if an answer arrives.
    async fn websocket(&mut self, client: &ResponsesClient, sse_works: bool) -> Result<bool, Stop> {
        let start = self.begin("WebSocket");
        let finding = match ask(client).await {
            Asked::Answered => Finding::ok("websocket", "opens, and the API answers over it"),
            Asked::Silent => silent(client.metrics().websockets_opened > 0, LIMIT, sse_works),
            Asked::Failed(error) => websocket_finding(&error, LIMIT, sse_works, client.is_secure()),
        };
        let works = finding.status == Status::Ok;
        self.add(finding.after(start.elapsed()))?;
        Ok(works)
    }
}

/// Outcome of an empty request.
enum Asked {
    Answered,
    Failed(Error),
    /// No event arrived in time.
    Silent,
}

/// Sends an empty request, and reads the answer for the time of a check.
async fn ask(client: &ResponsesClient) -> Asked {
    let mut has_begun = false;
    let asking = async {
        let mut session = client.session();
        let mut stream = session.stream(ResponsesRequest::default()).await?;
        while stream.try_next().await?.is_some() {
            has_begun = true;
        }
        Ok(())
    };
    match tokio::time::timeout(LIMIT + GRACE, asking).await {
        Ok(Ok(())) => Asked::Answered,
        Ok(Err(error)) if is_answer(&error) => Asked::Answered,
        Ok(Err(error)) => Asked::Failed(error),
        Err(_) if has_begun => Asked::Answered,
        Err(_) => Asked::Silent,
    }
}

/// Returns a client for one check, which makes no retry.
fn client(
    builder: ResponsesClientBuilder,
    transport: TransportPolicy,
    timeouts: Timeouts,
) -> Result<ResponsesClient, Error> {
    let retry = RetryPolicy::default().max_attempts(1).network_down_deadline(Duration::ZERO);
    builder.transport(transport).retry(retry).timeouts(timeouts).build()
}

/// Returns time limits by which no wait of a check is longer than `limit`.
fn timeouts(limit: Duration) -> Timeouts {
    Timeouts::default()
        .connect(LIMIT)
        .send(LIMIT)
        .first_event_websocket(limit)
        .first_event_sse(limit)
        .between_events_websocket(limit)
        .between_events_sse(limit)
}

/// Returns `true` if the API itself refused the request, or the state of the key. An error without
/// a status is an event.
fn is_answer(error: &Error) -> bool {
    error.kind() == ErrorKind::Api
        && match error.status() {
            None => true,
            Some(400 | 422) => finding::is_json(error),
            _ => error.is_rate_limited() || error.code() == Some(&ErrorCode::ModelNotFound),
        }
}

/// Returns the finding for a WebSocket that does not work, while SSE does or does not.
fn without_websocket(id: &'static str, message: String, sse_works: bool) -> Finding {
    match sse_works {
        true => Finding::limit(id, message)
            .advise("turns fall back to SSE: use --transport sse to save the attempt"),
        false => Finding::fail(id, message),
    }
}

/// Returns the finding for a WebSocket over which nothing arrives in time.
fn silent(is_open: bool, wait: Duration, sse_works: bool) -> Finding {
    let wait = wait.as_secs();
    let (id, message) = match is_open {
        true => (
            "websocket_silent",
            format!(
                "opens, but nothing arrives over it within {wait} s: a proxy may drop its frames"
            ),
        ),
        false => (
            "websocket_no_upgrade",
            format!("the upgrade is not answered within {wait} s: a proxy may hold it back"),
        ),
    };
    without_websocket(id, message, sse_works)
}

/// Returns the finding for a WebSocket that does not work, whose wait for an answer had this limit.
fn websocket_finding(error: &Error, wait: Duration, sse_works: bool, is_secure: bool) -> Finding {
    let limit = |id, message| without_websocket(id, message, sse_works);
    match (error.kind(), error.phase()) {
        (ErrorKind::UpgradeRefused, _) => limit(
            "websocket_refused",
            match error.status() {
                Some(status) => format!("the upgrade is refused with status {status}"),
                None => "the upgrade is refused".to_owned(),
            },
        ),
        (ErrorKind::Timeout, Phase::Connect) if error.connect_error().is_none() => {
            silent(false, wait, sse_works)
        }
        (ErrorKind::Timeout, _) => silent(true, wait, sse_works),
        (ErrorKind::Closed, _) => limit(
            "websocket_closed",
            match error.close_frame() {
                Some(frame) => format!("opens, and each request is closed with {frame}"),
                None => "opens, and is closed with each request".to_owned(),
            },
        ),
        (ErrorKind::Truncated, Phase::Send | Phase::FirstEvent | Phase::Events) => {
            limit("websocket_closed", "opens, and is cut with each request".to_owned())
        }
        (ErrorKind::Truncated | ErrorKind::Protocol, _) => {
            limit("websocket_broken", format!("does not work: {}", finding::text(error)))
        }
        _ => {
            let status = if sse_works { Status::Limit } else { Status::Fail };
            let finding = Finding::of_error(error, is_secure);
            let message = format!("over a WebSocket: {}", finding.message);
            Finding { status, message, ..finding }
        }
    }
}
