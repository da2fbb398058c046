use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    json::Json,
    proto::lane::{ConnectionId, LaneId},
    request::Tool,
};

const SEAT: SeatId = SeatId { connection: ConnectionId(7), lane: LaneId::DEFAULT, earlier: 0 };
const HERE: Target = Target {
    transport: Transport::WebSocket,
    seat: Some(SEAT),
    keeps_parent: false,
    continue_over_sse: false,
    incremental: true,
    continuation: ContinuationPolicy::Strict,
};

fn request(items: &[Item]) -> ResponsesRequest {
    ResponsesRequest::new("m").instructions("i").input(items.to_vec())
}

fn answer() -> Item {
    Item::from_json(r#"{"id":"msg_1","type":"message","status":"completed","content":[{"type":"output_text","text":"1","annotations":[]}]}"#).unwrap()
}

fn prior(request: &ResponsesRequest, output: Vec<Item>) -> PreviousTurn {
    PreviousTurn::Completed(Box::new(Baseline {
        response_id: "resp_1".to_owned(),
        request: Arc::new(request.clone()),
        output,
        seat: Some(SEAT),
        stored: false,
        warm_up: false,
    }))
}

fn full(request: &ResponsesRequest, prior: &PreviousTurn, to: Target) -> FullSendReason {
    match plan(request, prior, to) {
        SendPlan::Full(reason) => reason,
        SendPlan::Incremental { .. } => panic!("incremental"),
    }
}

fn incremental(skip: usize) -> SendPlan {
    SendPlan::Incremental { parent: "resp_1".to_owned(), skip }
}

#[test]
fn c014_what_was_appended_is_sent_and_the_output_belongs_to_what_was_there() {
    let before = request(&[Item::user("a")]);
    let now = request(&[Item::user("a"), answer(), Item::user("b")]);
    assert_eq!(plan(&now, &prior(&before, vec![answer()]), HERE), incremental(2));
}

#[test]
fn c015_an_edited_history_is_sent_in_full_and_the_place_is_named() {
    let before = request(&[Item::user("a"), Item::user("b")]);
    let base = prior(&before, vec![answer()]);
    for (items, at) in [
        (vec![Item::user("x"), Item::user("b"), answer(), Item::user("c")], 0),
        (vec![Item::user("b"), Item::user("a"), answer(), Item::user("c")], 0),
        (vec![Item::user("a"), Item::user("x"), answer(), Item::user("c")], 1),
        (vec![Item::user("a"), Item::user("b"), Item::user("c")], 2),
    ] {
        assert_eq!(full(&request(&items), &base, HERE), FullSendReason::PrefixDiverged { at });
    }
    let base = prior(&before, vec![answer(), Item::user("output")]);
    let items = [Item::user("a"), Item::user("b"), answer(), Item::user("x")];
    assert_eq!(full(&request(&items), &base, HERE), FullSendReason::PrefixDiverged { at: 3 });
}

#[test]
fn c016_a_changed_field_is_named() {
    let base = prior(&request(&[Item::user("a")]), vec![answer()]);
    let now = request(&[Item::user("a"), answer(), Item::user("b")]);
    let reason = |request: ResponsesRequest| full(&request, &base, HERE);
    let other = |name: &str| FullSendReason::FieldChanged(name.to_owned());
    let with = |name: &str, value| {
        let mut body = serde_json::to_value(&now).unwrap();
        body[name] = value;
        ResponsesRequest::from_json(body.to_string()).unwrap()
    };
    assert_eq!(reason(with("model", json!("n"))), FullSendReason::ModelChanged);
    assert_eq!(reason(with("instructions", json!("j"))), FullSendReason::InstructionsChanged);
    assert_eq!(
        reason(now.clone().tools([Tool::hosted("web_search")])),
        FullSendReason::ToolsChanged
    );
    for name in [
        "store",
        "background",
        "include",
        "tool_choice",
        "parallel_tool_calls",
        "max_tool_calls",
        "max_output_tokens",
        "reasoning",
        "text",
        "temperature",
        "top_p",
        "top_logprobs",
        "truncation",
        "context_management",
        "prompt",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "service_tier",
        "image",
        "moderation",
        "access_programs",
        "multi_agent",
        "brand_new",
    ] {
        for value in [json!(true), json!("x"), json!(3), json!(["x"])] {
            assert_eq!(reason(with(name, value)), other(name));
        }
    }
    for name in ["metadata", "client_metadata", "stream_options", "background_options"] {
        assert_eq!(plan(&with(name, json!({"a": "b"})), &base, HERE), incremental(2), "{name}");
    }
    for name in ["user", "safety_identifier"] {
        assert_eq!(plan(&with(name, json!("x")), &base, HERE), incremental(2), "{name}");
    }
}

#[test]
fn c185_new_instructions_break_a_continuation_unless_the_policy_allows_them() {
    let allowing = Target { continuation: ContinuationPolicy::AllowNewInstructions, ..HERE };
    let base = prior(&request(&[Item::user("a")]), vec![answer()]);
    let now = request(&[Item::user("a"), answer(), Item::user("b")]);
    let mut without = now.clone();
    without.instructions = None;
    let by_hand = without.clone().extra("instructions", [("brand_new", 1)]);
    for changed in [now.clone().instructions("j"), without.clone(), by_hand.clone()] {
        assert_eq!(full(&changed, &base, HERE), FullSendReason::InstructionsChanged);
        assert_eq!(plan(&changed, &base, allowing), incremental(2));
    }
    // All other rules stay in force.
    let other = |name: &str| FullSendReason::FieldChanged(name.to_owned());
    for (changed, reason) in [
        (now.clone().instructions("j").store(true), other("store")),
        (now.clone().instructions("j").model("n"), FullSendReason::ModelChanged),
        (by_hand.extra("brand_new", 1), other("brand_new")),
        (
            request(&[Item::user("x"), answer()]).instructions("j"),
            FullSendReason::PrefixDiverged { at: 0 },
        ),
        (now.instructions("j").previous_response_id("resp_0"), FullSendReason::CallerManaged),
    ] {
        assert_eq!(full(&changed, &base, allowing), reason);
    }
}

#[test]
fn c017_less_than_before_is_sent_in_full_and_so_is_nothing_new() {
    let before = request(&[Item::user("a"), Item::user("b")]);
    let base = prior(&before, vec![answer()]);
    assert_eq!(full(&request(&[Item::user("a")]), &base, HERE), FullSendReason::InputShorter);
    assert_eq!(full(&before, &base, HERE), FullSendReason::InputShorter);
    let same = request(&[Item::user("a"), Item::user("b"), answer()]);
    assert_eq!(full(&same, &base, HERE), FullSendReason::NothingNew);
    assert_eq!(full(&before, &prior(&before, vec![]), HERE), FullSendReason::NothingNew);
}

#[test]
fn the_turn_after_its_warm_up_may_add_nothing() {
    let input = request(&[Item::user("a"), Item::user("b")]);
    let mut warm = prior(&input, vec![]);
    if let PreviousTurn::Completed(base) = &mut warm {
        base.warm_up = true;
    }
    let plan = plan(&input, &warm, HERE);
    assert_eq!(plan, incremental(2));
    assert_eq!(plan.report(input.input.len()), Plan::Incremental { new_items: 0 });
    assert_eq!(plan.report(5), Plan::Incremental { new_items: 3 });
    assert_eq!(plan.parent(), (Some("resp_1"), 2));
    assert_eq!(SendPlan::Full(FullSendReason::FirstTurn).parent(), (None, 0));
}

#[test]
fn c018_spelling_does_not_break_the_match_and_strings_count_to_the_letter() {
    let call = |text: &str| Item::from_json(text).unwrap();
    let old = call(r#"{"type":"function_call_output","call_id":"c","output":"x","n":1}"#);
    let sent =
        call(r#"{"type":"function_call","call_id":"d","name":"f","arguments":"{\"a\": 1}"}"#);
    let base = prior(&request(std::slice::from_ref(&old)), vec![sent]);
    let rebuilt = call(r#"{ "n":1.0, "output":"x","call_id":"c","type":"function_call_output"}"#);
    let same =
        call(r#"{"name":"f","type":"function_call","arguments":"{\"a\": 1}","call_id":"d"}"#);
    let reformatted =
        call(r#"{"type":"function_call","call_id":"d","name":"f","arguments":"{\"a\":1}"}"#);
    let now = |given: Item| request(&[rebuilt.clone(), given, Item::user("b")]);
    assert_eq!(plan(&now(same), &base, HERE), incremental(2));
    assert_eq!(full(&now(reformatted), &base, HERE), FullSendReason::PrefixDiverged { at: 1 });
}

#[test]
fn c019_what_only_the_server_adds_may_be_dropped() {
    let base = prior(&request(&[Item::user("a")]), vec![answer()]);
    let dropped = Item::from_json(
        r#"{"type":"message","id":"msg_1","content":[{"text":"1","type":"output_text"}],"phase":null}"#,
    );
    let now = request(&[Item::user("a"), dropped.unwrap(), Item::user("b")]);
    assert_eq!(plan(&now, &base, HERE), incremental(2));
}

#[test]
fn c027_a_parent_that_lives_in_its_connection_is_not_used_on_another() {
    let before = request(&[Item::user("a")]);
    let now = request(&[Item::user("a"), answer(), Item::user("b")]);
    let sse = Target { transport: Transport::Sse, seat: None, continue_over_sse: true, ..HERE };
    let other_connection = SeatId { connection: ConnectionId(8), ..SEAT };
    let other_lane = SeatId { lane: LaneId(1), ..SEAT };
    let taken_again = SeatId { earlier: 1, ..SEAT };
    for (to, kept) in [
        (Target { seat: Some(other_connection), ..HERE }, FullSendReason::ConnectionChanged),
        (Target { seat: Some(other_lane), ..HERE }, FullSendReason::ConnectionChanged),
        (Target { seat: Some(taken_again), ..HERE }, FullSendReason::ConnectionChanged),
        (Target { seat: None, ..HERE }, FullSendReason::ConnectionChanged),
        (sse, FullSendReason::ProviderUnsupported),
    ] {
        let mut base = prior(&before, vec![answer()]);
        assert_eq!(full(&now, &base, to), kept);
        if let PreviousTurn::Completed(base) = &mut base {
            base.stored = true;
        }
        assert_eq!(plan(&now, &base, to), incremental(2), "a stored one may be");
    }
    let mut over_sse = prior(&before, vec![answer()]);
    if let PreviousTurn::Completed(base) = &mut over_sse {
        base.seat = None;
    }
    let unopened = Target { seat: None, ..HERE };
    assert_eq!(full(&now, &over_sse, unopened), FullSendReason::ConnectionChanged);
    let mut stored = prior(&before, vec![answer()]);
    if let PreviousTurn::Completed(base) = &mut stored {
        base.stored = true;
    }
    let not_over_sse = Target { continue_over_sse: false, ..sse };
    assert_eq!(full(&now, &stored, not_over_sse), FullSendReason::SseContinuationOff);
}

#[test]
fn other_reasons() {
    let now = request(&[Item::user("a")]);
    assert_eq!(full(&now, &PreviousTurn::None, HERE), FullSendReason::FirstTurn);
    let off = Target { incremental: false, ..HERE };
    assert_eq!(full(&now, &PreviousTurn::None, off), FullSendReason::Disabled);
    assert_eq!(full(&now, &PreviousTurn::NotCompleted, HERE), FullSendReason::PriorNotCompleted);
    let base = prior(&now, vec![]);
    let next = request(&[Item::user("a"), Item::user("b")]);
    for managed in [
        next.clone().previous_response_id("resp_0"),
        next.clone().conversation(Json::from_serialize("conv_1").unwrap()),
    ] {
        assert_eq!(full(&managed, &base, HERE), FullSendReason::CallerManaged);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever the caller does to its list: what the server has plus what is sent is that list.
    #[test]
    fn c025_nothing_is_lost_doubled_or_reordered(
        old in prop::collection::vec(0..4u8, 0..80),
        output in prop::collection::vec(0..4u8, 0..4),
        kept in 0..90usize,
        new in prop::collection::vec(0..4u8, 0..80),
    ) {
        let items = |ns: &[u8]| -> Vec<Item> { ns.iter().map(|n| Item::user(n.to_string())).collect() };
        let base = prior(&request(&items(&old)), items(&output));
        let mut server = old;
        server.extend(output);
        let mut given: Vec<u8> = server.iter().copied().take(kept).collect();
        given.extend(new);
        let sent = match plan(&request(&items(&given)), &base, HERE) {
            SendPlan::Incremental { skip, .. } => [&server, &given[skip..]].concat(),
            SendPlan::Full(_) => given.clone(),
        };
        prop_assert_eq!(sent, given);
    }
}
