//! One connection after it has become a WebSocket.

mod client_message;
mod max_age;
mod notices;
mod order;
mod play;
mod progress;
mod serve;
mod steers;
mod step_frames;
pub(super) mod upgrade;
