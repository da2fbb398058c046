//! Warnings in the log.

use std::{
    io,
    sync::{Arc, Mutex},
};

use responses_client::testing::{Script, Turn};
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use crate::{
    is_alone,
    support::{BOTH, only, request, server, socket_client, turn},
};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").push_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn c198_a_changed_input_is_logged_once_a_turn_as_a_warning() {
    if !is_alone("warnings::c198_a_changed_input_is_logged_once_a_turn_as_a_warning") {
        return;
    }
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::WARN)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    for transport in BOTH {
        // The change is stated in each lifecycle event.
        let changes = json!([{ "id": "rs_1", "type": "reasoning", "action": "removed",
            "reason": "prefix_mismatch" }]);
        let changed = Turn::text("one").map_events(move |_, mut event| {
            if let Some(response) = event.get_mut("response") {
                response["input_transformations"] = changes.clone();
            }
            event
        });
        let server = server(Script::new().turns([changed, Turn::text("two")])).await;
        let mut session = socket_client(&server, only(transport)).session();
        assert!(turn(&mut session, &request(&["one"])).await.result.is_ok());
        let lines = std::mem::take(&mut *log.0.lock().expect("no panic"));
        assert_eq!(lines.lines().count(), 1, "{transport}: {lines}");
        let warning = "input_transformed: 1 items, [\"prefix_mismatch\"]";
        assert!(lines.contains("WARN") && lines.contains(warning), "{lines}");
        assert!(turn(&mut session, &request(&["two"])).await.result.is_ok());
        assert_eq!(*log.0.lock().expect("no panic"), "", "{transport}");
    }
}
