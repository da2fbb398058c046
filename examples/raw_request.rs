//! A create body that is JSON already, its events as JSON, and a history that is kept as JSON.
//!
//! ```text
//! OPENAI_API_KEY=… cargo run --example raw_request -- '{"model":"gpt-6-astra","input":"Say hi"}'
//! ```
//!
//! Without a key it asks the embedded server.

use responses_client::{
    Auth, History, Item, Provider, ResponsesClient, ResponsesRequest,
    testing::{Script, ScriptedServer, Turn},
};

const BODY: &str = r#"{
    "model": "gpt-6-astra",
    "input": "Say hi",
    "a_field_of_tomorrow": {"kept": true}
}"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let answers = Script::new().turns([Turn::text("Hi."), Turn::text("Ho.")]);
    let server = ScriptedServer::start(answers).await?;
    let (provider, auth) = match std::env::var("OPENAI_API_KEY") {
        Ok(key) => (Provider::openai(), Auth::bearer(key)),
        Err(_) => (Provider::compatible(&server.url())?, Auth::None),
    };
    let client = ResponsesClient::builder(provider).auth(auth).build()?;

    let body = std::env::args().nth(1).unwrap_or_else(|| BODY.to_owned());
    // What this version does not know is sent as it is.
    let mut request = ResponsesRequest::from_json(&body)?;
    let mut session = client.session();
    let mut stream = session.stream(&request).await?;
    while let Some(event) = stream.try_next().await? {
        println!("{}", event.raw());
    }
    request.input.extend(stream.final_response().await?.output_items());

    // Items keep their text to the letter, so that a history that was saved still matches.
    let saved = serde_json::to_string(&request.input)?;
    request.input = serde_json::from_str::<History>(&saved)?;
    request.input.push(Item::from_json(r#"{"role":"user","content":"Say ho"}"#)?);
    let stream = session.stream(&request).await?;
    println!("{:?}", stream.report().plan);
    println!("{}", stream.final_response().await?.output_text());
    Ok(())
}
