//! Folds the events of a response into the response.

use std::{
    collections::{BTreeMap, HashMap},
    mem,
};

use super::{
    Response,
    facts::Facts,
    head::Head,
    settle::{Outcome, Settled, settle},
    slot::{Ending, Slot},
};
use crate::{
    event::{ResponseEvent, item::type_of},
    json::{DecodeError, Json, Text},
    request::Item,
    response::Anomaly,
};

/// Response that grows with its events.
///
/// An event belongs to the open item at its `output_index`. Ids decide only if that item cannot be
/// meant, because some servers rotate the id on every event, and others give every item the same
/// index.
///
/// The accumulator holds each finished item, copied out of the frame of its `output_item.done`, so
/// that a history does not pin frames. It also holds the frame of the last lifecycle event as
/// received. The terminal event repeats the items; only additions are copied from it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accumulator {
    id: Option<String>,
    /// Items in the order in which they started.
    slots: Vec<Slot>,
    /// Last started item at each index.
    open: BTreeMap<u32, usize>,
    /// Last item with each id, by its type.
    by_id: HashMap<(Text, Text), usize>,
    /// Call with each `call_id`, by its type.
    by_call_id: HashMap<(Text, Text), usize>,
    /// Response object of the last lifecycle event.
    last: Option<Json>,
    /// Facts of the last lifecycle event, missing if it had no response.
    facts: Facts,
    ended: bool,
    /// Output after the terminal event; empty before.
    settled: Settled,
    anomalies: Vec<Anomaly>,
    /// Outputs of the caller that the server took into the response, each with the number of items
    /// that were finished then.
    injected: Vec<(usize, Item)>,
    /// Items of the turn before those of this response, and after them.
    before: Vec<Item>,
    after: Vec<Item>,
}

/// Maximum number of irregularities kept. More of them add no information.
const MAX_ANOMALIES: usize = 32;

impl Accumulator {
    /// Adds a lifecycle or terminal event, whose response object has these `facts`.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the event finishes a call that cannot be run or answered.
    pub(crate) fn push_response(
        &mut self,
        event: &ResponseEvent,
        facts: Facts,
    ) -> Result<(), DecodeError> {
        let response = event.response();
        match (event, response) {
            (ResponseEvent::Created(_), _) => self.create(response, facts),
            (ResponseEvent::Queued(_) | ResponseEvent::InProgress(_), _) => {
                self.set_last(response, facts);
            }
            (ResponseEvent::Completed(_), Some(response)) => {
                return self.end(response, facts, Outcome::Completed);
            }
            (ResponseEvent::Incomplete(_), Some(response)) => {
                return self.end(response, facts, Outcome::Incomplete);
            }
            (ResponseEvent::Failed(_) | ResponseEvent::Cancelled(_), Some(response)) => {
                return self.end(response, facts, Outcome::Failed);
            }
            _ => {}
        }
        Ok(())
    }

    /// Adds any other event.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the event finishes a call that cannot be run or answered.
    pub(crate) fn push(&mut self, event: &ResponseEvent) -> Result<(), DecodeError> {
        match event {
            ResponseEvent::OutputItemAdded(e) => {
                if let Some(item) = &e.item {
                    self.begin(e.output_index, item.json());
                }
            }
            ResponseEvent::OutputItemDone(e) => return self.finish(e.output_index, &e.to_item()),
            _ => {
                if let Some((output_index, item_id)) = item_ref(event) {
                    self.apply_delta(output_index, item_id, event);
                }
            }
        }
        Ok(())
    }

    /// Builds a response from the object that the server stores.
    pub(crate) fn from_object(response: &Json) -> Result<Self, DecodeError> {
        let mut accumulator = Self::default();
        let facts = Facts::of(response);
        let outcome = match facts.status.as_deref() {
            Some("incomplete") => Outcome::Incomplete,
            Some("failed" | "cancelled" | "queued" | "in_progress") => Outcome::Failed,
            _ => Outcome::Completed,
        };
        let is_running = matches!(facts.status.as_deref(), Some("queued" | "in_progress"));
        accumulator.end(response, facts, outcome)?;
        accumulator.ended = !is_running;
        Ok(accumulator)
    }

    /// Returns the id of the response, once an event has named it.
    pub(crate) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Returns what the response object of the last lifecycle or terminal event states.
    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Returns `true` if no part of a response has arrived.
    pub(crate) fn is_empty(&self) -> bool {
        self.last.is_none() && self.slots.is_empty()
    }

    /// Returns the irregularities found.
    pub(crate) fn anomalies(&self) -> &[Anomaly] {
        &self.anomalies
    }

    /// Records an irregularity, unless it is recorded already.
    pub(crate) fn note(&mut self, anomaly: Anomaly) {
        if self.anomalies.len() < MAX_ANOMALIES && !self.anomalies.contains(&anomaly) {
            self.anomalies.push(anomaly);
        }
    }

    /// Makes this the response that continues `ended`. The input of the steers between the two is
    /// `steered`.
    pub(crate) fn continue_from(&mut self, ended: &Self, steered: impl IntoIterator<Item = Item>) {
        self.before = ended.snapshot().output_items().collect();
        self.before.extend(steered);
        let own = mem::replace(&mut self.anomalies, ended.anomalies.clone());
        own.into_iter().for_each(|anomaly| self.note(anomaly));
    }

    /// Adds outputs of the caller that the server took into the response now.
    pub(crate) fn inject(&mut self, outputs: Vec<Item>) {
        let in_stream = self.slots.iter().filter(|slot| slot.is_finished()).count();
        let place = self.settled.items.len() + in_stream;
        self.injected.extend(outputs.into_iter().map(|output| (place, output)));
    }

    /// Adds the input of steers that the next request takes.
    pub(crate) fn append_input(&mut self, steered: impl IntoIterator<Item = Item>) {
        self.after.extend(steered);
    }

    /// Returns the response received so far.
    pub(crate) fn snapshot(&self) -> Response {
        let mut response = Response {
            id: self.id.clone(),
            items: self.settled.items.clone(),
            injected: self.injected.clone(),
            before: self.before.clone(),
            after: self.after.clone(),
            unfinished: self.settled.unfinished.clone(),
            last: self.last.clone(),
            ended: self.ended,
        };
        // The slots are empty from the terminal event on.
        let mut slots: Vec<&Slot> = self.slots.iter().collect();
        slots.sort_by_key(|slot| slot.output_index);
        for slot in slots {
            match slot.finished() {
                Some(item) => response.items.push(item),
                None => response.unfinished.extend(slot.parts.as_deref().cloned()),
            }
        }
        response
    }

    /// Starts the response anew if a second `created` has another id.
    fn create(&mut self, response: Option<&Json>, facts: Facts) {
        if self.id.is_some() && facts.id.is_some() && facts.id != self.id {
            let (anomalies, before) = (mem::take(&mut self.anomalies), mem::take(&mut self.before));
            *self = Self { anomalies, before, ..Self::default() };
            self.note(Anomaly::ResponseRestarted);
        }
        self.set_last(response, facts);
    }

    /// Records the response object of a lifecycle or terminal event.
    fn set_last(&mut self, response: Option<&Json>, facts: Facts) {
        match (&self.id, &facts.id) {
            (Some(known), Some(id)) if known != id => self.note(Anomaly::ResponseId),
            (None, Some(id)) => self.id = Some(id.clone()),
            _ => {}
        }
        self.facts = facts;
        if let Some(response) = response {
            self.last = Some(response.clone());
        }
    }

    /// Settles the output with the terminal event.
    fn end(&mut self, response: &Json, facts: Facts, outcome: Outcome) -> Result<(), DecodeError> {
        self.set_last(Some(response), facts);
        self.ended = true;
        self.settled = settle(mem::take(&mut self.slots), response, outcome);
        for anomaly in mem::take(&mut self.settled.anomalies) {
            self.note(anomaly);
        }
        mem::take(&mut self.settled.nameless).map_or(Ok(()), Err)
    }

    /// Starts an item for `output_item.added`, unless the item is known already.
    fn begin(&mut self, output_index: u32, item: &Json) {
        let head = Head::of(item);
        let mut known = self.open_at(output_index).filter(|(_, slot)| {
            let is_open = !slot.is_finished() && !slot.arguments_done && slot.head.fits(&head);
            is_open
                && (slot.parts.as_ref().is_none_or(|parts| parts.initial.is_none())
                    || slot.head.has_id_of(&head)
                    || slot.head.has_call_id_of(&head))
        });
        if known.is_none() {
            known = self.with_call_id(&head);
        }
        let place = match known {
            // A late repetition adds no information.
            Some((place, slot)) if slot.is_finished() || slot.arguments_done => {
                self.open.insert(output_index, place);
                return;
            }
            Some((place, _)) => place,
            None => self.start(output_index, Head::default()),
        };
        self.open.insert(output_index, place);
        self.register(place, &head);
        if let Some(slot) = self.slots.get_mut(place) {
            let known = mem::replace(&mut slot.head, head);
            slot.head.complete_from(known);
            slot.parts().initial = Some(item.to_detached());
        }
    }

    fn finish(&mut self, output_index: u32, item: &Item) -> Result<(), DecodeError> {
        let head = Head::of_finished(item.json());
        let place = self.finished_place(output_index, &head);
        let other = head.id.clone().and_then(|id| self.by_id.get(&(head.kind.clone(), id)));
        if other.is_some_and(|other| {
            *other != place && self.slots.get(*other).is_some_and(Slot::is_finished)
        }) {
            self.note(Anomaly::DuplicateItemId { output_index });
        }
        self.register(place, &head);
        self.slots.get_mut(place).map_or(Ok(()), |slot| slot.finish(item, head))
    }

    /// Returns the place of the item that a finished item with this head ends.
    fn finished_place(&mut self, output_index: u32, head: &Head) -> usize {
        let open = self.open_for(output_index, &head.kind, head.id.as_ref());
        let open = open.map(|(place, slot)| (place, slot.ends_with(head)));
        let ending = match open {
            Some((place, Ending::Own)) => Some((place, None)),
            Some((place, Ending::OtherId)) => Some((place, Some(Anomaly::ItemId { output_index }))),
            Some((place, Ending::OtherType)) => {
                Some((place, Some(Anomaly::ItemType { output_index })))
            }
            Some((place, Ending::Again)) => {
                Some((place, Some(Anomaly::ItemFinishedTwice { output_index })))
            }
            Some((_, Ending::Not { .. })) | None => {
                let known = self.with_call_id(head).or_else(|| {
                    self.with_id(head)
                        .filter(|(_, slot)| !slot.is_finished() && slot.head.fits(head))
                });
                let again = Anomaly::ItemFinishedTwice { output_index };
                known.map(|(place, slot)| (place, slot.is_finished().then_some(again)))
            }
        };
        if let Some((place, anomaly)) = ending {
            anomaly.into_iter().for_each(|anomaly| self.note(anomaly));
            return place;
        }
        if let Some((_, Ending::Not { is_taken: true })) = open {
            self.note(Anomaly::OutputIndexShared { output_index });
        }
        self.start(output_index, Head::default())
    }

    fn apply_delta(&mut self, output_index: u32, item_id: Option<&Text>, event: &ResponseEvent) {
        let kind = kind_of(event);
        let place = match self.open_for(output_index, kind, item_id) {
            Some((place, slot)) if slot.takes(kind) => place,
            _ => {
                let id = item_id.filter(|id| !id.is_empty()).cloned();
                let head = Head { kind: Text::from(kind), id, ..Head::default() };
                match self.with_id(&head) {
                    Some((place, _)) => place,
                    None if is_about_a_part(event) => return,
                    None => self.start(output_index, head),
                }
            }
        };
        let Some(slot) = self.slots.get_mut(place) else { return };
        slot.add(kind, event);
        let has_other_id =
            matches!((&slot.head.id, item_id), (Some(known), Some(id)) if known != id);
        if has_other_id {
            self.note(Anomaly::ItemId { output_index });
        }
    }

    /// Starts an item.
    fn start(&mut self, output_index: u32, head: Head) -> usize {
        let place = self.slots.len();
        self.register(place, &head);
        let mut slot = Slot::new(output_index, head);
        slot.parts();
        self.slots.push(slot);
        self.open.insert(output_index, place);
        place
    }

    /// Records the ids of the item at `place`.
    fn register(&mut self, place: usize, head: &Head) {
        if let Some(id) = &head.id {
            self.by_id.insert((head.kind.clone(), id.clone()), place);
        }
        if let (Some(call_id), true) = (&head.call_id, head.is_call()) {
            self.by_call_id.entry((head.kind.clone(), call_id.clone())).or_insert(place);
        }
    }

    /// Returns the open item at the index. If several items interleave at one index, the id
    /// decides.
    fn open_for(&self, index: u32, kind: &str, id: Option<&Text>) -> Option<(usize, &Slot)> {
        let last = self.open_at(index)?;
        // Nearly always, the event names the open item or no item.
        if id.is_none() || id == last.1.head.id.as_ref() {
            return Some(last);
        }
        let head = Head { kind: Text::from(kind), id: id.cloned(), ..Head::default() };
        let named = self.with_id(&head);
        Some(named.filter(|(_, it)| it.output_index == index && !it.is_finished()).unwrap_or(last))
    }

    fn open_at(&self, output_index: u32) -> Option<(usize, &Slot)> {
        self.slot(self.open.get(&output_index))
    }

    /// Returns the call with the `call_id`, which is unique.
    fn with_call_id(&self, head: &Head) -> Option<(usize, &Slot)> {
        let call_id = head.call_id.clone()?;
        self.slot(self.by_call_id.get(&(head.kind.clone(), call_id)))
    }

    /// Returns the last item of the type with the id.
    fn with_id(&self, head: &Head) -> Option<(usize, &Slot)> {
        let id = head.id.clone()?;
        self.slot(self.by_id.get(&(head.kind.clone(), id)))
    }

    fn slot(&self, place: Option<&usize>) -> Option<(usize, &Slot)> {
        let place = *place?;
        Some((place, self.slots.get(place)?))
    }
}

/// Returns the type of the items that this event belongs to, or `""` if several types have the
/// event.
fn kind_of(event: &ResponseEvent) -> &'static str {
    match event {
        ResponseEvent::OutputTextDelta(_)
        | ResponseEvent::OutputTextDone(_)
        | ResponseEvent::OutputTextAnnotationAdded(_)
        | ResponseEvent::RefusalDelta(_)
        | ResponseEvent::RefusalDone(_) => "message",
        ResponseEvent::FunctionCallArgumentsDelta(_)
        | ResponseEvent::FunctionCallArgumentsDone(_) => "function_call",
        ResponseEvent::CustomToolCallInputDelta(_) | ResponseEvent::CustomToolCallInputDone(_) => {
            "custom_tool_call"
        }
        ResponseEvent::ContentPartAdded(e) => kind_of_part(e.part.as_ref()),
        ResponseEvent::ContentPartDone(e) => kind_of_part(e.part.as_ref()),
        ResponseEvent::ShellCallOutputContentDelta(_)
        | ResponseEvent::ShellCallOutputContentDone(_) => "",
        _ => "reasoning",
    }
}

fn kind_of_part(part: Option<&Json>) -> &'static str {
    match part.and_then(type_of).as_deref() {
        Some("output_text" | "text" | "refusal") => "message",
        Some("reasoning_text" | "summary_text") => "reasoning",
        _ => "",
    }
}

/// Returns `true` for events that frame a part and add no content: they start no item.
fn is_about_a_part(event: &ResponseEvent) -> bool {
    matches!(
        event,
        ResponseEvent::ContentPartAdded(_)
            | ResponseEvent::ContentPartDone(_)
            | ResponseEvent::ReasoningPartAdded(_)
            | ResponseEvent::ReasoningPartDone(_)
            | ResponseEvent::ReasoningSummaryPartAdded(_)
            | ResponseEvent::ReasoningSummaryPartDone(_)
    )
}

/// Returns the place of an event that belongs to an item, and the item's id.
fn item_ref(event: &ResponseEvent) -> Option<(u32, Option<&Text>)> {
    macro_rules! places {
        ($($name:ident),*) => {
            match event {
                $(ResponseEvent::$name(e) => Some((e.output_index, e.item_id.as_ref())),)*
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

#[cfg(test)]
mod tests;
