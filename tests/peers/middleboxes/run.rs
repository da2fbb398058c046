//! Runs a case, and observes its outcome.

use std::{
    fs,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use responses_client::{
    Error, Item, NetworkSettings, Provider, ProxySetting, ResponsesClient, Timeouts, Transport,
    TransportPolicy,
    testing::{Exchange, Script, ScriptedServer, Step, Turn},
};

use super::{
    case::{Case, Ends, Place, Server},
    codex::{self, Codex},
    program::Running,
};
use crate::{
    peer::free_address,
    support::{Outcome, request, turn},
};

/// Boxes and server of a case, as they run.
pub(super) struct Way {
    /// The box that the client connects to is the last one.
    boxes: Vec<Running>,
    pub(super) server: Option<ScriptedServer>,
    pub(super) base_url: String,
    pub(super) proxy: Option<String>,
    /// PEM text; empty if the client trusts only the roots of the platform.
    pub(super) roots: String,
    /// Address of the server, or of its free port.
    behind: String,
}

/// Observed outcome of a case.
pub(super) struct Seen {
    /// Transport of both turns, or the error.
    pub(super) ends: String,
    /// Number of attempts of each turn.
    pub(super) attempts: String,
    /// Delivery of a turn under `SseOnly`.
    pub(super) sse: String,
    /// Time to the first event of the first turn, or to its error.
    pub(super) time: Duration,
    pub(super) codex: Option<Codex>,
}

/// Text that asks the server for a slow answer.
const SLOWLY: &str = "slowly";
/// Text that asks the server to begin an answer, and to be silent for [`THOUGHT`] then.
pub(super) const THINK: &str = "think";
const THOUGHT: Duration = Duration::from_millis(4500);
/// Time between two pieces of a slow answer.
const PACE: Duration = Duration::from_millis(200);
const PIECES: u32 = 8;

fn answer(exchange: &Exchange) -> Turn {
    let last = exchange.history.last().map(ToString::to_string).unwrap_or_default();
    if last.contains(SLOWLY) {
        Turn::text("word".repeat(PIECES as usize)).paced(PACE)
    } else if last.contains(THINK) {
        Turn::text("hi").insert(1, Step::Delay(THOUGHT))
    } else {
        Turn::text("hi")
    }
}

impl Way {
    pub(super) async fn open(case: &Case) -> Self {
        let script = Script::new().respond(answer);
        let server = match case.server {
            Server::Tls => Some(ScriptedServer::start_tls(script).await.unwrap()),
            Server::Plain => Some(ScriptedServer::start(script).await.unwrap()),
            Server::Down => None,
        };
        let address = server.as_ref().and_then(ScriptedServer::address);
        let address = address.unwrap_or_else(|| free_address(Ipv4Addr::LOCALHOST));
        let mut roots = String::new();
        let mut boxes = Vec::<Running>::new();
        for program in &case.boxes {
            let behind = boxes.last().map_or(address, |it| it.address);
            let program = match server.as_ref().and_then(|it| it.ca_certificate_pem()) {
                Some(ca) => program.clone().file("server-ca.pem", ca),
                None => program.clone(),
            };
            boxes.push(program.start(Ipv4Addr::LOCALHOST, behind).await);
        }
        let front = boxes.last().unwrap();
        roots.extend(server.as_ref().and_then(|it| it.ca_certificate_pem()));
        for name in &case.trusted {
            roots += &fs::read_to_string(front.folder.path().join(name)).unwrap();
        }
        let (base_url, proxy) = match case.place {
            Place::Server { scheme } => (format!("{scheme}://{}/v1", front.address), None),
            Place::Proxy { scheme, login } => {
                let https = if case.server == Server::Plain { "http" } else { "https" };
                let proxy = format!("{scheme}://{login}{}", front.address);
                (format!("{https}://{address}/v1"), Some(proxy))
            }
        };
        Self { boxes, server, base_url, proxy, roots, behind: address.to_string() }
    }

    fn client(&self, case: &Case, transport: TransportPolicy) -> ResponsesClient {
        let mut network = NetworkSettings::new().proxy(match &self.proxy {
            Some(url) => ProxySetting::Url(url.clone()),
            None => ProxySetting::Direct,
        });
        if !self.roots.is_empty() {
            network = network.root_certificates_pem(self.roots.as_str());
        }
        let mut timeouts = Timeouts::default();
        if let Some(ping) = case.ping {
            timeouts = timeouts.ping(ping);
        }
        ResponsesClient::builder()
            .provider(Provider::compatible(&self.base_url).unwrap())
            .network(network)
            .timeouts(timeouts)
            .transport(transport)
            .build()
            .unwrap()
    }

    /// Returns the text of a session that ends on `transport`.
    fn ends_on(&self, transport: Transport, second: &Outcome) -> String {
        let name = transport.as_str();
        match transport {
            Transport::WebSocket if !second.report.reused => format!("{name}, opened again"),
            _ => name.to_owned(),
        }
    }

    /// Returns the text of an error, with names for the addresses.
    fn error(&self, error: &Error) -> String {
        let text = format!("{}: {}", error.kind(), error.summary());
        let front = self.boxes.last().unwrap().address.to_string();
        text.replace(&front, "BOX").replace(&self.behind, "SERVER").replace('|', "\\|")
    }
}

/// Runs two turns; a failed turn is the last one.
async fn two_turns(
    client: &ResponsesClient,
    text: &str,
    pause: Duration,
) -> (Vec<Outcome>, Duration) {
    let mut session = client.session();
    let mut request = request(&[text]);
    let began = Instant::now();
    let first = turn(&mut session, &request).await;
    let Ok(response) = &first.result else { return (vec![first], began.elapsed()) };
    let time = first.report.timings.first_event.unwrap();
    request.input.extend(response.output_items());
    request.input.push(Item::user("more"));
    tokio::time::sleep(pause).await;
    let second = turn(&mut session, &request).await;
    (vec![first, second], time)
}

/// Returns the delivery of a slow answer over SSE.
async fn delivery(way: &Way, case: &Case) -> String {
    let client = way.client(case, TransportPolicy::SseOnly);
    let outcome = turn(&mut client.session(), &request(&[SLOWLY])).await;
    if let Err(error) = &outcome.result {
        return format!("cut ({})", error.kind());
    }
    let timings = &outcome.report.timings;
    let spread = timings.done.unwrap() - timings.first_event.unwrap();
    match spread {
        held if held < PACE => "held back".to_owned(),
        streamed if streamed > PACE * (PIECES - 2) => "streamed".to_owned(),
        odd => format!("events within {odd:?}"),
    }
}

impl Case {
    /// Runs the case, and asserts its outcome.
    pub(super) async fn run(&self, name: &str) -> Seen {
        let way = Way::open(self).await;
        let auto = || way.client(self, TransportPolicy::Auto);
        let (outcomes, mut time) = two_turns(&auto(), self.text, self.pause).await;
        let context = || format!("{name}, {}: {outcomes:#?}", self.setup);
        let ends = match (&self.ends, &outcomes[..]) {
            (Ends::On(transport), [first, second]) => {
                for outcome in [first, second] {
                    assert_eq!(outcome.response().output_text(), "hi", "{}", context());
                    assert_eq!(outcome.report.transport, Some(*transport), "{}", context());
                }
                way.ends_on(*transport, second)
            }
            (Ends::Fails(is_expected), [failed]) => {
                let error = failed.error();
                assert!(is_expected(error), "{}: {error:?}", context());
                way.error(error)
            }
            _ => panic!("{}", context()),
        };
        // A busy machine may disturb one measurement.
        for _ in 0..2 {
            if time > self.within {
                time = two_turns(&auto(), self.text, Duration::ZERO).await.1;
            }
        }
        assert!(time <= self.within, "{time:?}: {}", context());
        let counts = outcomes.iter().map(|it| it.report.attempts.len().to_string());
        let sse = match self.ends {
            Ends::On(_) => delivery(&way, self).await,
            Ends::Fails(_) => "–".to_owned(),
        };
        let mut seen =
            Seen { ends, attempts: counts.collect::<Vec<_>>().join(", "), sse, time, codex: None };
        if !self.codex.is_zero() {
            let codex = codex::run(&way, self.text, self.codex).await;
            codex.assert_not_better(self.ends, time, &context);
            seen.codex = Some(codex);
        }
        seen
    }
}
