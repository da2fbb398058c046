//! Scripts as pure data: turns, steps, faults, items, and their text form. No IO and no runtime.

pub(super) mod admission;
pub(super) mod agent;
pub(super) mod builder;
pub(super) mod cut;
pub(super) mod digest;
pub(super) mod error_reply;
pub(super) mod exchange;
pub mod format;
pub(super) mod gate;
pub(super) mod generate;
pub(super) mod halves;
pub(super) mod header_names;
pub mod items;
pub(super) mod lane;
pub(super) mod pieces;
pub(super) mod profile;
pub(super) mod quirks;
pub(super) mod refusal;
pub(super) mod request;
pub(super) mod schema;
pub(super) mod steer;
pub(super) mod step;
pub(super) mod strict;
pub(super) mod turn;
pub(super) mod upgrade;
pub(super) mod value;
