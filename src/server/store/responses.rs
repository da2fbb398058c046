//! Responses that can be retrieved by their id.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use std::collections::HashMap;

use serde_json::{Value, json};

/// Responses that can be retrieved, by id.
#[derive(Debug, Default)]
pub(crate) struct ResponseStore {
    by_id: HashMap<String, StoredResponse>,
}

/// A response that can be retrieved.
#[derive(Debug)]
pub(crate) struct StoredResponse {
    /// Newest state of the response.
    pub(crate) response: Value,
    /// Input items of its request.
    pub(crate) input: Vec<Value>,
}

/// Order and range of a list of input items.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    /// The oldest item comes first.
    pub(crate) ascending: bool,
    /// Id of the item after which the page begins.
    pub(crate) after: Option<String>,
    /// Maximum number of items. Default: 20.
    pub(crate) limit: Option<usize>,
}

impl ResponseStore {
    /// Stores the newest state of a response; a cancelled response stays cancelled.
    ///
    /// Returns `true` if the response is new.
    pub(crate) fn update(&mut self, id: &str, response: &Value, input: &[Value]) -> bool {
        match self.by_id.get_mut(id) {
            Some(stored) => {
                if stored.response["status"] != "cancelled" {
                    stored.response = response.clone();
                }
                false
            }
            None => {
                let stored = StoredResponse { response: response.clone(), input: input.to_vec() };
                self.by_id.insert(id.to_owned(), stored);
                true
            }
        }
    }

    /// Returns a response.
    pub(crate) fn get(&self, id: &str) -> Option<&StoredResponse> {
        self.by_id.get(id)
    }

    /// Marks a response as cancelled.
    pub(crate) fn cancel(&mut self, id: &str) {
        if let Some(stored) = self.by_id.get_mut(id)
            && let Some(members) = stored.response.as_object_mut()
        {
            members.insert("status".to_owned(), "cancelled".into());
        }
    }

    /// Removes a response; returns `true` if it was there.
    pub(crate) fn remove(&mut self, id: &str) -> bool {
        self.by_id.remove(id).is_some()
    }
}

impl StoredResponse {
    /// Returns a page of the input items as the API lists them.
    pub(crate) fn input_items(&self, page: &Page) -> Value {
        let mut items: Vec<Value> = self.input.iter().enumerate().map(with_id).collect();
        if !page.ascending {
            items.reverse();
        }
        if let Some(after) = &page.after {
            let index = items.iter().position(|item| item.get("id") == Some(&json!(after)));
            items.drain(..index.map_or(0, |index| index + 1));
        }
        let limit = page.limit.unwrap_or(DEFAULT_LIMIT);
        let has_more = items.len() > limit;
        items.truncate(limit);
        let id = |item: Option<&Value>| item.and_then(|item| item.get("id")).cloned();
        let (first, last) = (id(items.first()), id(items.last()));
        json!({
            "object": "list",
            "data": items,
            "first_id": first,
            "last_id": last,
            "has_more": has_more,
        })
    }
}

fn with_id((index, item): (usize, &Value)) -> Value {
    let mut item = item.clone();
    if let Some(members) = item.as_object_mut() {
        members.entry("id").or_insert_with(|| format!("item_{index}").into());
    }
    item
}

const DEFAULT_LIMIT: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> ResponseStore {
        let mut store = ResponseStore::default();
        let input = [json!({ "n": 0 }), json!({ "n": 1, "id": "b" }), json!({ "n": 2 })];
        store.update("resp_1", &json!({ "status": "in_progress" }), &input);
        store
    }

    #[test]
    fn a_cancelled_response_stays_cancelled() {
        let mut store = store();
        store.cancel("resp_1");
        store.update("resp_1", &json!({ "status": "completed" }), &[]);
        assert_eq!(store.get("resp_1").unwrap().response["status"], "cancelled");
        assert!(store.remove("resp_1"));
        assert!(!store.remove("resp_1"));
    }

    #[test]
    fn input_items_come_newest_first_in_pages() {
        let store = store();
        let list = |page: &Page| store.get("resp_1").unwrap().input_items(page);
        let all = list(&Page::default());
        assert_eq!((&all["first_id"], &all["last_id"]), (&json!("item_2"), &json!("item_0")));
        assert_eq!(all["has_more"], false);
        let ascending = Page { ascending: true, after: Some("item_0".to_owned()), limit: Some(1) };
        let page = list(&ascending);
        assert_eq!((&page["first_id"], &page["has_more"]), (&json!("b"), &json!(true)));
    }
}
