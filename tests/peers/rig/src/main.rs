//! Runs a plain turn, a streamed turn and a tool with rig; says in a line of JSON what came of it.
//!
//! Argument: the base URL. The tool is `weather`, which takes a city.

use std::{env, error::Error};

use futures_util::StreamExt;
use rig_core::{
    completion::{CompletionRequest, ToolDefinition},
    message::{Message, ToolName, ToolResultContent},
    providers::openai::OpenAIConfig,
    streaming::{Item, StreamEvent},
};
use serde_json::json;

const QUESTION: &str = "How is the weather?";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::args().nth(1).ok_or("the base URL is missing")?;
    let model = OpenAIConfig::new("sk-test").with_base_url(url).client().responses("gpt-test");
    let plain = model.call(CompletionRequest::new(QUESTION)).await?.text();

    let mut streamed = String::new();
    let mut events = model.stream(CompletionRequest::new(QUESTION))?;
    while let Some(item) = events.next().await {
        if let Item::Event(StreamEvent::Text { text, .. }) = item? {
            streamed += &text;
        }
    }

    let parameters = json!({
        "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"],
    });
    let tool = ToolDefinition::new(ToolName::new("weather")?, "Says it.", parameters);
    let response = model.call(CompletionRequest::new(QUESTION).tool(tool.clone())).await?;
    let (mut called, mut results) = (Vec::new(), Vec::new());
    for call in response.tool_calls() {
        let city = call.function.arguments["city"].as_str().ok_or("the city is missing")?;
        called.push(city.to_owned());
        results.push(call.result(vec![ToolResultContent::text(format!("It rains in {city}."))]));
    }
    let answer = response.message().ok_or("there is no message")?;
    let request = CompletionRequest::new(Message::tool_results(results))
        .messages([Message::user(QUESTION), answer])
        .tool(tool);
    let tool = model.call(request).await?.text();
    println!("{}", json!({ "plain": plain, "streamed": streamed, "tool": tool, "called": called }));
    Ok(())
}
