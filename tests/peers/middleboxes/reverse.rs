//! Reverse proxies: the client takes them for the server.

use std::{error::Error as _, time::Duration};

use responses_client::{
    Error,
    error::{Delivery, ProtocolError},
};

use super::{
    beside,
    case::{Case, Ends, SSE, WEBSOCKET},
    program::Program,
    way::{SLOW, THINK},
};
use crate::{codex, peer::installed};

/// Longer than the idle timeouts of the boxes.
const PAUSE: Duration = Duration::from_millis(4500);
const PING: Duration = Duration::from_secs(1);

/// Returns `true` for an answer of the box itself.
fn answered<const STATUS: u16>(error: &Error) -> bool {
    error.status() == Some(STATUS)
}

fn redirected(error: &Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref());
    matches!(cause, Some(ProtocolError::Redirect(_)))
}

/// Returns `true` if the connection ended after the response had begun.
fn cut(error: &Error) -> bool {
    error.delivery() >= Delivery::Accepted
}

pub(super) fn nginx_cases() -> Vec<Case> {
    let nginx_on = |listen: &str, location: &str| {
        let config = format!(
            "daemon off; user root; pid @DIR@/pid; error_log @DIR@/error.log; worker_processes 1;\n\
             events {{}}\nhttp {{\n\
             access_log off; gzip_types text/event-stream;\n\
             client_body_temp_path @DIR@/body; proxy_temp_path @DIR@/proxy;\n\
             fastcgi_temp_path @DIR@/f; uwsgi_temp_path @DIR@/u; scgi_temp_path @DIR@/s;\n\
             server {{ listen @HOST@:@PORT@ {listen}; location / {{ {location} }} }}\n}}\n"
        );
        Program::new(
            "nginx",
            &["-p", "@DIR@", "-e", "@DIR@/error.log", "-c", "@DIR@/config"],
            config,
        )
    };
    let nginx = |location: &str| nginx_on("", location);
    let tls = "ssl http2; ssl_certificate @DIR@/box.pem; ssl_certificate_key @DIR@/box.key";
    let pass = |more: &str| nginx(&format!("proxy_pass http://@BEHIND@; {more}"));
    let with_upgrade = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; \
                        proxy_set_header Connection upgrade;";
    let upgrade = |more: &str| pass(&format!("{with_upgrade} {more}"));
    let over_tls =
        |more| nginx_on(tls, &format!("proxy_pass http://@BEHIND@; {with_upgrade} {more}"));
    let short = "proxy_read_timeout 2s;";
    vec![
        Case::reverse("`proxy_pass` only", pass(""), SSE),
        Case::reverse("HTTP/1.1 without upgrade", pass("proxy_http_version 1.1;"), SSE),
        Case::reverse("with upgrade", upgrade(""), WEBSOCKET),
        Case::reverse("with upgrade, `proxy_read_timeout 2s`", upgrade(short), WEBSOCKET)
            .pause(PAUSE),
        Case::reverse(
            "with upgrade, `proxy_read_timeout 2s`; pings after 1 s",
            upgrade(short),
            WEBSOCKET,
        )
        .pause(PAUSE)
        .ping(PING),
        Case::reverse(
            "with upgrade, `proxy_read_timeout 2s`; no event for 4.5 s",
            upgrade(short),
            Ends::Fails(cut),
        )
        .text(THINK)
        .within(Duration::from_secs(8)),
        Case::reverse(
            "with upgrade, `proxy_read_timeout 2s`; no event for 4.5 s, pings after 1 s",
            upgrade(short),
            WEBSOCKET,
        )
        .text(THINK)
        .ping(PING),
        Case::reverse("with upgrade, `listen ssl http2`", over_tls(""), WEBSOCKET)
            .scheme("https")
            .trusted(),
        Case::reverse(
            "with upgrade, `listen ssl http2`, `proxy_buffering off`",
            over_tls("proxy_buffering off;"),
            WEBSOCKET,
        )
        .scheme("https")
        .trusted(),
        Case::reverse("with upgrade, `gzip on`", upgrade("gzip on;"), WEBSOCKET),
        Case::reverse(
            "`return 301` to another path",
            pass("if ($uri ~ ^/v1) { return 301 http://$http_host/moved$uri; }"),
            Ends::Fails(redirected),
        ),
        Case::reverse("`return 403`", nginx("return 403;"), Ends::Fails(answered::<403>)),
        Case::reverse("with upgrade; server down", upgrade(""), Ends::Fails(answered::<502>))
            .down(),
    ]
}

pub(super) fn haproxy_cases() -> Vec<Case> {
    let haproxy = |timeouts: &str| {
        let config = format!(
            "defaults\n mode http\n timeout connect 3s\n timeout client 3s\n timeout server 3s\n\
             {timeouts}\nfrontend front\n bind @HOST@:@PORT@\n default_backend server\n\
             backend server\n server one @BEHIND@\n"
        );
        Program::new("haproxy", &["-db", "-f", "@DIR@/config"], config)
    };
    vec![
        Case::reverse("timeouts of 3 s", haproxy(""), WEBSOCKET).pause(PAUSE),
        Case::reverse("timeouts of 3 s, pings after 1 s", haproxy(""), WEBSOCKET)
            .pause(PAUSE)
            .ping(PING),
        Case::reverse("`timeout tunnel 1h`", haproxy(" timeout tunnel 1h"), WEBSOCKET).pause(PAUSE),
        Case::reverse("server down", haproxy(""), Ends::Fails(answered::<503>))
            .down()
            .within(Duration::from_secs(30)),
    ]
}

pub(super) fn caddy_cases() -> Vec<Case> {
    let caddy = |more: &str| {
        let config = format!(
            "{{\n admin off\n auto_https off\n storage file_system @DIR@\n}}\n\
             http://@HOST@:@PORT@ {{\n bind @HOST@\n {more}\n reverse_proxy @BEHIND@\n}}\n"
        );
        Program::new(
            "caddy",
            &["run", "--config", "@DIR@/config", "--adapter", "caddyfile"],
            config,
        )
    };
    vec![
        Case::reverse("`reverse_proxy`", caddy(""), WEBSOCKET),
        Case::reverse("`encode gzip`", caddy("encode gzip"), WEBSOCKET),
        Case::reverse("server down", caddy(""), Ends::Fails(answered::<502>)).down(),
    ]
}

pub(super) fn apache_cases() -> Vec<Case> {
    let apache = |more: &str| {
        let config = format!(
            "ServerRoot @DIR@\nServerName localhost\nPidFile @DIR@/pid\nListen @HOST@:@PORT@\n\
             ErrorLog @DIR@/error.log\nUser www-data\nGroup www-data\n\
             LoadModule mpm_event_module {MODULES}/mod_mpm_event.so\n\
             LoadModule authz_core_module {MODULES}/mod_authz_core.so\n\
             LoadModule proxy_module {MODULES}/mod_proxy.so\n\
             LoadModule proxy_http_module {MODULES}/mod_proxy_http.so\n\
             ProxyPass / http://@BEHIND@/ {more}\n"
        );
        Program::new("apache2", &["-DFOREGROUND", "-f", "@DIR@/config"], config)
    };
    vec![
        Case::reverse("`ProxyPass`", apache(""), SSE),
        Case::reverse(
            "`ProxyPass` with `upgrade=websocket`",
            apache("upgrade=websocket"),
            WEBSOCKET,
        ),
        Case::reverse("`ProxyPass`; server down", apache(""), Ends::Fails(answered::<503>)).down(),
    ]
}

const MODULES: &str = "/usr/lib/apache2/modules";

pub(super) fn envoy_cases() -> Vec<Case> {
    let envoy = |upgrades: &str, route: &str| {
        let config = format!(
            r#"
static_resources:
  listeners:
  - address: {{ socket_address: {{ address: @HOST@, port_value: @PORT@ }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          {upgrades}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{ prefix: "/" }}
                route: {{ cluster: server{route} }}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: server
    type: STATIC
    load_assignment:
      cluster_name: server
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {{ socket_address: {{ address: 127.0.0.1, port_value: @BEHIND_PORT@ }} }}
"#
        );
        Program::new(
            installed("boxes/bin/envoy"),
            &[
                "-c",
                "@DIR@/config.yaml",
                "--disable-hot-restart",
                "--concurrency",
                "1",
                "-l",
                "off",
            ],
            "",
        )
        .file("config.yaml", config)
    };
    let upgrades = "upgrade_configs: [{ upgrade_type: websocket }]";
    vec![
        Case::reverse("no `upgrade_configs`", envoy("", ""), SSE),
        Case::reverse("with `upgrade_configs`", envoy(upgrades, ""), WEBSOCKET),
        Case::reverse(
            "with `upgrade_configs`, `timeout: 1s`",
            envoy(upgrades, ", timeout: 1s"),
            WEBSOCKET,
        ),
        Case::reverse(
            "with `upgrade_configs`; server down",
            envoy(upgrades, ""),
            Ends::Fails(answered::<503>),
        )
        .down(),
    ]
}

/// litellm sends requests over its WebSocket on to a WebSocket of the server. It cannot open one
/// without TLS, and closes its own with code 1011. It needs a key: without one, it refuses upgrades.
pub(super) fn litellm_cases() -> Vec<Case> {
    const KEY: &str = "sk-litellm";
    let mut config = format!("general_settings:\n  master_key: {KEY}\nmodel_list:\n");
    // To a model that a pattern names, litellm sends no request with streaming.
    for model in [codex::MODEL, beside::MODEL, SLOW] {
        config += &format!(
            "- model_name: {model}\n  litellm_params:\n    model: openai/{model}\n    \
             api_base: http://@BEHIND@/v1\n    api_key: none\n"
        );
    }
    // The list of prices is on another host, which litellm would wait for.
    let start = format!(
        "LITELLM_LOCAL_MODEL_COST_MAP=True exec {} --config @DIR@/config.yaml --host @HOST@ \
         --port @PORT@ --telemetry False\n",
        installed("litellm/bin/litellm").display()
    );
    let program = Program::new("sh", &["@DIR@/config"], start).file("config.yaml", config);
    let case = Case::reverse("`api_base` without TLS", program, SSE).key(KEY);
    // The first requests load parts of the program.
    vec![case.within(Duration::from_secs(2))]
}
