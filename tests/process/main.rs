//! The command-line tool and the agent of `examples/agent_loop`, as processes.

mod agent;
mod bench;
#[cfg(unix)]
mod docs;
mod doctor;
mod input;
mod notices;
mod output;
mod provider;
mod proxy;
mod roots;
mod run;
mod serve;
mod sessions;
#[path = "../support/mod.rs"]
mod support;
mod texts;
