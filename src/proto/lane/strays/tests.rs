use super::*;
use crate::proto::wire::{Wire, responses::Responses};

const LIMIT: usize = 1 << 20;
const SECOND: Duration = Duration::from_secs(1);

fn frame(payload: &str) -> Frame {
    Responses.classify("", payload.into())
}

fn of(kind: &str, id: &str) -> Frame {
    frame(&format!(r#"{{"type":"response.{kind}","response":{{"id":"{id}"}}}}"#))
}

/// Returns an event without a response id. Item ids do not identify responses.
fn bare(kind: &str) -> Frame {
    frame(&format!(
        r#"{{"type":"response.{kind}","sequence_number":1,"item_id":"resp_1","response":{{}}}}"#
    ))
}

fn delta(text: &str) -> Frame {
    frame(&format!(r#"{{"type":"response.output_text.delta","delta":"{text}"}}"#))
}

fn error() -> Frame {
    frame(r#"{"type":"error","error":{"code":"server_error","message":"m"}}"#)
}

/// Runs an exchange of these frames, which ends with the last frame.
fn exchange(filter: &mut StrayFilter, frames: &[Frame]) {
    filter.begin(false);
    for frame in frames {
        filter.filter(frame.clone(), Instant::now());
    }
    filter.finish(frames.last().unwrap(), Instant::now());
}

/// Returns the filter of a socket whose last response, `resp_1`, was announced and has ended.
fn announced() -> StrayFilter {
    let mut filter = StrayFilter::new(LIMIT);
    exchange(&mut filter, &[of("created", "resp_1"), of("completed", "resp_1")]);
    filter.begin(false);
    filter
}

/// Returns the frames that the consumer receives, and `true` if late events were reported.
fn delivered(filter: &mut StrayFilter, frames: &[Frame]) -> (Vec<String>, bool) {
    let (mut out, mut noted) = (Vec::new(), false);
    for frame in frames {
        match filter.filter(frame.clone(), Instant::now()) {
            Filtered::Deliver { late, held, frame } => {
                noted |= late;
                out.extend(held.iter().chain([&frame]).map(|frame| frame.payload.to_string()));
            }
            Filtered::Withhold => {}
            Filtered::Overflow => out.push("overflow".to_owned()),
        }
    }
    (out, noted)
}

fn payloads(frames: &[&Frame]) -> Vec<String> {
    frames.iter().map(|frame| frame.payload.to_string()).collect()
}

#[test]
fn c006_late_events_are_told_from_those_of_the_next_response() {
    for end in [of("completed", "resp_1"), error()] {
        let mut filter = StrayFilter::new(LIMIT);
        exchange(&mut filter, &[of("created", "resp_1"), end]);
        filter.begin(false);
        let late = [of("failed", "resp_1"), of("done", "resp_1"), of("in_progress", "resp_1")];
        assert_eq!(delivered(&mut filter, &late), (vec![], false));
        let own = [frame(r#"{"type":"keepalive"}"#), of("completed", "resp_2")];
        assert_eq!(delivered(&mut filter, &own).0, payloads(&[&own[0], &own[1]]));
    }
}

#[test]
fn c135_an_older_response_is_known_by_its_id_also_when_the_next_has_begun() {
    let mut filter = announced();
    let named =
        frame(r#"{"type":"response.output_text.delta","response_id":"resp_1","delta":"x"}"#);
    let about = frame(r#"{"type":"codex.response.metadata","response_id":"resp_1"}"#);
    let late = [of("completed", "resp_1"), of("cancelled", "resp_1"), named, about];
    assert_eq!(delivered(&mut filter, &late), (vec![], false));
    let begin = of("created", "resp_2");
    assert_eq!(delivered(&mut filter, std::slice::from_ref(&begin)).0, payloads(&[&begin]));
    assert_eq!(delivered(&mut filter, &late), (vec![], false));
    let own = [delta("own"), of("completed", "resp_3")];
    assert_eq!(delivered(&mut filter, &own).0, payloads(&[&own[0], &own[1]]));
    // The id of the last response but one is known as well, and so is the id in a terminal event.
    filter.finish(&own[1], Instant::now());
    filter.begin(false);
    let late = [of("done", "resp_1"), of("done", "resp_2"), of("done", "resp_3")];
    assert_eq!(delivered(&mut filter, &late), (vec![], false));
}

#[test]
fn c135_a_server_that_gives_all_responses_one_id_is_understood() {
    let mut filter = announced();
    let own = [of("created", "resp_1"), delta("own"), of("completed", "resp_1")];
    assert_eq!(delivered(&mut filter, &own).0, payloads(&[&own[0], &own[1], &own[2]]));
}

#[test]
fn c136_events_without_an_id_wait_until_it_is_known_whose_they_are() {
    let (begin, old, end) = (of("created", "resp_2"), delta("old"), of("completed", "resp_2"));
    let in_progress = bare("in_progress");
    let named =
        frame(r#"{"type":"response.output_text.delta","response_id":"resp_2","delta":"x"}"#);
    let ended = bare("completed");
    for (frames, expected, late) in [
        (vec![&old], vec![], false),
        (vec![&old, &ended], vec![], false),
        (vec![&old, &begin], vec![&begin], true),
        (vec![&old, &ended, &begin, &end], vec![&begin, &end], true),
        (vec![&ended, &begin, &old], vec![&begin, &old], true),
        (vec![&old, &in_progress, &ended], vec![&in_progress, &ended], true),
        // The exchange has no lifecycle event.
        (vec![&old, &old, &end], vec![&old, &old, &end], false),
        (vec![&old, &named], vec![&old, &named], false),
        (vec![&ended, &end], vec![&end], true),
        (vec![&old, &ended, &named, &end], vec![&named, &end], true),
    ] {
        let frames: Vec<Frame> = frames.into_iter().cloned().collect();
        let (out, noted) = delivered(&mut announced(), &frames);
        assert_eq!((out, noted), (payloads(&expected), late), "{frames:?}");
    }
    // Metadata does not belong to a response, and an error answers the request.
    let frames = [old, frame(r#"{"type":"keepalive"}"#), error()];
    let expected = payloads(&[&frames[1], &frames[2]]);
    assert_eq!(delivered(&mut announced(), &frames), (expected, true));
}

#[test]
fn c136_metadata_does_not_overtake_what_is_held_back() {
    let (keepalive, old) = (frame(r#"{"type":"keepalive"}"#), delta("x"));
    let (begin, end, ended) =
        (of("created", "resp_2"), of("completed", "resp_2"), bare("completed"));
    for (frames, expected) in [
        ([&old, &keepalive, &old, &end], vec![&old, &keepalive, &old, &end]),
        // Late events are dropped, and metadata stays.
        ([&old, &keepalive, &begin, &end], vec![&keepalive, &begin, &end]),
        ([&keepalive, &ended, &keepalive, &end], vec![&keepalive, &keepalive, &end]),
    ] {
        let frames: Vec<Frame> = frames.into_iter().cloned().collect();
        let (out, _) = delivered(&mut announced(), &frames);
        assert_eq!(out, payloads(&expected), "{frames:?}");
    }
}

#[test]
fn c136_a_late_failure_without_an_id_ends_nothing() {
    let mut filter = announced();
    let own = [bare("failed"), of("created", "resp_2"), of("completed", "resp_2")];
    assert_eq!(delivered(&mut filter, &own), (payloads(&[&own[1], &own[2]]), true));
}

#[test]
fn c136_a_refusal_without_an_id_is_no_late_failure() {
    for (code, passes) in [
        ("websocket_connection_limit_reached", true),
        ("previous_response_not_found", true),
        ("insufficient_quota", true),
        ("invalid_api_key", true),
        ("invalid_prompt", true),
        ("server_error", false),
        ("rate_limit_exceeded", false),
        ("brand_new", false),
    ] {
        let failed = frame(&format!(
            r#"{{"type":"response.failed","response":{{"error":{{"code":"{code}"}}}}}}"#
        ));
        let (out, late) = delivered(&mut announced(), &[delta("late"), failed.clone()]);
        assert_eq!((out.contains(&failed.payload.to_string()), late), (passes, passes), "{code}");
        assert_eq!(out.len(), usize::from(passes), "{code}");
    }
}

#[test]
fn c136_the_first_response_of_a_socket_shows_how_a_server_begins() {
    // The frames of an exchange, and `true` if they show that the server announces no responses.
    for (first, unannounced) in [
        (vec![of("created", "resp_1"), of("completed", "resp_1")], false),
        (vec![bare("in_progress"), bare("completed")], false),
        (vec![delta("x"), of("completed", "resp_1")], true),
        (vec![delta("x"), bare("completed")], true),
        (vec![of("completed", "resp_1")], true),
        (vec![of("failed", "resp_1")], false),
        (vec![error()], false),
    ] {
        let mut filter = StrayFilter::new(LIMIT);
        exchange(&mut filter, &first);
        assert_eq!(filter.is_unannounced(), unannounced, "{first:?}");
        filter.begin(false);
        let own = [delta("own"), of("completed", "resp_2")];
        let passes = delivered(&mut filter, &own[..1]).0.len() == 1;
        assert_eq!(passes, unannounced, "{first:?}");
        let rest = delivered(&mut filter, &own[1..]).0;
        assert_eq!(rest.len(), if unannounced { 1 } else { 2 });
    }
    // The observation on another socket of the origin applies to this socket too.
    let mut filter = announced();
    filter.begin(true);
    let own = [delta("own"), bare("completed")];
    assert_eq!(delivered(&mut filter, &own), (payloads(&[&own[0], &own[1]]), false));
}

#[test]
fn c136_behind_a_refusal_a_response_that_names_nothing_comes_whole() {
    let mut filter = StrayFilter::new(LIMIT);
    exchange(&mut filter, &[error()]);
    filter.begin(false);
    let own = [delta("a"), delta("b"), bare("completed")];
    assert_eq!(delivered(&mut filter, &own), (payloads(&[&own[0], &own[1], &own[2]]), false));
    filter.finish(&own[2], Instant::now());
    assert!(filter.is_unannounced());
}

#[test]
fn c136_what_is_held_back_is_bounded() {
    for size in [10, 10_000] {
        let mut filter = StrayFilter::new(1);
        exchange(&mut filter, &[of("created", "resp_1"), of("completed", "resp_1")]);
        filter.begin(false);
        let text = "x".repeat(size);
        let held = (0..HELD_MIN)
            .take_while(|_| {
                matches!(filter.filter(delta(&text), Instant::now()), Filtered::Withhold)
            })
            .count();
        assert_eq!(held, HELD_MIN / delta(&text).charge(), "{size}");
    }
}

#[test]
fn c137_one_failure_is_the_echo_of_an_error() {
    let with_code = |id: &str, code: &str| {
        frame(&format!(
            r#"{{"type":"response.failed","response":{{"id":"{id}","error":{{"code":{code}}}}}}}"#
        ))
    };
    let echo = with_code("resp_x", r#""server_error""#);
    let null = with_code("resp_x", "null");
    let other = with_code("resp_x", r#""rate_limit_exceeded""#);
    // The failures that arrive, the time since the error, and the failures that are dropped.
    for (failures, after, dropped) in [
        (vec![&echo], 0, vec![true]),
        (vec![&echo], 5, vec![true]),
        (vec![&echo], 6, vec![false]),
        (vec![&null], 0, vec![true]),
        (vec![&other], 0, vec![false]),
        (vec![&echo, &echo], 0, vec![true, false]),
        (vec![&null, &echo], 0, vec![true, false]),
    ] {
        for idle in [true, false] {
            let mut filter = StrayFilter::new(LIMIT);
            let (error, start) = (error(), Instant::now());
            filter.begin(false);
            filter.filter(error.clone(), start);
            filter.finish(&error, start);
            filter.begin(false);
            let now = start + after * SECOND;
            let mut is_dropped = |failed: &&Frame| match idle {
                true => filter.discards_idle(failed, now),
                false => matches!(filter.filter((*failed).clone(), now), Filtered::Withhold),
            };
            let got: Vec<bool> = failures.iter().map(&mut is_dropped).collect();
            assert_eq!(got, dropped, "{failures:?} {after} {idle}");
        }
    }
}

#[test]
fn c137_no_failure_is_an_echo_once_a_response_has_begun() {
    let mut filter = StrayFilter::new(LIMIT);
    exchange(&mut filter, &[error()]);
    filter.begin(false);
    let own = [of("created", "resp_2"), of("failed", "resp_2")];
    assert_eq!(delivered(&mut filter, &own).0, payloads(&[&own[0], &own[1]]));
    // A second failure that follows the echo by id is not dropped either.
    let mut filter = StrayFilter::new(LIMIT);
    exchange(&mut filter, &[of("created", "resp_1"), error()]);
    filter.begin(false);
    let (echo, second) = (of("failed", "resp_1"), of("failed", "resp_2"));
    assert_eq!(delivered(&mut filter, &[echo, second.clone()]).0, payloads(&[&second]));
}

#[test]
fn c139_frames_that_mean_nothing_pass_once_as_a_sign_of_life() {
    let mut filter = StrayFilter::new(LIMIT);
    filter.begin(false);
    let frames = ["{}", "", "[DONE]", "{}"].map(frame);
    assert_eq!(delivered(&mut filter, &frames), (payloads(&[&frames[0]]), false));
}

/// Tries all positions of three late events among the events of the next response. Late events
/// with an id may be anywhere, late events without an id precede the lifecycle event.
#[test]
fn c135_c136_no_late_event_reaches_the_next_response_and_nothing_of_it_is_lost() {
    let named = |kind: &str| {
        frame(&format!(r#"{{"type":"response.{kind}","response_id":"resp_1","delta":"late"}}"#))
    };
    let everywhere =
        [of("completed", "resp_1"), of("failed", "resp_1"), named("output_text.delta")];
    let before = [delta("late"), bare("completed"), bare("failed"), bare("output_item.done")];
    let responses = [
        vec![of("created", "resp_2"), delta("own"), delta("own"), of("completed", "resp_2")],
        vec![bare("in_progress"), delta("own"), bare("completed")],
        vec![of("created", "resp_2"), bare("output_item.done"), of("failed", "resp_2")],
    ];
    let late: Vec<&Frame> = everywhere.iter().chain(&before).collect();
    let mut cases = 0;
    for own in &responses {
        let places = own.len();
        for case in 0..(late.len() * places).pow(3) {
            let pick = |nth: u32| {
                let choice = case / (late.len() * places).pow(nth) % (late.len() * places);
                (choice % late.len(), choice / late.len())
            };
            let strays = [pick(0), pick(1), pick(2)];
            if strays.iter().any(|(which, place)| *which >= everywhere.len() && *place > 0) {
                continue;
            }
            cases += 1;
            let mut frames = Vec::new();
            for (place, own) in own.iter().enumerate() {
                let here = strays.iter().filter(|(_, at)| *at == place);
                frames.extend(here.map(|(which, _)| late[*which].clone()));
                frames.push(own.clone());
            }
            let expected: Vec<&Frame> = own.iter().collect();
            assert_eq!(delivered(&mut announced(), &frames).0, payloads(&expected), "{frames:?}");
        }
    }
    assert!(cases > 5_000, "{cases}");
}
