//! Each accepted setting, and what it makes of the proxy.

use std::{collections::BTreeMap, ffi::OsString};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::{prelude::*, sample::select};

use super::*;

/// Host, port and credentials as they are used.
#[derive(Debug, PartialEq)]
struct Used {
    scheme: String,
    host: String,
    port: u16,
    login: Option<(String, String)>,
}

fn used(proxy: &ProxyUrl) -> Used {
    if let Some(login) = &proxy.login {
        let header = login.basic().unwrap();
        assert!(header.is_sensitive());
        let token = header.to_str().unwrap().strip_prefix("Basic ").unwrap().to_owned();
        let decoded = String::from_utf8(STANDARD.decode(token).unwrap()).unwrap();
        assert_eq!(decoded, format!("{}:{}", login.user, login.password));
    }
    Used {
        scheme: format!("{:?}", proxy.scheme).to_ascii_lowercase(),
        host: proxy.host.to_string(),
        port: proxy.port,
        login: proxy.login.as_ref().map(|it| (it.user.clone(), it.password.clone())),
    }
}

fn parsed(value: &str) -> Result<Option<Used>, String> {
    let why = |error: NetError| error.into_source().to_string();
    parse("HTTPS_PROXY", value).map(|proxy| proxy.as_ref().map(used)).map_err(why)
}

#[test]
fn c171_a_setting_is_used_as_written() {
    for (value, scheme, host, port, login) in [
        ("http://proxy.example:3128", "http", "proxy.example", 3128, None),
        ("http://proxy.example:3128/", "http", "proxy.example", 3128, None),
        ("HTTP://Proxy.Example", "http", "proxy.example", 80, None),
        ("https://proxy.example", "https", "proxy.example", 443, None),
        ("proxy_1:3128", "http", "proxy_1", 3128, None),
        ("user:pass@proxy:3128", "http", "proxy", 3128, Some(("user", "pass"))),
        ("http://127.0.0.1:8080", "http", "127.0.0.1", 8080, None),
        ("http://[::1]:8080", "http", "[::1]", 8080, None),
        ("[2001:DB8:0::1]", "http", "[2001:db8::1]", 80, None),
        (r"http://DOMAIN\user:p@proxy", "http", "proxy", 80, Some((r"DOMAIN\user", "p"))),
        ("http://u:^|{[<\"é@proxy", "http", "proxy", 80, Some(("u", "^|{[<\"é"))),
        ("http://u:p@ss:w@proxy", "http", "proxy", 80, Some(("u", "p@ss:w"))),
        ("http://u:100%@proxy", "http", "proxy", 80, Some(("u", "100%"))),
        ("http://u%40d:%2F%20%0A%C3%A9@proxy", "http", "proxy", 80, Some(("u@d", "/ \né"))),
        ("http://user@proxy", "http", "proxy", 80, Some(("user", ""))),
        ("http://:@proxy", "http", "proxy", 80, Some(("", ""))),
    ] {
        let login = login.map(|(user, password)| (user.to_owned(), password.to_owned()));
        let wanted = Used { scheme: scheme.to_owned(), host: host.to_owned(), port, login };
        assert_eq!(parsed(value).unwrap(), Some(wanted), "{value}");
    }
    assert_eq!(parsed("").unwrap(), None);
}

#[test]
fn c171_a_setting_that_would_be_repaired_or_dropped_is_an_error() {
    for (value, fault) in [
        (" http://canary:canary@proxy", "a blank"),
        ("http://canary:canary@proxy ", "a blank"),
        ("http://canary:canary@proxy\r\n", "a line break"),
        ("http://canary:can ary@proxy", "a blank"),
        ("http://canary:\u{7f}@proxy", "a control character"),
        (" ", "a blank"),
        ("\u{a0}", "a blank"),
        ("http:/canary", "without `://`"),
        (r"http:\\canary", "without `://`"),
        (r"http:\\canary:canary@proxy", "without `://`"),
        (r"htp:\\canary:canary@proxy", "without `://`"),
        ("http:3128", "without `://`"),
        (r"http://canary\x", "an invalid host"),
        ("http:///canary", "a path"),
        ("http://", "no host"),
        ("//canary", "a path"),
        ("://canary", "a scheme"),
        ("ftp://canary", "a scheme"),
        ("\"http://canary\"", "a scheme"),
        ("http://wpad.canary/proxy.pac", "a path"),
        ("http://canary:1/2@proxy", "a path"),
        ("http://canary:1#2@proxy", "a path"),
        ("http://proxy?canary", "a path"),
        ("http://canary:canary@", "no host"),
        ("http://canary:canary@:80", "no host"),
        ("http://proxy:", "an invalid port"),
        ("http://proxy:0", "an invalid port"),
        ("http://proxy:+80", "an invalid port"),
        ("http://proxy:65536", "an invalid port"),
        ("http://proxy:80canary", "an invalid port"),
        ("http://[::1]80", "an invalid port"),
        ("http://::1:80", "without brackets"),
        ("http://[::1", "`]`"),
        ("http://[fe80::1%25canary]", "an invalid IPv6"),
        ("http://127.1", "an invalid host"),
        ("http://0x7f.0.0.1", "an invalid host"),
        ("http://010.0.0.1", "an invalid host"),
        ("http://1.2.3.4.5", "an invalid host"),
        ("http://pro%78y", "an invalid host"),
        ("http://canäry", "`xn--`"),
        ("http://１２７.0.0.1", "`xn--`"),
        ("http://xn--canary-0", "an invalid host"),
        ("http://a,b", "an invalid host"),
        ("http://canary%3A:p@proxy", "a colon"),
        ("http://canary:%FF@proxy", "not UTF-8"),
    ] {
        let error = parsed(value).unwrap_err();
        assert!(error.starts_with("HTTPS_PROXY ") && error.contains(fault), "{value}: {error}");
        assert!(error.contains("`http://host:port`"), "{error}");
        assert!(!error.contains("canary"), "{error}");
    }
    assert!(parsed(&format!("http://{}", "a".repeat(254))).is_err());
    assert!(parsed(&format!("http://{}", "a.".repeat(40_000))).is_err());
    let long = format!("http://u:{}@proxy", "p".repeat(100_000));
    assert_eq!(parsed(&long).unwrap().unwrap().login.unwrap().1.len(), 100_000);
}

#[test]
fn c171_socks_needs_its_feature_and_sends_what_is_written() {
    let full = "ü".repeat(127);
    for scheme in ["socks5", "socks5h", "SOCKS5"] {
        let proxy = parsed(&format!("{scheme}://a%3Ab:{full}@Proxy"));
        if cfg!(feature = "socks") {
            let login = Some(("a:b".to_owned(), full.clone()));
            let scheme = scheme.to_ascii_lowercase();
            let wanted =
                Used { scheme: scheme.clone(), host: "proxy".to_owned(), port: 1080, login };
            assert_eq!(proxy.unwrap(), Some(wanted));
            let error = parsed(&format!("{scheme}://u:{full}ü@proxy")).unwrap_err();
            assert!(error.contains("255 bytes"), "{error}");
        } else {
            assert!(proxy.unwrap_err().contains("the feature `socks`"));
        }
    }
    for scheme in ["socks4", "socks4a"] {
        assert_eq!(parsed(&format!("{scheme}://proxy:9")).is_ok(), cfg!(feature = "socks"));
        assert!(parsed(&format!("{scheme}://user@proxy:9")).is_err());
    }
}

fn environment(secure: bool, variables: &[(&'static str, &str)]) -> Result<Proxies, String> {
    let uri = if secure { "https://api.example/v1" } else { "http://api.example/v1" };
    environment_of(uri, variables)
}

/// Proxies for a server with this URL.
fn environment_of(uri: &str, variables: &[(&'static str, &str)]) -> Result<Proxies, String> {
    let map: BTreeMap<&str, OsString> =
        variables.iter().map(|(name, value)| (*name, OsString::from(value))).collect();
    let uri = uri.parse().unwrap();
    Proxies::new(&ProxySetting::Environment, &uri, |name| map.get(name).cloned())
        .map_err(|error| error.into_source().to_string())
}

/// Variables of the proxies for an `https` and an `http` URL.
fn chosen(variables: &[(&'static str, &str)]) -> [Option<&'static str>; 2] {
    [true, false].map(|secure| {
        let proxies = environment(secure, variables).unwrap();
        let uri = if secure { "https://api.example/v1" } else { "http://api.example/v1" };
        proxies.of(&uri.parse().unwrap()).map(|_| proxies.setting)
    })
}

#[test]
fn c172_only_the_variable_that_applies_is_used_and_lower_case_comes_first() {
    let [https, upper_https, http, upper_http, all, upper_all] =
        ["https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];
    for (variables, wanted) in [
        (&[(upper_https, "a")][..], [Some(upper_https), None]),
        (&[(https, "a"), (upper_https, "b")], [Some(https), None]),
        (&[(https, ""), (upper_https, "b")], [Some(upper_https), None]),
        (&[(upper_http, "b"), (http, "a")], [None, Some(http)]),
        (&[(http, ""), (upper_http, "b")], [None, Some(upper_http)]),
        (&[(all, "a"), (upper_all, "b")], [Some(all), Some(all)]),
        (&[(upper_all, "a"), (http, "b")], [Some(upper_all), Some(http)]),
        (&[(upper_all, "a"), (https, "")], [Some(upper_all), Some(upper_all)]),
        (&[("REQUEST_METHOD", "GET"), (upper_http, "a"), (https, "b")], [None, None]),
        (&[(all, "a"), ("no_proxy", ""), ("NO_PROXY", "example")], [None, None]),
        (&[(all, "a"), ("no_proxy", "x"), ("NO_PROXY", "example")], [Some(all), Some(all)]),
    ] {
        assert_eq!(chosen(variables), wanted, "{variables:?}");
    }
    for (secure, names) in [(true, FOR_HTTPS), (false, FOR_HTTP)] {
        for name in names {
            let Err(error) = environment(secure, &[(name, "http:/canary")]) else {
                panic!("{name}")
            };
            assert!(error.starts_with(&format!("{name} has ")), "{error}");
            assert!(!error.contains("canary"), "{error}");
        }
    }
    // A variable that does not apply is not judged.
    assert!(environment(true, &[(http, "http:/x"), (https, "a"), (all, "http:/x")]).is_ok());
    assert!(environment(false, &[(https, "http:/x")]).is_ok());
}

#[test]
fn c172_a_variable_is_not_judged_for_a_server_that_is_exempt() {
    let malformed = ("HTTP_PROXY", "garbage://x:y");
    for (url, list, is_exempt) in [
        ("http://127.0.0.1:18080/v1", "127.0.0.1", true),
        ("http://127.0.0.1:18080/v1", "127.0.0.1:80", false),
        ("http://api.example/v1", "example", true),
        ("http://[::1]:8080/v1", "::1", true),
        ("http://localhost/v1", "127.0.0.1", false),
    ] {
        let proxies = environment_of(url, &[malformed, ("NO_PROXY", list)]);
        assert_eq!(proxies.is_ok(), is_exempt, "{url} {list}");
        let Ok(proxies) = proxies else { continue };
        let route = proxies.route(&url.parse().unwrap());
        assert_eq!((route.setting, route.proxy), (Some("HTTP_PROXY"), None));
        assert_eq!(route.exempted_by.as_deref(), Some(list));
    }
}

#[test]
fn c177_a_peer_names_its_proxy_and_the_variable() {
    let proxies = environment(true, &[("HTTPS_PROXY", "http://u:canary@p:3128")]).unwrap();
    let peer = proxies.peer(&"https://api.example/v1".parse().unwrap());
    assert_eq!(peer.to_string(), "api.example:443 through the proxy p:3128 (from HTTPS_PROXY)");
    assert!(!peer.forwards());
    let setting = ProxySetting::Url("p:3128".to_owned());
    let uri = "http://api.example/v1".parse().unwrap();
    let proxies = Proxies::new(&setting, &uri, |_| None).unwrap();
    let peer = proxies.peer(&uri);
    assert_eq!(peer.to_string(), "api.example:80 through the proxy p:3128");
    assert!(peer.forwards());
    assert_eq!(peer.at_proxy().to_string(), "the proxy p:3128");
}

#[cfg(unix)]
#[test]
fn c171_a_variable_that_is_not_utf_8_is_an_error() {
    use std::os::unix::ffi::OsStringExt as _;
    let value = |name: &str| {
        (name == "HTTPS_PROXY").then(|| OsString::from_vec(b"http://u:\xff@proxy".to_vec()))
    };
    let uri = "https://api.example/v1".parse().unwrap();
    let Err(error) = Proxies::new(&ProxySetting::Environment, &uri, value) else { panic!() };
    assert!(error.into_source().to_string().starts_with("HTTPS_PROXY is not UTF-8"));
}

/// A user name or a password: its characters, each percent-encoded or as it stands.
fn credential() -> impl Strategy<Value = Vec<(char, bool)>> {
    let character = prop_oneof![
        4 => proptest::char::range('!', '~'),
        1 => proptest::char::range('\0', ' '),
        1 => any::<char>(),
    ];
    prop::collection::vec((character, any::<bool>()), 0..8)
}

fn written(text: &[(char, bool)], always_encoded: &[char]) -> String {
    let write = |&(character, encoded): &(char, bool)| match encoded
        || always_encoded.contains(&character)
    {
        true => character.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect(),
        false => character.to_string(),
    };
    text.iter().map(write).collect()
}

fn meant(text: &[(char, bool)]) -> String {
    text.iter().map(|(character, _)| character).collect()
}

/// As written, and as it is used if it may be.
const HOSTS: [(&str, Option<&str>); 18] = [
    ("proxy.example", Some("proxy.example")),
    ("PROXY", Some("proxy")),
    ("127.0.0.1", Some("127.0.0.1")),
    ("[::1]", Some("[::1]")),
    ("xn--mnchen-3ya.example", Some("xn--mnchen-3ya.example")),
    ("münchen.example", None),
    ("１２７.0.0.1", None),
    ("127.1", None),
    ("0x7f.1", None),
    ("a%62", None),
    ("a b", None),
    (r"a\b", None),
    ("::1", None),
    ("[::1", None),
    ("[::1%25lo]", None),
    ("a|b", None),
    ("a,b", None),
    ("", None),
];

const PORTS: [(&str, Option<u16>); 9] = [
    ("", Some(80)),
    (":3128", Some(3128)),
    (":65535", Some(65_535)),
    (":", None),
    (":0", None),
    (":65536", None),
    (":+1", None),
    (":٣", None),
    (": 1", None),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// Whatever the spelling: the proxy at that host and port with those credentials, or an error.
    #[test]
    fn c171_a_spelling_is_used_as_written_or_an_error(
        before in select(&["", "", "", " ", "\t", "\r\n", "\u{a0}", "\u{2028}"][..]),
        scheme in select(&["", "http://", "http://", "HTTP://", "http:/", r"http:\\", r"htp:\\", "htp://"][..]),
        login in prop::option::of((credential(), prop::option::of(credential()))),
        host in select(&HOSTS[..]),
        port in select(&PORTS[..]),
        after in select(&["", "", "", "/", " ", "\n", "/x", "?x", "#x", r"\", ":", "@"][..]),
    ) {
        let (mut value, mut wanted, mut plain) = (before.to_owned() + scheme, None, true);
        if let Some((user, password)) = &login {
            // Of the syntax itself: neither can stand for itself there.
            value += &written(user, &['%', ':']);
            if let Some(password) = password {
                value += &format!(":{}", written(password, &['%']));
            }
            value.push('@');
            let both = || user.iter().chain(password.iter().flatten());
            plain = both().all(|(it, encoded)| *encoded || it.is_ascii_alphanumeric())
                && both().all(|(it, _)| *it != ':');
            wanted = Some((meant(user), password.as_deref().map(meant).unwrap_or_default()));
        }
        value += &format!("{}{}{after}", host.0, port.0);
        // `http:/` before a `/` that a user name begins with, or that follows an empty host.
        prop_assume!(scheme != "http:/" || !value.contains("http://"));
        let regular = before.is_empty()
            && ["", "http://", "HTTP://"].contains(&scheme)
            && ["", "/"].contains(&after);
        match (parsed(&value), host.1, port.1) {
            (Ok(None), ..) if value.is_empty() => {}
            (Ok(used), Some(host), Some(port)) if regular => prop_assert_eq!(used, Some(Used {
                scheme: "http".to_owned(),
                host: host.to_owned(),
                port,
                login: wanted,
            })),
            (Ok(used), ..) => prop_assert!(false, "{:?} is {:?}", value, used),
            (Err(error), Some(_), Some(_)) => {
                prop_assert!(!regular || !plain, "{:?}: {}", value, error);
            }
            (Err(_), ..) => {}
        }
    }
}
