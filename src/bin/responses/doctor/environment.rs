//! Findings about the settings of this machine.

use std::{
    ffi::OsString,
    net::{IpAddr, SocketAddr},
};

use responses_client::{Error, error::ConfigError, probe::Route};

use super::finding::Finding;

/// Variables by which other programs find certificates.
const OTHER_CA_VARIABLES: [&str; 5] = [
    "CODEX_CA_CERTIFICATE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "GIT_SSL_CAINFO",
];
/// Variables by which this program finds certificates.
const CA_VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Returns the findings about the variables of certificates. `variable` looks one up.
pub(super) fn ca_variables(variable: impl Fn(&str) -> Option<OsString>) -> Vec<Finding> {
    let set = |names: &[&'static str]| {
        let names = names.iter().copied().filter(|name| variable(name).is_some());
        names.collect::<Vec<_>>()
    };
    let mut findings = Vec::new();
    let own = set(&CA_VARIABLES);
    if !own.is_empty() {
        let message = format!("{} replace the certificates of the platform", own.join(" and "));
        let message =
            if own.len() == 1 { message.replace("replace ", "replaces ") } else { message };
        findings.push(Finding::note("ca_variables", message));
    }
    let mut others = set(&OTHER_CA_VARIABLES);
    // The same file is read by another name.
    others.retain(|name| CA_VARIABLES.iter().all(|own| variable(name) != variable(own)));
    if !others.is_empty() {
        let are = if others.len() == 1 { "is" } else { "are" };
        let message =
            format!("{} {are} set, which this program does not read", others.join(" and "));
        let advice = "name the same file with --ca-file, or in SSL_CERT_FILE";
        findings.push(Finding::note("ca_variables_of_others", message).advise(advice));
    }
    findings
}

/// Returns the findings about the way to the server.
pub(super) fn of_route(route: &Route) -> Vec<Finding> {
    let mut findings = Vec::new();
    let list = route.exemptions.unwrap_or("NO_PROXY");
    findings.push(match (&route.proxy, route.setting) {
        (Some(proxy), setting) => {
            let login = if route.has_login { "with a login" } else { "without a login" };
            let from = setting.map_or_else(String::new, |name| format!(", from {name}"));
            Finding::ok("proxy_used", format!("through the proxy {proxy}{from}, {login}"))
        }
        (None, Some(setting)) => match &route.exempted_by {
            Some(entry) => Finding::ok(
                "proxy_exempted",
                format!("direct: the entry `{entry}` of {list} exempts the host from {setting}"),
            ),
            None => Finding::ok("no_proxy", "direct, without a proxy"),
        },
        (None, None) => Finding::ok("no_proxy", "direct, without a proxy"),
    });
    if !route.overridden.is_empty() {
        let (used, hidden) = (route.setting.unwrap_or_default(), route.overridden.join(", "));
        let message = format!("{used} is used, and hides {hidden}");
        findings.push(Finding::note("proxy_overridden", message));
    }
    if !route.ignored_exemptions.is_empty() {
        let entries = route.ignored_exemptions.join("`, `");
        let message = format!("the entries `{entries}` of {list} match no host");
        let advice = "write host names, domains, addresses or networks, such as api.example, \
                      .example, 10.0.0.0/8";
        findings.push(Finding::note("no_proxy_ignored", message).advise(advice));
    }
    findings
}

/// Returns the finding of a server on this machine that is reached through a proxy.
pub(super) fn of_local_proxy(base_url: &str, route: &Route) -> Option<Finding> {
    let host = base_url.split("//").nth(1).unwrap_or_default();
    let host = host.split('/').next().unwrap_or_default();
    let address = host.parse().map(|it: SocketAddr| it.ip());
    let address = address.or_else(|_| host.trim_matches(['[', ']']).parse::<IpAddr>());
    let is_local = match address {
        Ok(address) => address.is_loopback(),
        Err(_) => host.split(':').next() == Some("localhost"),
    };
    (is_local && route.proxy.is_some()).then(|| {
        Finding::note(
            "localhost_through_proxy",
            "the server is on this machine, the proxy may not be",
        )
        .advise("set NO_PROXY=localhost,127.0.0.1,::1")
    })
}

/// Returns the finding of settings that a client cannot be built with.
pub(super) fn of_settings(error: &Error) -> Finding {
    let message = crate::stop::in_words(error);
    let Some(ConfigError::Network(why)) = error.config_error() else {
        return Finding::fail("setting", message);
    };
    let finding = |id| Finding::fail(id, why.clone());
    match why {
        why if why.starts_with("SSL_CERT_") => finding("ca_file").advise(
            "name PEM files, or unset the variable to trust the certificates of the platform",
        ),
        why if why.contains("no trusted certificates") => finding("no_ca_store"),
        why if why.contains("client certificate") => finding("certificate_setting").advise(
            "name a PEM file with --client-certificate, and its key in it or with --client-key",
        ),
        why if why.contains("certificate") => {
            finding("certificate_setting").advise("name a PEM file with --ca-file")
        }
        _ => finding("proxy_setting").advise("correct the setting, or unset it to use no proxy"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(findings: &[Finding]) -> Vec<&'static str> {
        findings.iter().map(|finding| finding.id).collect()
    }

    #[test]
    fn variables_of_other_programs_are_reported_if_their_file_is_not_read() {
        fn set(names: &[&str], path: &str) -> impl Fn(&str) -> Option<OsString> {
            move |name| names.contains(&name).then(|| path.into())
        }
        let found = ca_variables(set(&["CURL_CA_BUNDLE"], "/a.pem"));
        assert_eq!(ids(&found), ["ca_variables_of_others"]);
        assert!(found[0].message.starts_with("CURL_CA_BUNDLE is set"));
        let found = ca_variables(set(&["CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"], "/a.pem"));
        assert!(found[0].message.starts_with("CURL_CA_BUNDLE and REQUESTS_CA_BUNDLE are set"));
        let both = ["CURL_CA_BUNDLE", "SSL_CERT_FILE"];
        let found = ca_variables(|name| both.contains(&name).then(|| name.into()));
        assert_eq!(ids(&found), ["ca_variables", "ca_variables_of_others"]);
        let found = ca_variables(set(&both, "/a.pem"));
        assert_eq!(ids(&found), ["ca_variables"]);
        assert_eq!(found[0].message, "SSL_CERT_FILE replaces the certificates of the platform");
        assert!(ca_variables(|_| None).is_empty());
    }

    #[test]
    fn a_server_on_this_machine_needs_no_proxy() {
        let mut route = Route::default();
        assert_eq!(of_local_proxy("http://localhost:8080/v1", &route), None);
        route.proxy = Some("p:1".to_owned());
        for url in ["http://127.0.0.1:8080/v1", "https://localhost/v1", "http://[::1]/v1"] {
            assert!(of_local_proxy(url, &route).is_some(), "{url}");
        }
        for url in [
            "http://api.example/v1",
            "https://localhost.example/v1",
            "https://127.example.com/v1",
            "https://127.0.0.1.example/v1",
            "http://10.0.0.1",
        ] {
            assert_eq!(of_local_proxy(url, &route), None, "{url}");
        }
    }

    #[test]
    fn c183_a_machine_without_trusted_certificates_is_named() {
        // The words of the library, on a machine that no test can be.
        let roots = include_str!("../../../net/roots.rs");
        assert!(roots.contains("this machine has no trusted certificates: install them"));
        let why = "this machine has no trusted certificates: install them".to_owned();
        let finding = of_settings(&ConfigError::Network(why.clone()).into());
        assert_eq!(finding, Finding::fail("no_ca_store", why));
    }
}
