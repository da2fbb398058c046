//! Settings of a provider, as its server sees them.

use responses_client::{
    Provider, ResponsesClient,
    testing::{Exchange, Script, ScriptedServer, Turn},
};

use crate::support::{BOTH, builder, only, request, turn};

/// Returns the value of a header that came with a request.
fn header<'a>(exchange: &'a Exchange, name: &str) -> Option<&'a str> {
    let mut headers = exchange.headers.iter();
    headers.find(|(it, _)| it == name).map(|(_, value)| value.as_str())
}

#[tokio::test(start_paused = true)]
async fn c272_headers_and_parameters_of_the_provider_go_with_every_request() {
    for transport in BOTH {
        let script = Script::new().respond(|exchange| {
            let values = ["x-tenant", "x-own"].map(|name| header(exchange, name).unwrap_or("none"));
            Turn::text(values.join(","))
        });
        let server = ScriptedServer::in_memory(script);
        let provider = Provider::compatible(&format!("{}?key=1", server.url())).unwrap();
        let provider = provider
            .query("tenant", "blue & green")
            .header("X-Tenant", "red")
            .header("x-tenant", "blue")
            .header("x-own", "of the provider");
        let client = builder(&server).provider(provider).header("x-own", "of the client");
        let client = client.transport(only(transport)).build().unwrap();
        let outcome = turn(&mut client.session(), &request(&["hi"])).await;
        assert_eq!(outcome.response().output_text(), "blue,of the client", "{transport:?}");
    }
}

#[test]
fn c272_a_header_of_the_provider_that_cannot_be_sent_is_an_error_of_the_client() {
    for (name, value) in [("host", "x"), ("a b", "x"), ("x-one", "canary\n")] {
        let provider = Provider::openai().header(name, value);
        let error = ResponsesClient::builder().provider(provider).build().unwrap_err();
        assert!(error.config_error().is_some(), "{name}");
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
}
