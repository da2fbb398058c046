//! A request body that is JSON already, events as JSON, and a history that is saved as JSON.
//!
//! ```text
//! OPENAI_API_KEY=… cargo run --example raw_request -- '{"model":"gpt-6-astra","input":"Say hi"}'
//! ```
//!
//! Without a key, the example asks the embedded server.

use std::{env, error::Error};

use responses_client::{
    History, Item, ResponsesClient, ResponsesRequest,
    testing::{Script, ScriptedServer, Turn},
};

const BODY: &str = r#"{
    "model": "gpt-6-astra",
    "input": "Say hi",
    "a_field_of_tomorrow": {"kept": true}
}"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let answers = Script::new().turns([Turn::text("Hi."), Turn::text("Ho.")]);
    let server = ScriptedServer::start(answers).await?;
    let client = match env::var_os("OPENAI_API_KEY") {
        Some(_) => ResponsesClient::from_env()?,
        None => server.client()?,
    };

    let body = env::args().nth(1).unwrap_or_else(|| BODY.to_owned());
    // Members that this version does not know are sent unchanged.
    let mut request = ResponsesRequest::from_json(&body)?;
    let mut session = client.session();
    let mut stream = session.stream(&request).await?;
    while let Some(event) = stream.try_next().await? {
        println!("{}", event.raw());
    }
    request.input.extend(stream.final_response().await?.output_items());

    // Items keep their text byte for byte, so that a saved history still matches.
    let saved = serde_json::to_string(&request.input)?;
    request.input = serde_json::from_str::<History>(&saved)?;
    request.input.push(Item::from_json(r#"{"role":"user","content":"Say ho"}"#)?);
    let stream = session.stream(&request).await?;
    println!("{:?}", stream.report().plan);
    println!("{}", stream.final_response().await?.output_text());
    Ok(())
}
