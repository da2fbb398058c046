use super::*;

fn read(text: &str) -> Option<Vec<(String, String)>> {
    let mut members = FlatMembers::of(text, "t")?;
    let mut read = Vec::new();
    loop {
        let (name, value) = match members.next()? {
            FlatStep::Member(name, value) => (name, value),
            FlatStep::Object(name, rest) => {
                assert!(members.next().is_none(), "it cannot be skipped");
                read.push((name.to_owned(), format!("object {rest}")));
                return Some(read);
            }
            FlatStep::End => return Some(read),
        };
        let value = match value {
            FlatValue::Text(text) => format!("text {text}"),
            FlatValue::Escaped(quoted) => format!("escaped {quoted}"),
            FlatValue::Number(number) => format!("number {number}"),
            FlatValue::Null => "null".to_owned(),
            FlatValue::EmptyList => "[]".to_owned(),
        };
        read.push((name.to_owned(), value));
    }
}

#[test]
fn members_are_read_in_their_order() {
    let text = r#"{"type":"t","n":0,"m":123456789,"s":"é","e":"a\n\"","z":null,"l":[],"":""}"#;
    let members = read(text).unwrap();
    let members: Vec<_> = members.iter().map(|(name, value)| (&**name, &**value)).collect();
    let expected = [
        ("n", "number 0"),
        ("m", "number 123456789"),
        ("s", "text é"),
        ("e", r#"escaped "a\n\"""#),
        ("z", "null"),
        ("l", "[]"),
        ("", "text "),
    ];
    assert_eq!(members, expected);
    assert_eq!(read(r#"{"type":"t"}"#), Some(vec![]));
    let object = |name: &str, text: &str| (name.to_owned(), format!("object {text}"));
    assert_eq!(
        read(r#"{"type":"t","o":{"a":1},"b":2}"#),
        Some(vec![object("o", r#"{"a":1},"b":2}"#)])
    );
}

#[test]
fn what_is_unusual_is_left_to_serde() {
    for text in [
        "",
        "{}",
        r#"{"type":"t"#,
        r#"{"type":"t""#,
        r#"{"type":"tt"}"#,
        r#"{"type":"other"}"#,
        r#" {"type":"t"}"#,
        r#"{"type":"t"} "#,
        r#"{"type":"t" }"#,
        r#"{"type":"t",}"#,
        r#"{"type":"t",,"a":1}"#,
        r#"{"type":"t""a":1}"#,
        r#"{"type":"t","a"}"#,
        r#"{"type":"t","a":}"#,
        r#"{"type":"t","a" :1}"#,
        r#"{"type":"t","a\u0062":1}"#,
        r#"{"type":"t","a":1}}"#,
        r#"{"type":"t","a":01}"#,
        r#"{"type":"t","a":1234567890}"#,
        r#"{"type":"t","a":-1}"#,
        r#"{"type":"t","a":1.0}"#,
        r#"{"type":"t","a":1e1}"#,
        r#"{"type":"t","a":true}"#,
        r#"{"type":"t","a":[1]}"#,
        r#"{"type":"t","a":nul}"#,
        r#"{"type":"t","a":"b}"#,
        r#"{"type":"t","a":"b\"}"#,
        "{\"type\":\"t\",\"a\":\"\u{1}\"}",
        "{\"type\":\"t\",\"a\u{1f}\":1}",
    ] {
        assert_eq!(read(text), None, "{text}");
    }
}
