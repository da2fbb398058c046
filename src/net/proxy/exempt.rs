//! Hosts that are reached without the proxy: `NO_PROXY`.
//!
//! No standard defines the variable. The entries mean here what the users of curl, Go and Python
//! expect; an entry that matches nothing is reported.

use std::net::IpAddr;

/// Hosts without a proxy. Default: none.
#[derive(Clone, Debug, Default)]
pub(super) struct Exemptions {
    /// Variable that lists the hosts.
    setting: &'static str,
    entries: Vec<Entry>,
    /// Entries that match no host.
    ignored: Vec<String>,
}

#[derive(Clone, Debug)]
struct Entry {
    /// The entry as it was written.
    text: String,
    hosts: Hosts,
    /// `None` for every port.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq)]
enum Hosts {
    All,
    /// A domain in lower case, and its subdomains.
    Domain(String),
    /// Addresses with the same first bits.
    Network(IpAddr, u32),
}

impl Exemptions {
    /// Parses the value of the variable `setting`, whose entries are separated by commas or blanks.
    pub(super) fn new(setting: &'static str, list: &str) -> Self {
        let mut exemptions = Self { setting, ..Self::default() };
        let texts = list.split(|c: char| c == ',' || c.is_whitespace());
        for text in texts.filter(|text| !text.is_empty()) {
            match parse(text) {
                Some((hosts, port)) => {
                    let text = text.to_owned();
                    exemptions.entries.push(Entry { text, hosts, port });
                }
                // A proxy URL that was put here by mistake may hold a password.
                None => {
                    let shown = text.rsplit_once('@').map_or(text, |(_, host)| host);
                    exemptions.ignored.push(shown.to_owned());
                }
            }
        }
        exemptions
    }

    /// Returns the entry that exempts a host and a port.
    pub(super) fn matching(&self, host: &str, port: u16) -> Option<&str> {
        let host = host.trim_start_matches('[').trim_end_matches([']', '.']);
        let host = host.to_ascii_lowercase();
        let address: Option<IpAddr> = host.parse().ok();
        let is_match = |entry: &&Entry| {
            entry.port.is_none_or(|it| it == port) && entry.hosts.contain(&host, address)
        };
        self.entries.iter().find(is_match).map(|entry| entry.text.as_str())
    }

    /// Returns the entries that match no host.
    pub(super) fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// Returns the variable that lists the hosts; empty without one.
    pub(super) fn setting(&self) -> &'static str {
        self.setting
    }
}

impl Hosts {
    fn contain(&self, host: &str, address: Option<IpAddr>) -> bool {
        match (self, address) {
            (Self::All, _) => true,
            (Self::Domain(domain), None) => {
                let rest = host.strip_suffix(domain.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            (Self::Network(network, bits), Some(address)) => {
                prefix(*network, *bits) == prefix(address, *bits)
            }
            _ => false,
        }
    }
}

/// Returns the first `bits` bits of an address, with the size of the address.
fn prefix(address: IpAddr, bits: u32) -> Option<(bool, u128)> {
    let (size, value) = match address {
        IpAddr::V4(address) => (32_u32, u128::from(address.to_bits())),
        IpAddr::V6(address) => (128, address.to_bits()),
    };
    let dropped = size.checked_sub(bits)?;
    Some((address.is_ipv4(), value.checked_shr(dropped).unwrap_or(0)))
}

/// Parses an entry: `*`, a domain (also `.domain` and `*.domain`), an address, a network such as
/// `10.0.0.0/8` or `10.*`; a domain or an address with `:port`. Returns `None` if the entry matches
/// no host.
fn parse(text: &str) -> Option<(Hosts, Option<u16>)> {
    let (text, port) = split_port(text)?;
    Some((parse_hosts(text)?, port))
}

fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let is_bare_ipv6 = text.parse::<std::net::Ipv6Addr>().is_ok() || text.contains('/');
    match text.rsplit_once(':') {
        Some((host, port)) if !is_bare_ipv6 && !text.ends_with(']') => {
            Some((host, Some(port.parse().ok()?)))
        }
        _ => Some((text, None)),
    }
}

fn parse_hosts(text: &str) -> Option<Hosts> {
    if text == "*" {
        return Some(Hosts::All);
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(Hosts::Network(address, if address.is_ipv4() { 32 } else { 128 }));
    }
    if let Some((network, bits)) = text.split_once('/') {
        let network = network.parse().ok()?;
        let bits = bits.parse().ok()?;
        return prefix(network, bits).map(|_| Hosts::Network(network, bits));
    }
    parse_octets(text).or_else(|| parse_domain(text))
}

/// Parses an IPv4 network whose last octets are `*`, such as `127.*` or `10.1.*.*`.
fn parse_octets(text: &str) -> Option<Hosts> {
    let fixed = text.trim_end_matches(".*");
    if fixed == text {
        return None;
    }
    let mut octets = [0; 4];
    let mut count = 0;
    for (octet, digits) in octets.iter_mut().zip(fixed.split('.')) {
        *octet = digits.parse().ok()?;
        count += 1;
    }
    (fixed.split('.').count() == count && count < 4)
        .then(|| Hosts::Network(IpAddr::from(octets), u32::try_from(count * 8).unwrap_or(32)))
}

fn parse_domain(text: &str) -> Option<Hosts> {
    let domain = text.strip_prefix("*.").unwrap_or(text);
    let domain = domain.trim_start_matches('.').trim_end_matches('.').to_ascii_lowercase();
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    (!domain.is_empty() && domain.bytes().all(is_allowed)).then_some(Hosts::Domain(domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(list: &str, host: &str, port: u16) -> bool {
        Exemptions::new("no_proxy", list).matching(host, port).is_some()
    }

    #[test]
    fn c173_each_entry_means_what_its_users_mean() {
        for (entry, host, port, wanted) in [
            ("*", "api.example", 443, true),
            ("example", "api.example", 443, true),
            ("api.example", "api.example", 443, true),
            ("api.example", "API.Example.", 443, true),
            ("api.example", "my-api.example", 443, false),
            ("api.example", "x.api.example", 443, true),
            (".api.example", "api.example", 443, true),
            ("*.api.example", "x.api.example", 443, true),
            ("api.example:443", "api.example", 443, true),
            ("api.example:443", "api.example", 8443, false),
            ("*:443", "api.example", 443, true),
            ("127.0.0.1", "127.0.0.1", 80, true),
            ("127.0.0.1:8080", "127.0.0.1", 80, false),
            ("127.0.0.1", "127.0.0.10", 80, false),
            ("127.*", "127.8.9.1", 80, true),
            ("10.1.*.*", "10.1.2.3", 80, true),
            ("10.1.*", "10.2.2.3", 80, false),
            ("10.0.0.0/8", "10.200.0.1", 80, true),
            ("10.0.0.0/8", "11.0.0.1", 80, false),
            ("0.0.0.0/0", "1.2.3.4", 80, true),
            ("0.0.0.0/0", "::1", 80, false),
            ("::1", "[::1]", 80, true),
            ("[::1]:80", "[::1]", 80, true),
            ("[::1]:81", "[::1]", 80, false),
            ("fd00::/8", "[fd12::1]", 80, true),
            ("localhost", "127.0.0.1", 80, false),
            ("a, b  c", "c", 80, true),
            ("1", "10.0.0.1", 80, false),
        ] {
            assert_eq!(matched(entry, host, port), wanted, "{entry} for {host}:{port}");
        }
        let entry = Exemptions::new("no_proxy", "a,.b");
        assert_eq!(entry.matching("x.b", 1), Some(".b"));
    }

    #[test]
    fn c173_an_entry_that_is_a_proxy_url_is_reported_without_its_password() {
        let exemptions = Exemptions::new("NO_PROXY", "http://user:canary@proxy:3128");
        assert_eq!(exemptions.ignored(), ["proxy:3128"]);
    }

    #[test]
    fn c173_an_entry_that_never_matches_is_reported() {
        for entry in [
            "https://api.example",
            "api.*",
            "a*b",
            "10.0.0.0/33",
            "fd00::/129",
            "a:b",
            "1.2.3.4.*",
            "é",
        ] {
            let exemptions = Exemptions::new("NO_PROXY", &format!("{entry},ok"));
            assert_eq!(exemptions.ignored(), [entry]);
            assert_eq!(exemptions.matching("ok", 1), Some("ok"));
        }
    }
}
