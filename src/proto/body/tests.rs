use http::HeaderValue;

use super::*;

/// The form, and the body from the line that decided.
fn sniff<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Option<(Form, Vec<u8>)> {
    let mut sniffer = Sniffer::new();
    let mut decided: Option<(Form, Vec<u8>)> = None;
    for piece in pieces {
        match &mut decided {
            Some((_, rest)) => rest.extend_from_slice(piece),
            None => {
                let found = sniffer.push(&Bytes::copy_from_slice(piece));
                decided = found.map(|(form, parts)| (form, parts.concat()));
            }
        }
    }
    decided
}

#[test]
fn c132_a_body_is_known_by_its_first_bytes_wherever_it_is_split() {
    for (body, expected) in [
        ("data: 1\n\n", Some((Form::Events, "data: 1\n\n"))),
        ("event:x\ndata: 1", Some((Form::Events, "event:x\ndata: 1"))),
        ("id\n", Some((Form::Events, "id\n"))),
        ("retry\r\n", Some((Form::Events, "retry\r\n"))),
        (": hi\n\n:\r\rdata:1", Some((Form::Events, "data:1"))),
        ("\u{feff}data: 1", Some((Form::Events, "data: 1"))),
        ("\u{feff}: hi\n {\"a\":1}", Some((Form::Json, "{\"a\":1}"))),
        ("\n \t\r\n{\"a\":1}\n", Some((Form::Json, "{\"a\":1}\n"))),
        ("<!doctype html>", Some((Form::Page, "<!doctype html>"))),
        ("  <html>", Some((Form::Page, "<html>"))),
        ("database error", Some((Form::Other, "database error"))),
        ("dataset\n", Some((Form::Other, "dataset\n"))),
        ("upstream connect error", Some((Form::Other, "upstream connect error"))),
        ("[{\"a\":1}]", Some((Form::Other, "[{\"a\":1}]"))),
        ("", None),
        ("\n\n: only a comment {<data:", None),
        ("dat", None),
        ("\u{feff}", None),
    ] {
        let expected = expected.map(|(form, rest)| (form, rest.as_bytes().to_vec()));
        let bytes = body.as_bytes();
        assert_eq!(sniff([bytes]), expected, "{body:?}");
        assert_eq!(sniff(bytes.chunks(1)), expected, "{body:?} byte by byte");
        for at in 0..=bytes.len() {
            let (a, b) = bytes.split_at(at);
            assert_eq!(sniff([a, b]), expected, "{body:?} split at {at}");
        }
    }
    assert_eq!(sniff([&b"\xef\xbbdata: 1"[..]]).unwrap().0, Form::Other, "half a mark");
}

#[test]
fn c132_what_was_not_split_is_not_copied() {
    let body = Bytes::from_static(b"\n: hi\ndata: 1\n\n");
    let (_, [held, rest]) = Sniffer::new().push(&body).unwrap();
    assert!(held.is_empty());
    assert!(body.as_ptr_range().contains(&rest.as_ptr()));
}

#[test]
fn c131_an_object_ends_at_its_last_brace_wherever_it_is_split() {
    let body = br#"{"a":"}\"{\\","b":[{"c":{}}]} {"d":1}"#;
    let end = body.len() - 8;
    for at in 0..=body.len() {
        let (a, b) = body.split_at(at);
        let mut scanner = JsonEnd::default();
        let found = scanner.push(a).or_else(|| scanner.push(b).map(|end| at + end));
        assert_eq!(found, Some(end), "{at}");
    }
    assert_eq!(JsonEnd::default().push(br#"{"a":"}""#), None);
}

fn headers(name: &'static str, values: &[&'static str]) -> HeaderMap {
    values.iter().map(|it| (name.parse().unwrap(), HeaderValue::from_static(it))).collect()
}

#[test]
fn c132_only_the_label_of_a_page_counts() {
    for (label, is) in [
        ("text/html", true),
        ("Text/HTML; charset=utf-8", true),
        ("application/xhtml+xml", true),
        ("text/event-stream", false),
        ("application/json", false),
        ("", false),
    ] {
        assert_eq!(is_labelled_page(&headers("content-type", &[label])), is, "{label}");
    }
    assert!(is_page(&HeaderMap::new(), b"\xef\xbb\xbf\n <html>"));
    assert!(!is_page(&HeaderMap::new(), b"x<html>"));
}

#[test]
fn c133_any_encoding_but_identity_is_named() {
    for (values, expected) in [
        (&["gzip"][..], Some("gzip")),
        (&["identity, br"], Some("br")),
        (&["identity", "zstd"], Some("zstd")),
        (&["Identity"], None),
        (&[""], None),
        (&[" , identity"], None),
        (&[], None),
    ] {
        let headers = headers("content-encoding", values);
        assert_eq!(encoding(&headers).as_deref(), expected, "{values:?}");
    }
}

#[test]
fn c132_the_title_is_found_and_nothing_else_is_told() {
    for (page, expected) in [
        ("<html><head><TITLE lang=en>\n 502  Bad\nGateway </Title>", Some("502 Bad Gateway")),
        ("<!-- <title>no</title> --><title>yes</title>", Some("yes")),
        ("<script>'<title>no</title>'</script><title>yes</title>", Some("yes")),
        ("<style><title>no</title></style><title>yes</title>", Some("yes")),
        ("<titles>no</titles><title>yes</title>", Some("yes")),
        ("<title>Grüße</title>", Some("Grüße")),
        ("<html><body><svg><title>no</title></svg></body>", None),
        ("<title>without an end", None),
        ("<title></title>", None),
        ("<title", None),
        ("<script>", None),
        ("<", None),
        ("no tag at all", None),
        ("", None),
    ] {
        assert_eq!(title(page.as_bytes()).as_deref(), expected, "{page}");
    }
    let long = format!("<title>{}</title>", "word ".repeat(1000));
    let headers = headers("server", &["nginx"]);
    let told = page(200, &headers, long.as_bytes());
    assert!(told.title.as_ref().unwrap().len() < 140);
    assert_eq!((told.server.as_deref(), &*told.media_type), (Some("nginx"), ""));
    let key = page(200, &headers, b"<title>sk-proj-abcdefghijkl denied</title>");
    assert_eq!(key.title.as_deref(), Some("[masked] denied"));
    let shown = page(502, &headers, b"<html><title>Bad</title><body>secret</body>").to_string();
    assert_eq!(shown, "a web page with status 502, title `Bad`, server `nginx`");
}
