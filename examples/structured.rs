//! An answer in JSON by the schema of a type, read into that type.
//!
//! ```text
//! OPENAI_API_KEY=… cargo run --example structured -- "Two eggs, and 200 g of flour."
//! ```
//!
//! Without a key, the example asks the embedded server.

use std::{env, error::Error};

use responses_client::{
    ResponsesClient, ResponsesRequest,
    error::OutputError,
    testing::{Script, ScriptedServer, Turn},
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Strict schemas allow no further members, which schemars takes from `deny_unknown_fields`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Shopping {
    items: Vec<Article>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Article {
    name: String,
    amount: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let answer = r#"{"items":[{"name":"eggs","amount":"2"},{"name":"flour","amount":"200 g"}]}"#;
    let server = ScriptedServer::start(Script::new().turn(Turn::text(answer))).await?;
    let client = match env::var_os("OPENAI_API_KEY") {
        Some(_) => ResponsesClient::from_env()?,
        None => server.client()?,
    };

    let text = env::args().nth(1).unwrap_or_else(|| "Two eggs, 200 g of flour.".to_owned());
    let request = ResponsesRequest::new("gpt-6-astra")
        .json_schema("shopping", schemars::schema_for!(Shopping).to_value())
        .input(text);
    let response = client.session().respond(&request).await?;
    match response.parse_output::<Shopping>() {
        Ok(shopping) => {
            for Article { name, amount } in shopping.items {
                println!("{amount:>8}  {name}");
            }
        }
        Err(OutputError::Refused(why)) => println!("the model refused: {why}"),
        Err(OutputError::Incomplete(reason)) => println!("the answer was cut off: {reason:?}"),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
