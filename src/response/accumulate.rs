//! Folds the events of a response into it.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::{PartialItem, Response};
use crate::{Item, event::ResponseEvent, json::Json, report::Anomaly};

/// A response that grows by its events.
///
/// The place in the output is what an item is known by: ids change between events at some
/// servers, and are only compared to report it.
///
/// What is held of the JSON: each finished item, copied out of the frame of its
/// `output_item.done`, so that a history does not pin frames; and the frame of the last lifecycle
/// event as it came. The terminal repeats the items: of those, only what fills a gap is copied.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accumulator {
    id: Option<String>,
    slots: BTreeMap<u32, Slot>,
    /// The response object of the last lifecycle event.
    last: Option<Json>,
    ended: bool,
    anomalies: Vec<Anomaly>,
}

#[derive(Clone, Debug)]
enum Slot {
    Begun(Box<PartialItem>),
    Finished { item: Item, id: Option<String> },
}

/// More oddities than this say nothing new.
const MAX_ANOMALIES: usize = 32;

impl Accumulator {
    /// Adds what `event` says.
    pub(crate) fn push(&mut self, event: &ResponseEvent) {
        match event {
            ResponseEvent::Created(e) => self.lifecycle(e.response.as_ref()),
            ResponseEvent::Queued(e) => self.lifecycle(e.response.as_ref()),
            ResponseEvent::InProgress(e) => self.lifecycle(e.response.as_ref()),
            ResponseEvent::Completed(e) => self.end(&e.response),
            ResponseEvent::Incomplete(e) => self.end(&e.response),
            ResponseEvent::Failed(e) => self.end(&e.response),
            ResponseEvent::Cancelled(e) => {
                if let Some(response) = &e.response {
                    self.end(response);
                }
            }
            ResponseEvent::OutputItemAdded(e) => {
                if let Some(item) = &e.item {
                    self.begin(e.output_index, item);
                }
            }
            ResponseEvent::OutputItemDone(e) => self.finish(e.output_index, e.to_item()),
            _ => {
                if let Some((output_index, item_id)) = place(event) {
                    self.grow(output_index, item_id, event);
                }
            }
        }
    }

    /// A response by the object that the server keeps.
    pub(crate) fn of_object(response: &Json) -> Self {
        let mut accumulator = Self::default();
        accumulator.end(response);
        let status: Option<String> = response.member("status").ok().flatten();
        accumulator.ended = !matches!(status.as_deref(), Some("queued" | "in_progress"));
        accumulator
    }

    /// The id of the response, once it is known.
    pub(crate) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Whether anything of a response came.
    pub(crate) fn is_empty(&self) -> bool {
        self.last.is_none() && self.slots.is_empty()
    }

    /// The oddities that were seen.
    pub(crate) fn anomalies(&self) -> &[Anomaly] {
        &self.anomalies
    }

    /// Notes an oddity.
    pub(crate) fn note(&mut self, anomaly: Anomaly) {
        if self.anomalies.len() < MAX_ANOMALIES && !self.anomalies.contains(&anomaly) {
            self.anomalies.push(anomaly);
        }
    }

    /// The response as far as it came.
    pub(crate) fn snapshot(&self) -> Response {
        let mut response = Response {
            id: self.id.clone(),
            last: self.last.clone(),
            ended: self.ended,
            ..Response::default()
        };
        for slot in self.slots.values() {
            match slot {
                Slot::Begun(item) => response.unfinished.push((**item).clone()),
                Slot::Finished { item, .. } => response.items.push(item.clone()),
            }
        }
        response
    }

    fn lifecycle(&mut self, response: Option<&Json>) {
        let Some(response) = response else { return };
        let id: Option<String> = response.member("id").ok().flatten();
        match (&self.id, id) {
            (Some(known), Some(id)) if *known != id => self.note(Anomaly::ResponseId),
            (None, Some(id)) => self.id = Some(id),
            _ => {}
        }
        self.last = Some(response.clone());
    }

    /// Fills the gaps from the terminal `output`; what was finished stays as it is.
    fn end(&mut self, response: &Json) {
        self.lifecycle(Some(response));
        self.ended = true;
        let output: Vec<Item> = output_of(response);
        let is_finished = |slot: &Slot| matches!(slot, Slot::Finished { .. });
        if output.is_empty() && self.slots.values().any(is_finished) {
            self.note(Anomaly::OutputMissing);
        }
        let output: Vec<(u32, Option<String>, Item)> =
            (0..).zip(output).map(|(index, item)| (index, identity(&item), item)).collect();
        // An item is known by its id, else by its place, unless another is known to stand there.
        let by_id: Vec<Option<u32>> = output.iter().map(|(_, id, _)| self.place_of(id)).collect();
        for ((index, id, item), known) in output.into_iter().zip(&by_id) {
            let at_its_place = self.is_finished(index) && !by_id.contains(&Some(index));
            if known.is_none() && !at_its_place || defect!(TerminalAddsItems) {
                let index = self.free_place(index);
                let item = Item::trusted(item.json().detached());
                self.slots.insert(index, Slot::Finished { item, id });
            }
        }
    }

    fn begin(&mut self, output_index: u32, item: &Json) {
        let slot = self.slots.entry(output_index).or_insert_with(|| begun(output_index));
        // A late `added` of a finished item says nothing new.
        if let Slot::Begun(partial) = slot {
            partial.id = item.member("id").ok().flatten();
            partial.skeleton = Some(item.detached());
        }
    }

    fn finish(&mut self, output_index: u32, item: Item) {
        let id = identity(&item);
        let mut place = output_index;
        match self.slots.get(&output_index) {
            // Some translators give all items one place; the id tells them apart.
            Some(Slot::Finished { id: known, .. })
                if id.is_some() && known.is_some() && id != *known =>
            {
                self.note(Anomaly::OutputIndexShared { output_index });
                place = self.free_place(output_index);
            }
            Some(Slot::Finished { .. }) => self.note(Anomaly::ItemFinishedTwice { output_index }),
            Some(Slot::Begun(partial)) => {
                let begun = partial.skeleton.as_ref();
                let item_type: Option<String> =
                    begun.and_then(|begun| begun.member("type").ok().flatten());
                let changed_id = partial.id.is_some() && partial.id != item.id();
                if changed_id {
                    self.note(Anomaly::ItemId { output_index });
                }
                if item_type.is_some_and(|item_type| item_type != item.item_type()) {
                    self.note(Anomaly::ItemType { output_index });
                }
            }
            None => {}
        }
        let elsewhere = self.slots.iter().any(|(index, slot)| {
            *index != output_index
                && matches!(slot, Slot::Finished { id: other, .. } if other.is_some() && *other == id)
        });
        if elsewhere {
            self.note(Anomaly::DuplicateItemId { output_index });
        }
        self.slots.insert(place, Slot::Finished { item, id });
    }

    fn grow(&mut self, output_index: u32, item_id: Option<&str>, event: &ResponseEvent) {
        let slot = self.slots.entry(output_index).or_insert_with(|| begun(output_index));
        if let Slot::Begun(partial) = slot {
            partial.add(event);
            if item_id.is_some() && partial.id.is_some() && item_id != partial.id.as_deref() {
                self.note(Anomaly::ItemId { output_index });
            }
        }
    }

    /// Where the finished item with this id stands.
    fn place_of(&self, id: &Option<String>) -> Option<u32> {
        let is_it = |slot: &Slot| matches!(slot, Slot::Finished { id: it, .. } if it == id);
        let found = self.slots.iter().find(|(_, slot)| id.is_some() && is_it(slot));
        found.map(|(index, _)| *index)
    }

    fn is_finished(&self, index: u32) -> bool {
        matches!(self.slots.get(&index), Some(Slot::Finished { .. }))
    }

    /// The first place from `index` on where no finished item stands.
    fn free_place(&self, index: u32) -> u32 {
        (index..=u32::MAX).find(|place| !self.is_finished(*place)).unwrap_or(index)
    }
}

/// The items of a terminal `output`, as parts of its text.
fn output_of(response: &Json) -> Vec<Item> {
    let output: Option<Vec<&RawValue>> = response.member("output").ok().flatten();
    let item = |raw| Item::try_from(Json::part_of(response.source(), raw)).ok();
    output.into_iter().flatten().filter_map(item).collect()
}

/// What tells an item from the others of its response.
fn identity(item: &Item) -> Option<String> {
    item.id().or_else(|| item.call_id())
}

fn begun(output_index: u32) -> Slot {
    Slot::Begun(Box::new(PartialItem::new(output_index)))
}

/// The place of an event that belongs to an item, and the item's id.
fn place(event: &ResponseEvent) -> Option<(u32, Option<&str>)> {
    macro_rules! places {
        ($($name:ident),*) => {
            match event {
                $(ResponseEvent::$name(e) => Some((e.output_index, e.item_id.as_deref())),)*
                _ => None,
            }
        };
    }
    places!(
        OutputTextDelta,
        OutputTextDone,
        OutputTextAnnotationAdded,
        RefusalDelta,
        RefusalDone,
        FunctionCallArgumentsDelta,
        FunctionCallArgumentsDone,
        CustomToolCallInputDelta,
        CustomToolCallInputDone,
        ReasoningSummaryPartAdded,
        ReasoningSummaryPartDone,
        ReasoningSummaryTextDelta,
        ReasoningSummaryTextDone,
        ReasoningTextDelta,
        ReasoningTextDone,
        ReasoningPartAdded,
        ReasoningPartDone,
        ReasoningSummaryDelta,
        ReasoningSummaryDone,
        ReasoningDelta,
        ReasoningDone,
        ContentPartAdded,
        ContentPartDone,
        ShellCallOutputContentDelta,
        ShellCallOutputContentDone
    )
}
