//! Faults beside the stream of events: HTTP answers, upgrades, and what happens to idle connections.

use std::time::Duration;

use responses_client::{
    Delivery, ErrorKind, Transport, TransportPolicy,
    report::{FullSendReason, Plan},
    testing::{Exchange, Refusal, Script, ScriptedServer, Turn, Upgrade},
};
use tokio::time::Instant;

use crate::{
    cell::{Checked, Seen, check, extend, healthy, histories, of, timeouts},
    contract::{FIRST_EVENT, Failure, Meaning, Policy},
    story::{Events, Story},
    support::{builder, full, incremental, only, request, settled, tried, turn},
};

/// An answer to a POST that is no stream of events.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Http {
    pub(crate) answer: Answer,
    pub(crate) reused: bool,
    pub(crate) policy: Policy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Status(u16),
    RetryAfter(u64),
    Html(u16),
    /// The status is there, and the body never ends.
    StalledBody,
    Redirect,
    Silence,
}

/// An answer to the request to become a WebSocket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upgraded {
    pub(crate) answer: UpgradeAnswer,
    pub(crate) allowed: TransportPolicy,
    pub(crate) policy: Policy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpgradeAnswer {
    Status(u16),
    Html,
    Redirect,
    Hang,
    Reset,
    WrongAccept,
}

/// What happens to a connection between two turns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idle {
    pub(crate) transport: Transport,
    pub(crate) event: IdleEvent,
    pub(crate) policy: Policy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdleEvent {
    Reset,
    Close(u16),
    Text(&'static str),
    Ping,
}

impl Http {
    /// The contract: a status of a refusal is the server's word that it did not run the request,
    /// and any other is not (C130).
    fn failure(self) -> Failure {
        let of = |kind, delivery, meaning| Failure {
            kind,
            delivery,
            meaning,
            after: None,
            ended: false,
        };
        let api = |meaning| of(ErrorKind::Api, Delivery::Refused, meaning);
        match self.answer {
            Answer::Html(200) => of(ErrorKind::Protocol, Delivery::Unknown, Meaning::Address),
            Answer::Redirect => of(ErrorKind::Protocol, Delivery::Refused, Meaning::Address),
            Answer::Silence => of(ErrorKind::Timeout, Delivery::Unknown, Meaning::Passes),
            Answer::RetryAfter(seconds) => {
                // Longer than the policy waits: the caller may.
                let meaning = if seconds > 60 { Meaning::Unclear } else { Meaning::Passes };
                Failure { after: Some(Duration::from_secs(seconds)), ..api(meaning) }
            }
            Answer::StalledBody => of(ErrorKind::Api, Delivery::Unknown, Meaning::Passes),
            Answer::Status(status @ (408 | 500..)) | Answer::Html(status @ 500..) => Failure {
                ended: matches!(status, 500 | 502 | 503),
                ..of(ErrorKind::Api, Delivery::Unknown, Meaning::Passes)
            },
            Answer::Status(status) | Answer::Html(status) => api(match status {
                401 | 403 => Meaning::Credential,
                404 => Meaning::Address,
                409 | 429 => Meaning::Passes,
                _ => Meaning::Request,
            }),
        }
    }

    fn turn(self) -> Turn {
        let html = |status| {
            let head = Refusal::status(status).header("content-type", "text/html");
            head.body("<html>Not what you look for</html>")
        };
        Turn::text("").http(match self.answer {
            Answer::Status(status) => Refusal::status(status),
            Answer::RetryAfter(after) => {
                Refusal::status(429).header("retry-after", after.to_string())
            }
            Answer::Html(status) => html(status),
            Answer::StalledBody => Refusal::status(503).body("{").stall_body(),
            Answer::Redirect => {
                Refusal::status(307).header("location", "http://elsewhere.invalid/v1/responses")
            }
            Answer::Silence => Refusal::silence(),
        })
    }

    pub(crate) async fn run(self, events: &'static [Events]) -> Checked {
        let seen = Seen::default();
        let (noted, faulty) = (seen.clone(), usize::from(self.reused));
        let script = Script::new().respond(move |exchange| {
            noted.note(exchange);
            if exchange.index == faulty { self.turn() } else { answer(events, exchange) }
        });
        let server = ScriptedServer::in_memory(script);
        let client = builder(&server).transport(only(Transport::Sse)).retry(self.policy.retry());
        let mut session = client.timeouts(timeouts(false)).build().expect("a client").session();
        let mut asked = request(&["one"]);
        if self.reused {
            let before = turn(&mut session, &asked).await;
            healthy(events, &before, &asked, &seen.take())?;
            extend(&mut asked, &before, "two");
        }
        let start = Instant::now();
        let outcome = turn(&mut session, &asked).await;
        let took = start.elapsed();
        let failure = self.failure();
        let requests = seen.take();
        histories(&asked, &requests, false)?;
        let again = failure.is_retried(self.policy, false);
        let attempts = &outcome.report.attempts;
        check!((attempts.len(), requests.len()), if again { (2, 2) } else { (1, 1) }, "attempts");
        let first = attempts[0].failure.as_ref().map(|it| (it.kind, it.delivery));
        check!(first, Some((failure.kind, failure.delivery)), "the failure");
        match &outcome.result {
            Ok(response) if again => check!(response.output_text(), "An answer", "the text"),
            Ok(_) => return Err("it went well".to_owned()),
            Err(error) => {
                check!((error.kind(), error.delivery()), (failure.kind, failure.delivery), "error");
                check!(error.retry_action(), failure.action(), "the action");
                check!(error.retry_after(), failure.after, "the delay");
                check!(error.response().is_none(), true, "no partial response");
                let silence = match self.answer {
                    Answer::Silence => FIRST_EVENT,
                    Answer::StalledBody => Duration::from_secs(5),
                    _ => Duration::ZERO,
                };
                check!(took, silence, "the time it took");
            }
        }
        settled(&server).await;
        extend(&mut asked, &outcome, "again");
        let next = turn(&mut session, &asked).await;
        healthy(events, &next, &asked, &seen.take())?;
        check!(next.report.plan.as_ref().is_some_and(Plan::is_full), true, "a full request");
        Ok(())
    }
}

impl Upgraded {
    /// The contract: how it fails, and whether SSE takes its place at once (C030, C031, C032).
    fn failure(self) -> (Failure, bool) {
        let of = |kind, meaning| Failure {
            kind,
            delivery: Delivery::NotSent,
            meaning,
            after: None,
            ended: false,
        };
        match self.answer {
            UpgradeAnswer::Status(401) => (of(ErrorKind::Api, Meaning::Credential), false),
            UpgradeAnswer::Status(429 | 500 | 503) => (of(ErrorKind::Api, Meaning::Passes), false),
            UpgradeAnswer::Status(_) | UpgradeAnswer::Html | UpgradeAnswer::Redirect => {
                (of(ErrorKind::UpgradeRefused, Meaning::Address), true)
            }
            UpgradeAnswer::Hang => (of(ErrorKind::Timeout, Meaning::Passes), true),
            UpgradeAnswer::Reset => (of(ErrorKind::Truncated, Meaning::Passes), true),
            UpgradeAnswer::WrongAccept => (of(ErrorKind::Protocol, Meaning::Passes), true),
        }
    }

    fn upgrade(self) -> Upgrade {
        match self.answer {
            UpgradeAnswer::Status(status) => Upgrade::Refuse(Refusal::status(status)),
            UpgradeAnswer::Html => Upgrade::Refuse(
                Refusal::status(200).header("content-type", "text/html").body("<html>"),
            ),
            UpgradeAnswer::Redirect => Upgrade::Refuse(
                Refusal::status(302).header("location", "http://elsewhere.invalid/"),
            ),
            UpgradeAnswer::Hang => Upgrade::Hang,
            UpgradeAnswer::Reset => Upgrade::Reset,
            UpgradeAnswer::WrongAccept => Upgrade::WrongAccept,
        }
    }

    pub(crate) async fn run(self, events: &'static [Events]) -> Checked {
        let seen = Seen::default();
        let noted = seen.clone();
        let script = Script::new().upgrade(self.upgrade()).respond(move |exchange| {
            noted.note(exchange);
            answer(events, exchange)
        });
        let server = ScriptedServer::in_memory(script);
        let client = builder(&server).transport(self.allowed).retry(self.policy.retry());
        let mut session = client.timeouts(timeouts(false)).build().expect("a client").session();
        let mut asked = request(&["one"]);
        let outcome = turn(&mut session, &asked).await;
        let (failure, over_sse) = self.failure();
        let over_sse = over_sse && self.allowed == TransportPolicy::Auto;
        let again = failure.is_retried(self.policy, false);
        let first = (Transport::WebSocket, Some(failure.kind));
        let expected = match (over_sse, again) {
            (true, _) => vec![first, (Transport::Sse, None)],
            (false, true) => vec![first, (Transport::WebSocket, None)],
            (false, false) => vec![first],
        };
        check!(tried(&outcome.report), expected, "attempts");
        let requests = seen.take();
        histories(&asked, &requests, false)?;
        let well = expected.len() == 2;
        check!(requests.len(), usize::from(well), "requests that came in");
        match &outcome.result {
            Ok(response) => check!(response.output_text(), "An answer", "the text"),
            Err(error) if !well => {
                check!((error.kind(), error.delivery()), (failure.kind, failure.delivery), "error");
                // Who answers with the wrong key is no server of WebSockets.
                let meaning = match self.answer {
                    UpgradeAnswer::WrongAccept => Meaning::Address,
                    _ => failure.meaning,
                };
                check!(error.retry_action(), Failure { meaning, ..failure }.action(), "action");
            }
            Err(error) => return Err(format!("{error:?}")),
        }
        settled(&server).await;
        extend(&mut asked, &outcome, "again");
        let next = turn(&mut session, &asked).await;
        healthy(events, &next, &asked, &seen.take())?;
        let plan = match (over_sse, well) {
            // The origin is marked: not one more try.
            (true, _) => {
                check!(next.report.transport, Some(Transport::Sse), "the next transport");
                return Ok(());
            }
            (false, true) => incremental(1),
            // Nothing was sent so far.
            (false, false) => full(FullSendReason::FirstTurn),
        };
        check!(next.report.plan, plan, "the next plan");
        Ok(())
    }
}

impl Idle {
    /// The contract: metadata and pings are nothing; everything else that is of no response on its
    /// way retires the socket, and no turn pays for it.
    fn keeps_socket(self) -> bool {
        match self.event {
            IdleEvent::Reset | IdleEvent::Close(_) => false,
            IdleEvent::Text(text) => text.contains("keepalive") || text == "{}",
            IdleEvent::Ping => true,
        }
    }

    pub(crate) async fn run(self, events: &'static [Events]) -> Checked {
        let seen = Seen::default();
        let noted = seen.clone();
        let script = Script::new().respond(move |exchange| {
            noted.note(exchange);
            answer(events, exchange)
        });
        let server = ScriptedServer::in_memory(script);
        let client = builder(&server).transport(only(self.transport)).retry(self.policy.retry());
        let mut session = client.build().expect("a client").session();
        let mut asked = request(&["one"]);
        let before = turn(&mut session, &asked).await;
        healthy(events, &before, &asked, &seen.take())?;
        settled(&server).await;
        match self.event {
            IdleEvent::Reset => server.drop_connections(),
            IdleEvent::Close(code) => server.close_idle(code, ""),
            IdleEvent::Text(text) => server.send_idle(text),
            IdleEvent::Ping => server.ping_idle(b"idle"),
        }
        settled(&server).await;
        extend(&mut asked, &before, "two");
        let next = turn(&mut session, &asked).await;
        healthy(events, &next, &asked, &seen.take())?;
        if self.transport == Transport::Sse {
            return Ok(());
        }
        let plan = match self.keeps_socket() {
            true => incremental(1),
            false => full(FullSendReason::ConnectionChanged),
        };
        check!((next.report.plan, next.report.reused), (plan, self.keeps_socket()), "the plan");
        Ok(())
    }
}

fn answer(events: &[Events], exchange: &Exchange) -> Turn {
    let story = of(events, Story::Answer);
    Turn::steps(story.told(story.len(), exchange))
}
