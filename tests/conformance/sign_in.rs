//! Sign-in pages, of a network or a single sign-on, that answer in place of the API.

use responses_client::{
    Delivery, ErrorKind, RetryAction, Transport, TransportPolicy,
    error::ProtocolError,
    testing::{Refusal, Script, ScriptedServer, Turn, Upgrade},
};

use crate::support::{Outcome, builder, request, tried, turn};

/// One turn with a server that answers every request and upgrade with this.
async fn answered(answer: &Refusal, policy: TransportPolicy) -> Outcome {
    let post = answer.clone();
    let script = Script::new()
        .every_upgrade(Upgrade::Refuse(answer.clone()))
        .respond(move |_| Turn::text("unused").http(post.clone()));
    let server = ScriptedServer::in_memory(script);
    let client = builder(&server).transport(policy).build().unwrap();
    turn(&mut client.session(), &request(&["hi"])).await
}

const ADVICE: &str = "sign in with a browser if this network requires it, or check the base URL";

#[tokio::test(start_paused = true)]
async fn c180_a_sign_in_page_with_status_200_is_called_that() {
    for (title, body, sign_in) in [
        ("Sign in to the network", "", true),
        ("Welcome", "<input type=\"password\" name=\"canary\">", true),
        ("Welcome", "<form method=\"post\" action=\"/accept?canary\">", true),
        ("Company", "<form action=\"/search\">canary</form>", false),
    ] {
        let page = format!("<html><head><title>{title}</title></head><body>{body}</body></html>");
        let answer = Refusal::status(200)
            .header("content-type", "text/html")
            .header("server", "portal/1.0")
            .body(page);
        for policy in [TransportPolicy::Auto, TransportPolicy::SseOnly] {
            let outcome = answered(&answer, policy).await;
            let error = outcome.error();
            assert_eq!((error.kind(), error.delivery()), (ErrorKind::Protocol, Delivery::Unknown));
            assert_eq!(error.retry_action(), RetryAction::Reconfigure);
            assert_eq!(tried(&outcome.report).last(), Some(&(Transport::Sse, Some(error.kind()))));
            let text = error.to_string();
            let what = if sign_in { "a sign-in page" } else { "a web page" };
            let begin = format!(
                "{what} (`{title}`, status 200, server `portal/1.0`) answered instead of the API \
                 (the request was sent and may have run): "
            );
            assert!(text.starts_with(&begin), "{text}");
            assert_eq!(text.contains(ADVICE), sign_in, "{text}");
            assert!(!format!("{text} {error:?}").contains("canary"), "{text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c180_a_redirect_to_a_sign_in_page_is_called_that_and_not_followed() {
    for status in [302, 303, 307] {
        let answer = Refusal::status(status).header("location", "https://sso.corp.example/?canary");
        let to = "the server redirects to the sign-in page at https://sso.corp.example";
        for policy in [TransportPolicy::Auto, TransportPolicy::SseOnly] {
            let outcome = answered(&answer, policy).await;
            let error = outcome.error();
            assert_eq!((error.kind(), error.delivery()), (ErrorKind::Protocol, Delivery::Refused));
            let source = std::error::Error::source(error).and_then(|it| it.downcast_ref());
            let origin = "https://sso.corp.example".to_owned();
            assert_eq!(source, Some(&ProtocolError::SignIn(origin)));
            let text = error.to_string();
            let begin = format!("{to} (the server did not run the request): {ADVICE}");
            assert!(text.starts_with(&begin), "{text}");
            assert!(!format!("{text} {error:?}").contains("canary"), "{text}");
        }
        let outcome = answered(&answer, TransportPolicy::WebSocketOnly).await;
        let text = outcome.error().to_string();
        let begin = format!(
            "the server refused the WebSocket upgrade: the server answered with an error, status \
             {status}: {to} (the request was not sent)"
        );
        assert!(text.starts_with(&begin), "{text}");
    }
    let location = "https://me:canary@api.example/v1/responses?canary";
    for status in [301, 302, 307, 308] {
        let answer = Refusal::status(status).header("location", location);
        let to = "the server redirects to https://api.example/v1/responses";
        let text = answered(&answer, TransportPolicy::SseOnly).await.error().to_string();
        match status {
            301 | 308 => assert_eq!(
                text,
                format!(
                    "{to} (the server did not run the request): if you trust that address, make \
                     its part before `/responses` the base URL"
                )
            ),
            // One that is not for good, to another host, leads to a sign-in page.
            _ => assert!(text.contains("the sign-in page at https://api.example ("), "{text}"),
        }
        let refused = answered(&answer, TransportPolicy::WebSocketOnly).await;
        let shown = refused.error().to_string();
        assert!(shown.contains(to) || ![301, 308].contains(&status), "{shown}");
        assert!(!(text + &shown).contains("canary"));
    }
}

#[tokio::test(start_paused = true)]
async fn c180_a_refusal_that_is_a_sign_in_page_is_called_that() {
    for (status, page, message) in [
        (511, "<title>Hotel</title>", "sign-in page: Hotel (server: portal/1.0)"),
        (401, "<title>Log in</title>", "sign-in page: Log in (server: portal/1.0)"),
        (403, "<title>Denied</title>", "Denied (server: portal/1.0)"),
    ] {
        let answer = Refusal::status(status)
            .header("content-type", "text/html")
            .header("server", "portal/1.0")
            .body(page);
        for policy in [TransportPolicy::WebSocketOnly, TransportPolicy::SseOnly] {
            let outcome = answered(&answer, policy).await;
            let api = outcome.error().api_error().unwrap();
            assert_eq!(api.message(), Some(message), "{policy:?}");
        }
    }
}
