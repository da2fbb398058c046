//! One cell of the matrix: a session, a fault in one of its turns, and what the contract says.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use responses_client::{
    Delivery, Item, ReplayPolicy, ResponsesRequest, ResponsesSession, RetryPolicy, Timeouts,
    Transport,
    event::EventKind,
    report::{FullSendReason, Plan},
    testing::{Exchange, NoOutput, Script, ScriptedServer, Step, Turn},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    contract::{At, BETWEEN_EVENTS, Ending, FIRST_EVENT, Fault, Policy, WHOLE_TURN},
    story::{Events, Reached, Story},
    support::{Outcome, builder, full, incremental, only, request, settled, turn},
};

const UNKNOWN: &str = r#"{"type":"unheard_of"}"#;
const UNKNOWN_OF_RESPONSE: &str = r#"{"type":"response.unheard_of"}"#;
const KEEPALIVE: &str = r#"{"type":"keepalive"}"#;

/// A fault in the second turn of a session, or in its first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) transport: Transport,
    pub(crate) story: Story,
    pub(crate) fault: Fault,
    pub(crate) at: At,
    /// A turn went well over the connection before.
    pub(crate) reused: bool,
    pub(crate) policy: Policy,
}

/// What came in at the server, beside its log.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<Request>>>);

#[derive(Clone)]
pub(crate) struct Request {
    history: Vec<Value>,
    response_id: String,
}

/// Ends the cell with what is wrong.
pub(crate) type Checked = Result<(), String>;

macro_rules! check {
    ($left:expr, $right:expr, $what:literal $(,)?) => {
        match (&$left, &$right) {
            (left, right) if left != right => {
                return Err(format!("{}: {left:?}, not {right:?}", $what));
            }
            _ => {}
        }
    };
}
pub(crate) use check;

impl Seen {
    pub(crate) fn note(&self, exchange: &Exchange) {
        let request = Request {
            history: exchange.history.clone(),
            response_id: exchange.response_id.clone(),
        };
        self.0.lock().expect("no panic").push(request);
    }

    pub(crate) fn take(&self) -> Vec<Request> {
        std::mem::take(&mut *self.0.lock().expect("no panic"))
    }
}

impl Cell {
    /// Runs it, and holds it against the contract.
    pub(crate) async fn run(self, events: &'static [Events]) -> Checked {
        let seen = Seen::default();
        let (noted, faulty) = (seen.clone(), usize::from(self.reused));
        let script = Script::new().respond(move |exchange| {
            noted.note(exchange);
            if exchange.index == faulty {
                self.faulty(events, exchange)
            } else {
                Turn::steps(
                    of(events, Story::Answer).told(of(events, Story::Answer).len(), exchange),
                )
            }
        });
        let server = ScriptedServer::in_memory(script);
        let client = builder(&server)
            .transport(only(self.transport))
            .retry(self.policy.retry())
            .timeouts(timeouts(self.fault == Fault::WholeTurn));
        let mut session = client.build().expect("a client").session();

        let mut asked = request(&["one"]);
        if self.reused {
            let before = turn(&mut session, &asked).await;
            healthy(events, &before, &asked, &seen.take())?;
            extend(&mut asked, &before, "two");
        }
        let cell = self.as_received(events);
        let start = Instant::now();
        let outcome = turn(&mut session, &asked).await;
        let took = start.elapsed();
        let ending = cell.fault.ending(cell.story, cell.reached(events), cell.transport);
        let requests = seen.take();
        histories(&asked, &requests, false)?;
        let again = cell.judge(events, ending, &outcome, &requests, took)?;
        settled(&server).await;
        if cell.fault == Fault::Freeze && cell.reached(events) == Reached::Ended {
            // Long enough for the pings to find it out.
            tokio::time::sleep(Duration::from_secs(40)).await;
        }
        let kept = again || cell.keeps_socket(events);
        let completed = again || ending == Ending::Completed;
        cell.next(events, &mut session, &mut asked, outcome, &seen, completed, kept).await?;
        check!(server.log().panics, Vec::<String>::new(), "panics");
        Ok(())
    }

    /// The cell as a client has to take it. On a socket that served a turn before, events of the output
    /// and a terminal without an id may be late ones of that turn: before this response begins they
    /// are held back (C136), and its beginning shows that they are not its own.
    fn as_received(self, events: &[Events]) -> Self {
        let may_be_late = self.reused
            && self.transport == Transport::WebSocket
            && self.at != At::Whole
            && self.reached(events) == Reached::Nothing;
        let fault = match self.fault {
            Fault::WrongDelta | Fault::WrongItem if may_be_late => Fault::EmptyObject,
            // Nothing comes after it.
            Fault::BareTerminal if may_be_late => Fault::Stall,
            fault => fault,
        };
        Self { fault, ..self }
    }

    /// How the attempt with the fault went, and what came of the turn. Whether there was another.
    fn judge(
        self,
        events: &[Events],
        ending: Ending,
        outcome: &Outcome,
        requests: &[Request],
        took: Duration,
    ) -> Result<bool, String> {
        let story = of(events, self.story);
        let told = self.told(events);
        let on_parent = self.reused && self.transport == Transport::WebSocket;
        let attempts = &outcome.report.attempts;
        check!(attempts.len(), requests.len(), "attempts, and requests that came in");
        let Ending::Failed(failure) = ending else {
            check!(attempts.len(), 1, "attempts");
            let response = outcome.result.as_ref().map_err(|error| format!("{error:?}"))?;
            let last = outcome.kinds().last().copied();
            let end = match ending {
                Ending::Incomplete => "response.incomplete",
                _ => "response.completed",
            };
            check!(last, Some(end), "the last event");
            let ends = outcome.kinds().iter().filter(|kind| **kind == end).count();
            check!(ends, 1, "terminal events");
            let without_ids = self.fault == Fault::OtherItemIds;
            let items = self.items(response.output_items(), without_ids);
            let unknown = usize::from(self.fault == Fault::UnknownThings);
            if unknown == 0 {
                let expected = story.items.iter().map(Item::from_serialize).map(Result::unwrap);
                check!(items, self.items(expected, without_ids), "the output");
            } else {
                check!(items.len(), story.items.len() + 1, "items of the output");
            }
            return Ok(false);
        };

        let first = attempts.first().and_then(|attempt| attempt.failure.as_ref());
        let first = first.ok_or("the first attempt did not fail")?;
        check!((first.kind, first.delivery), (failure.kind, failure.delivery), "the failure");
        let again = failure.is_retried(self.policy, on_parent);
        check!(attempts.len(), if again { 2 } else { 1 }, "attempts");
        let kinds: Vec<&str> = outcome
            .events
            .iter()
            .filter(|event| !self.fault.is_notice(event.raw()))
            .map(|event| event.kind().as_str())
            .collect();
        let before = story.kinds[..told].iter().map(String::as_str);
        let answer = of(events, Story::Answer).kinds.iter().map(String::as_str);
        if again {
            let response = outcome.result.as_ref().map_err(|error| format!("{error:?}"))?;
            check!(response.output_text(), "An answer", "the text");
            let restarted = failure.delivery == Delivery::OutputStarted;
            let expected: Vec<&str> = match restarted {
                true => before.chain([EventKind::Restarted.as_str()]).chain(answer).collect(),
                // What was told of the beginning is not told again.
                false => answer.collect(),
            };
            check!(kinds, expected, "the events");
            let last = outcome.events.len() - of(events, Story::Answer).len();
            if restarted || told == 0 {
                bear_id(&outcome.events[last..], requests)?;
            }
            return Ok(true);
        }
        check!(kinds, before.collect::<Vec<_>>(), "the events");
        bear_id(&outcome.events, requests)?;
        let Err(error) = &outcome.result else { return Err("it went well".to_owned()) };
        check!((error.kind(), error.delivery()), (failure.kind, failure.delivery), "the error");
        check!(error.retry_action(), failure.action(), "the action");
        check!(error.retry_after(), failure.after, "the delay");
        check!(took, self.fault.silence(self.reached(events), self.transport), "the time it took");
        let carries = matches!(self.fault, Fault::Failed(_) | Fault::Cancelled)
            || format!("{:?}", self.fault).starts_with("Error(Failed");
        let has_partial = told > 0 || carries;
        check!(error.response().is_some(), has_partial, "whether there is a partial response");
        if let Some(partial) = error.response() {
            let (items, text) = story.content(told);
            let finished: Vec<Value> =
                partial.output_items().map(|item| item.json().decode().expect("JSON")).collect();
            check!(finished, items, "finished items");
            check!(partial.output_text(), text, "the text so far");
        }
        Ok(false)
    }

    /// Two turns after it go well, each by the right plan.
    #[expect(clippy::too_many_arguments, reason = "what the turn before left")]
    async fn next(
        self,
        events: &'static [Events],
        session: &mut ResponsesSession,
        asked: &mut ResponsesRequest,
        outcome: Outcome,
        seen: &Seen,
        completed: bool,
        kept: bool,
    ) -> Checked {
        extend(asked, &outcome, "again");
        let next = turn(session, asked).await;
        let requests = seen.take();
        histories(asked, &requests, self.fault == Fault::OtherItemIds)?;
        healthy_but_history(events, &next, &requests)?;
        let over_sse = self.transport == Transport::Sse;
        let plan = match (completed, kept) {
            (false, _) => full(FullSendReason::PriorNotCompleted),
            // C135: its end names another response than its beginning.
            (true, _) if self.fault == Fault::OtherResponseIds && !over_sse => {
                full(FullSendReason::ParentAmbiguous)
            }
            (true, _) if over_sse => next.report.plan.clone().filter(Plan::is_full),
            (true, true) => incremental(1),
            (true, false) => full(FullSendReason::ConnectionChanged),
        };
        check!(next.report.plan, plan, "the next plan");
        if over_sse {
            return Ok(());
        }
        check!(next.report.reused, kept, "whether the next turn has the socket");
        if self.policy != Policy::Default {
            return Ok(());
        }
        extend(asked, &next, "and again");
        let last = turn(session, asked).await;
        let requests = seen.take();
        histories(asked, &requests, self.fault == Fault::OtherItemIds)?;
        healthy_but_history(events, &last, &requests)?;
        check!((last.report.plan, last.report.reused), (incremental(1), true), "the last plan");
        Ok(())
    }

    fn reached(self, events: &[Events]) -> Reached {
        match self.at {
            At::Head => Reached::Nothing,
            At::After(told) | At::Inside(told, _) => of(events, self.story).reached(told),
            // What these end is cut behind its last item.
            At::Whole => Reached::Output,
        }
    }

    /// How many events come before the fault.
    fn told(self, events: &[Events]) -> usize {
        let story = of(events, self.story);
        let told = match self.at {
            At::Head => 0,
            At::After(told) | At::Inside(told, _) => told,
            At::Whole => story.len() - 1,
        };
        match self.story {
            // Its end is no event, but the error.
            Story::Failed if self.fault.is_harmless(self.transport) => story.len() - 1,
            Story::Failed => told.min(story.len() - 1),
            _ => told,
        }
    }

    fn keeps_socket(self, events: &[Events]) -> bool {
        self.fault.keeps_socket(self.at, self.reached(events))
    }

    fn items(self, items: impl Iterator<Item = Item>, without_ids: bool) -> Vec<Value> {
        let mut items: Vec<Value> = items.map(|item| item.json().decode().expect("JSON")).collect();
        if without_ids {
            items.iter_mut().for_each(strip);
        }
        items
    }

    /// What the server does.
    fn faulty(self, events: &[Events], to: &Exchange) -> Turn {
        let story = of(events, self.story);
        let all = || Turn::steps(story.told(story.len(), to));
        match (self.at, self.fault) {
            (At::Whole, fault) => match fault {
                Fault::DoubleTerminal => all().double_terminal(),
                Fault::DuplicateCreated => all().duplicate_created(),
                Fault::OtherResponseIds => all().changing_response_id(),
                Fault::OtherItemIds => all().changing_item_ids(),
                Fault::NoTerminal => all().without_terminal(),
                Fault::UnknownThings => all().unknown_things(),
                Fault::NoSetup => all().without_setup(),
                Fault::NoNumbers => all().without_sequence_numbers(),
                Fault::NullOutput => all().empty_terminal_output(NoOutput::Null),
                Fault::NoOutput => all().empty_terminal_output(NoOutput::Missing),
                Fault::Fragments => all().dripped(Duration::from_secs(1)),
                other => unreachable!("{other:?} has a place"),
            },
            (At::Head, Fault::Reset) => Turn::steps([Step::Reset]),
            (At::Head, _) => Turn::steps([Step::End]),
            (At::Inside(told, bytes), fault) => {
                let torn = story.torn(told, bytes, to);
                let steps = story.told(told, to).into_iter().chain([torn]);
                Turn::steps(begun(steps).chain(fault.steps(to, self.transport)))
            }
            (At::After(told), fault) => {
                let mut steps: Vec<Step> = begun(story.told(told, to)).collect();
                if story.reached(told) == Reached::Ended {
                    // As bytes, of which the server's own state takes no note.
                    let raw = fault.steps(to, self.transport).into_iter();
                    steps.extend(raw.map(|step| as_bytes(step, self.transport)));
                    return Turn::steps(steps);
                }
                if let Fault::Error(shape, code) = fault {
                    let turn = Turn::error_shape(shape, code.status, code.code, "Too bad");
                    return steps.into_iter().rev().fold(turn, Turn::first);
                }
                steps.extend(fault.steps(to, self.transport));
                if !fault.ends_story() {
                    steps.extend(story.told(story.len(), to).into_iter().skip(told));
                }
                Turn::steps(steps)
            }
        }
    }
}

impl Fault {
    /// Whether the server says nothing after it.
    fn ends_story(self) -> bool {
        matches!(
            self,
            Self::Reset
                | Self::End
                | Self::Close(_)
                | Self::Stall
                | Self::Freeze
                | Self::WholeTurn
                | Self::NoJson
                | Self::Array
                | Self::BareTerminal
                | Self::Error(..)
                | Self::Failed(_)
                | Self::Cancelled
        )
    }

    /// Whether it is this event, which stands between those of the story.
    fn is_notice(self, raw: &str) -> bool {
        match self {
            Self::Unknown => raw == UNKNOWN,
            Self::UnknownOfResponse => raw == UNKNOWN_OF_RESPONSE,
            Self::Keepalive => raw == KEEPALIVE,
            _ => false,
        }
    }

    fn steps(self, to: &Exchange, transport: Transport) -> Vec<Step> {
        let ended = |status: &str, error: Value| {
            let response =
                json!({ "id": to.response_id, "status": status, "error": error, "output": [] });
            Step::Event(json!({ "type": format!("response.{status}"), "response": response }))
        };
        let text = |text: &str| Step::Text(text.to_owned());
        vec![match self {
            Self::Reset => Step::Reset,
            Self::End => Step::End,
            Self::Close(code) => Step::Close { code, reason: String::new() },
            Self::Stall | Self::WholeTurn => Step::Stall,
            Self::Freeze => Step::Freeze,
            Self::Binary => Step::Binary(Bytes::from_static(b"{}")),
            Self::NoJson => text("<html>"),
            Self::NoUtf8 => match transport {
                Transport::WebSocket => Step::Raw(Bytes::from_static(b"{\"type\":\"\xff\"}")),
                _ => Step::Raw(Bytes::from_static(b"data: {\"type\":\"\xff\"}\n\n")),
            },
            Self::Array => text("[]"),
            Self::TypeIsNumber => text(r#"{"type":7}"#),
            Self::WrongDelta => text(
                r#"{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":7}"#,
            ),
            Self::WrongItem => {
                text(r#"{"type":"response.output_item.done","output_index":0,"item":7}"#)
            }
            Self::BareTerminal => text(r#"{"type":"response.completed"}"#),
            Self::EmptyObject => text("{}"),
            Self::Done => text("[DONE]"),
            Self::Unknown => text(UNKNOWN),
            Self::UnknownOfResponse => text(UNKNOWN_OF_RESPONSE),
            Self::Keepalive => text(KEEPALIVE),
            Self::Comment => Step::Comment("keepalive".to_owned()),
            Self::Ping => Step::Ping(Bytes::from_static(b"ping")),
            Self::Pong => Step::Pong(Bytes::from_static(b"unasked")),
            Self::Failed(code) => {
                ended("failed", json!({ "code": code.code, "message": "Too bad" }))
            }
            Self::Cancelled => ended("cancelled", Value::Null),
            Self::Error(..) => text(r#"{"type":"error","code":"server_error","message":"Late"}"#),
            whole => unreachable!("{whole:?} is everywhere"),
        }]
    }
}

impl Policy {
    pub(crate) const ALL: [Self; 4] = [Self::Once, Self::Never, Self::Default, Self::Restart];
    /// Without the first, which each group adds by `with_one_attempt`.
    pub(crate) const MOST: [Self; 3] = [Self::Never, Self::Default, Self::Restart];

    pub(crate) fn retry(self) -> RetryPolicy {
        let mut retry = RetryPolicy::default();
        match self {
            Self::Once => (retry.replay, retry.max_attempts) = (ReplayPolicy::Never, 1),
            Self::Never => retry.replay = ReplayPolicy::Never,
            Self::Default => {}
            Self::Restart => (retry.replay, retry.max_attempts) = (ReplayPolicy::Restart, 4),
        }
        retry
    }
}

pub(crate) fn timeouts(whole_turn: bool) -> Timeouts {
    let mut timeouts = Timeouts::default();
    timeouts.first_event_websocket = Some(FIRST_EVENT);
    timeouts.first_event_sse = Some(FIRST_EVENT);
    timeouts.between_events_websocket = Some(BETWEEN_EVENTS);
    timeouts.between_events_sse = Some(BETWEEN_EVENTS);
    timeouts.turn = whole_turn.then_some(WHOLE_TURN);
    timeouts
}

pub(crate) fn of(events: &[Events], story: Story) -> &Events {
    &events[Story::ALL.iter().position(|other| *other == story).expect("one of them")]
}

/// The next request of a caller: what was answered is appended, and then a message.
pub(crate) fn extend(asked: &mut ResponsesRequest, outcome: &Outcome, text: &str) {
    if let Ok(response) = &outcome.result {
        asked.input.extend(response.output_items());
    }
    asked.input.push(Item::user(text));
}

/// The turn went well at once, and shows nothing of any other.
pub(crate) fn healthy(
    events: &[Events],
    outcome: &Outcome,
    asked: &ResponsesRequest,
    requests: &[Request],
) -> Checked {
    histories(asked, requests, false)?;
    healthy_but_history(events, outcome, requests)
}

fn healthy_but_history(events: &[Events], outcome: &Outcome, requests: &[Request]) -> Checked {
    outcome.result.as_ref().map_err(|error| format!("the next turn: {error:?}"))?;
    check!((requests.len(), outcome.report.attempts.len()), (1, 1), "attempts of the next turn");
    check!(outcome.kinds(), of(events, Story::Answer).kinds, "events of the next turn");
    bear_id(&outcome.events, requests)
}

/// The server has the whole conversation, in each request.
pub(crate) fn histories(
    asked: &ResponsesRequest,
    requests: &[Request],
    without_ids: bool,
) -> Checked {
    let items = asked.input.iter();
    let mut input: Vec<Value> = items.map(|item| item.json().decode().expect("JSON")).collect();
    if without_ids {
        input.iter_mut().for_each(strip);
    }
    for request in requests {
        let mut history = request.history.clone();
        if without_ids {
            history.iter_mut().for_each(strip);
        }
        // Their digests differ exactly if they do, and take longer.
        check!(history == input, true, "whether the server has the history");
    }
    Ok(())
}

/// Events that name a response name that of the last request.
fn bear_id(events: &[responses_client::event::ResponseEvent], requests: &[Request]) -> Checked {
    let own = requests.last().map(|request| request.response_id.as_str());
    for event in events.iter().filter(|event| event.raw().contains(r#""response":"#)) {
        let event: Value = serde_json::from_str(event.raw()).expect("JSON");
        check!(event["response"]["id"].as_str(), own, "the response that an event is of");
    }
    Ok(())
}

fn strip(item: &mut Value) {
    if let Some(members) = item.as_object_mut() {
        members.remove("id");
    }
}

/// With something before it, so that the head of an SSE answer goes out.
fn begun(steps: impl IntoIterator<Item = Step>) -> impl Iterator<Item = Step> {
    [Step::Comment("begun".to_owned())].into_iter().chain(steps)
}

fn as_bytes(step: Step, transport: Transport) -> Step {
    let text = match step {
        Step::Text(text) => text,
        Step::Event(event) => event.to_string(),
        other => return other,
    };
    Step::Raw(match transport {
        Transport::WebSocket => text.into(),
        _ => format!("data: {text}\n\n").into(),
    })
}
