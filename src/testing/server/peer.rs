//! The server's record of a connection.

use std::{collections::HashSet, sync::Arc};

use serde_json::Value;
use tokio::sync::mpsc;

use super::control::Control;
use crate::testing::script::lane::MAX_NAMES;

/// The server's record of a connection; its index is the connection's number.
pub(super) struct Peer {
    pub(super) control: Arc<Control>,
    /// Number of bytes received up to the end of the last request.
    accounted: u64,
    /// Takes frames for an idle WebSocket.
    idle: Option<mpsc::Sender<IdleFrame>>,
    /// Number of requests that are being answered.
    running: usize,
    /// Names of the lanes used so far.
    lanes: HashSet<String>,
    /// Model of the first request, if every request must have it.
    model: Option<Value>,
}

/// A frame that a test sends on idle WebSockets.
#[derive(Clone, Debug)]
pub(super) enum IdleFrame {
    Text(String),
    Ping(Vec<u8>),
    Close { code: u16, reason: String },
}

impl Peer {
    pub(super) fn new(control: Arc<Control>) -> Self {
        let lanes = HashSet::new();
        Self { control, accounted: 0, idle: None, running: 0, lanes, model: None }
    }

    /// Records that the connection became a WebSocket, which takes frames from `idle`.
    pub(super) fn upgraded(&mut self, idle: mpsc::Sender<IdleFrame>) {
        self.idle = Some(idle);
        self.accounted = self.control.received();
    }

    /// Records that the connection has ended.
    pub(super) fn closed(&mut self) {
        self.idle = None;
    }

    /// Records a request; returns the number of bytes received since the last one.
    pub(super) fn begin_request(&mut self) -> u64 {
        self.running += 1;
        let received = self.control.received();
        received.saturating_sub(std::mem::replace(&mut self.accounted, received))
    }

    /// Records that a request was answered.
    pub(super) fn end_request(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// Records the name of a lane; returns `false` if the connection has used too many others.
    pub(super) fn has_lane(&mut self, name: &str) -> bool {
        if !self.lanes.contains(name) && self.lanes.len() < MAX_NAMES {
            self.lanes.insert(name.to_owned());
        }
        self.lanes.contains(name)
    }

    /// Records the model of the first request; returns `true` if `model` is the same.
    pub(super) fn has_model(&mut self, model: &Value) -> bool {
        self.model.get_or_insert_with(|| model.clone()) == model
    }

    /// Sends a frame, if the connection is a WebSocket without a running turn.
    pub(super) fn send_idle(&self, frame: &IdleFrame) {
        if let Some(idle) = self.idle.as_ref().filter(|_| self.running == 0) {
            // A full queue means that the client does not read; later frames are dropped.
            let _ = idle.try_send(frame.clone());
        }
    }
}
