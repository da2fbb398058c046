//! The conversation store: stored responses, responses by connection, and parent lookup.

mod history;
mod output;
mod responses;
mod size;

pub(crate) use history::{Completed, HistoryStore, Parent};
pub(crate) use output::OutputCollector;
pub(crate) use responses::{Page, ResponseStore};
pub(crate) use size::json_size;
