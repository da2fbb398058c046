//! Turns that a server answers in an odd way, and the turns after them.

use std::error::Error as _;

use responses_client::{
    Delivery, ErrorKind, Phase, ResponsesClient, Transport,
    error::ProtocolError,
    testing::{Script, ScriptedServer, Step, Turn},
};
use serde_json::{Value, json};

use crate::support::{Outcome, guarded, only, request, server, socket_client, turn};

/// A server and a client, for many turns that go wrong.
pub(crate) struct Bench {
    pub(crate) transport: Transport,
    pub(crate) server: ScriptedServer,
    pub(crate) client: ResponsesClient,
}

/// What came of a turn, and of the one after it in the same session.
pub(crate) struct Ran {
    pub(crate) odd: Outcome,
    pub(crate) next: Outcome,
    /// Whether both ran on one WebSocket. `None` over SSE, where what becomes of a connection is
    /// the affair of the pool.
    pub(crate) same_socket: Option<bool>,
}

impl Bench {
    pub(crate) async fn new(transport: Transport) -> Self {
        let server = server(Script::new()).await;
        let client = socket_client(&server, only(transport));
        Self { transport, server, client }
    }

    /// Runs `turn` and another one after it, which must go well and be its own.
    pub(crate) async fn run(&self, odd: Turn) -> Ran {
        self.server.push(odd);
        self.server.push(Turn::text("All is well"));
        let mut session = self.client.session();
        let odd = guarded(turn(&mut session, &request(&["odd"]))).await;
        let next = guarded(turn(&mut session, &request(&["next"]))).await;
        assert_eq!(next.response().output_text(), "All is well");
        assert_eq!(next.kinds()[0], "response.created");
        let log = self.server.log();
        let [.., one, two] = &log.requests[..] else { panic!("two requests") };
        let same_socket = match self.transport {
            Transport::WebSocket => Some(one.connection == two.connection),
            _ => None,
        };
        Ran { odd, next, same_socket }
    }
}

pub(crate) fn created() -> Value {
    json!({ "type": "response.created", "sequence_number": 0, "response": started() })
}

pub(crate) fn started() -> Value {
    json!({ "id": "resp_odd", "object": "response", "status": "in_progress", "output": [] })
}

pub(crate) fn delta(text: &str) -> Value {
    json!({
        "type": "response.output_text.delta",
        "sequence_number": 1,
        "item_id": "msg_odd",
        "output_index": 0,
        "content_index": 0,
        "delta": text,
    })
}

pub(crate) fn completed(text: &str) -> Value {
    json!({
        "type": "response.completed",
        "sequence_number": 2,
        "response": {
            "id": "resp_odd",
            "object": "response",
            "status": "completed",
            "output": [{
                "id": "msg_odd",
                "type": "message",
                "role": "assistant",
                "content": [{ "type": "output_text", "text": text, "annotations": [] }],
            }],
        },
    })
}

pub(crate) fn text(text: impl Into<String>) -> Step {
    Step::Text(text.into())
}

/// A response that has begun and has text, and then this.
pub(crate) fn after_output(step: Step) -> Turn {
    Turn::events([created(), delta("So far")]).then(step)
}

/// The turn ended behind `So far` with what came kept.
pub(crate) fn assert_cut_after_output(outcome: &Outcome, kind: ErrorKind) {
    let error = outcome.error();
    assert_eq!((error.kind(), error.phase()), (kind, Phase::Events), "{error:?}");
    assert_eq!(error.delivery(), Delivery::OutputStarted);
    assert_eq!(outcome.kinds(), ["response.created", "response.output_text.delta"]);
    assert_eq!(outcome.report.attempts.len(), 1);
    let partial = error.response().expect("what came");
    assert_eq!((partial.id(), &*partial.output_text()), ("resp_odd", "So far"));
    assert!(!partial.is_finished());
}

pub(crate) fn protocol_error(outcome: &Outcome) -> ProtocolError {
    let source = outcome.error().source().expect("a source");
    source.downcast_ref::<ProtocolError>().expect("a protocol error").clone()
}
