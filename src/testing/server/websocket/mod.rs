//! One connection after it has become a WebSocket.

mod incoming;
mod max_age;
mod play;
mod serve;
mod step_frames;
pub(super) mod upgrade;
