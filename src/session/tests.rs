//! The driver, where a test must reach between two of its polls.

use std::{future::poll_fn, sync::OnceLock, task::Waker};

use tokio::runtime::Handle;

use super::{driver::Driver, *};
use crate::{
    auth::{Auth, AuthProvider, Secret, TokenFuture},
    client::ResponsesClient,
    config::{Provider, TransportPolicy},
    kind::{Delivery, ErrorKind},
    observe::Retirement,
    proto::plan::PreviousTurn,
    testing::{Script, ScriptedServer, Turn, Upgrade},
};

fn assert_sync<T: Send + Sync>(_: &T) {}

#[tokio::test(start_paused = true)]
async fn c157_a_turn_that_the_session_ended_marks_nothing_and_sends_nothing_more() {
    for ended in [false, true] {
        let script = Script::new().upgrade(Upgrade::Reset).respond(|_| Turn::text("hi"));
        let server = ScriptedServer::in_memory(script);
        let provider = Provider::compatible(&server.url()).unwrap();
        let client = ResponsesClient::builder().provider(provider).connector(&server.connector());
        let session = client.build().unwrap().session();
        let (turn, request) = (Arc::default(), Arc::new(ResponsesRequest::new("m")));
        session.core.begin(&turn);
        let (endpoint, core) = (Arc::clone(&session.endpoint), session.core.clone());
        let runtime = Handle::current();
        let mut driver = Box::pin(Driver::new(Goal::Turn, endpoint, core, turn, request, runtime));
        let mut cx = std::task::Context::from_waker(Waker::noop());
        // The upgrade is in flight.
        assert!(driver.as_mut().poll_begun(&mut cx).is_pending());
        if ended {
            session.core.begin(&Arc::default());
        }
        let begun = poll_fn(|cx| driver.as_mut().poll_begun(cx)).await;
        let now = tokio::time::Instant::now().into_std();
        assert_eq!(begun.is_err(), ended);
        assert_eq!(session.endpoint.origin.fallback(now).is_none(), ended, "no mark");
        assert_eq!(server.log().posts().count(), usize::from(!ended), "nothing is sent");
        if let Err(error) = begun {
            assert_eq!(error.kind(), ErrorKind::Superseded);
        } else {
            assert_sync(&ResponseStream::new(driver));
        }
    }
}

/// A credential provider that begins another turn of the session while it is asked.
struct Superseding(Arc<OnceLock<SessionCore>>);

impl AuthProvider for Superseding {
    fn token(&self) -> TokenFuture<'_> {
        Box::pin(async {
            if let Some(core) = self.0.get() {
                core.begin(&Arc::default());
            }
            Ok(Secret::new("token"))
        })
    }
}

#[tokio::test(start_paused = true)]
async fn c061_a_turn_that_is_superseded_during_a_step_leaves_the_baseline() {
    for transport in [TransportPolicy::WebSocketOnly, TransportPolicy::SseOnly] {
        let server = ScriptedServer::in_memory(Script::new().respond(|_| Turn::text("hi")));
        let provider = Provider::compatible(&server.url()).unwrap();
        let supersedes = Arc::new(OnceLock::new());
        let auth = Auth::provider(Superseding(Arc::clone(&supersedes)));
        let client = ResponsesClient::builder().provider(provider).connector(&server.connector());
        let client = client.transport(transport).auth(auth).build().unwrap();
        let mut session = client.session();
        let request = ResponsesRequest::new("m");
        session.stream(&request).await.unwrap().final_response().await.unwrap();
        let baseline = session.core.previous();
        assert!(baseline.response_id().is_some());
        session.core.retire(Retirement::Renewed);
        assert!(supersedes.set(session.core.clone()).is_ok());
        let error = session.stream(&request).await.unwrap_err();
        assert_eq!((error.kind(), error.delivery()), (ErrorKind::Superseded, Delivery::NotSent));
        assert_eq!(session.core.previous().response_id(), baseline.response_id());
    }
}

#[tokio::test]
async fn c061_a_superseded_turn_sets_no_baseline() {
    let core = SessionCore::new();
    let [before, after] = [Arc::default(), Arc::default()];
    core.begin(&before);
    core.set_previous_of(&before, PreviousTurn::NotCompleted);
    core.begin(&after);
    core.set_previous_of(&before, PreviousTurn::Ambiguous);
    assert!(matches!(core.previous(), PreviousTurn::NotCompleted));
}
