//! The lanes of the scripted server are those that openai-python has.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    peer::{Folder, installed, program, run, wanted},
    serve::Serve,
};

/// What the library made of a turn.
#[derive(Debug, Deserialize)]
struct Said {
    lane: Option<String>,
    /// The response that it was told to continue.
    asked: Option<String>,
    end: String,
    text: Option<String>,
    deltas: String,
    code: Option<String>,
}

/// Lanes, the default one among them, and the turns on each.
const LANES: usize = 8;
const TURNS: usize = 25;

#[tokio::test]
async fn openai_python_runs_conversations_on_lanes_and_forks_them_onto_others() {
    if !wanted() {
        return;
    }
    // The names of the lanes and of their forks, and further ones up to the limit.
    let names = 32 - (LANES - 1) - LANES;
    let answered = LANES * TURNS + LANES + names;
    let texts: Vec<_> = (0..answered).map(|turn| format!("This is the answer {turn}.")).collect();
    let turns: Vec<_> = texts.iter().map(|text| json!({ "text": text })).collect();
    let server = Serve::start("lanes", &json!({ "turns": turns })).await;
    let home = Folder::new();
    let source = format!("{}/tests/peers/lanes.py", env!("CARGO_MANIFEST_DIR"));
    let mut command = program("python3", &home);
    command.env("PYTHONPATH", installed("python")).arg(source);
    let ended = run(command.args([&server.url, &LANES.to_string(), &TURNS.to_string()])).await;
    assert!(ended.status.success(), "{ended}");
    let mut said: BTreeMap<_, Vec<Said>> = BTreeMap::new();
    for line in ended.stdout.lines() {
        let turn: Said = serde_json::from_str(line).unwrap();
        said.entry(turn.lane.clone()).or_default().push(turn);
    }

    let seen = server.end().await;
    assert_eq!(seen.websockets(), 1);
    assert_eq!(seen.requests.len(), answered + 1);
    let mut logged: BTreeMap<_, Vec<&Value>> = BTreeMap::new();
    for request in &seen.requests {
        let lane = request.get("lane").and_then(Value::as_str).map(str::to_owned);
        logged.entry(lane).or_default().push(request);
    }
    assert!(said.keys().eq(logged.keys()), "{said:#?}");
    for (turn, request) in said.values().flatten().zip(logged.values().flatten()) {
        assert_eq!(json!(turn.asked), request["previous_response_id"], "{turn:?}");
        let Some(answer) = request["turn"].as_u64() else {
            assert_eq!(turn.code.as_deref(), Some("websocket_stream_limit_reached"), "{turn:?}");
            continue;
        };
        let expected = &texts[usize::try_from(answer).unwrap()];
        assert_eq!(turn.end, "response.completed", "{turn:?}");
        assert_eq!((turn.text.as_ref(), &turn.deltas), (Some(expected), expected), "{turn:?}");
    }
    // The lanes run at the same time.
    let together = seen.requests[..LANES * TURNS].windows(2);
    let changes = together.filter(|pair| pair[0].get("lane") != pair[1].get("lane")).count();
    assert!(changes > TURNS, "{changes}");
}
