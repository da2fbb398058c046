//! The responses the server remembers, and who may continue them.

use std::collections::HashMap;

use serde_json::Value;

use super::generate::size;
use crate::config::Transport;

/// All responses that were completed.
#[derive(Debug, Default)]
pub(super) struct Conversations {
    // Nodes are never freed, so that their numbers stay valid; a server lives as long as a test.
    nodes: Vec<Node>,
    responses: HashMap<String, Response>,
    /// The last completed response of each open WebSocket.
    cached: HashMap<usize, String>,
}

/// The place of a completed response in the tree of histories.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parent(usize);

#[derive(Debug)]
struct Node {
    parent: Option<Parent>,
    items: Vec<Value>,
    /// The size of everything up to here.
    bytes: usize,
}

#[derive(Debug)]
struct Response {
    node: Parent,
    stored: bool,
}

/// A response that was completed.
pub(super) struct Completed {
    pub(super) id: String,
    pub(super) parent: Option<Parent>,
    /// What the request brought and what the response added.
    pub(super) items: Vec<Value>,
    pub(super) stored: bool,
}

impl Conversations {
    pub(super) fn commit(&mut self, connection: usize, transport: Transport, completed: Completed) {
        let Completed { id, parent, items, stored } = completed;
        let node = Parent(self.nodes.len());
        let bytes = self.bytes(parent) + size(&items);
        self.nodes.push(Node { parent, items, bytes });
        self.responses.insert(id.clone(), Response { node, stored });
        if transport == Transport::WebSocket {
            self.cached.insert(connection, id);
        }
    }

    /// Forgets the connection's own response, after an error or at its end.
    pub(super) fn evict(&mut self, connection: usize) {
        self.cached.remove(&connection);
    }

    /// Forgets the response `id`, wherever it could be continued.
    pub(super) fn forget(&mut self, id: &str) {
        self.responses.remove(id);
    }

    /// The response `id`, if a request on `connection` may continue it.
    pub(super) fn parent(&self, connection: usize, id: &str) -> Option<Parent> {
        let response = self.responses.get(id)?;
        let cached = self.cached.get(&connection).is_some_and(|cached| cached == id);
        (response.stored || cached).then_some(response.node)
    }

    /// The size of everything up to and including `parent`.
    pub(super) fn bytes(&self, parent: Option<Parent>) -> usize {
        parent.and_then(|Parent(place)| self.nodes.get(place)).map_or(0, |node| node.bytes)
    }

    /// Everything up to and including `parent`.
    pub(super) fn history(&self, parent: Option<Parent>) -> Vec<Value> {
        let mut path = Vec::new();
        let mut next = parent;
        while let Some(node) = next.and_then(|Parent(place)| self.nodes.get(place)) {
            path.push(node);
            next = node.parent;
        }
        path.into_iter().rev().flat_map(|node| node.items.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(id: &str, parent: Option<Parent>, stored: bool) -> Completed {
        Completed { id: id.to_owned(), parent, items: vec![Value::from(id)], stored }
    }

    #[test]
    fn an_unstored_response_is_continued_by_its_own_connection_only() {
        let mut state = Conversations::default();
        state.commit(0, Transport::WebSocket, completed("a", None, false));
        assert!(state.parent(1, "a").is_none());
        let parent = state.parent(0, "a");
        state.commit(0, Transport::WebSocket, completed("b", parent, false));
        assert!(state.parent(0, "a").is_none(), "only the last one is kept");
        assert_eq!(state.history(state.parent(0, "b")), ["a", "b"]);
        state.evict(0);
        assert!(state.parent(0, "b").is_none());
    }

    #[test]
    fn a_stored_response_is_continued_from_anywhere() {
        let mut state = Conversations::default();
        state.commit(0, Transport::WebSocket, completed("a", None, true));
        state.evict(0);
        assert!(state.parent(0, "a").is_some());
        assert!(state.parent(7, "a").is_some());
    }

    #[test]
    fn an_unstored_response_over_sse_is_lost() {
        let mut state = Conversations::default();
        state.commit(0, Transport::Sse, completed("a", None, false));
        assert!(state.parent(0, "a").is_none());
    }
}
