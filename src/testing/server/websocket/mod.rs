//! One connection after it has become a WebSocket.

mod client_message;
mod max_age;
mod play;
mod serve;
mod steers;
mod step_frames;
pub(super) mod upgrade;
