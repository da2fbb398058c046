//! Schemas of Rust types: typed arguments, results and answers.

use responses_client::{
    Item, Json, TextConfig, Tool,
    testing::{Script, Turn, items},
};
use schemars::{JsonSchema, generate::SchemaSettings, schema_for};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::support::{BOTH, only, request, server, socket_client, turn};

/// Arguments of the tool.
#[derive(Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
struct Place {
    /// Name of the city.
    city: String,
    days: u32,
}

/// Result of the tool, and answer of the model.
#[derive(Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
struct Forecast {
    degrees: Vec<f64>,
    warning: Option<String>,
}

fn forecast() -> Forecast {
    Forecast { degrees: vec![7.5, 8.0], warning: None }
}

/// Schema of what `T` serializes to: a field that may be null is required, as strict schemas ask.
fn strict_schema<T: JsonSchema>() -> Json {
    let generator = SchemaSettings::default().for_serialize().into_generator();
    Value::from(generator.into_root_schema_for::<T>()).into()
}

#[tokio::test]
async fn c187_schemas_of_types_lead_to_typed_arguments_results_and_answers() {
    for transport in BOTH {
        let call = items::function_call("call_1", "forecast", r#"{"city": "Oslo", "days": 2}"#);
        let answer = serde_json::to_string(&forecast()).unwrap();
        let script = Script::new().turn(Turn::output([call])).turn(Turn::text(answer));
        let server = server(script).await;
        let mut session = socket_client(&server, only(transport)).session();
        let schema = schema_for!(Place).to_value();
        let mut request = request(&["Oslo?"])
            .tools([Tool::function("forecast", "Returns the weather.", &schema).strict(true)])
            .json_schema("forecast", strict_schema::<Forecast>());

        let first = turn(&mut session, &request).await;
        request.input.extend(first.response().output_items());
        for call in first.response().function_calls() {
            let place: Place = call.arguments().unwrap();
            assert_eq!(place, Place { city: "Oslo".to_owned(), days: 2 });
            request.input.push(call.output_json(&forecast()).unwrap());
        }
        let second = turn(&mut session, &request).await;
        assert_eq!(second.response().parse_output::<Forecast>().unwrap(), forecast());

        let log = server.log();
        let tool = &log.requests[0].body["tools"][0];
        assert_eq!((&tool["strict"], &tool["parameters"]), (&json!(true), &schema));
        assert_eq!(tool["parameters"]["properties"]["city"]["description"], "Name of the city.");
        assert_eq!(tool["parameters"]["additionalProperties"], false);
        let format = &log.requests[0].body["text"]["format"];
        assert_eq!((&format["type"], &format["strict"]), (&json!("json_schema"), &json!(true)));
        assert_eq!(format["schema"]["required"], json!(["degrees", "warning"]));
        let output = log.requests[1].body["input"].as_array().unwrap().last().unwrap();
        assert_eq!(output["call_id"], "call_1");
        assert_eq!(output["output"], r#"{"degrees":[7.5,8.0],"warning":null}"#);
    }
}

#[tokio::test]
async fn c187_arguments_that_do_not_decode_say_why_and_log_nothing() {
    for (arguments, detail, logged) in [
        (r#"{"city":"Oslo"}"#, "missing field `days`", "missing field `days`"),
        (
            r#"{"city":"Oslo","days":"secret"}"#,
            r#"invalid type: string "secret", expected u32"#,
            "invalid type: string, expected u32",
        ),
        (
            r#"{"secret":1}"#,
            "unknown field `secret`, expected `city` or `days`",
            "unknown field, expected `city` or `days`",
        ),
    ] {
        let call = items::function_call("call_1", "forecast", arguments);
        let server = server(Script::new().turn(Turn::output([call]))).await;
        let mut session = socket_client(&server, Default::default()).session();
        let outcome = turn(&mut session, &request(&["Oslo?"])).await;
        let call = &outcome.response().function_calls()[0];
        let error = call.arguments::<Place>().unwrap_err();
        assert_eq!(error.detail(), Some(detail));
        let source = std::error::Error::source(&error).unwrap();
        assert_eq!(source.to_string(), logged);
        let error = responses_client::Error::from(error.clone());
        let mut chain = format!("{error:?}");
        let mut next: Option<&dyn std::error::Error> = Some(&error);
        while let Some(error) = next {
            chain += &format!(": {error} {error:?}");
            next = error.source();
        }
        assert!(chain.contains(logged) && !chain.contains("secret"), "{chain}");
        let returned = call.output(detail);
        assert_eq!(returned, Item::function_call_output("call_1", detail));
    }
}

#[test]
fn c187_a_schema_is_sent_byte_for_byte() {
    let schema = Json::parse(r#"{ "z" : 1e2, "a" : {} }"#).unwrap();
    let tool = Tool::function("f", "", &schema);
    let format = TextConfig::new().json_schema("f", &schema).format.unwrap();
    for part in [tool.json(), &format] {
        assert!(part.as_str().contains(schema.as_str()), "{}", part.as_str());
    }
}
