//! Proxies, and the variables that choose them.

use responses_client::testing::{Script, ScriptedServer, Turn};

use super::{
    BOTH_WORK, Machine, NO_TURNS, USE_SSE,
    boxes::{answering, forwarding, free_address, tunneling},
};
use crate::support::{server, tool::Temporary};

/// Address of a server in a network that only proxies reach.
const SERVER: &str = "https://api.example:4443/v1";

const SQUID_DENIES: &str = "HTTP/1.1 403 Forbidden\r\nX-Squid-Error: ERR_ACCESS_DENIED 0\r\n\
    Content-Length: 0\r\n\r\n";

async fn greeting() -> ScriptedServer {
    server(Script::new().respond(|_| Turn::text("hi"))).await
}

fn wants(scheme: &str) -> String {
    format!(
        "HTTP/1.1 407 No\r\nProxy-Authenticate: {scheme}\r\nX-Squid-Error: \
         ERR_CACHE_ACCESS_DENIED 0\r\nContent-Length: 0\r\n\r\n"
    )
}

#[tokio::test]
async fn c183_the_answer_of_a_proxy_is_named() {
    let basic = wants("Basic realm=\"x\"");
    let negotiate = wants("Negotiate");
    let page = "HTTP/1.1 405 Not Allowed\r\nServer: nginx\r\nContent-Length: 0\r\n\r\n";
    let down =
        "HTTP/1.1 503 No\r\nX-Squid-Error: ERR_CONNECT_FAIL 111\r\nContent-Length: 0\r\n\r\n";
    let no_such_name = "HTTP/1.1 404 No such domain\r\nContent-Type: text/html\r\n\r\n\
                        <title>502 - Bad Gateway (Privoxy@localhost)</title>";
    for (answer, login, id, words) in [
        (SQUID_DENIES, "", "proxy_not_allowed", &["403", "`ERR_ACCESS_DENIED`", "port 443"][..]),
        (&*basic, "", "proxy_login_required", &["http://user:password@host:port", "HTTPS_PROXY"]),
        (&basic, "user:canary@", "proxy_login_rejected", &["407", "HTTPS_PROXY"]),
        (&negotiate, "", "proxy_scheme_unsupported", &["Negotiate", "px or cntlm"]),
        (&negotiate, "user:canary@", "proxy_scheme_unsupported", &["Negotiate"]),
        (down, "", "server_down_behind_proxy", &["api.example:4443", "ERR_CONNECT_FAIL"]),
        ("HTTP/1.0 500 Unable to connect\r\n\r\n", "", "server_down_behind_proxy", &["works"]),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n", "", "server_down_behind_proxy", &["works"]),
        (no_such_name, "", "server_down_behind_proxy", &["404", "works"]),
        (page, "", "not_a_proxy", &["HTTPS_PROXY", "405", "web server", "scheme, host and port"]),
        ("SSH-2.0-OpenSSH_9.6\r\n", "", "not_a_proxy", &["HTTPS_PROXY", "like an HTTP proxy"]),
        // A SOCKS proxy.
        ("\u{5}\u{7f}", "", "not_a_proxy", &["HTTPS_PROXY", "like an HTTP proxy"]),
        ("", "", "proxy_lost", &["HTTPS_PROXY", "if the proxy takes TLS, write https://"]),
    ] {
        let proxy = answering(answer).await;
        let machine = Machine::new(SERVER).set("HTTPS_PROXY", &format!("http://{login}{proxy}"));
        let diagnosis = machine.diagnose().await;
        diagnosis.expect(&[&format!("fail {id}")], NO_TURNS);
        diagnosis.says(id, words);
        diagnosis.says(id, &[&proxy.to_string()]);
        let has_login = if login.is_empty() { "without a login" } else { "with a login" };
        diagnosis.says("proxy_used", &[&proxy.to_string(), "from HTTPS_PROXY", has_login]);
    }
}

#[tokio::test]
async fn c183_a_proxy_that_cannot_be_reached_is_named() {
    let free = free_address().await;
    let gone = Machine::new(SERVER).set("https_proxy", &format!("http://{free}")).diagnose().await;
    gone.expect(&["fail proxy_unreachable"], NO_TURNS);
    gone.says("proxy_unreachable", &[&free.to_string(), "https_proxy", "unset"]);

    let plain = answering("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
    let plain =
        Machine::new(SERVER).set("HTTPS_PROXY", &format!("https://{plain}")).diagnose().await;
    plain.expect(&["fail proxy_plain_http"], NO_TURNS);
    plain.says("proxy_plain_http", &["http://", "HTTPS_PROXY"]);
}

#[tokio::test]
async fn c183_the_certificate_of_a_proxy_is_not_that_of_the_server() {
    let stunnel = ScriptedServer::start_tls(Script::new()).await.unwrap();
    let address = stunnel.url().replace("/v1", "");
    let unknown = Machine::new(SERVER).set("HTTPS_PROXY", &address).diagnose().await;
    unknown.expect(&["fail proxy_certificate"], NO_TURNS);
    unknown.says("proxy_certificate", &["scripted server CA", "--ca-file", "of the proxy"]);
    let ca = Temporary::new("doctor-proxy-ca.pem");
    std::fs::write(&ca.0, stunnel.ca_certificate_pem().unwrap()).unwrap();
    let trusted = Machine::new(SERVER).set("HTTPS_PROXY", &address);
    let trusted = trusted.flags(&["--ca-file", ca.path()]).diagnose().await;
    trusted.says("proxy_tls", &["TLS 1.3"]);
}

#[tokio::test]
async fn c183_plain_http_through_a_proxy_without_tunnels_works_over_sse() {
    let server = greeting().await;
    // A proxy may refuse, cut, or never answer CONNECT.
    for (answer, fault) in [
        (Some(SQUID_DENIES), "does not allow connections to"),
        (Some(""), "ended while it was opened"),
        (None, "timed out waiting for a tunnel"),
    ] {
        let proxy = forwarding(answer).await;
        let machine = || Machine::new(&server.url()).set("http_proxy", &proxy.to_string());
        let limited = machine().diagnose().await;
        let found = ["note localhost_through_proxy", "limit websocket_blocked_by_proxy"];
        limited.expect(&found, USE_SSE);
        let words = [fault, "use an https address", "NO_PROXY"];
        limited.says("websocket_blocked_by_proxy", &words);

        let without = machine().flags(&["--provider", "ollama"]).diagnose().await;
        let result = "result: turns work over sse, no flags are needed";
        without.expect(&["note localhost_through_proxy", "note no_websocket"], result);
    }
}

#[tokio::test]
async fn c183_a_server_on_this_machine_needs_no_proxy() {
    let server = greeting().await;
    let proxy = answering("HTTP/1.1 503 No\r\nVia: 1.1 proxy\r\nContent-Length: 0\r\n\r\n").await;
    let url = server.url().replace("127.0.0.1", "localhost");
    let machine = || Machine::new(&url).set("HTTP_PROXY", &proxy.to_string());
    let through = machine().diagnose().await;
    through.says("localhost_through_proxy", &["NO_PROXY=localhost,127.0.0.1,::1"]);
    assert!(through.json["transport"].is_null(), "{}", through.text);
    let direct = machine().set("NO_PROXY", "localhost,127.0.0.1,::1").diagnose().await;
    direct.expect(&[], BOTH_WORK);
    let words = ["`localhost` of NO_PROXY", "from HTTP_PROXY"];
    direct.says("proxy_exempted", &words);
}

#[tokio::test]
async fn c183_a_tunnel_that_works_needs_no_flags() {
    let server = greeting().await;
    let (proxy, other) = (tunneling().await, free_address().await);
    let machine = Machine::new(&server.url())
        .set("http_proxy", &format!("http://user:canary@{proxy}"))
        .set("HTTP_PROXY", &format!("http://canary@{other}"))
        .set("NO_PROXY", "*.example.com,http://x.example,10.0.0.0/8");
    let diagnosis = machine.diagnose().await;
    diagnosis.says("proxy_overridden", &["http_proxy is used, and hides HTTP_PROXY"]);
    diagnosis.says("no_proxy_ignored", &["`http://x.example`", "of NO_PROXY match no host"]);
}

#[tokio::test]
async fn c183_a_proxy_setting_that_cannot_be_used_is_named() {
    for value in ["htp://proxy:3128", "http://user:canary@proxy:3128/x", "http:/proxy"] {
        let wrong = Machine::new(SERVER).set("ALL_PROXY", value).diagnose().await;
        wrong.expect(&["fail proxy_setting"], NO_TURNS);
        wrong.says("proxy_setting", &["ALL_PROXY has ", "http://host:port"]);
    }
}
