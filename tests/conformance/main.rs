//! The behaviours of the crate, one module for each topic, on both transports where a behaviour
//! applies to both.
//!
//! `BEHAVIOURS.md` lists the behaviours with their ids; a test that is named `c059_…` shows C059.

mod accumulation;
mod addresses;
mod agent_loop;
mod answers;
mod background;
mod baselines;
mod behaviours;
mod buffers;
mod cancellation;
mod client_certificates;
mod clients;
mod content_type;
mod continue_over_sse;
mod copies;
mod credentials;
mod deflate;
mod drops;
mod error_events;
mod error_shapes;
mod errors;
mod events;
mod evidence;
mod fallback;
mod frames;
mod guesses;
mod habits;
mod incremental;
mod item_matching;
mod items;
mod kept;
mod lanes;
mod late_events;
mod liveness;
mod lost_creates;
mod lost_parent;
mod metrics;
mod network;
mod observer;
mod odd_servers;
mod odd_turn;
mod parity;
mod phases;
mod prewarm;
mod properties;
mod providers;
mod public_api;
mod recovery;
mod replay;
mod responses;
mod reuse;
mod round_trips;
mod schemas;
mod scripted_server;
mod server_headers;
mod settings;
mod settled_output;
mod sign_in;
mod single_turn;
#[cfg(feature = "socks")]
mod socks;
mod sse_framing;
mod steering;
mod strays;
mod strict_server;
mod subagents;
#[path = "../support/mod.rs"]
mod support;
mod surrogates;
mod timeouts;
mod tls_faults;
mod tool_calls;
mod tunnels;
mod warnings;
