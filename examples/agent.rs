//! An agent with typed tools. Ctrl-C, or the time in the second argument, cancels its turn; the
//! agent keeps what it has, and answers in a last turn without tools.
//!
//! ```text
//! OPENAI_API_KEY=… cargo run --example agent -- "What is 2 + 3 + 4?" 60
//! ```
//!
//! Without a key, the agent runs against the embedded server, which stops in its third answer.

use std::{env, error::Error, time::Duration};

use responses_client::{
    Error as TurnError, Item, Response, ResponseStream, ResponsesClient, ResponsesRequest, Tool,
    event::FunctionCall,
    testing::{Exchange, Script, ScriptedServer, Step, Turn, items},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Arguments of the tool `add`.
#[derive(Deserialize, JsonSchema)]
struct Add {
    a: i64,
    b: i64,
}

/// Result of the tool `add`.
#[derive(Serialize)]
struct Sum {
    sum: i64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = ScriptedServer::start(Script::new().respond(model)).await?;
    let client = match env::var_os("OPENAI_API_KEY") {
        Some(_) => ResponsesClient::from_env()?,
        None => server.client()?,
    };
    let mut arguments = env::args().skip(1);
    let question = arguments.next().unwrap_or_else(|| "What is 2 + 3 + 4?".to_owned());
    let seconds = arguments.next().map_or(Ok(1), |text| text.parse())?;

    let schema = schemars::schema_for!(Add).to_value();
    let mut request = ResponsesRequest::new("gpt-6-astra")
        .tools([Tool::function("add", "Adds two integers.", schema)])
        .input(question);
    let mut session = client.session();
    loop {
        let mut stream = session.stream(&request).await?;
        let finished = tokio::select! {
            finished = read(&mut stream) => finished?,
            _ = tokio::signal::ctrl_c() => false,
            () = tokio::time::sleep(Duration::from_secs(seconds)) => false,
        };
        let response = stream.response();
        // Dropping a stream before its end cancels the turn: the server stops generating.
        drop(stream);
        if !finished {
            println!("cancelled");
            keep_partial(&mut request, &response);
            let last = request.tool_choice("none");
            println!("{}", session.respond(&last).await?.output_text());
            return Ok(());
        }
        request.input.extend(response.output_items());
        let calls = response.function_calls();
        if calls.is_empty() {
            println!("{}", response.output_text());
            return Ok(());
        }
        request.input.extend(calls.iter().map(run));
    }
}

/// Reads a turn to its end.
async fn read(stream: &mut ResponseStream) -> Result<bool, TurnError> {
    while stream.try_next().await?.is_some() {}
    Ok(true)
}

/// Runs a call. Arguments that do not fit are reported to the model, which then corrects them.
fn run(call: &FunctionCall) -> Item {
    match call.arguments::<Add>() {
        Ok(Add { a, b }) => {
            println!("add({a}, {b})");
            let result = call.output_json(&Sum { sum: a + b });
            result.unwrap_or_else(|error| call.output(error.to_string()))
        }
        Err(error) => call.output(error.detail().unwrap_or("invalid arguments")),
    }
}

/// Adds the finished items of a cancelled response to the history, and an output for each call.
fn keep_partial(request: &mut ResponsesRequest, response: &Response) {
    request.input.extend(response.replayable_items());
    let calls = response.function_calls();
    request.input.extend(calls.iter().map(|call| call.output("cancelled by the user")));
    request.input.push(Item::developer("The user stopped you. Say what you have so far."));
}

/// The model of the embedded server.
fn model(exchange: &Exchange) -> Turn {
    let add = |id, arguments| Turn::output([items::function_call(id, "add", arguments)]);
    match exchange.index {
        0 => add("call_1", r#"{"a":2}"#),
        1 => add("call_2", r#"{"a":2,"b":3}"#),
        2 => add("call_3", r#"{"a":5,"b":4}"#).without_terminal().then(Step::Stall),
        _ => Turn::text("So far, 2 + 3 = 5."),
    }
}
