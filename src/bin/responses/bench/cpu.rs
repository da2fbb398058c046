//! CPU time of the client.

use std::{sync::mpsc, thread, time::Duration};

use responses_client::testing::{Script, ScriptedServer};
use tokio::{runtime, sync::oneshot};

use super::{
    cpu_clock::{CpuClock, CpuOf},
    measure::{CPU_PASSES, Conversation, Plan},
    progress::Progress,
    sample::{Mode, ModeRun},
    site::Site,
};
use crate::stop::{Stop, in_words};

/// Adds to `runs` the CPU time of a conversation over loopback. The client has a thread of its own,
/// so that the work of the server is not counted. `script` should answer without delays.
pub(super) fn measure(
    plan: &Plan,
    script: &Script,
    tls: bool,
    runs: &mut [ModeRun],
    progress: &Progress,
) -> Result<(), Stop> {
    let Some(clock) = CpuClock::of(CpuOf::Thread) else { return Ok(()) };
    // The lower time is the less disturbed.
    for _ in 0..CPU_PASSES {
        for run in &mut *runs {
            let cpu = conversation(plan, run.mode, script.clone(), tls, clock, progress)?;
            run.cpu = Some(run.cpu.map_or(cpu, |earlier| earlier.min(cpu)));
            run.cpu_turns = plan.turns;
        }
    }
    Ok(())
}

/// Returns the CPU time of the client in one conversation.
fn conversation(
    plan: &Plan,
    mode: Mode,
    script: Script,
    tls: bool,
    clock: CpuClock,
    progress: &Progress,
) -> Result<Duration, Stop> {
    let (clients, client) = mpsc::channel();
    let (ended, end) = oneshot::channel::<()>();
    let server = thread::spawn(move || serve(script, tls, &clients, end));
    let builder = client.recv().map_err(|_| failed("the server has stopped"))?;
    let builder = builder.map_err(|error| failed(&in_words(&error)))?;
    let cpu = single_threaded()?.block_on(async {
        let mut conversation = Conversation::new(&plan.workload, &Site::Live(builder), mode, 0)?;
        let mut cpu = Duration::ZERO;
        for _ in 0..plan.turns {
            conversation.prepare(Duration::ZERO).await?;
            let before = clock.now();
            conversation.turn().await.map_err(|why| failed(&why))?;
            cpu += clock.now().saturating_sub(before);
            progress.turn();
        }
        Ok(cpu)
    });
    drop(ended);
    // A server whose script panics was the reason of a failed turn before.
    _ = server.join();
    cpu
}

/// Serves until the other end of `end` is dropped.
fn serve(
    script: Script,
    tls: bool,
    clients: &mpsc::Sender<std::io::Result<responses_client::ResponsesClientBuilder>>,
    end: oneshot::Receiver<()>,
) -> Result<(), Stop> {
    single_threaded()?.block_on(async {
        let server = match tls {
            true => ScriptedServer::start_tls(script).await,
            false => ScriptedServer::start(script).await,
        };
        match server {
            Ok(server) => {
                _ = clients.send(Ok(server.client_builder()));
                _ = end.await;
            }
            Err(error) => _ = clients.send(Err(error)),
        }
    });
    Ok(())
}

fn single_threaded() -> Result<runtime::Runtime, Stop> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| failed(&error.to_string()))
}

fn failed(why: &str) -> Stop {
    Stop::Failed(format!("the CPU time could not be measured: {why}"))
}
