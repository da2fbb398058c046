//! An agent over one session, and the check that the server sees the history that the caller has.

use std::path::PathBuf;

use responses_client::{
    Error, Item, ResponsesRequest, ResponsesSession, Tool, event::FunctionCall, report::TurnReport,
    testing::history_digest,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::tools;

/// How many turns it makes at most.
pub(crate) const TURNS: usize = 20;
/// Before this turn another tool is offered.
const TOOLS_CHANGE: usize = 8;
/// Before this turn the history is edited.
const HISTORY_EDITED: usize = 14;

/// An agent at work in a folder.
pub(crate) struct Agent {
    session: ResponsesSession,
    request: ResponsesRequest,
    folder: PathBuf,
    turns: usize,
}

/// What one turn came to.
pub(crate) struct Turn {
    pub(crate) number: usize,
    pub(crate) report: TurnReport,
    /// The output items, to the letter.
    pub(crate) output: Vec<String>,
    /// Whether the server's digest of the history is that of the caller's own list. `None` where
    /// the server gives none, as real ones do.
    pub(crate) same_history: Option<bool>,
    /// The answer, once there is one.
    pub(crate) answer: Option<String>,
}

#[derive(Deserialize)]
struct Arguments {
    history_digest: Option<String>,
}

impl Agent {
    /// An agent that answers `task` with what it finds in `folder`.
    pub(crate) fn new(session: ResponsesSession, model: &str, folder: PathBuf, task: &str) -> Self {
        let mut request = ResponsesRequest::new(model)
            .instructions(
                "You explore a folder with your tools, one call at a time, and then answer the \
                 user's question in a few sentences.",
            )
            .tools([tools::list_files(), tools::read_file(), tools::search_files()])
            .parallel_tool_calls(false)
            .store(false)
            .include(["reasoning.encrypted_content"]);
        request.input.push(Item::user(task));
        Self { session, request, folder, turns: 0 }
    }

    /// Makes a turn: sends the history, runs the calls, and adds both to it.
    pub(crate) async fn turn(&mut self) -> Result<Turn, Error> {
        self.turns += 1;
        match self.turns {
            TOOLS_CHANGE => self.request.tools.push(tools::count_lines()),
            HISTORY_EDITED => self.shorten_longest_output(),
            _ => {}
        }
        let digest = self.history_digest();
        let mut stream = self.session.stream(&self.request).await?;
        while stream.try_next().await?.is_some() {}
        let report = stream.report().clone();
        let response = stream.final_response().await?;
        let calls = response.function_calls();
        let answer = calls.is_empty().then(|| response.output_text());
        let same_history =
            claimed_digest(&calls, answer.as_deref()).map(|claimed| claimed == digest);
        self.request.input.extend(response.output_items());
        for call in &calls {
            let output = tools::run(&self.folder, &call.name, &call.arguments);
            self.request.input.push(Item::function_call_output(&call.call_id, &output));
        }
        let output = response.output_items().map(|item| item.json().as_str().to_owned()).collect();
        Ok(Turn { number: self.turns, report, output, same_history, answer })
    }

    /// Edits the history as agents do that run out of room.
    fn shorten_longest_output(&mut self) {
        let is_output = |item: &Item| item.item_type() == "function_call_output";
        let size = |item: &Item| item.json().as_str().len();
        let items = self.request.input.iter().enumerate();
        let longest = items.filter(|(_, item)| is_output(item)).max_by_key(|(_, item)| size(item));
        if let Some((index, call_id)) = longest.and_then(|(i, item)| Some((i, item.call_id()?))) {
            let shortened = Item::function_call_output(call_id, "[shortened]");
            self.request.input.splice(index..index + 1, [shortened]);
        }
    }

    fn history_digest(&self) -> String {
        let items: Result<Vec<Value>, _> =
            self.request.input.iter().map(|item| item.json().decode()).collect();
        items.map(|items| history_digest(&items)).unwrap_or_default()
    }
}

/// The digest that the scripted server puts into its answers.
fn claimed_digest(calls: &[FunctionCall], answer: Option<&str>) -> Option<String> {
    match calls.first() {
        Some(call) => call.arguments::<Arguments>().ok()?.history_digest,
        None => Some(answer?.split_once("history_digest:")?.1.trim().to_owned()),
    }
}

/// A tool that takes one string.
pub(crate) fn tool(name: &str, description: &str, argument: &str, meaning: &str) -> Tool {
    let parameters = json!({
        "type": "object",
        "properties": { argument: { "type": "string", "description": meaning } },
        "required": [argument],
        "additionalProperties": false,
    });
    Tool::function(name, description, parameters)
}
