//! Spans and entries, as the page on observability lists them.

use std::{
    fmt::Debug,
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::Instant,
};

use responses_client::{
    Auth,
    testing::{Refusal, Script, Step, Turn, Upgrade},
};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{Layer, layer::Context, layer::SubscriberExt as _, registry::LookupSpan};

use crate::{
    is_alone,
    support::{builder, request, server, turn},
};

/// Notes spans and entries with their level, fields and parents.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

/// Fields with their values, and the message.
#[derive(Default)]
struct Fields {
    names: Vec<&'static str>,
    values: Vec<String>,
    message: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => {
                self.names.push(name);
                self.values.push(format!("{value:?}"));
            }
        }
    }
}

impl Notes {
    fn note(&self, line: String, fields: &Fields) {
        let values = fields.values.join(" ");
        assert!(!format!("{line} {values}").contains("canary"), "{line}: {values}");
        self.0.lock().expect("no panic").push(line);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("no panic"))
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Notes {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let (mut fields, meta) = (Fields::default(), attributes.metadata());
        attributes.record(&mut fields);
        if meta.target() == "responses_client" {
            let span = context.span(id).expect("the new span");
            let parent = span.parent().map_or("none", |parent| parent.name());
            let (level, name, names) = (meta.level(), meta.name(), fields.names.join(","));
            self.note(format!("span {level} {parent} > {name}({names})"), &fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        if event.metadata().target() == "responses_client" {
            let span = context.event_span(event).map_or("none", |span| span.name());
            let (level, names) = (event.metadata().level(), fields.names.join(","));
            self.note(format!("{level} {span}: {}({names})", fields.message), &fields);
        }
    }
}

#[tokio::test]
async fn c283_spans_and_entries_have_the_names_fields_and_parents_of_their_page() {
    let name = "spans::c283_spans_and_entries_have_the_names_fields_and_parents_of_their_page";
    if !is_alone(name) {
        return;
    }
    let notes = Notes::default();
    let subscriber = tracing_subscriber::registry().with(notes.clone());
    let _guard = tracing::subscriber::set_default(subscriber);
    let script = Script::new()
        .turn(Turn::text("canary-text"))
        .turn(Turn::error(503, "slow_down", "canary-message"))
        .turn(Turn::text("canary-text"))
        .upgrade(Upgrade::Accept)
        .upgrade(Upgrade::Refuse(Refusal::status(426).body("canary-body")));
    let server = server(script).await;
    let client = builder(&server).auth(Auth::bearer("canary-key")).header("x-own", "canary-header");
    let client = client.build().expect("a client");
    let outer = tracing::info_span!(target: "a_program", "outer");
    let mut session = outer.in_scope(|| client.session());
    turn(&mut session, &request(&["canary-input"])).await.response();
    let began = [
        "span DEBUG outer > session()",
        "span DEBUG session > turn(origin)",
        "span DEBUG turn > attempt(number,transport)",
        "DEBUG attempt: WebSocket open(origin)",
        "DEBUG attempt: sending(transport,plan,bytes)",
        "DEBUG turn: turn ended(error)",
    ];
    assert_eq!(notes.take(), began);

    let mut other = client.session();
    turn(&mut other, &request(&["canary-input"])).await.response();
    let fell_back = [
        "span DEBUG none > session()",
        "span DEBUG session > turn(origin)",
        "span DEBUG turn > attempt(number,transport)",
        "DEBUG attempt: attempt failed(transport,kind,delay)",
        "INFO attempt: falling back to SSE(origin)",
        "span DEBUG turn > attempt(number,transport)",
        "DEBUG attempt: sending(transport,plan,bytes)",
        "DEBUG attempt: attempt failed(transport,kind,delay)",
        "span DEBUG turn > attempt(number,transport)",
        "DEBUG attempt: sending(transport,plan,bytes)",
        "DEBUG turn: turn ended(error)",
    ];
    assert_eq!(notes.take(), fell_back);

    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/observability.md");
    let page = fs::read_to_string(page).expect("the page");
    for line in began.iter().chain(&fell_back) {
        let (before, fields) = line.trim_end_matches(')').split_once('(').expect("fields");
        let (level, name) = match before.split_once(": ") {
            Some((before, message)) => (before.split(' ').next(), message),
            None => (Some("DEBUG"), before.rsplit(' ').next().expect("a name")),
        };
        let row = page.lines().find(|row| row.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("the page has no row of {name}"));
        let is_listed = |field: &str| field.is_empty() || row.contains(&format!("`{field}`"));
        assert!(fields.split(',').all(is_listed), "{row}: {fields}");
        let level = level.expect("a level");
        assert!(line.starts_with("span") || row.contains(&format!("| `{level}` |")), "{row}");
    }
}

/// Notes the time of the last exit from the span of an attempt.
#[derive(Clone, Default)]
struct LastExit(Arc<Mutex<Option<Instant>>>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LastExit {
    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        if context.span(id).expect("the span").name() == "attempt" {
            *self.0.lock().expect("no panic") = Some(Instant::now());
        }
    }
}

#[tokio::test]
async fn the_span_of_an_attempt_is_last_exited_at_the_end_of_the_response() {
    let name = "spans::the_span_of_an_attempt_is_last_exited_at_the_end_of_the_response";
    if !is_alone(name) {
        return;
    }
    let exit = LastExit::default();
    let subscriber = tracing_subscriber::registry().with(exit.clone());
    let _guard = tracing::subscriber::set_default(subscriber);
    let last_exit = || exit.0.lock().expect("no panic").expect("an exit");
    let stalled = Turn::text("hi").without_terminal().then(Step::Stall);
    let server = server(Script::new().turn(Turn::text("hi")).turn(stalled)).await;
    let client = builder(&server).build().expect("a client");
    let mut session = client.session();
    let mut stream = session.stream(&request(&["hi"])).await.expect("a stream");
    let (mut asked, mut asked_for_last) = (Instant::now(), Instant::now());
    while stream.try_next().await.expect("no error").is_some() {
        asked_for_last = std::mem::replace(&mut asked, Instant::now());
    }
    assert!(last_exit() >= asked_for_last, "the exit comes before the last event");

    let mut stream = session.stream(&request(&["hi"])).await.expect("a stream");
    stream.try_next().await.expect("an event").expect("an event");
    let dropped = Instant::now();
    drop(stream);
    assert!(last_exit() >= dropped, "the exit comes before the end of a cancelled turn");
}
