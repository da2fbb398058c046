//! Steers of responses that run beside others.

use responses_client::{
    SteerState,
    testing::{Gate, Script, ScriptedServer, Step},
};

use super::{answer, asked, builder, connections, lanes, provider, shared};
use crate::support::{appended, incremental, read, request, settled, turn};

#[tokio::test(start_paused = true)]
async fn c087_the_response_that_follows_a_steer_keeps_its_lane() {
    let gate = Gate::new();
    let held = gate.clone();
    let script = Script::new().respond(move |exchange| match asked(exchange).as_str() {
        "held" => answer("held").insert(6, Step::Gate(held.clone())),
        text => answer(text),
    });
    let server = ScriptedServer::in_memory(script);
    let provider = provider(&server).steers(true);
    let client = builder(&server, shared()).provider(provider).build().expect("a client");
    let (mut one, mut two) = (client.session(), client.session());
    let first = request(&["one"]);
    let outcome = turn(&mut one, &first).await;
    let asked = request(&["held"]);
    let mut stream = two.stream(&asked).await.expect("a stream");
    let handle = stream.steer("shorter").expect("a handle");
    tokio::select! {
        biased;
        () = async { while stream.try_next().await.expect("no error").is_some() {} } => {}
        () = settled(&server) => {}
    }
    // Others use the WebSocket between the steer and the response that follows.
    let next = appended(&first, &outcome, "two");
    assert_eq!(turn(&mut one, &next).await.report.plan, incremental(1));
    gate.open();
    let steered = read(Ok(stream)).await;
    assert!(steered.response().output_text().ends_with("answer to shorter"));
    assert!(matches!(handle.settled().await, SteerState::Committed { .. }));
    assert_eq!(steered.report.responses.len(), 2);
    let again = turn(&mut two, &appended(&asked, &steered, "more")).await;
    assert_eq!(again.report.plan, incremental(1));
    assert_eq!(again.response().output_text(), "answer to more");
    assert!(connections(&server).iter().all(|connection| *connection == 0));
    let lanes = lanes(&server);
    assert_eq!(lanes.first(), Some(&None));
    assert_eq!(lanes[1], lanes.last().cloned().flatten(), "{lanes:?}");
}
