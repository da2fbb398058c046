//! The spans of the agent in `examples/opentelemetry`, as rotel, a collector, receives them.

use std::{
    collections::BTreeMap,
    fs,
    net::Ipv4Addr,
    path::Path,
    time::{Duration, Instant},
};

use responses_client::testing::{Refusal, Script, Turn, Upgrade, items};
use tokio::{process::Command, time::timeout};

use crate::{
    peer::{Ended, Folder, Group, free_address, installed, program, run, wanted},
    support::server,
};

#[tokio::test]
async fn rotel_receives_the_turns_and_attempts_of_an_agent_below_its_own_span() {
    if !wanted() {
        return;
    }
    let collector = Collector::start().await;
    let ended = run(&mut example(&collector.url, &collector.home)).await;
    assert!(ended.status.success() && ended.stdout.contains("= 9"), "{ended}");
    let output = collector.end().await;
    let spans = spans(&output);
    let expected = [
        "agent: Str(gpt-6-astra)",
        "agent > session: ",
        "agent > session > turn: ORIGIN",
        "agent > session > turn > attempt: Int(1) Str(websocket)",
        "agent > tool: Str(add)",
        "agent > session > turn: ORIGIN",
        "agent > session > turn > attempt: Int(1) Str(websocket)",
        "agent > session > turn > attempt: Int(2) Str(websocket)",
        "agent > tool: Str(add)",
        "agent > session > turn: ORIGIN",
        "agent > session > turn > attempt: Int(1) Str(websocket)",
    ];
    assert_eq!(outline(&spans), expected, "{output}");
    are_on_the_page(&spans, &["WebSocket open", "sending", "attempt failed", "turn ended"]);
    let events = spans.iter().flat_map(|span| &span.events);
    let mut sent = events.filter(|(name, _)| name == "sending");
    assert!(sent.all(|(_, fields)| fields["bytes"].starts_with("Int(")), "{output}");
}

#[tokio::test]
async fn rotel_receives_no_text_no_credential_and_the_whole_time_of_each_attempt() {
    if !wanted() {
        return;
    }
    let (answer, pause) = ("canary-answer", Duration::from_millis(100));
    let note = r#"{"a":2,"b":3,"note":"canary-argument"}"#;
    let call = items::function_call("canary-call", "add", note);
    let script = Script::new()
        .upgrade(Upgrade::Refuse(Refusal::status(426).body("canary-body")))
        .turn(Turn::output([items::message("canary-text"), call]))
        .turn(Turn::error(503, "slow_down", "canary-error").retry_after(Duration::ZERO))
        .turn(Turn::text(answer).paced(pause));
    let server = server(script).await;
    let collector = Collector::start().await;
    let mut command = example(&collector.url, &collector.home);
    command
        .env("OPENAI_BASE_URL", server.url())
        .env("OPENAI_API_KEY", "canary-key")
        .arg("canary-question");
    let began = Instant::now();
    let ended = run(&mut command).await;
    let longest = began.elapsed();
    assert!(ended.status.success() && ended.stdout.contains(answer), "{ended}");
    let output = collector.end().await;
    assert!(!output.contains("canary"), "{output}");

    let spans = spans(&output);
    let expected = [
        "agent: Str(gpt-6-astra)",
        "agent > session: ",
        "agent > session > turn: ORIGIN",
        "agent > session > turn > attempt: Int(1) Str(websocket)",
        "agent > session > turn > attempt: Int(2) Str(sse)",
        "agent > tool: Str(add)",
        "agent > session > turn: ORIGIN",
        "agent > session > turn > attempt: Int(1) Str(sse)",
        "agent > session > turn > attempt: Int(2) Str(sse)",
    ];
    assert_eq!(outline(&spans), expected, "{output}");
    are_on_the_page(&spans, &["sending", "attempt failed", "falling back to SSE", "turn ended"]);
    for span in &spans {
        assert!(span.duration() < longest, "{span:#?}");
    }
    let last = &spans[spans.len() - 1];
    // The server pauses before each of four tokens.
    assert!(last.duration() >= 4 * pause, "{last:#?}");
}

#[tokio::test]
async fn an_agent_fails_if_no_collector_receives_its_spans() {
    if !wanted() {
        return;
    }
    let url = format!("http://{}", free_address(Ipv4Addr::LOCALHOST));
    let Ended { status, stdout, stderr } = run(&mut example(&url, &Folder::new())).await;
    assert!(stdout.contains("= 9"), "{stdout}{stderr}");
    assert!(status.code() == Some(1) && stderr.contains("export failed"), "{stdout}{stderr}");
}

/// The example, which exports to `url`.
fn example(url: &str, home: &Folder) -> Command {
    let mut command = program(installed("opentelemetry-example"), home);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", url);
    command
}

/// Running collector, which writes what it receives to a file.
struct Collector {
    url: String,
    home: Folder,
    process: Group,
}

impl Collector {
    async fn start() -> Self {
        let home = Folder::new();
        let [http, grpc] = [(); 2].map(|()| free_address(Ipv4Addr::LOCALHOST));
        let log = fs::File::create(home.path().join("output")).unwrap();
        let mut command = program(installed("python/rotel/rotel-agent"), &home);
        command.args(["start", "--exporter=blackhole", "--debug-log=traces"]);
        command.arg("--debug-log-verbosity=detailed");
        command.args(["--otlp-http-endpoint", &http.to_string()]);
        command.args(["--otlp-grpc-endpoint", &grpc.to_string()]);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let mut process = Group::spawn(&mut command);
        assert!(process.listens(http).await, "rotel does not listen\n{}", written(&home));
        Self { url: format!("http://{http}"), home, process }
    }

    /// Stops the collector, which then has written everything. Returns its output.
    async fn end(mut self) -> String {
        let id = self.process.process.id().unwrap().to_string();
        let ended = run(Command::new("kill").args(["-TERM", &id])).await;
        assert!(ended.status.success(), "{ended}");
        let waited = timeout(Duration::from_secs(30), self.process.process.wait()).await;
        let output = written(&self.home);
        assert!(matches!(waited, Ok(Ok(status)) if status.success()), "{waited:?}\n{output}");
        output
    }
}

fn written(home: &Folder) -> String {
    fs::read_to_string(home.path().join("output")).unwrap()
}

/// Span, as the collector prints it.
#[derive(Debug)]
struct Span {
    name: String,
    trace: String,
    id: String,
    parent: String,
    start: u64,
    end: u64,
    attributes: Attributes,
    /// Entries of the log.
    events: Vec<(String, Attributes)>,
}

/// Values with their types.
type Attributes = BTreeMap<String, String>;

impl Span {
    fn read(text: &str) -> Self {
        let (head, events) = text.split_once("\nEvents:").unwrap_or((text, ""));
        let field = |name| {
            let mut fields = head.lines().filter_map(|line| line.split_once(':'));
            let value = fields.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim());
            value.unwrap_or_else(|| panic!("no {name}: {text}")).to_owned()
        };
        let event = |text: &str| {
            let name = text.lines().find_map(|line| line.trim().strip_prefix("-> Name: "));
            (name.expect(text).to_owned(), attributes(text))
        };
        Self {
            name: field("Name"),
            trace: field("Trace ID"),
            id: field("ID"),
            parent: field("Parent ID"),
            start: field("Start time").parse().unwrap(),
            end: field("End time").parse().unwrap(),
            attributes: attributes(head),
            events: events.split("\nSpanEvent #").skip(1).map(event).collect(),
        }
    }

    fn duration(&self) -> Duration {
        Duration::from_nanos(self.end.checked_sub(self.start).unwrap())
    }

    fn is_of_the_crate(&self) -> bool {
        self.attributes["target"] == "Str(responses_client)"
    }
}

/// Reads all spans from the output of the collector, in the order in which they began.
fn spans(output: &str) -> Vec<Span> {
    let batches = output.split("\nResourceSpans #").skip(1);
    let texts = batches.flat_map(|batch| batch.split("\nSpan #").skip(1));
    let mut spans: Vec<_> = texts.map(Span::read).collect();
    spans.sort_by_key(|span| span.start);
    spans
}

/// Reads the attributes, but for those that the exporter adds of itself.
fn attributes(text: &str) -> Attributes {
    let of_exporter = ["busy_ns", "idle_ns", "level"];
    let pairs = text.lines().filter_map(|line| line.trim().strip_prefix("-> ")?.split_once(": "));
    let typed = pairs.filter(|(_, value)| value.ends_with(')'));
    let own = typed.filter(|(name, _)| {
        !of_exporter.contains(name) && !name.starts_with("code.") && !name.starts_with("thread.")
    });
    own.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Returns the path and the values of each span. Checks that all are of one trace, and that each
/// begins and ends within its parent.
fn outline(spans: &[Span]) -> Vec<String> {
    let path = |span: &Span| {
        let (mut path, mut child) = (span.name.clone(), span);
        while !child.parent.is_empty() {
            let parent = spans.iter().find(|span| span.id == child.parent);
            let parent = parent.unwrap_or_else(|| panic!("no parent: {child:#?}"));
            let is_within = parent.start <= child.start && child.end <= parent.end;
            assert!(is_within && parent.trace == child.trace, "{parent:#?}\n{child:#?}");
            path = format!("{} > {path}", parent.name);
            child = parent;
        }
        path
    };
    let values = |span: &Span| {
        let fields = span.attributes.iter().filter(|(name, _)| *name != "target");
        let value = |(name, value): (&String, &String)| match name.as_str() {
            "origin" if value.starts_with("Str(http://127.0.0.1:") => "ORIGIN".to_owned(),
            _ => value.clone(),
        };
        fields.map(value).collect::<Vec<_>>().join(" ")
    };
    spans.iter().map(|span| format!("{}: {}", path(span), values(span))).collect()
}

/// Checks the spans and entries of the crate against the page on observability, and that all
/// `events` are among them.
fn are_on_the_page(spans: &[Span], events: &[&str]) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/observability.md");
    let page = fs::read_to_string(page).unwrap();
    let check = |name: &str, attributes: &Attributes, place: &str| {
        let row = page.lines().find(|row| row.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("the page has no row of {name}"));
        let is_listed = |field: &str| row.contains(&format!("`{field}`"));
        let mut fields = attributes.keys().filter(|name| *name != "target");
        assert!(fields.all(|field| is_listed(field)) && is_listed(place), "{row}: {attributes:?}");
    };
    let mut seen = Vec::new();
    for span in spans.iter().filter(|span| span.is_of_the_crate()) {
        let parent = spans.iter().find(|parent| parent.id == span.parent).unwrap();
        if parent.is_of_the_crate() {
            check(&span.name, &span.attributes, &parent.name);
        }
        for (name, attributes) in &span.events {
            check(name, attributes, &span.name);
            seen.push(name.as_str());
        }
    }
    assert!(events.iter().all(|event| seen.contains(event)), "{seen:?}");
}
