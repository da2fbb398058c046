//! Recognizes sign-in pages, which a network or a single sign-on answers with in place of the API.

use http::{HeaderMap, StatusCode, Uri, header};
use url::{Host, Url};

use crate::{api::masked, error::ProtocolError};

/// Parts of the host or the path of a sign-in page.
const URL_WORDS: [&str; 20] = [
    "adfs",
    "auth",
    "authenticate",
    "authorize",
    "captive",
    "captiveportal",
    "cas",
    "guest",
    "hotspot",
    "idp",
    "login",
    "logon",
    "oauth",
    "oauth2",
    "openid",
    "saml",
    "saml2",
    "signin",
    "sso",
    "wifi",
];
/// Parts of the title of a sign-in page.
const TITLE_WORDS: [&str; 13] = [
    "authentication",
    "captive portal",
    "hotspot",
    "log in",
    "log on",
    "log-in",
    "login",
    "logon",
    "sign in",
    "sign on",
    "sign-in",
    "sign-on",
    "signin",
];

/// Maximum size of the address of a redirect in an error, in bytes.
const MAX_ADDRESS: usize = 256;

/// Returns the error of a redirect from `uri`. The error shows where it leads, without the user
/// information, the query and the fragment, which may contain secrets. Of a sign-in page, which has
/// secrets in its path too, the error shows the origin.
pub(crate) fn redirect(status: StatusCode, headers: &HeaderMap, uri: &Uri) -> ProtocolError {
    let from = Url::parse(&uri.to_string()).ok();
    let location = headers.get(header::LOCATION);
    let location = location.map(|value| String::from_utf8_lossy(value.as_bytes()));
    let target =
        location.and_then(|location| Url::options().base_url(from.as_ref()).parse(&location).ok());
    let (Some(from), Some(to)) = (from, target) else {
        return ProtocolError::Redirect("another address".to_owned());
    };
    let origin = to.origin().ascii_serialization();
    if leads_to_sign_in(status, &from, &to) {
        return ProtocolError::SignIn(origin);
    }
    // The parser has escaped control characters in the path.
    ProtocolError::Redirect(masked(&format!("{origin}{}", to.path()), MAX_ADDRESS))
}

fn leads_to_sign_in(status: StatusCode, from: &Url, to: &Url) -> bool {
    // A server that moved for good answers with 301 or 308.
    let is_temporary =
        !matches!(status, StatusCode::MOVED_PERMANENTLY | StatusCode::PERMANENT_REDIRECT);
    let known = words(from);
    let has_word = |word: &String| URL_WORDS.contains(&word.as_str()) && !known.contains(word);
    is_temporary && (words(to).iter().any(has_word) || !is_same_site(from, to))
}

/// Returns the words of the host and the path. `sign-in` and `sign_in` are one word.
fn words(url: &Url) -> Vec<String> {
    let text =
        format!("{}/{}", url.host_str().unwrap_or_default(), url.path()).to_ascii_lowercase();
    let text = ["sign-in", "sign_in", "log-in", "log_in", "sign-on"]
        .iter()
        .fold(text, |text, word| text.replace(word, "signin"));
    text.split(|c: char| !c.is_ascii_alphanumeric()).map(str::to_owned).collect()
}

/// Returns `true` if both hosts belong to one owner, as far as their last two labels show.
fn is_same_site(a: &Url, b: &Url) -> bool {
    match (a.host(), b.host()) {
        (Some(Host::Domain(a)), Some(Host::Domain(b))) => {
            let site = |name: &str| name.rsplit('.').take(2).map(str::to_owned).collect::<Vec<_>>();
            site(a) == site(b)
        }
        (a, b) => a == b,
    }
}

/// Returns `true` if a web page asks its reader to sign in. The start of its body is enough.
pub(crate) fn is_sign_in_page(status: u16, title: Option<&str>, body: &[u8]) -> bool {
    let title = title.unwrap_or_default().to_ascii_lowercase();
    if TITLE_WORDS.iter().any(|word| title.contains(word)) {
        return true;
    }
    let text = String::from_utf8_lossy(body).to_ascii_lowercase().replace(['"', '\''], "");
    let has_form = || {
        let mut forms = text.split("<form").skip(1);
        forms.any(|form| form.split('>').next().is_some_and(|tag| tag.contains("method=post")))
    };
    // A captive portal answers as if it were the server, often with terms to accept.
    let is_portal = status == 511 || (200..300).contains(&status) && has_form();
    is_portal || text.contains("type=password")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn location(status: u16, location: &str) -> String {
        let mut headers = HeaderMap::new();
        let location = HeaderValue::from_bytes(location.as_bytes()).unwrap();
        headers.insert(header::LOCATION, location);
        let uri = "https://api.example.com/v1/responses?key=canary".parse().unwrap();
        redirect(StatusCode::from_u16(status).unwrap(), &headers, &uri).to_string()
    }

    #[test]
    fn c180_a_redirect_to_a_sign_in_page_is_named() {
        for (status, to, origin) in [
            (
                302,
                "https://login.microsoftonline.com/x/oauth2?canary",
                "https://login.microsoftonline.com",
            ),
            (302, "https://sso.example.com/", "https://sso.example.com"),
            (307, "http://captive.hotel.example/", "http://captive.hotel.example"),
            (302, "http://10.0.0.1:8080/index.html?canary", "http://10.0.0.1:8080"),
            (303, "/users/sign_in?canary", "https://api.example.com"),
            (302, "//idp.example.com/canary", "https://idp.example.com"),
        ] {
            let text = format!("the server redirects to the sign-in page at {origin}");
            assert_eq!(location(status, to), text, "{status} {to}");
        }
    }

    #[test]
    fn c180_another_redirect_names_the_new_address() {
        let elsewhere = |place: &str| {
            format!(
                "the server redirects to {place}: if you trust that address, make its part before \
                 `/responses` the base URL"
            )
        };
        let long = format!("/{}", "ab/".repeat(1000));
        let shown = format!("https://api.example.com{}…", &long[..MAX_ADDRESS - 23]);
        for (status, to, place) in [
            (
                301,
                "https://other.example.net/v1/responses",
                "https://other.example.net/v1/responses",
            ),
            (308, "https://login.example.net/v1", "https://login.example.net/v1"),
            (307, "https://eu.example.com/v1", "https://eu.example.com/v1"),
            (302, "http://api.example.com", "http://api.example.com/"),
            (
                301,
                "http://me:canary@api.example.com:81/v1?canary#canary",
                "http://api.example.com:81/v1",
            ),
            (302, "/v2/responses?canary", "https://api.example.com/v2/responses"),
            (308, "responses/", "https://api.example.com/v1/responses/"),
            (
                302,
                "https://api.example.com/a\u{9b}b\u{202e}",
                "https://api.example.com/a%C2%9Bb%E2%80%AE",
            ),
            (301, "/sk-canary0123456789canary0123456789", "https://api.example.com/[masked]"),
            (301, &long, &shown),
            (302, "https://[", "another address"),
        ] {
            assert_eq!(location(status, to), elsewhere(place), "{status} {to}");
        }
        // The word belongs to the address of the API itself.
        let uri = "https://sso.example.com/v1".parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::LOCATION, "https://sso.example.com/v1/".parse().unwrap());
        let error = redirect(StatusCode::FOUND, &headers, &uri);
        assert_eq!(error, ProtocolError::Redirect("https://sso.example.com/v1/".to_owned()));
        let error = redirect(StatusCode::FOUND, &HeaderMap::new(), &uri);
        assert_eq!(error, ProtocolError::Redirect("another address".to_owned()));
    }

    #[test]
    fn c180_a_page_with_a_login_is_a_sign_in_page() {
        for (status, title, body, wanted) in [
            (200, Some("Sign in to your account"), "", true),
            (200, Some("Hotel Wi-Fi LOGIN"), "", true),
            (403, Some("Log in"), "", true),
            (200, Some("Welcome"), "<input name=p type='password'>", true),
            (401, None, "<INPUT TYPE=\"PASSWORD\">", true),
            (200, Some("Terms"), "<form action=/x method=\"POST\">", true),
            (511, None, "", true),
            (200, Some("Search"), "<form action=/search>", false),
            (403, Some("Terms"), "<form method=post>", false),
            (502, Some("502 Bad Gateway"), "<p>Try to reload.", false),
            (200, None, "", false),
        ] {
            let found = is_sign_in_page(status, title, body.as_bytes());
            assert_eq!(found, wanted, "{status} {title:?} {body}");
        }
    }
}
