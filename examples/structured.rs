//! An answer that is JSON by a schema, read into a type.
//!
//! ```text
//! OPENAI_API_KEY=… cargo run --example structured -- "Two eggs, and 200 g of flour."
//! ```
//!
//! Without a key it asks the embedded server.

use responses_client::{
    Auth, Item, Provider, ResponsesClient, ResponsesRequest,
    testing::{Script, ScriptedServer, Turn},
};
use serde::Deserialize;
use serde_json::json;

#[derive(Debug, Deserialize)]
struct Shopping {
    items: Vec<Article>,
}

#[derive(Debug, Deserialize)]
struct Article {
    name: String,
    amount: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let answer = r#"{"items":[{"name":"eggs","amount":"2"},{"name":"flour","amount":"200 g"}]}"#;
    let server = ScriptedServer::start(Script::new().turn(Turn::text(answer))).await?;
    let (provider, auth) = match std::env::var("OPENAI_API_KEY") {
        Ok(key) => (Provider::openai(), Auth::bearer(key)),
        Err(_) => (Provider::compatible(&server.url())?, Auth::None),
    };
    let client = ResponsesClient::builder(provider).auth(auth).build()?;

    // `strict` schemas name all members as required, and allow no others.
    let strings = json!({"name": {"type": "string"}, "amount": {"type": "string"}});
    let article = json!({
        "type": "object", "properties": strings,
        "required": ["name", "amount"], "additionalProperties": false,
    });
    let schema = json!({
        "type": "object", "properties": {"items": {"type": "array", "items": article}},
        "required": ["items"], "additionalProperties": false,
    });
    let text = std::env::args().nth(1).unwrap_or_else(|| "Two eggs, 200 g of flour.".to_owned());
    let request = ResponsesRequest::new("gpt-6-astra")
        .json_schema("shopping", &schema.into())
        .input([Item::user(&text)]);
    let response = client.session().stream(&request).await?.final_response().await?;
    for Article { name, amount } in response.parse_output::<Shopping>()?.items {
        println!("{amount:>8}  {name}");
    }
    Ok(())
}
