//! The header of the beta.

use responses_client::{
    Provider, Transport,
    testing::{Script, ScriptedServer, Turn},
};

use crate::support::{BOTH, builder, only, request, turn};

#[tokio::test(start_paused = true)]
async fn c292_the_beta_is_named_once_beside_those_of_the_caller() {
    const BETA: &str = "responses_multi_agent=v1";
    for transport in BOTH {
        for (own, of_session, injects, expected) in [
            (None, None, true, Some(BETA)),
            (None, None, false, None),
            (Some("other=v2"), None, false, Some("other=v2")),
            (Some("other=v2"), None, true, Some("other=v2, responses_multi_agent=v1")),
            (Some(BETA), None, true, Some(BETA)),
            (
                Some("a=1 , responses_multi_agent=v1"),
                None,
                true,
                Some("a=1 , responses_multi_agent=v1"),
            ),
            // The caller wants another version.
            (Some("responses_multi_agent=v2"), None, true, Some("responses_multi_agent=v2")),
            (Some("x=1"), Some("y=2"), true, Some("y=2, responses_multi_agent=v1")),
        ] {
            let script = Script::new().respond(|_| Turn::text("hi"));
            let server = ScriptedServer::in_memory(script);
            let provider = Provider::compatible(&server.url()).expect("a URL").injects(injects);
            let mut builder = builder(&server).provider(provider).transport(only(transport));
            if let Some(value) = own {
                builder = builder.header("OpenAI-Beta", value);
            }
            let mut session = builder.build().expect("a client").session();
            if let Some(value) = of_session {
                session.set_header("openai-beta", value).expect("a header");
            }
            turn(&mut session, &request(&["x"])).await;
            let log = server.log();
            let headers = match transport {
                Transport::WebSocket => &log.connections[0].headers,
                _ => &log.requests[0].headers,
            };
            let values = headers.iter().filter(|(name, _)| name == "openai-beta");
            let values: Vec<&str> = values.map(|(_, value)| value.as_str()).collect();
            assert_eq!(values, expected.into_iter().collect::<Vec<_>>(), "{transport} {own:?}");
        }
    }
}
