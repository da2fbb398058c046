//! Runtimes in which turns run, and their ends.

use std::sync::{Mutex, PoisonError};

use tokio::{
    runtime::{self, Handle},
    sync::watch,
    task::AbortHandle,
};

/// Runtimes in which turns were started, as long as they run.
#[derive(Default)]
pub(crate) struct Runtimes(Mutex<Vec<Watched>>);

/// A runtime with a task of this crate, which ends with the runtime.
struct Watched {
    id: runtime::Id,
    end: RuntimeEnd,
    task: AbortHandle,
}

/// End of a runtime. Afterwards its timers must not be used, because they would panic.
#[derive(Clone, Debug)]
pub(crate) struct RuntimeEnd(watch::Receiver<()>);

impl Runtimes {
    /// Returns the end of `runtime`, and starts to watch it if it is new.
    pub(crate) fn end_of(&self, runtime: &Handle) -> RuntimeEnd {
        // Only `spawn` can panic under the lock, and nothing has changed before it.
        let mut runtimes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        runtimes.retain(|watched| !watched.end.has_come());
        if let Some(watched) = runtimes.iter().find(|watched| watched.id == runtime.id()) {
            return watched.end.clone();
        }
        let (sender, end) = watch::channel(());
        let task = runtime.spawn(async move {
            std::future::pending::<()>().await;
            drop(sender);
        });
        let end = RuntimeEnd(end);
        let task = task.abort_handle();
        runtimes.push(Watched { id: runtime.id(), end: end.clone(), task });
        end
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl RuntimeEnd {
    pub(crate) fn has_come(&self) -> bool {
        self.0.has_changed().is_err()
    }

    /// Waits until the runtime has ended.
    pub(crate) async fn wait(mut self) {
        while self.0.changed().await.is_ok() {}
    }
}
