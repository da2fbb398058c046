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
    /// The last completed response of each lane of an open WebSocket, by connection.
    by_connection: HashMap<usize, Vec<Held>>,
}

/// A response that a lane of a WebSocket holds.
#[derive(Debug)]
struct Held {
    /// Name of the lane; `None` for the default lane.
    lane: Option<String>,
    id: String,
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
    /// Lane of the request; `None` for the default lane, and over SSE.
    pub(crate) lane: Option<String>,
}

impl HistoryStore {
    /// Stores a completed response, which its lane holds if the request came over WebSocket.
    pub(crate) fn commit(&mut self, connection: usize, transport: Transport, completed: Completed) {
        let Completed { id, parent, items, stored, lane } = completed;
        let node = Parent(self.nodes.len());
        let bytes = self.bytes(parent) + json_size(&items);
        self.nodes.push(Node { parent, items, stored, bytes });
        self.responses.insert(id.clone(), Continuable { node, stored });
        if transport == Transport::WebSocket {
            self.evict(connection, lane.as_deref());
            self.by_connection.entry(connection).or_default().push(Held { lane, id });
        }
    }

    /// Removes the response that a lane holds, after an error or when the lane's next one begins.
    pub(crate) fn evict(&mut self, connection: usize, lane: Option<&str>) {
        if let Some(held) = self.by_connection.get_mut(&connection) {
            held.retain(|held| held.lane.as_deref() != lane);
        }
    }

    /// Removes the responses that the lanes of a connection hold, at the connection's end.
    pub(crate) fn close(&mut self, connection: usize) {
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
        (response.stored || self.holder(connection, id).is_some()).then_some(response.node)
    }

    /// Returns the response `id`, which the server itself may continue from anywhere.
    pub(crate) fn own_parent(&self, id: &str) -> Option<Parent> {
        self.responses.get(id).map(|response| response.node)
    }

    /// Returns `true` if the response `id` was completed.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.responses.contains_key(id)
    }

    /// Returns the lane without which nobody could continue the response `id`: the one that holds
    /// it, if it is not stored.
    pub(crate) fn keeper(&self, connection: usize, id: &str) -> Option<Option<&str>> {
        let is_stored = self.responses.get(id).is_none_or(|response| response.stored);
        self.holder(connection, id).filter(|_| !is_stored)
    }

    /// Returns the lane of `connection` that holds the response `id`.
    fn holder(&self, connection: usize, id: &str) -> Option<Option<&str>> {
        let held = self.by_connection.get(&connection)?.iter().find(|held| held.id == id)?;
        Some(held.lane.as_deref())
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
        on_lane(None, id, parent, stored)
    }

    fn on_lane(lane: Option<&str>, id: &str, parent: Option<Parent>, stored: bool) -> Completed {
        let (id, lane) = (id.to_owned(), lane.map(str::to_owned));
        Completed { items: vec![Value::from(&*id)], id, parent, stored, lane }
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
        store.evict(0, None);
        assert!(store.parent(0, "b").is_none());
        assert!(store.own_parent("b").is_some() && store.own_parent("c").is_none());
    }

    #[test]
    fn each_lane_holds_its_last_response_for_all_lanes_of_its_connection() {
        let mut store = HistoryStore::default();
        store.commit(0, Transport::WebSocket, completed("a", None, false));
        let parent = store.parent(0, "a");
        store.commit(0, Transport::WebSocket, on_lane(Some("x"), "b", parent, false));
        assert_eq!((store.keeper(0, "a"), store.keeper(0, "b")), (Some(None), Some(Some("x"))));
        assert!(store.parent(0, "a").is_some() && store.parent(1, "b").is_none());
        store.evict(0, None);
        assert!(store.parent(0, "a").is_none() && store.parent(0, "b").is_some());
        store.close(0);
        assert!(store.parent(0, "b").is_none());
        store.commit(0, Transport::WebSocket, completed("c", None, true));
        assert_eq!(store.keeper(0, "c"), None, "a stored response needs no lane");
    }

    #[test]
    fn a_stored_response_is_continued_from_anywhere() {
        let mut store = HistoryStore::default();
        store.commit(0, Transport::WebSocket, completed("a", None, true));
        store.close(0);
        assert!(store.parent(0, "a").is_some());
        assert!(store.parent(7, "a").is_some());
    }

    #[test]
    fn items_of_stored_responses_can_be_referred_to() {
        let mut store = HistoryStore::default();
        for (id, stored) in [("a", true), ("b", false)] {
            let items = vec![json!({ "type": "message", "id": id })];
            let completed = Completed { items, ..completed(id, None, stored) };
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
