//! Flags and files that choose a server, its properties and the certificates of the connection.

use responses_client::testing::{Exchange, Script, ScriptedServer, Turn};

use crate::support::{
    server,
    tool::{Ran, Temporary, command, ran, run},
};

const HI: &str = r#"{"model":"m","input":"hi"}"#;

/// Answers with the credential and the header `x-a` of the request.
fn echo(exchange: &Exchange) -> Turn {
    let value = |name| {
        let mut headers = exchange.headers.iter();
        headers.find(|(it, _)| it == name).map_or("-", |(_, value)| value.as_str())
    };
    Turn::text(format!("{},{}", value("authorization"), value("x-a")))
}

fn text(ran: &Ran) -> &str {
    ran.lines.last().expect("a line")
}

#[tokio::test]
async fn c273_a_provider_of_codex_is_found_in_its_configuration() {
    for (supports, transport) in [("true", "websocket"), ("false", "sse")] {
        let server = server(Script::new().respond(echo)).await;
        let home = Temporary::new("codex-home");
        std::fs::create_dir(&home.0).unwrap();
        let table = format!(
            "[model_providers.own]\nbase_url = \"{}\"\nenv_key = \"OWN_KEY\"\nodd = 1\n\
             supports_websockets = {supports}\nhttp_headers = {{ x-a = \"a\" }}\n",
            server.url()
        );
        let path = home.0.join("config.toml");
        std::fs::write(&path, table).unwrap();
        let by_home = (&["run", "--codex-provider", "own"][..], home.0.to_str().unwrap());
        let path = path.to_str().unwrap();
        let by_path = (&["run", "--codex-provider", "own", "--codex-config", path][..], "");
        for (args, home) in [by_home, by_path] {
            let mut tool = command(args);
            tool.env("OWN_KEY", "key").env("CODEX_HOME", home);
            let ran = ran(tool, &[HI]).await;
            assert!(text(&ran).contains("Bearer key,a"), "{ran:?}");
            assert_eq!(ran.turns()[0]["transport"], transport);
            let note = format!("{path}:4: `odd` is ignored");
            assert!(ran.stderr.contains(&note), "{}", ran.stderr);
        }
        let mut tool = command(by_path.0);
        tool.env("OWN_KEY", " ");
        let ran = ran(tool, &[HI]).await;
        assert_eq!(ran.code, Some(2));
        let why = format!("{path}:3: the variable `OWN_KEY` is not set, or empty");
        assert!(ran.stderr.contains(&why), "{}", ran.stderr);
        std::fs::remove_dir_all(&home.0).unwrap();
    }
}

#[tokio::test]
async fn c273_properties_of_the_server_have_flags() {
    let server = server(Script::new().respond(echo)).await;
    for (args, transport) in [
        (&["--frame-limit", "10"][..], "sse"),
        (&["--frame-limit", "0", "--max-age", "0"], "websocket"),
        (&["--no-websocket"], "sse"),
        (&["--named-lanes", "32", "--active-responses", "16"], "websocket"),
        (&["--query", "a=b", "--stores-by-default", "false"], "websocket"),
        (&["--provider", "vllm"], "sse"),
    ] {
        let ran = ran(run(&server.url(), args), &[HI]).await;
        assert_eq!(ran.turns()[0]["transport"], transport, "{args:?}: {ran:?}");
    }
    let ran = ran(run(&server.url(), &["--query", "canary"]), &[HI]).await;
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("--query must be of the form NAME=VALUE"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("canary"));
}

#[tokio::test]
async fn c181_a_message_recommends_flags_that_work() {
    let mut refused = run("http://a.invalid.example/v1", &[]);
    refused.env("OPENAI_API_KEY", "key");
    let refused = ran(refused, &[HI]).await;
    assert!(refused.stderr.contains("allow it with `--allow-http-credentials`"), "{refused:?}");
    assert!(!refused.stderr.contains("Provider::"), "{}", refused.stderr);
    let args = ["--allow-http-credentials", "--timeout-turn", "50ms"];
    let mut allowed = run("http://a.invalid.example/v1", &args);
    allowed.env("OPENAI_API_KEY", "key");
    assert_eq!(ran(allowed, &[HI]).await.code, Some(1), "the client is built");

    let script = Script::new().require_client_certificate().respond(echo);
    let server = ScriptedServer::start_tls(script).await.unwrap();
    let unknown = ran(run(&server.url(), &[]), &[HI]).await;
    assert!(text(&unknown).contains("`--ca-file`"), "{unknown:?}");
    let (ca, both) = (Temporary::new("ca.pem"), Temporary::new("client.pem"));
    let (certificate, key) = (Temporary::new("certificate.pem"), Temporary::new("key.pem"));
    let pem = server.client_certificate_pem().unwrap();
    let parts = pem.split_at(pem.find("-----BEGIN PRIVATE KEY").unwrap());
    for (file, text) in [
        (&ca, server.ca_certificate_pem().unwrap()),
        (&both, pem),
        (&certificate, parts.0),
        (&key, parts.1),
    ] {
        std::fs::write(&file.0, text).unwrap();
    }
    for flags in [
        &["--client-certificate", both.path()][..],
        &["--client-certificate", certificate.path(), "--client-key", key.path()],
    ] {
        let args = [&["--ca-file", ca.path()], flags].concat();
        let known = ran(run(&server.url(), &args), &[HI]).await;
        assert_eq!(known.code, Some(0), "{known:?}");
    }
}
