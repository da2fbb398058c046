//! Forward proxies: the client asks them for a tunnel, or to forward a request.

use std::time::Duration;

use responses_client::{
    Error, ErrorKind,
    error::{ConnectError, ConnectStep, ProxyError, TlsError},
};

use super::{
    case::{Case, DOWN, Ends, SSE, Server, WEBSOCKET},
    program::Program,
};
use crate::peer::installed;

fn proxy_error(error: &Error) -> Option<&ProxyError> {
    match error.connect_error() {
        Some(ConnectError::Proxy(error)) => Some(error),
        _ => None,
    }
}

fn refused(error: &Error) -> bool {
    matches!(proxy_error(error), Some(ProxyError::Refused(_))) && error.kind() == ErrorKind::Proxy
}

fn credentials_required(error: &Error) -> bool {
    matches!(proxy_error(error), Some(ProxyError::CredentialsRequired(_)))
}

fn credentials_rejected(error: &Error) -> bool {
    matches!(proxy_error(error), Some(ProxyError::CredentialsRejected(_)))
}

fn unsupported_scheme(error: &Error) -> bool {
    matches!(proxy_error(error), Some(ProxyError::UnsupportedScheme(_)))
}

fn server_unreachable(error: &Error) -> bool {
    matches!(proxy_error(error), Some(ProxyError::ServerUnreachable(_)))
}

fn unknown_issuer(error: &Error) -> bool {
    let error = error.connect_error();
    matches!(error, Some(ConnectError::Tls(TlsError::UnknownIssuer { .. })))
}

pub(super) fn tinyproxy(extra: &str) -> Program {
    let config = format!("Port @PORT@\nListen @HOST@\nTimeout 60\n{extra}\n");
    Program::new("tinyproxy", &["-d", "-c", "@DIR@/config"], config)
}

pub(super) fn tinyproxy_cases() -> Vec<Case> {
    let login = || tinyproxy("BasicAuth user pass");
    vec![
        Case::proxy("open", tinyproxy(""), WEBSOCKET),
        Case::proxy("open; server without TLS", tinyproxy(""), WEBSOCKET).server(Server::Plain),
        Case::proxy("`ConnectPort 443`", tinyproxy("ConnectPort 443"), Ends::Fails(refused)),
        Case::proxy("`ConnectPort 443`; server without TLS", tinyproxy("ConnectPort 443"), SSE)
            .server(Server::Plain),
        Case::proxy("`BasicAuth`", login(), WEBSOCKET).login("user:pass@"),
        Case::proxy("`BasicAuth`, no login given", login(), Ends::Fails(credentials_required)),
        Case::proxy("`BasicAuth`, wrong login", login(), Ends::Fails(credentials_rejected))
            .login("user:wrong@"),
        Case::proxy("open; server down", tinyproxy(""), Ends::Fails(server_unreachable)).down(),
    ]
}

pub(super) fn squid(access: &str) -> Program {
    let config = format!(
        "http_port @HOST@:@PORT@\n{access}\ncache deny all\ncache_log @DIR@/cache.log\n\
         access_log none\npid_filename @DIR@/pid\ncoredump_dir @DIR@\n\
         shutdown_lifetime 0 seconds\n"
    );
    // Its shared memory would outlive it, and be that of the next one.
    let start = "mount -t tmpfs tmpfs /dev/shm && exec squid -N -f @DIR@/config";
    Program::new("unshare", &["-m", "sh", "@DIR@/start"], config).file("start", start)
}

pub(super) fn squid_cases() -> Vec<Case> {
    let open = || squid("http_access allow all");
    let only_443 = || {
        squid(
            "acl SSL_ports port 443\nacl CONNECT method CONNECT\n\
             http_access deny CONNECT !SSL_ports\nhttp_access allow all",
        )
    };
    let with_login = "acl known proxy_auth REQUIRED\nhttp_access allow known";
    let basic = || {
        let helper = "auth_param basic program /bin/sh @DIR@/helper\nauth_param basic children 1\n";
        squid(&format!("{helper}{with_login}")).file(
            "helper",
            "while read line; do [ \"$line\" = 'user pass' ] && echo OK || echo ERR; done\n",
        )
    };
    let negotiate = || {
        let helper = "auth_param negotiate program /bin/cat\nauth_param negotiate children 1\n";
        squid(&format!("{helper}{with_login}"))
    };
    vec![
        Case::proxy("open", open(), WEBSOCKET),
        Case::proxy("CONNECT only to port 443", only_443(), Ends::Fails(refused)),
        Case::proxy("CONNECT only to port 443; server without TLS", only_443(), SSE)
            .server(Server::Plain),
        Case::proxy("Basic", basic(), WEBSOCKET).login("user:pass@"),
        Case::proxy("Basic, no login given", basic(), Ends::Fails(credentials_required)),
        Case::proxy("Basic, wrong login", basic(), Ends::Fails(credentials_rejected))
            .login("user:wrong@"),
        Case::proxy("Negotiate only", negotiate(), Ends::Fails(unsupported_scheme))
            .login("user:pass@"),
        Case::proxy("open; server down", open(), Ends::Fails(server_unreachable)).down(),
    ]
}

pub(super) fn privoxy() -> Program {
    let config = "listen-address @HOST@:@PORT@\nconfdir @DIR@\nlogdir @DIR@\n\
                  templdir /etc/privoxy/templates\n";
    Program::new("privoxy", &["--no-daemon", "@DIR@/config"], config)
}

pub(super) fn privoxy_cases() -> Vec<Case> {
    vec![
        Case::proxy("defaults", privoxy(), WEBSOCKET),
        Case::proxy("defaults; server without TLS", privoxy(), WEBSOCKET).server(Server::Plain),
        Case::proxy("defaults; server down", privoxy(), Ends::Fails(server_unreachable)).down(),
    ]
}

pub(super) fn microsocks(args: &'static [&'static str]) -> Program {
    Program { files: Vec::new(), ..Program::new("microsocks", args, "") }
}

const OPEN: &[&str] = &["-i", "@HOST@", "-p", "@PORT@"];

pub(super) fn microsocks_open() -> Program {
    microsocks(OPEN)
}

pub(super) fn microsocks_cases() -> Vec<Case> {
    let login = || microsocks(&["-i", "@HOST@", "-p", "@PORT@", "-u", "user", "-P", "pass"]);
    let socks = |setup, program, ends| Case::proxy(setup, program, ends).scheme("socks5h");
    vec![
        socks("open", microsocks_open(), WEBSOCKET),
        socks("open, as `socks5://`", microsocks_open(), WEBSOCKET).scheme("socks5"),
        socks("login", login(), WEBSOCKET).login("user:pass@"),
        socks("login, none given", login(), Ends::Fails(credentials_required)),
        socks("login, wrong", login(), Ends::Fails(credentials_rejected)).login("user:wrong@"),
        socks("open; server down", microsocks_open(), Ends::Fails(server_unreachable)).down(),
    ]
}

pub(super) fn dante(method: &str) -> Program {
    let config = format!(
        "logoutput: stderr\ninternal: @HOST@ port = @PORT@\nexternal: lo\n\
         socksmethod: {method}\nclientmethod: none\nuser.privileged: root\n\
         user.unprivileged: root\nclient pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}\n\
         socks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}\n"
    );
    // Dante looks logins up in the accounts of the machine, so that it gets its own ones.
    let start = "mount --bind @DIR@/passwd /etc/passwd && mount --bind @DIR@/shadow \
                 /etc/shadow && exec danted -N 1 -f @DIR@/config";
    Program::new("unshare", &["-m", "sh", "@DIR@/start"], config)
        .file("start", start)
        .file("passwd", "root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n")
        .file("shadow", format!("root:*:19000::::::\nuser:{PASS}:19000::::::\n"))
}

pub(super) fn dante_cases() -> Vec<Case> {
    let socks = |setup, program, ends| Case::proxy(setup, program, ends).scheme("socks5h");
    vec![
        socks("open", dante("none"), WEBSOCKET),
        socks("login", dante("username"), WEBSOCKET).login("user:pass@"),
        socks("login, none given", dante("username"), Ends::Fails(credentials_required)),
        socks("login, wrong", dante("username"), Ends::Fails(credentials_rejected))
            .login("user:wrong@"),
        socks("open; server down", dante("none"), Ends::Fails(server_unreachable)).down(),
    ]
}

/// The password `pass`, as `openssl passwd -6` writes it.
const PASS: &str = "$6$salt$3aEJgflnzWuw1O3tr0IYSmhUY0cZ7iBQeBP392T7RXjLP3TKKu3ddIapQaCpbD4p9ioeGaVIjOHaym7HvCuUm0";

fn stunnel() -> Program {
    let config = "foreground = yes\npid =\n[box]\naccept = @HOST@:@PORT@\nconnect = @BEHIND@\n\
                  cert = @DIR@/box.pem\nkey = @DIR@/box.key\n";
    Program::new("stunnel4", &["@DIR@/config"], config)
}

pub(super) fn stunnel_cases() -> Vec<Case> {
    let https_proxy = |setup, ends| Case::proxy(setup, tinyproxy(""), ends).behind(stunnel());
    vec![
        https_proxy("in front of tinyproxy", WEBSOCKET).scheme("https").trusted(),
        https_proxy("in front of tinyproxy, its CA unknown", Ends::Fails(unknown_issuer))
            .scheme("https"),
        https_proxy("in front of tinyproxy, taken for an http proxy", Ends::Fails(lost_at_proxy))
            .within(DOWN),
        Case::reverse("in front of the server", stunnel(), WEBSOCKET).scheme("https").trusted(),
        Case::reverse(
            "in front of the server, its CA unknown",
            stunnel(),
            Ends::Fails(unknown_issuer),
        )
        .scheme("https"),
    ]
}

fn lost_at_proxy(error: &Error) -> bool {
    matches!(
        error.connect_error(),
        Some(
            ConnectError::Lost(ConnectStep::Proxy) | ConnectError::Proxy(ProxyError::NotAProxy(_))
        )
    )
}

pub(super) fn mitmproxy_cases() -> Vec<Case> {
    let mitmproxy = |args| {
        let path = installed("boxes/bin/mitmdump");
        Program { files: Vec::new(), ..Program::new(path, args, "") }
    };
    let defaults = || mitmproxy(MITMDUMP);
    let streaming = || mitmproxy(MITMDUMP_STREAMING);
    let ca = "mitmproxy-ca-cert.pem";
    // It makes a certificate for the first connection.
    let slow = Duration::from_secs(2);
    vec![
        Case::proxy("its CA trusted", defaults(), WEBSOCKET).trusting(ca).within(slow),
        Case::proxy("its CA trusted; `stream_large_bodies=1`", streaming(), WEBSOCKET)
            .trusting(ca)
            .within(slow),
        Case::proxy("its CA unknown", defaults(), Ends::Fails(unknown_issuer)).within(slow),
        Case::proxy("its CA trusted; server down", defaults(), Ends::Fails(server_unreachable))
            .trusting(ca)
            .down(),
    ]
}

const MITMDUMP: &[&str] = &[
    "-q",
    "--listen-host",
    "@HOST@",
    "--listen-port",
    "@PORT@",
    "--set",
    "confdir=@DIR@",
    "--set",
    "ssl_verify_upstream_trusted_ca=@DIR@/server-ca.pem",
];
const MITMDUMP_STREAMING: &[&str] = &[
    "-q",
    "--listen-host",
    "@HOST@",
    "--listen-port",
    "@PORT@",
    "--set",
    "confdir=@DIR@",
    "--set",
    "ssl_verify_upstream_trusted_ca=@DIR@/server-ca.pem",
    "--set",
    "stream_large_bodies=1",
];
