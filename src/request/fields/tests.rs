use super::*;

#[test]
fn a_body_is_read_and_written_whole() {
    let body = r#"{"model":"m","instructions":"i","store":false,"tools":[{"type":"new","x":1.50}],"reasoning":{"effort":"high"},"temperature":"warm","top_p":null,"brand_new":[1],"input":[{"a":1}]}"#;
    let request = ResponsesRequest::from_json(body).unwrap();
    assert_eq!(request.model, "m");
    assert_eq!(request.store, Some(false));
    let names: Vec<_> = request.extra.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["temperature", "top_p", "brand_new"]);
    assert_eq!(
        serde_json::to_value(&request).unwrap(),
        serde_json::from_str::<serde_json::Value>(body).unwrap()
    );
    assert!(request.check().is_ok());
}

#[test]
fn a_schema_keeps_the_other_settings_of_the_text() {
    let request = ResponsesRequest::new("m")
        .text(serde_json::json!({"verbosity": "low"}))
        .json_schema("answer", Json::parse(r#"{"z":1e2,"a":{}}"#).unwrap());
    assert_eq!(
        request.text.unwrap().as_str(),
        r#"{"verbosity":"low","format":{"type":"json_schema","name":"answer","schema":{"z":1e2,"a":{}},"strict":true}}"#
    );
}

#[test]
fn one_setting_is_changed_and_the_others_are_kept() {
    let request = ResponsesRequest::new("m")
        .reasoning(Json::parse(r#"{"effort":"low","new":1e2}"#).unwrap())
        .reasoning_effort("high")
        .reasoning_summary("auto")
        .json_schema("answer", serde_json::json!({}))
        .verbosity("low");
    assert_eq!(
        request.reasoning.unwrap().as_str(),
        r#"{"effort":"high","new":1e2,"summary":"auto"}"#
    );
    assert_eq!(
        request.text.unwrap().as_str(),
        r#"{"format":{"type":"json_schema","name":"answer","schema":{},"strict":true},"verbosity":"low"}"#
    );
    let alone = ResponsesRequest::new("m").reasoning_effort("high").reasoning.unwrap();
    assert_eq!(alone.as_str(), r#"{"effort":"high"}"#);
}

#[test]
fn an_empty_value_is_omitted_and_one_in_json_stays_as_it_was_given() {
    let mut request =
        ResponsesRequest::new("").tools([] as [Tool; 0]).include(Vec::<String>::new());
    assert_eq!(request, ResponsesRequest::default());
    assert_eq!(serde_json::to_string(&request).unwrap(), r#"{"input":[]}"#);
    request.tools.push(Tool::web_search());
    request.model = "m".into();
    let body = r#"{"model":"m","tools":[{"type":"web_search"}],"input":[]}"#;
    assert_eq!(serde_json::to_string(&request).unwrap(), body);
    let body = r#"{"model":"","tools":[],"include":[],"input":[]}"#;
    let mut request = ResponsesRequest::from_json(body).unwrap();
    assert_eq!((request.extra.len(), request.check()), (3, Ok(())));
    assert_eq!(serde_json::to_string(&request).unwrap(), body);
    request.tools.push(Tool::web_search());
    assert_eq!(request.check(), Err(RequestError::RepeatedField("tools".to_owned())));
}

#[test]
fn requests_are_compared_by_value() {
    let body = r#"{"model":"m","temperature":1,"text":{"a":1,"b":2},"new":[1],"input":[{"a":1}]}"#;
    let request = ResponsesRequest::from_json(body).unwrap();
    let same =
        r#"{"input":[{"a":1.0}],"new":[1e0],"text":{"b":2,"a":1},"temperature":1.0,"model":"m"}"#;
    assert!(request == ResponsesRequest::from_json(same).unwrap());
    for (from, to) in [("\"m\"", "\"n\""), ("[1]", "[2]"), ("{\"a\":1}", "{}"), ("1,\"b", "0,\"b")]
    {
        let other = ResponsesRequest::from_json(body.replace(from, to)).unwrap();
        assert!(request != other, "{from}");
    }
}

#[test]
fn a_string_is_one_message_of_the_user() {
    let request = ResponsesRequest::from_json(r#"{"model":"m","input":"hi"}"#).unwrap();
    assert_eq!(request.input, [Item::user("hi")].into());
}

#[test]
fn c121_a_body_with_halves_is_sent_as_it_was_given() {
    let body = r#"{"model":"m","instructions":"\ud83d","tools":[{"name":"\uD83d"}],"store":false,"new":{"\ude00":1},"input":[{"a":"\ud83d"}]}"#;
    let request = ResponsesRequest::from_json(body).unwrap();
    let sent = serde_json::to_string(&request).unwrap();
    for member in [
        r#""instructions":"\ud83d""#,
        r#""tools":[{"name":"\uD83d"}]"#,
        r#""new":{"\ude00":1}"#,
        r#""input":[{"a":"\ud83d"}]"#,
    ] {
        assert!(sent.contains(member), "{member} in {sent}");
    }
    assert_eq!(request.context_difference(&request.clone(), None), None);
    let other = ResponsesRequest::from_json(body.replace(r#"s":"\ud83d"#, r#"s":"\ud83e"#));
    assert!(request.context_difference(&other.unwrap(), None).is_some());

    let request = ResponsesRequest::from_json(r#"{"model":"m","input":"\ud83d"}"#).unwrap();
    let item =
        r#"{"type":"message","role":"user","content":[{"type":"input_text","text":"\ud83d"}]}"#;
    assert_eq!(request.input.get(0).unwrap().json().as_str(), item);
}

#[test]
fn members_given_twice_are_refused_and_none_is_lost() {
    for (body, name) in [
        (r#"{"model":"a","model":"b"}"#, "model"),
        (r#"{"model":null,"model":"b"}"#, "model"),
        (r#"{"model":"a","new":1,"new":2}"#, "new"),
        (r#"{"model":"a","store":true,"store":"?"}"#, "store"),
    ] {
        let request = ResponsesRequest::from_json(body).unwrap();
        let repeated = RequestError::RepeatedField(name.to_owned());
        assert_eq!(request.check(), Err(repeated), "{body}");
    }
    assert!(ResponsesRequest::from_json(r#"{"input":"a","input":"b"}"#).is_err());
}

#[test]
fn members_of_the_transport_are_refused() {
    for name in RESERVED {
        let body = format!(r#"{{"model":"m","{name}":true}}"#);
        let request = ResponsesRequest::from_json(&body).unwrap();
        assert_eq!(request.check(), Err(RequestError::ReservedField(name.to_owned())));
    }
    let twice = ResponsesRequest::new("m").extra("model", serde_json::json!("n"));
    assert_eq!(twice.check(), Err(RequestError::RepeatedField("model".to_owned())));
}

#[test]
fn what_is_no_body_is_refused_without_showing_it() {
    for body in ["", "[]", r#"{"input":7}"#, r#"{"input":[7]}"#, r#"{"input":["secret"]}"#] {
        let error = ResponsesRequest::from_json(body).unwrap_err();
        assert!(matches!(error, RequestError::Body(_)));
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
}

#[test]
fn c016_context_differs_by_value_and_delivery_does_not() {
    let a = ResponsesRequest::new("m").reasoning(serde_json::json!({"a": 1, "b": 2}));
    let mut b = ResponsesRequest::new("m")
        .reasoning(Json::parse(r#"{ "b": 2, "a": 1.0 }"#).unwrap())
        .metadata(serde_json::json!({"turn": "2"}))
        .user("u")
        .safety_identifier("s")
        .stream_options(serde_json::json!({}))
        .client_metadata(serde_json::json!({"k": "v"}))
        .background_options([("continuation_id", "c")]);
    assert_eq!(b.context_difference(&a, None), None);
    b.extra.push(("new".to_owned(), serde_json::json!(1).into()));
    assert_eq!(b.context_difference(&a, None), Some(FieldDifference::Other("new".to_owned())));
    assert_eq!(a.context_difference(&b, None), Some(FieldDifference::Other("new".to_owned())));
}
