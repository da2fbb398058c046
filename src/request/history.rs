//! The items of a conversation, with the digest and the size of every prefix.

use std::{
    ops::{Bound, Index, Range, RangeBounds},
    sync::Arc,
    vec,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Item;
use crate::json::Digest;

/// The input of a request: the items of the conversation so far.
///
/// Cloning is cheap, and so is comparing a prefix with the items sent before: each item is
/// serialized once, and the digest of every prefix is kept. Pushing is the cheapest change; a
/// change in the middle recomputes the digests after it.
///
/// ```
/// use responses_client::{History, Item};
///
/// let mut history = History::from("Why is the sky blue?");
/// history.push(Item::assistant("It scatters blue light."));
/// history.extend([Item::user("And at sunset?")]);
/// assert_eq!(history[0], Item::user("Why is the sky blue?"));
/// assert_eq!(history.len(), 3);
/// ```
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Full chunks and a last one that is being filled. A clone shares all of them, and a push
    /// after a clone copies at most one.
    chunks: Vec<Arc<Vec<Entry>>>,
    len: usize,
}

#[derive(Clone, Debug)]
struct Entry {
    item: Item,
    /// Digest of all items up to and including this one.
    chain: Digest,
    /// Bytes of all items up to and including this one, as encoded.
    bytes: usize,
}

const CHUNK: usize = 64;

impl History {
    /// Returns an empty history.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `item` at the end.
    pub fn push(&mut self, item: Item) {
        let chain = self.digest_at(self.len).chain(item.digest());
        // One byte for the comma or the bracket after the item.
        let bytes = self.bytes_before(self.len) + item.json().as_str().len() + 1;
        let entry = Entry { item, chain, bytes };
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK => Arc::make_mut(chunk).push(entry),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(entry);
                self.chunks.push(Arc::new(chunk));
            }
        }
        self.len += 1;
    }

    /// Keeps the first `len` items and removes the rest.
    pub fn truncate(&mut self, len: usize) {
        if len >= self.len {
            return;
        }
        self.chunks.truncate(len.div_ceil(CHUNK));
        if let (Some(chunk), true) = (self.chunks.last_mut(), !len.is_multiple_of(CHUNK)) {
            Arc::make_mut(chunk).truncate(len % CHUNK);
        }
        self.len = len;
    }

    /// Replaces the items in `range` by `items`: an edit, an insertion or a removal.
    ///
    /// The part of `range` outside the history is ignored.
    pub fn splice(
        &mut self,
        range: impl RangeBounds<usize>,
        items: impl IntoIterator<Item = Item>,
    ) {
        let Range { start, end } = self.within(range);
        let rest: Vec<Item> = self.iter().skip(end).cloned().collect();
        self.truncate(start);
        self.extend(items);
        self.extend(rest);
    }

    /// Returns the part of `range` inside the history.
    fn within(&self, range: impl RangeBounds<usize>) -> Range<usize> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => self.len,
        };
        let start = start.min(self.len);
        start..end.clamp(start, self.len)
    }

    /// Removes and returns the item at `index`; `None` if `index` is out of range.
    pub fn remove(&mut self, index: usize) -> Option<Item> {
        let item = self.get(index)?.clone();
        self.splice(index..index + 1, []);
        Some(item)
    }

    /// Inserts `item` at `index`, or at the end if `index` is beyond it.
    pub fn insert(&mut self, index: usize, item: Item) {
        self.splice(index..index, [item]);
    }

    /// Removes and returns the last item; `None` if the history is empty.
    pub fn pop(&mut self) -> Option<Item> {
        self.remove(self.len.checked_sub(1)?)
    }

    /// Removes and returns the items of this range. The part of `range` outside the history is
    /// ignored.
    pub fn drain(&mut self, range: impl RangeBounds<usize>) -> vec::IntoIter<Item> {
        let range = self.within(range);
        let removed: Vec<Item> = self.iter().take(range.end).skip(range.start).cloned().collect();
        self.splice(range, []);
        removed.into_iter()
    }

    /// Keeps the items for which `keep` returns `true`, and removes the others.
    pub fn retain(&mut self, mut keep: impl FnMut(&Item) -> bool) {
        let first = self.iter().position(|item| !keep(item));
        let Some(first) = first else { return };
        let rest: Vec<Item> =
            self.iter_from(first + 1).filter(|item| keep(item)).cloned().collect();
        self.truncate(first);
        self.extend(rest);
    }

    /// Removes all items.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// Returns the item at `index`, or `None` if `index` is out of range.
    pub fn get(&self, index: usize) -> Option<&Item> {
        self.entry(index).map(|entry| &entry.item)
    }

    /// Returns the first item; `None` if the history is empty.
    pub fn first(&self) -> Option<&Item> {
        self.get(0)
    }

    /// Returns the last item; `None` if the history is empty.
    pub fn last(&self) -> Option<&Item> {
        self.get(self.len.checked_sub(1)?)
    }

    /// Returns the number of items.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns `true` if the history has no items.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns an iterator over the items in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Item> {
        self.chunks.iter().flat_map(|chunk| chunk.iter()).map(|entry| &entry.item)
    }

    /// Returns an iterator over the items from `start` on, at no cost for the items before.
    pub(crate) fn iter_from(&self, start: usize) -> impl Iterator<Item = &Item> {
        self.chunks
            .iter()
            .skip(start / CHUNK)
            .flat_map(|chunk| chunk.iter())
            .skip(start % CHUNK)
            .map(|entry| &entry.item)
    }

    /// Returns the digest of the first `len` items.
    pub(crate) fn digest_at(&self, len: usize) -> Digest {
        self.last_before(len).map(|entry| entry.chain).unwrap_or_default()
    }

    /// Returns the bytes that the items from `skip` on have in an encoded request: the text of each
    /// item, and the comma or the bracket after the item.
    pub(crate) fn bytes(&self, skip: usize) -> usize {
        self.bytes_before(self.len) - self.bytes_before(skip.min(self.len))
    }

    fn bytes_before(&self, len: usize) -> usize {
        self.last_before(len).map_or(0, |entry| entry.bytes)
    }

    /// Returns the index of the first item that differs in `other`, or the length of the shorter
    /// history.
    pub(crate) fn first_difference(&self, other: &Self) -> usize {
        // Chained digests agree up to the first difference and never after it.
        let mut low = 0;
        let mut high = self.len.min(other.len);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if self.digest_at(middle) == other.digest_at(middle) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        low
    }

    /// Returns the last of the first `len` entries.
    fn last_before(&self, len: usize) -> Option<&Entry> {
        self.entry(len.checked_sub(1)?)
    }

    fn entry(&self, index: usize) -> Option<&Entry> {
        self.chunks.get(index / CHUNK)?.get(index % CHUNK)
    }
}

impl Extend<Item> for History {
    fn extend<I: IntoIterator<Item = Item>>(&mut self, items: I) {
        items.into_iter().for_each(|item| self.push(item));
    }
}

impl FromIterator<Item> for History {
    fn from_iter<I: IntoIterator<Item = Item>>(items: I) -> Self {
        let mut history = Self::new();
        history.extend(items);
        history
    }
}

impl From<Vec<Item>> for History {
    fn from(items: Vec<Item>) -> Self {
        items.into_iter().collect()
    }
}

impl<const N: usize> From<[Item; N]> for History {
    fn from(items: [Item; N]) -> Self {
        items.into_iter().collect()
    }
}

/// Converts a text to one message of the user.
impl From<&str> for History {
    fn from(text: &str) -> Self {
        Item::user(text).into()
    }
}

/// Converts a text to one message of the user.
impl From<String> for History {
    fn from(text: String) -> Self {
        Item::user(text).into()
    }
}

/// Converts a text to one message of the user.
impl From<&String> for History {
    fn from(text: &String) -> Self {
        Item::user(text).into()
    }
}

impl From<Item> for History {
    fn from(item: Item) -> Self {
        [item].into()
    }
}

impl From<&[Item]> for History {
    fn from(items: &[Item]) -> Self {
        items.iter().cloned().collect()
    }
}

impl From<&Self> for History {
    fn from(history: &Self) -> Self {
        history.clone()
    }
}

/// Returns the item at the index, like an index of a slice.
///
/// # Panics
///
/// Panics if the index is out of range. [`History::get`] returns `None` instead.
impl Index<usize> for History {
    type Output = Item;

    #[track_caller]
    fn index(&self, index: usize) -> &Item {
        #[expect(clippy::panic, reason = "an index of a list panics, like that of a slice")]
        let Some(item) = self.get(index) else {
            panic!("index out of bounds: the length is {} but the index is {index}", self.len);
        };
        item
    }
}

impl<'a> IntoIterator for &'a History {
    type Item = &'a Item;
    type IntoIter = Box<dyn Iterator<Item = &'a Item> + 'a>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.iter())
    }
}

impl Serialize for History {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for History {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<Item>::deserialize(deserializer).map(Self::from)
    }
}

impl PartialEq for History {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.digest_at(self.len) == other.digest_at(other.len)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn item(n: u32) -> Item {
        Item::user(n.to_string())
    }

    fn history(items: &[u32]) -> History {
        items.iter().copied().map(item).collect()
    }

    #[test]
    fn a_push_behind_a_clone_leaves_the_clone_alone() {
        let mut a = history(&[1, 2]);
        let b = a.clone();
        a.push(item(3));
        assert_eq!((a.len(), b.len()), (3, 2));
        assert_eq!(a.digest_at(2), b.digest_at(2));
        assert_eq!(b.get(2), None);
    }

    #[test]
    fn a_history_is_kept_as_a_list_of_its_items() {
        let history = history(&[1, 2]);
        let json = serde_json::to_string(&history).unwrap();
        assert_eq!(serde_json::from_str::<History>(&json).unwrap(), history);
        assert_eq!(history.into_iter().count(), 2);
    }

    #[test]
    fn texts_items_and_lists_are_histories() {
        let one = history(&[1]);
        assert_eq!(History::from("1"), one);
        assert_eq!(History::from("1".to_owned()), one);
        assert_eq!(History::from(&"1".to_owned()), one);
        assert_eq!(History::from(item(1)), one);
        assert_eq!(History::from([item(1)].as_slice()), one);
        assert_eq!(History::from(&one), one);
        assert_eq!(one[0], item(1));
    }

    #[test]
    #[should_panic(expected = "index out of bounds: the length is 2 but the index is 2")]
    fn an_index_beyond_the_end_panics_like_that_of_a_slice() {
        let _ = &history(&[1, 2])[2];
    }

    #[derive(Clone, Debug)]
    enum Edit {
        Push(u32),
        Truncate(usize),
        Splice(usize, usize, Vec<u32>),
        Insert(usize, u32),
        Remove(usize),
        Pop,
        /// Keeps the items whose text has an even length.
        RetainEven,
    }

    fn edit() -> impl Strategy<Value = Edit> {
        prop_oneof![
            any::<u32>().prop_map(Edit::Push),
            (0..200usize).prop_map(Edit::Truncate),
            (0..200usize, 0..5usize, prop::collection::vec(any::<u32>(), 0..4))
                .prop_map(|(at, removed, items)| Edit::Splice(at, removed, items)),
            (0..200usize, any::<u32>()).prop_map(|(at, n)| Edit::Insert(at, n)),
            (0..200usize).prop_map(Edit::Remove),
            Just(Edit::Pop),
            Just(Edit::RetainEven),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn edits_are_those_of_a_vec(
            start in prop::collection::vec(any::<u32>(), 0..200),
            edits in prop::collection::vec(edit(), 0..12),
        ) {
            let mut model = start.clone();
            let mut history = history(&start);
            for edit in edits {
                match edit {
                    Edit::Push(n) => {
                        model.push(n);
                        history.push(item(n));
                    }
                    Edit::Truncate(len) => {
                        model.truncate(len);
                        history.truncate(len);
                    }
                    Edit::Splice(at, removed, items) => {
                        let at = at.min(model.len());
                        let end = (at + removed).min(model.len());
                        history.splice(at..end, items.iter().copied().map(item));
                        model.splice(at..end, items);
                    }
                    Edit::Insert(at, n) => {
                        history.insert(at, item(n));
                        model.insert(at.min(model.len()), n);
                    }
                    Edit::Remove(at) => {
                        let removed = (at < model.len()).then(|| item(model.remove(at)));
                        prop_assert_eq!(history.remove(at), removed);
                    }
                    Edit::Pop => prop_assert_eq!(history.pop(), model.pop().map(item)),
                    Edit::RetainEven => {
                        history.retain(|item| item.as_text().is_some_and(|it| it.len() % 2 == 0));
                        model.retain(|n| n.to_string().len() % 2 == 0);
                    }
                }
            }
            let fresh = self::history(&model);
            prop_assert_eq!(&history, &fresh);
            prop_assert!(history.iter().eq(fresh.iter()));
            prop_assert_eq!(history.last(), fresh.iter().last());
            for n in [0, 1, model.len() / 2, model.len()] {
                prop_assert_eq!(history.digest_at(n), fresh.digest_at(n));
                prop_assert!(history.iter_from(n).eq(fresh.iter().skip(n)));
                prop_assert_eq!(history.bytes(n), fresh.bytes(n));
            }
        }

        #[test]
        fn the_first_difference_is_found(
            a in prop::collection::vec(0..3u32, 0..150),
            b in prop::collection::vec(0..3u32, 0..150),
            common in 0..150usize,
        ) {
            let mut b = b;
            b.splice(0..common.min(b.len()).min(a.len()), a.iter().copied().take(common.min(a.len()).min(b.len())));
            let expected = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
            prop_assert_eq!(history(&a).first_difference(&history(&b)), expected);
        }
    }
}
