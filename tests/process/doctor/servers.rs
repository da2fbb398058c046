//! Servers that are missing, and servers and gateways that answer in their own way.

use std::time::Duration;

use responses_client::{
    Transport,
    testing::{ErrorShape, Exchange, Refusal, Script, ScriptedServer, Step, Turn, Upgrade},
};

use super::{
    BOTH_WORK, Machine, NO_TURNS, USE_SSE, WITH_LIMITS,
    boxes::{BlackHole, collecting, cutting_idle, free_address},
};
use crate::support::{
    server,
    tool::{ran, value},
};

fn hi(_: &Exchange) -> Turn {
    Turn::text("hi")
}

/// A server that answers each upgrade in this way, and requests over HTTP with a turn.
async fn upgrading(upgrade: Upgrade) -> ScriptedServer {
    server(Script::new().every_upgrade(upgrade).respond(hi)).await
}

/// A server that answers each request with this.
async fn refusing(refusal: Refusal) -> ScriptedServer {
    let script = Script::new().every_upgrade(Upgrade::Refuse(refusal.clone()));
    server(script.respond(move |_| Turn::text("").http(refusal.clone()))).await
}

fn page(status: u16, title: &str) -> Refusal {
    let body = format!("<html><head><title>{title}</title></head></html>");
    Refusal::status(status).header("content-type", "text/html").body(body)
}

#[tokio::test]
async fn c183_a_server_that_cannot_be_reached_is_named() {
    let free = free_address().await;
    let refused = Machine::new(&format!("http://{free}/v1")).diagnose().await;
    refused.expect(&["fail refused"], NO_TURNS);
    refused.says("refused", &[&free.to_string(), "refused the connection", "check the host"]);

    let unknown = Machine::new("http://no-such-host.invalid/v1").diagnose().await;
    unknown.expect(&["fail name_not_found"], NO_TURNS);
    unknown.says("name_not_found", &["no-such-host.invalid:80", "spelling"]);
}

#[tokio::test]
async fn c183_a_server_that_drops_packets_is_found_within_5_s() {
    // Some systems refuse what a full queue cannot take.
    let Some(hole) = BlackHole::start().await else { return };
    let silent = Machine::new(&format!("http://{}/v1", hole.address)).diagnose().await;
    silent.expect(&["fail connect_timeout"], NO_TURNS);
    silent.says("connect_timeout", &[&hole.address.to_string(), "firewall", "HTTPS_PROXY"]);
}

#[tokio::test]
async fn c183_a_refused_upgrade_leads_to_sse() {
    for status in [426, 403, 404, 405, 200] {
        let server = upgrading(Upgrade::Refuse(Refusal::status(status))).await;
        let refused = Machine::new(&server.url()).diagnose().await;
        refused.expect(&["limit websocket_refused"], USE_SSE);
        refused.says("websocket_refused", &[&status.to_string(), "--transport sse"]);
    }
}

#[tokio::test]
async fn c183_a_websocket_without_frames_leads_to_sse() {
    let script = Script::new().respond(|exchange| match exchange.transport {
        Transport::WebSocket => Turn::text("").first(Step::Stall),
        _ => Turn::text("hi"),
    });
    let server = server(script).await;
    let silent = Machine::new(&server.url()).diagnose().await;
    silent.expect(&["limit websocket_silent"], USE_SSE);
    silent.says("websocket_silent", &["nothing arrives over it within 5 s"]);

    let server = upgrading(Upgrade::Hang).await;
    let silent = Machine::new(&server.url()).diagnose().await;
    silent.expect(&["limit websocket_no_upgrade"], USE_SSE);
}

#[tokio::test]
async fn c183_a_websocket_that_is_closed_on_each_request_leads_to_sse() {
    let server = upgrading(Upgrade::CloseOnCreate { code: 1011 }).await;
    let closed = Machine::new(&server.url()).diagnose().await;
    closed.expect(&["limit websocket_closed"], USE_SSE);
    closed.says("websocket_closed", &["code 1011"]);

    let server = upgrading(Upgrade::WrongAccept).await;
    let broken = Machine::new(&server.url()).diagnose().await;
    broken.expect(&["limit websocket_broken"], USE_SSE);
}

#[tokio::test]
async fn c183_errors_of_the_api_are_answers() {
    for error in [
        Turn::error(400, "missing_required_parameter", "Missing required parameter: 'model'."),
        Turn::error(429, "rate_limit_exceeded", "Slow down."),
        Turn::error(404, "model_not_found", "The model does not exist."),
        Turn::error_shape(ErrorShape::Detail, 400, "", "Missing field: model."),
    ] {
        let script = Script::new().respond(move |exchange| {
            let is_empty = exchange.body.get("model").is_none();
            if is_empty { error.clone() } else { Turn::text("hi") }
        });
        let server = server(script).await;
        Machine::new(&server.url()).diagnose().await.expect(&[], BOTH_WORK);
    }
}

#[tokio::test]
async fn c183_an_answer_that_is_not_of_the_api_is_named() {
    let server = refusing(page(200, "Sign in to Example Wi-Fi")).await;
    let portal = Machine::new(&server.url()).diagnose().await;
    portal.expect(&["fail sign_in", "fail websocket_refused"], NO_TURNS);
    portal.says("sign_in", &["Sign in to Example Wi-Fi", "sign in to this network in a browser"]);

    let server = refusing(page(200, "Welcome to nginx!")).await;
    let web = Machine::new(&server.url()).diagnose().await;
    web.expect(&["fail web_page", "fail websocket_refused"], NO_TURNS);
    web.says("web_page", &["Welcome to nginx!", "--base-url"]);

    for (status, to, id, words) in [
        (302, "https://login.example/sso?session=canary", "sign_in", "https://login.example"),
        (301, "https://api.example/v2/responses?key=canary", "redirect", "https://api.example"),
    ] {
        let server = refusing(Refusal::status(status).header("location", to)).await;
        let redirect = Machine::new(&server.url()).diagnose().await;
        redirect.expect(&[&format!("fail {id}"), "fail websocket_refused"], NO_TURNS);
        redirect.says(id, &[words]);
    }

    let server = crate::support::server(Script::new().base_path("/v1").respond(hi)).await;
    let wrong = Machine::new(&server.url().replace("/v1", "")).diagnose().await;
    wrong.expect(&["fail wrong_path", "fail websocket_refused"], NO_TURNS);
    wrong.says("wrong_path", &["404", "/v1", "--base-url"]);

    let server = refusing(page(502, "502 Bad Gateway").header("server", "nginx")).await;
    let gateway = Machine::new(&server.url()).diagnose().await;
    gateway.expect(&["fail gateway_error", "fail gateway_error"], NO_TURNS);
    gateway.says("gateway_error", &["502"]);
}

#[tokio::test]
async fn c183_a_refused_key_is_named() {
    let body = r#"{"error":{"message":"Incorrect API key provided.","code":"invalid_api_key"}}"#;
    let json = |status| Refusal::status(status).header("content-type", "application/json");
    let server = refusing(json(401).body(body)).await;
    let refused = Machine::new(&server.url()).diagnose().await;
    refused.expect(&["fail key_rejected", "fail key_rejected"], NO_TURNS);
    refused.says("key_rejected", &["401", "--api-key-env"]);

    let server = refusing(json(403).body(r#"{"error":{"message":"No.","code":"denied"}}"#)).await;
    let denied = Machine::new(&server.url()).diagnose().await;
    denied.expect(&["fail forbidden", "fail websocket_refused"], NO_TURNS);

    let quota = r#"{"error":{"message":"Quota.","code":"insufficient_quota"}}"#;
    let server = refusing(json(429).body(quota)).await;
    let used = Machine::new(&server.url()).diagnose().await;
    used.expect(&["fail quota", "fail quota"], NO_TURNS);
}

#[tokio::test]
async fn c183_a_server_that_answers_only_over_websocket_needs_a_flag() {
    let bad = Refusal::status(502);
    let script = Script::new().respond(move |exchange| match exchange.transport {
        Transport::WebSocket => Turn::text("hi"),
        _ => Turn::text("").http(bad.clone()),
    });
    let server = server(script).await;
    let result = "result: turns work over websocket only, use --transport websocket";
    let only = Machine::new(&server.url()).diagnose().await;
    only.expect(&["fail gateway_error"], result);
}

#[tokio::test]
async fn c183_a_server_that_answers_nothing_is_found() {
    let script = Script::new().every_upgrade(Upgrade::Hang);
    let server = server(script.respond(|_| Turn::text("").first(Step::Stall))).await;
    let silent = Machine::new(&server.url()).diagnose().await;
    silent.expect(&["fail no_answer", "fail websocket_no_upgrade"], NO_TURNS);
}

#[tokio::test]
async fn c183_a_long_answer_to_an_empty_request_ends_a_check_within_5_s() {
    let server = server(Script::new().respond(|exchange| match exchange.body.get("model") {
        None => Turn::text("1 2 3 4 5 6 7 8 9").paced(Duration::from_secs(2)),
        Some(_) => Turn::text("hi"),
    }))
    .await;
    // Each check of the output ends within 7.5 s.
    let long = Machine::new(&server.url()).diagnose().await;
    long.expect(&[], BOTH_WORK);
}

#[tokio::test]
async fn c183_events_that_a_gateway_holds_back_are_found() {
    let paced = |_: &Exchange| Turn::text("1 2 3 4 5 6 7").paced(Duration::from_millis(150));
    let server = server(Script::new().respond(paced)).await;
    let address = server.url().replace("http://", "").replace("/v1", "").parse().unwrap();
    let gateway = collecting(address).await;
    let machine = Machine::new(&format!("http://{gateway}/v1"));
    let held = machine.diagnose_with(&["--model", "m"]).await;
    held.expect(&["limit sse_held_back"], WITH_LIMITS);
    held.says("sse_held_back", &["the first arrived after", "proxy_buffering off"]);

    let direct = Machine::new(&server.url()).diagnose_with(&["--model", "m"]).await;
    direct.expect(&[], BOTH_WORK);
    direct.says("delivery", &["events arrive one by one"]);
    direct.says("websocket_answer", &["an answer arrives"]);
}

#[tokio::test]
async fn c183_a_gateway_that_closes_each_real_request_is_found_with_a_model() {
    // Such as litellm, whose own answer to an empty request says nothing about the server.
    let script = Script::new().respond(|exchange| match exchange.transport {
        Transport::WebSocket if exchange.body.get("model").is_some() => {
            Turn::steps([Step::Close { code: Some(1011), reason: String::new() }])
        }
        _ if exchange.body.get("model").is_none() => Turn::error(400, "empty", "No model."),
        _ => Turn::text("hi"),
    });
    let server = server(script).await;
    let closed = Machine::new(&server.url()).diagnose_with(&["--model", "m"]).await;
    closed.expect(&["limit websocket_closed"], USE_SSE);
    closed.says("websocket_closed", &["code 1011"]);
}

#[tokio::test]
async fn c183_an_answer_over_sse_that_is_cut_is_found() {
    let script = Script::new().respond(|exchange| match exchange.transport {
        Transport::Sse if exchange.body["model"] == "m" => {
            Turn::text("1 2 3").cut_after(4, Step::Reset)
        }
        _ => Turn::text("hi"),
    });
    let server = server(script).await;
    let cut = Machine::new(&server.url()).diagnose_with(&["--model", "m"]).await;
    cut.expect(&["limit sse_cut"], WITH_LIMITS);
    cut.says("sse_cut", &["cut after 0.", "a proxy or a gateway limits the time"]);
}

#[tokio::test]
async fn c183_an_idle_websocket_is_checked_if_asked_for() {
    let server = server(Script::new().respond(hi)).await;
    let idle = ["--idle", "1s"];
    let open = Machine::new(&server.url()).diagnose_with(&idle).await;
    open.expect(&[], BOTH_WORK);
    open.says("idle", &["stays open for 1s"]);

    let address = server.url().replace("http://", "").replace("/v1", "").parse().unwrap();
    let gateway = cutting_idle(address, Duration::from_millis(300)).await;
    let machine = || Machine::new(&format!("http://{gateway}/v1"));
    let pinging = machine().flags(&["--ping", "50ms"]).diagnose_with(&idle).await;
    pinging.expect(&["note idle_cut"], BOTH_WORK);
    pinging.says("idle_cut", &["cut within 1s", "pings keep"]);
    for (ping, pings) in [("20s", "also with pings after 20s of silence"), ("0", "without pings")] {
        let silent = machine().flags(&["--ping", ping]).diagnose_with(&idle).await;
        silent.expect(&["limit silence_cut"], WITH_LIMITS);
        silent.says("silence_cut", &["cut within 1s", pings, "--ping"]);
    }
}

#[tokio::test]
async fn c183_a_websocket_that_does_not_open_again_is_not_one_that_was_cut() {
    let none = Upgrade::Refuse(Refusal::status(503));
    let script = Script::new().upgrade(Upgrade::Accept).upgrade(none).respond(hi);
    let server = server(script).await;
    let machine = Machine::new(&server.url());
    // Only one run: the script has the upgrades of one.
    let doctor = ran(machine.command("doctor", &["--idle", "1s", "--json"]), &[""; 0]).await;
    assert_eq!(doctor.code, Some(0), "{doctor:?}");
    let findings = value(&doctor.lines[0])["findings"].clone();
    let ids: Vec<_> = findings.as_array().unwrap().iter().map(|it| it["id"].clone()).collect();
    assert!(ids.contains(&"idle_not_checked".into()), "{ids:?}");
    assert!(!ids.contains(&"idle_cut".into()), "{ids:?}");
}

#[tokio::test]
async fn c183_a_short_answer_that_is_refused_is_named() {
    let server = server(Script::new().respond(|exchange| match exchange.body["model"].as_str() {
        Some("misspelt") => Turn::error(404, "model_not_found", "No such model."),
        _ => Turn::text("hi"),
    }))
    .await;
    let machine = Machine::new(&server.url());
    let refused = machine.diagnose_with(&["--model", "misspelt"]).await;
    refused.expect(&["fail delivery_refused"], WITH_LIMITS);
    refused.says("delivery_refused", &["No such model.", "check --model"]);
}

#[tokio::test]
async fn c183_a_provider_without_websocket_needs_no_flag() {
    let server = server(Script::new().respond(hi)).await;
    let sse = "result: turns work over sse, no flags are needed";
    let without = Machine::new(&server.url()).flags(&["--no-websocket"]).diagnose().await;
    without.expect(&["note no_websocket"], sse);
    let vllm = Machine::new(&server.url()).flags(&["--provider", "vllm"]).diagnose().await;
    vllm.expect(&["note no_websocket"], sse);
    vllm.says("no_websocket", &["vllm"]);
}
