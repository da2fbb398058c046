//! Servers and proxies that do not speak the protocol, or end it.

use std::net::SocketAddr;

use responses_client::testing::{Script, ScriptedServer, Step, Turn};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{
    BOTH_WORK, HI, Machine, NO_TURNS, USE_SSE,
    boxes::{answering, cutting, forwarding, free_address, head, listen, silent, socks, tunneling},
    certificates::accepting,
};
use crate::support::{
    server,
    tool::{Temporary, ran},
};

/// Address of a server in a network that only proxies reach.
const SERVER: &str = "https://api.example/v1";

fn hi() -> Script {
    Script::new().respond(|_| Turn::text("hi"))
}

fn plain(address: SocketAddr) -> Machine {
    Machine::new(&format!("http://{address}/v1"))
}

fn secure(address: SocketAddr) -> Machine {
    Machine::new(&format!("https://{address}/v1"))
}

/// A server that answers the start of a TLS handshake with these bytes. Returns its address.
async fn answering_tls(bytes: &'static [u8]) -> SocketAddr {
    listen(move |mut stream| async move {
        head(&mut stream).await?;
        stream.write_all(bytes).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.map(drop)
    })
    .await
}

#[tokio::test]
async fn c183_each_step_of_a_connection_has_a_line() {
    let server = ScriptedServer::start_tls(hi()).await.unwrap();
    let ca = Temporary::new("doctor-steps.pem");
    std::fs::write(&ca.0, server.ca_certificate_pem().unwrap()).unwrap();
    let proxy = tunneling().await.to_string().replace("127.0.0.1", "localhost");
    let machine = Machine::new(&server.url()).set("HTTPS_PROXY", &proxy);
    let through = machine.flags(&["--ca-file", ca.path()]).diagnose().await;
    through.expect(&["note localhost_through_proxy"], BOTH_WORK);
    for (id, words) in [
        ("dns", "127.0.0.1"),
        ("tcp", "connected"),
        ("proxy", "opens a tunnel"),
        ("tls", "scripted server CA"),
    ] {
        through.says(id, &[words]);
    }
}

#[tokio::test]
async fn c183_an_address_without_a_route_is_named() {
    // No TCP connection can be made to the address of a broadcast.
    let broadcast = Machine::new("https://255.255.255.255/v1").diagnose().await;
    broadcast.expect(&["fail unreachable"], NO_TURNS);
    broadcast.says("unreachable", &["255.255.255.255:443", "read the message"]);
}

#[tokio::test]
async fn c183_a_server_that_ends_connections_is_named() {
    let cut = plain(cutting().await).diagnose().await;
    cut.expect(&["fail connection_cut", "fail websocket_broken"], NO_TURNS);
    cut.says("connection_cut", &["ended without an answer", "https://"]);

    let (address, ca) = accepting().await;
    let file = Temporary::new("doctor-cut.pem");
    std::fs::write(&file.0, ca).unwrap();
    let cut = secure(address).flags(&["--ca-file", file.path()]).diagnose().await;
    cut.expect(&["fail connection_cut", "fail websocket_broken"], NO_TURNS);
    cut.says("connection_cut", &["ended without an answer", "--client-certificate"]);

    let script = Script::new().respond(|exchange| match exchange.transport {
        responses_client::Transport::WebSocket => Turn::text("").first(Step::End),
        _ => Turn::text("hi"),
    });
    let server = server(script).await;
    let cut = Machine::new(&server.url()).diagnose().await;
    cut.expect(&["limit websocket_closed"], USE_SSE);
    cut.says("websocket_closed", &["is cut with each request"]);
}

#[tokio::test]
async fn c183_a_handshake_that_fails_is_named() {
    let silent = secure(silent().await).diagnose().await;
    silent.expect(&["fail tls_timeout"], NO_TURNS);
    silent.says("tls_timeout", &["does not answer in TLS"]);

    // The alert of a server that has only TLS 1.1: protocol_version.
    let old = secure(answering_tls(&[21, 3, 1, 0, 2, 2, 70]).await).diagnose().await;
    old.expect(&["fail tls_old_version"], NO_TURNS);
    old.says("tls_old_version", &["no TLS version from 1.2 on", "updated"]);

    // Another alert: handshake_failure.
    let failed = secure(answering_tls(&[21, 3, 3, 0, 2, 2, 40]).await).diagnose().await;
    failed.expect(&["fail tls_failed"], NO_TURNS);
    failed.says("tls_failed", &["tell the operator"]);
}

#[tokio::test]
async fn c183_plain_http_on_a_port_of_tls_is_named() {
    let server = ScriptedServer::start_tls(hi()).await.unwrap();
    let url = server.url().replace("https://", "http://");
    let garbage = Machine::new(&url).diagnose().await;
    garbage.expect(&["fail https_needed", "fail websocket_broken"], NO_TURNS);

    // As nginx and the HTTP server of Go answer.
    let nginx = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\r\n<html><head><title>400 \
                 The plain HTTP request was sent to HTTPS port</title></head></html>";
    let go = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
    for answer in [nginx, go] {
        let plain = plain(answering(answer).await).diagnose().await;
        plain.expect(&["fail https_needed", "fail websocket_refused"], NO_TURNS);
        plain.says("https_needed", &["status 400", "write --base-url with https://"]);
    }
}

#[tokio::test]
async fn c183_an_answer_about_a_client_certificate_is_named() {
    // nginx completes the handshake without the certificate that it wants.
    for title in ["400 No required SSL certificate was sent", "400 The SSL certificate error"] {
        let page = format!(
            "HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nContent-Type: text/html\r\n\r\n\
             <html><head><title>{title}</title></head></html>"
        );
        let machine = plain(answering(&page).await);
        let refused = machine.diagnose().await;
        refused.expect(&["fail tls_client_certificate", "fail websocket_refused"], NO_TURNS);
        refused.says("tls_client_certificate", &[title, "--client-certificate"]);
        let turn = ran(machine.command("run", &[]), &[HI]).await;
        let error = turn.turns()[0]["error"]["message"].as_str().unwrap().to_owned();
        assert!(error.ends_with("with `--client-certificate`"), "{error}");
    }
}

#[tokio::test]
async fn c183_an_error_that_is_not_of_the_api_is_no_answer_of_the_api() {
    let page = "Content-Type: text/html\r\n\r\n<html><head><title>Sorry</title></head></html>";
    let login = "Content-Type: text/html\r\n\r\n<html><head><title>Sign in</title></head>\
                 <form><input type=\"password\"></form></html>";
    for (status, body, id, websocket) in [
        ("400 Bad Request", page, "request_failed", "websocket_refused"),
        ("500 Oops", page, "request_failed", "request_failed"),
        ("200 OK", "Content-Type: text/plain\r\n\r\nhello", "request_failed", "websocket_refused"),
        ("401 Unauthorized", login, "sign_in", "sign_in"),
        ("511 Network Authentication Required", page, "sign_in", "sign_in"),
        ("521 Down", page, "gateway_error", "gateway_error"),
        ("407 No", page, "proxy_login_required", "proxy_login_required"),
    ] {
        let address = answering(&format!("HTTP/1.1 {status}\r\n{body}")).await;
        let other = plain(address).diagnose().await;
        other.expect(&[&format!("fail {id}"), &format!("fail {websocket}")], NO_TURNS);
        if id == websocket {
            assert!(other.text.contains(&format!("{id}: over a WebSocket: ")), "{}", other.text);
        }
    }
}

#[tokio::test]
async fn c183_a_proxy_that_gives_no_answer_is_named() {
    let through = |proxy: String| Machine::new(SERVER).set("HTTPS_PROXY", &proxy);
    let waiting = through(format!("http://{}", silent().await)).diagnose().await;
    waiting.expect(&["fail proxy_timeout"], NO_TURNS);
    waiting.says("proxy_timeout", &["from HTTPS_PROXY", "--base-url", "the scheme"]);

    let lost = through(format!("http://{}", cutting().await)).diagnose().await;
    lost.expect(&["fail proxy_lost"], NO_TURNS);
    lost.says("proxy_lost", &["from HTTPS_PROXY", "check scheme"]);

    let lost = through(format!("https://{}", cutting().await)).diagnose().await;
    lost.expect(&["fail proxy_tls_failed"], NO_TURNS);
    lost.says("proxy_tls_failed", &["from HTTPS_PROXY", "http://"]);

    let ssh = through(answering("SSH-2.0-OpenSSH_9.6\r\n").await.to_string()).diagnose().await;
    ssh.says("not_a_proxy", &["does not answer like an HTTP proxy"]);
}

#[tokio::test]
async fn c183_an_answer_of_a_proxy_that_forwards_is_not_that_of_the_server() {
    let server = server(hi()).await;
    let denied =
        "HTTP/1.1 403 No\r\nX-Squid-Error: ERR_ACCESS_DENIED 0\r\nContent-Length: 0\r\n\r\n";
    let down =
        "HTTP/1.1 503 No\r\nX-Squid-Error: ERR_CONNECT_FAIL 111\r\nContent-Length: 0\r\n\r\n";
    let lost =
        "HTTP/1.1 500 No\r\nX-Squid-Error: ERR_CANNOT_FORWARD 0\r\nContent-Length: 0\r\n\r\n";
    for (answer, id, reason) in [
        (denied, "proxy_not_allowed", "ERR_ACCESS_DENIED"),
        (down, "server_down_behind_proxy", "ERR_CONNECT_FAIL"),
        (lost, "server_down_behind_proxy", "ERR_CANNOT_FORWARD"),
    ] {
        let proxy = answering(answer).await.to_string();
        let through = Machine::new(&server.url()).set("HTTP_PROXY", &proxy).diagnose().await;
        through.expect(&["note localhost_through_proxy", &format!("fail {id}")], NO_TURNS);
        through.says(id, &[reason, "from HTTP_PROXY"]);
    }
    // A proxy that refuses tunnels, and answers like tinyproxy or privoxy, or to a server whose
    // gateway is down.
    let page = |title| format!("Content-Type: text/html\r\n\r\n<title>{title}</title>");
    for answer in [
        format!("HTTP/1.1 500 Unable to connect\r\n{}", page("500 Unable to connect")),
        format!("HTTP/1.1 404 No such domain\r\n{}", page("502 - Bad Gateway (Privoxy@localhost)")),
        "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n".to_owned(),
    ] {
        let proxy = forwarding(Some(denied)).await.to_string();
        let gone = plain(answering(&answer).await).set("HTTP_PROXY", &proxy);
        let through = gone.diagnose().await;
        let found = ["note localhost_through_proxy", "fail server_down_behind_proxy"];
        through.expect(&[&found[..], &["fail proxy_not_allowed"]].concat(), NO_TURNS);
        through.says("server_down_behind_proxy", &["the proxy, or a gateway behind it, answered"]);
    }
    // A program that cuts or never answers is no proxy that forwards.
    for (proxy, id) in [
        (cutting().await, "proxy_lost"),
        (silent().await, "proxy_timeout"),
        (answering("SSH-2.0-OpenSSH_9.6\r\n").await, "not_a_proxy"),
    ] {
        let through = Machine::new(&server.url()).set("HTTP_PROXY", &proxy.to_string());
        let found = ["note localhost_through_proxy", &format!("fail {id}")];
        through.diagnose().await.expect(&found, NO_TURNS);
    }
}

#[tokio::test]
async fn c183_a_socks_proxy_has_advice_of_its_own() {
    let cut = listen(|mut stream| async move { stream.read_u8().await.map(drop) }).await;
    let refused: &[&[u8]] = &[&[5, 0], &[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]];
    for (proxy, id, words) in [
        (silent().await, "proxy_timeout", &["no SOCKS proxy", "write http://", "--base-url"][..]),
        (cut, "proxy_lost", &["no SOCKS proxy", "write http://", "--base-url"]),
        (socks(&[b"HTTP/1.1 400 Bad\r\n"]).await, "not_a_proxy", &["no SOCKS proxy"]),
        (socks(&[&[5, 255]]).await, "proxy_login_required", &["socks5h://user:password@host"]),
        (socks(refused).await, "server_down_behind_proxy", &["works, but cannot reach"]),
    ] {
        let server = plain(free_address().await);
        let through = server.set("HTTP_PROXY", &format!("socks5h://{proxy}")).diagnose().await;
        let found = ["note localhost_through_proxy", &format!("fail {id}")];
        through.expect(&found, NO_TURNS);
        through.says(id, words);
    }
}
