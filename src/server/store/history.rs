//! Completed responses as a tree of histories, and who may continue them.

use std::collections::HashMap;

use serde_json::Value;

use super::size::json_size;
use crate::config::Transport;

/// Completed responses, each with the history up to it.
#[derive(Debug, Default)]
pub(crate) struct HistoryStore {
    // Nodes are never freed, so that their indices stay valid.
    nodes: Vec<Node>,
    responses: HashMap<String, Continuable>,
    /// Id of the last completed response of each open WebSocket, by connection.
    by_connection: HashMap<usize, String>,
}

/// Index of a completed response in the tree of histories.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parent(usize);

#[derive(Debug)]
struct Node {
    parent: Option<Parent>,
    items: Vec<Value>,
    /// The items can be referred to.
    stored: bool,
    /// Size of the history up to and including this node.
    bytes: usize,
}

/// A response that later requests may continue.
#[derive(Debug)]
struct Continuable {
    node: Parent,
    stored: bool,
}

/// A response that has just been completed.
pub(crate) struct Completed {
    pub(crate) id: String,
    pub(crate) parent: Option<Parent>,
    /// Input of the request, and output of the response.
    pub(crate) items: Vec<Value>,
    pub(crate) stored: bool,
}

impl HistoryStore {
    /// Stores a completed response.
    pub(crate) fn commit(&mut self, connection: usize, transport: Transport, completed: Completed) {
        let Completed { id, parent, items, stored } = completed;
        let node = Parent(self.nodes.len());
        let bytes = self.bytes(parent) + json_size(&items);
        self.nodes.push(Node { parent, items, stored, bytes });
        self.responses.insert(id.clone(), Continuable { node, stored });
        if transport == Transport::WebSocket {
            self.by_connection.insert(connection, id);
        }
    }

    /// Removes the last response of a connection, after an error or at the connection's end.
    pub(crate) fn evict(&mut self, connection: usize) {
        self.by_connection.remove(&connection);
    }

    /// Removes the response `id` for all connections, and references to its items.
    pub(crate) fn remove(&mut self, id: &str) {
        let removed = self.responses.remove(id).map(|response| response.node);
        if let Some(node) = removed.and_then(|Parent(place)| self.nodes.get_mut(place)) {
            node.stored = false;
        }
    }

    /// Replaces references to items of stored responses by these items; keeps unknown references.
    pub(crate) fn resolve(&self, input: &mut [Value]) {
        let references =
            input.iter_mut().filter(|item| item.get("type") == Some(&"item_reference".into()));
        for reference in references {
            if let Some(item) = reference.get("id").and_then(|id| self.item(id)) {
                *reference = item.clone();
            }
        }
    }

    fn item(&self, id: &Value) -> Option<&Value> {
        let nodes = self.nodes.iter().rev().filter(|node| node.stored);
        nodes.flat_map(|node| &node.items).find(|item| item.get("id") == Some(id))
    }

    /// Returns the response `id`, if a request on `connection` may continue it.
    pub(crate) fn parent(&self, connection: usize, id: &str) -> Option<Parent> {
        let response = self.responses.get(id)?;
        let is_last = self.by_connection.get(&connection).is_some_and(|last| last == id);
        (response.stored || is_last).then_some(response.node)
    }

    /// Returns the size of the history up to and including `parent`, in bytes of JSON.
    pub(crate) fn bytes(&self, parent: Option<Parent>) -> usize {
        parent.and_then(|Parent(place)| self.nodes.get(place)).map_or(0, |node| node.bytes)
    }

    /// Returns the history up to and including `parent`.
    pub(crate) fn history(&self, parent: Option<Parent>) -> Vec<Value> {
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
    use serde_json::json;

    use super::*;

    fn completed(id: &str, parent: Option<Parent>, stored: bool) -> Completed {
        Completed { id: id.to_owned(), parent, items: vec![Value::from(id)], stored }
    }

    #[test]
    fn an_unstored_response_is_continued_by_its_own_connection_only() {
        let mut store = HistoryStore::default();
        store.commit(0, Transport::WebSocket, completed("a", None, false));
        assert!(store.parent(1, "a").is_none());
        let parent = store.parent(0, "a");
        store.commit(0, Transport::WebSocket, completed("b", parent, false));
        assert!(store.parent(0, "a").is_none(), "only the last one is kept");
        assert_eq!(store.history(store.parent(0, "b")), ["a", "b"]);
        store.evict(0);
        assert!(store.parent(0, "b").is_none());
    }

    #[test]
    fn a_stored_response_is_continued_from_anywhere() {
        let mut store = HistoryStore::default();
        store.commit(0, Transport::WebSocket, completed("a", None, true));
        store.evict(0);
        assert!(store.parent(0, "a").is_some());
        assert!(store.parent(7, "a").is_some());
    }

    #[test]
    fn items_of_stored_responses_can_be_referred_to() {
        let mut store = HistoryStore::default();
        for (id, stored) in [("a", true), ("b", false)] {
            let items = vec![json!({ "type": "message", "id": id })];
            let completed = Completed { id: id.to_owned(), parent: None, items, stored };
            store.commit(0, Transport::Sse, completed);
        }
        let resolved = |store: &HistoryStore, id: &str| {
            let mut input = [json!({ "type": "item_reference", "id": id })];
            store.resolve(&mut input);
            input[0]["type"] == "message"
        };
        assert!(resolved(&store, "a") && !resolved(&store, "b"));
        store.remove("a");
        assert!(!resolved(&store, "a"));
    }

    #[test]
    fn an_unstored_response_over_sse_is_lost() {
        let mut store = HistoryStore::default();
        store.commit(0, Transport::Sse, completed("a", None, false));
        assert!(store.parent(0, "a").is_none());
    }
}
