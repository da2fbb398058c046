//! Starts work ahead of a turn: opening its WebSocket, warming the model up, and replacing a
//! WebSocket in time.

use std::{future::poll_fn, sync::Arc};

use tokio::{runtime::Handle, time::sleep_until};

use super::{core::SessionCore, driver::Driver};
use crate::{
    pool::AbortOnDrop,
    proto::turn::{Goal, after},
    request::ResponsesRequest,
    shared::Shared,
};

/// Begins work ahead of the next turn, unless a turn or other such work is running.
pub(super) fn begin_ahead(
    goal: Goal,
    core: &SessionCore,
    shared: &Arc<Shared>,
    request: Arc<ResponsesRequest>,
    runtime: &Handle,
) {
    let (work_core, shared, handle) = (core.clone(), Arc::clone(shared), runtime.clone());
    core.begin_ahead(goal, runtime, async move {
        let driver = Driver::new(goal, shared, work_core, Arc::default(), request, handle);
        let mut driver = std::pin::pin!(driver);
        poll_fn(|cx| driver.as_mut().poll_prewarm(cx)).await
    });
}

/// Opens the WebSocket that is to follow this one, if that has served its time.
pub(super) fn start_rotation(core: &SessionCore, shared: &Arc<Shared>, runtime: &Handle) {
    if core.needs_rotation(&shared.provider) {
        begin_ahead(Goal::Rotate, core, shared, Arc::default(), runtime);
    }
}

/// Has the WebSocket replaced in time, also if no turn follows.
pub(super) fn set_rotation_timer(core: &SessionCore, shared: &Arc<Shared>, runtime: &Handle) {
    let Some(rotation) = shared.provider.rotation() else { return };
    let Some(opened) = core.with_connections(|it| it.opened()) else { return };
    let due = after(opened.into_std(), rotation);
    let (weak, shared, handle) = (core.downgrade(), Arc::clone(shared), runtime.clone());
    let timer = runtime.spawn(async move {
        sleep_until(due.into()).await;
        if let Some(core) = weak.upgrade() {
            start_rotation(&core, &shared, &handle);
        }
    });
    core.with_connections(|it| it.set_rotation_timer(AbortOnDrop::new(&timer)));
}
