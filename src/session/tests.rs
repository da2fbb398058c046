//! The driver, where a test must reach between two of its polls.

use std::task::Waker;

use super::*;
use crate::{
    client::ResponsesClient,
    config::Provider,
    testing::{Script, ScriptedServer, Turn, Upgrade},
};

fn assert_sync<T: Send + Sync>(_: &T) {}

#[tokio::test(start_paused = true)]
async fn c157_a_turn_that_the_session_ended_marks_nothing_and_sends_nothing_more() {
    for ended in [false, true] {
        let script = Script::new().upgrade(Upgrade::Reset).respond(|_| Turn::text("hi"));
        let server = ScriptedServer::in_memory(script);
        let provider = Provider::compatible(&server.url()).unwrap();
        let client = ResponsesClient::builder(provider).connector(&server.connector());
        let session = client.build().unwrap().session();
        let (turn, request) = (Arc::default(), Arc::new(ResponsesRequest::new("m")));
        session.core.begin(&turn);
        let (shared, core) = (Arc::clone(&session.shared), session.core.clone());
        let runtime = Handle::current();
        let mut driver = Box::pin(Driver::new(Goal::Turn, shared, core, turn, request, runtime));
        let mut cx = std::task::Context::from_waker(Waker::noop());
        // The upgrade is in flight.
        assert!(driver.as_mut().poll_begun(&mut cx).is_pending());
        if ended {
            session.core.begin(&Arc::default());
        }
        let begun = poll_fn(|cx| driver.as_mut().poll_begun(cx)).await;
        let now = tokio::time::Instant::now().into_std();
        assert_eq!(begun.is_err(), ended);
        assert_eq!(session.shared.origin.fallback(now).is_none(), ended, "no mark");
        assert_eq!(server.log().posts().count(), usize::from(!ended), "nothing is sent");
        if let Err(error) = begun {
            assert_eq!(error.kind(), ErrorKind::Superseded);
        } else {
            assert_sync(&ResponseStream::new(driver));
        }
    }
}
