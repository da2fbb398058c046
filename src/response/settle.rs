//! Joins the output from the stream with the output in the terminal event.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    hash::Hash,
    mem,
    ops::Range,
};

use super::{
    PartialItem,
    head::Head,
    merge,
    slot::{Slot, check_call},
};
use crate::{
    event::item::{Members, elements},
    json::{DecodeError, Digest, Json, Text, digest_of, digest_of_text},
    request::Item,
    response::Anomaly,
};

/// Outcome of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Completed,
    Incomplete,
    /// Failed, cancelled, or not ended.
    Failed,
}

/// Output of a response, with no item lost, doubled or reordered.
#[derive(Clone, Debug, Default)]
pub(super) struct Settled {
    pub(super) items: Vec<Item>,
    pub(super) unfinished: Vec<PartialItem>,
    pub(super) anomalies: Vec<Anomaly>,
    /// Error for a finished call in the stream that no event names.
    pub(super) nameless: Option<DecodeError>,
}

/// Settles the output from the items of the stream, in the order in which they started, and from
/// the response object of the terminal event.
pub(super) fn settle(mut slots: Vec<Slot>, response: &Json, outcome: Outcome) -> Settled {
    slots.sort_by_key(|slot| slot.output_index);
    let members = Members::of(response).ok();
    let member = |name| {
        members.as_ref().and_then(|members| members.read::<Option<Json>>(name).ok().flatten())
    };
    let told: Vec<Json> =
        member("output").as_ref().and_then(elements).into_iter().flatten().collect();
    let told: Vec<Json> = told.into_iter().filter(|item| item.as_str().starts_with('{')).collect();
    let mut output = Output::new(outcome, &told, &slots);
    for (before, item, slot) in arrange(slots, told) {
        before.into_iter().for_each(|slot| output.add_streamed(slot));
        match (item, slot) {
            (Some(item), Some(slot)) => output.add_both(&item, slot),
            (Some(item), None) => output.add_told(&item),
            (None, _) => {}
        }
    }
    if let Some(text) = member("output_text").filter(|text| text.as_str().len() > 2) {
        output.add_text(&text);
    }
    output.into_settled()
}

/// Place of the output: items that only the stream has, then an item of the terminal event with its
/// counterpart in the stream. The last place has no item of the terminal event.
type Place = (Vec<Slot>, Option<Json>, Option<Slot>);

/// Orders all items: those in the terminal event in its order, the others at their place in the
/// stream.
fn arrange(slots: Vec<Slot>, told: Vec<Json>) -> Vec<Place> {
    let fates = fates(&slots, &told);
    let owners = owners(&slots, &fates);
    let mut places: Vec<Place> =
        told.into_iter().map(Some).chain([None]).map(|item| (Vec::new(), item, None)).collect();
    // Reasoning stands directly before its item, after the items that follow the previous one.
    let mut leading: BTreeMap<usize, Vec<Slot>> = BTreeMap::new();
    let mut next = 0;
    for ((slot, fate), owner) in slots.into_iter().zip(fates).zip(owners) {
        match (fate, owner) {
            (Fate::Told { place, end }, _) => {
                next = end;
                if let Some(place) = places.get_mut(place) {
                    place.2 = Some(slot);
                }
            }
            (Fate::Rest, _) => {}
            (Fate::Left, Some(owner)) => leading.entry(owner).or_default().push(slot),
            (Fate::Left, None) => {
                if let Some(place) = places.get_mut(next) {
                    place.0.push(slot);
                }
            }
        }
    }
    for (place, slots) in leading {
        if let Some(place) = places.get_mut(place) {
            place.0.extend(slots);
        }
    }
    places
}

/// Returns, for reasoning that the terminal event lacks, the place of the item that it belongs to.
fn owners(slots: &[Slot], fates: &[Fate]) -> Vec<Option<usize>> {
    let mut owner = None;
    let mut owners: Vec<Option<usize>> = slots
        .iter()
        .zip(fates)
        .rev()
        .map(|(slot, fate)| {
            if slot.head.is_reasoning() {
                return owner;
            }
            owner = match fate {
                Fate::Told { place, .. } => Some(*place),
                Fate::Left | Fate::Rest => None,
            };
            None
        })
        .collect();
    owners.reverse();
    owners
}

/// Relation of a streamed item to the terminal event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The item at this place of the terminal `output` is the same one. `end`: the place after it,
    /// and after the messages that the stream joined to it.
    Told { place: usize, end: usize },
    /// The terminal event lacks the item.
    Left,
    /// The item is the end of the previous message, which the terminal event has as one message.
    Rest,
}

fn fates(slots: &[Slot], told: &[Json]) -> Vec<Fate> {
    if told.is_empty() {
        return vec![Fate::Left; slots.len()];
    }
    let is_told = |(slot, told): (&Slot, &Json)| {
        slot.parts.is_none()
            && slot.item.as_ref().is_some_and(|item| item.received().as_str() == told.as_str())
    };
    if slots.len() == told.len() && slots.iter().zip(told).all(is_told) {
        return (0..slots.len()).map(|place| Fate::Told { place, end: place + 1 }).collect();
    }
    let low = slots.first().map_or(0, |slot| slot.output_index);
    let shared: HashSet<u32> = slots
        .iter()
        .zip(slots.iter().skip(1))
        .filter(|(a, b)| a.output_index == b.output_index)
        .map(|(a, _)| a.output_index)
        .collect();
    let streamed = slots.iter().map(|slot| {
        let index = Some(slot.output_index).filter(|index| !shared.contains(index));
        Face::of_slot(slot, index.and_then(|index| usize::try_from(index - low).ok()))
    });
    let streamed: Vec<Face> = streamed.collect();
    let told: Vec<Face> =
        told.iter().enumerate().map(|(place, item)| Face::of(item, Some(place))).collect();
    let mut pairs = Pairs::new(&streamed, &told);
    pairs.find();
    pairs.fates(slots)
}

/// Features by which two versions of an item are compared.
#[derive(Debug)]
struct Face {
    head: Head,
    body: Body,
    /// Place in the output, if no other item stands there.
    place: Option<usize>,
}

/// Content of an item, for comparison.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Body {
    /// The text of a message, the arguments or the input of a call.
    Text(String),
    /// All members that are not blank.
    Members(BTreeMap<String, Digest>),
}

impl Face {
    fn of(item: &Json, place: Option<usize>) -> Self {
        let head = Head::of_finished(item);
        Self { body: Body::of(&head, item), head, place }
    }

    fn of_slot(slot: &Slot, place: Option<usize>) -> Self {
        let head = slot.head.clone();
        let body = match (slot.finished(), &slot.parts) {
            (Some(item), _) => Body::of_finished(&head, &item),
            (None, Some(parts)) => Body::of(&head, merge::streamed(&head, parts).json()),
            (None, None) => Body::Text(String::new()),
        };
        Self { head, body, place }
    }

    /// Returns `true` if the names are equal, or one is missing.
    fn has_name_of(&self, other: &Self) -> bool {
        matches!((&self.head.name, &other.head.name), (None, _) | (_, None))
            || self.head.name == other.head.name
    }

    fn id(&self) -> Option<(Text, Text)> {
        Some((self.head.kind.clone(), self.head.id.clone()?))
    }

    fn call_id(&self) -> Option<(Text, Text)> {
        Some((self.head.kind.clone(), self.head.call_id.clone()?))
    }

    /// Returns the text of a message that has some.
    fn message_text(&self) -> Option<&str> {
        match &self.body {
            Body::Text(text) if self.head.kind == "message" && !text.is_empty() => Some(text),
            _ => None,
        }
    }

    fn content(&self) -> Option<(Text, &Body)> {
        (!self.body.is_empty()).then(|| (self.head.kind.clone(), &self.body))
    }
}

impl Body {
    fn of(head: &Head, item: &Json) -> Self {
        let Ok(members) = Members::of(item) else { return Self::Text(String::new()) };
        let value = |name| members.read::<Option<Json>>(name).ok().flatten();
        let text = match head.kind.as_str() {
            "message" => value("content").map(|content| merge::text_of(&content)),
            // Gateways that rename calls also rewrite the arguments.
            "function_call" => {
                value("arguments").map(|it| without_blanks(&merge::string_or_json(&it)))
            }
            "custom_tool_call" => value("input").map(|value| merge::string_or_json(&value)),
            _ => return Self::of_members(&members),
        };
        // The complete text often lacks an unpaired surrogate that a delta has.
        Self::Text(text.unwrap_or_default().replace(char::REPLACEMENT_CHARACTER, ""))
    }

    /// Returns the body of a finished item. Arguments that were filled in for missing ones do not
    /// count.
    fn of_finished(head: &Head, item: &Item) -> Self {
        match Self::of(head, item.json()) {
            Self::Text(text) if text == "{}" => Self::of(head, item.received()),
            body => body,
        }
    }

    fn of_members(members: &Members<'_>) -> Self {
        let mut body = BTreeMap::new();
        for (name, raw) in members.iter() {
            let is_identity = ["type", "id", "call_id", "status", "name"].contains(&name);
            if !is_identity && !merge::is_blank(name, &Json::from_trusted(raw)) {
                let digest = digest_of(raw).unwrap_or_else(|_| digest_of_text(raw));
                body.insert(name.to_owned(), digest);
            }
        }
        Self::Members(body)
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Members(members) => members.is_empty(),
        }
    }

    /// Returns `true` if both can be versions of one item: equal, one empty, or one a prefix of the
    /// other.
    fn is_compatible(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a.starts_with(b) || b.starts_with(a),
            (Self::Members(a), Self::Members(b)) => {
                a.iter().all(|(name, value)| b.get(name).is_none_or(|other| value == other))
            }
            _ => false,
        }
    }
}

/// Returns JSON text, possibly cut off, without the white space between its tokens.
fn without_blanks(json: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    let is_kept = |c: &char| {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = in_string,
            '"' => in_string = !in_string,
            _ => return in_string || !c.is_ascii_whitespace(),
        }
        true
    };
    json.chars().filter(is_kept).collect()
}

/// Matching of the streamed items with those of the terminal event, one to one.
struct Pairs<'a> {
    streamed: &'a [Face],
    told: &'a [Face],
    /// Place of each streamed item in the terminal `output`.
    places: Vec<Option<usize>>,
    is_taken: Vec<bool>,
}

impl<'a> Pairs<'a> {
    fn new(streamed: &'a [Face], told: &'a [Face]) -> Self {
        Self {
            streamed,
            told,
            places: vec![None; streamed.len()],
            is_taken: vec![false; told.len()],
        }
    }

    /// Matches by the most reliable features first. Each pass is linear.
    fn find(&mut self) {
        let any = |_: &Face, _: &Face| true;
        let compatible = |a: &Face, b: &Face| a.has_name_of(b) && a.body.is_compatible(&b.body);
        self.pass(Face::call_id, Face::call_id, any);
        // An id that several items have does not distinguish them.
        let (ours, theirs) = (single_ids(self.streamed), single_ids(self.told));
        self.pass(
            |face| face.id().filter(|id| ours.contains(id)),
            |face| face.id().filter(|id| theirs.contains(id)),
            any,
        );
        let named = |face: &Face| face.head.name.clone();
        self.pass(
            |face| Some((face.content()?, named(face))),
            |face| Some((face.content()?, named(face))),
            any,
        );
        let unnamed = |face: &&Face| face.head.name.is_none();
        self.pass(|face| Some(face).filter(unnamed)?.content(), Face::content, any);
        self.pass(Face::content, |face| Some(face).filter(unnamed)?.content(), any);
        self.pass(Face::id, Face::id, |a, b| {
            !a.head.has_other_call_id(&b.head) && compatible(a, b)
        });
        let place = |face: &Face| Some((face.head.kind.clone(), face.place?));
        self.pass(place, place, compatible);
        self.pass(ordinal(), ordinal(), compatible);
    }

    /// Pairs unmatched items with equal keys, in order.
    fn pass<K: Eq + Hash>(
        &mut self,
        mut ours: impl FnMut(&'a Face) -> Option<K>,
        mut theirs: impl FnMut(&'a Face) -> Option<K>,
        fits: impl Fn(&Face, &Face) -> bool,
    ) {
        let mut waiting: HashMap<K, VecDeque<(usize, &Face)>> = HashMap::new();
        for (place, (face, is_taken)) in self.told.iter().zip(&self.is_taken).enumerate() {
            if !is_taken && let Some(key) = theirs(face) {
                waiting.entry(key).or_default().push_back((place, face));
            }
        }
        for (face, pair) in self.streamed.iter().zip(&mut self.places) {
            if pair.is_none()
                && let Some(queue) = ours(face).and_then(|key| waiting.get_mut(&key))
                && let Some(&(place, _)) = queue.front().filter(|(_, told)| fits(face, told))
            {
                queue.pop_front();
                *pair = Some(place);
                if let Some(is_taken) = self.is_taken.get_mut(place) {
                    *is_taken = true;
                }
            }
        }
    }

    fn fates(mut self, slots: &[Slot]) -> Vec<Fate> {
        let mut before: Option<(&Slot, &Face, usize)> = None;
        let mut next = 0;
        let mut fates = Vec::with_capacity(slots.len());
        let pairs = mem::take(&mut self.places);
        for ((slot, face), pair) in slots.iter().zip(self.streamed).zip(pairs) {
            let run = if slot.is_finished() { None } else { self.run(face, pair, next) };
            if let Some(Range { start: place, end }) = run.or(pair.map(|place| place..place + 1)) {
                if let Some(are_taken) = self.is_taken.get_mut(place..end) {
                    are_taken.fill(true);
                }
                before = Some((slot, face, place));
                next = end;
                fates.push(Fate::Told { place, end });
                continue;
            }
            let is_rest = before.is_some_and(|(first, start, place)| {
                first.output_index == slot.output_index
                    && !slot.is_finished()
                    && self.told.get(place).is_some_and(|whole| is_rest(start, face, whole))
            });
            fates.push(if is_rest { Fate::Rest } else { Fate::Left });
        }
        fates
    }

    /// Returns the places of the unmatched messages of the terminal event whose joined text is that
    /// of the streamed message: from its counterpart on, or from `next`. Messages that a server
    /// sends as deltas alone at one index arrive as one.
    fn run(&self, streamed: &Face, pair: Option<usize>, next: usize) -> Option<Range<usize>> {
        let start = pair.unwrap_or(next);
        let mut end = start;
        let mut rest = streamed.message_text()?;
        while !rest.is_empty() {
            let is_free = pair == Some(end) || !*self.is_taken.get(end)?;
            // Each step takes some text, so that the cost is linear in it.
            let text = self.told.get(end).filter(|_| is_free)?.message_text()?;
            rest = rest.strip_prefix(text)?;
            end += 1;
        }
        (end > start).then_some(start..end)
    }
}

/// Returns `true` if a message is `start` followed by `rest`. Deltas without an id that arrive
/// after the end of their item start another one.
fn is_rest(start: &Face, rest: &Face, whole: &Face) -> bool {
    let is_message = rest.head.kind == "message" && rest.head.id.is_none();
    match (&start.body, &rest.body, &whole.body) {
        (Body::Text(start), Body::Text(rest), Body::Text(whole)) if is_message => {
            whole.strip_prefix(start.as_str()).is_some_and(|end| end.starts_with(rest.as_str()))
        }
        _ => false,
    }
}

/// Returns the ids that only one item has, by its type.
fn single_ids(faces: &[Face]) -> HashSet<(Text, Text)> {
    let mut counts: HashMap<(Text, Text), usize> = HashMap::new();
    for id in faces.iter().filter_map(Face::id) {
        *counts.entry(id).or_default() += 1;
    }
    counts.into_iter().filter(|(_, count)| *count == 1).map(|(id, _)| id).collect()
}

/// Returns a counter of the items of each type.
fn ordinal() -> impl FnMut(&Face) -> Option<(Text, usize)> {
    let mut counts: HashMap<Text, usize> = HashMap::new();
    move |face| {
        let count = counts.entry(face.head.kind.clone()).or_default();
        *count += 1;
        Some((face.head.kind.clone(), *count))
    }
}

/// Settled output under construction.
struct Output {
    outcome: Outcome,
    /// `true` if the terminal event has an output.
    is_told: bool,
    rows: Vec<(Item, Head)>,
    calls: HashSet<(Text, Text)>,
    settled: Settled,
}

impl Output {
    fn new(outcome: Outcome, told: &[Json], slots: &[Slot]) -> Self {
        let mut settled = Settled::default();
        if told.is_empty() && slots.iter().any(Slot::is_finished) {
            settled.anomalies.push(Anomaly::OutputMissing);
        }
        let is_told = !told.is_empty();
        Self { outcome, is_told, rows: Vec::new(), calls: HashSet::new(), settled }
    }

    /// Adds an item that only the stream has.
    fn add_streamed(&mut self, slot: Slot) {
        let output_index = slot.output_index;
        if let Some(item) = slot.finished() {
            if self.is_told {
                self.note(Anomaly::ItemMissing { output_index });
            }
            return self.add(item, slot.head, true);
        }
        let completed =
            (self.outcome == Outcome::Completed).then(|| slot.completed_from_parts()).flatten();
        if let Some(item) = completed {
            self.note(Anomaly::ItemUnfinished { output_index });
            return self.add(item, slot.head, false);
        }
        if !slot.head.is_reasoning() {
            self.drop_reasoning();
        }
        self.settled.unfinished.extend(slot.parts.map(|parts| *parts));
    }

    /// Adds an item that only the terminal event has.
    fn add_told(&mut self, told: &Json) {
        let head = Head::of_finished(told);
        let item = Item::from_trusted(told.to_detached());
        self.add(merge::finished(&item, &head, None), head, false);
    }

    /// Adds an item that both have.
    fn add_both(&mut self, told: &Json, slot: Slot) {
        let output_index = slot.output_index;
        let Some(item) = slot.finished() else {
            let mut head = Head::of_finished(told);
            head.complete_from(slot.head);
            let item = Item::from_trusted(told.to_detached());
            return self.add(merge::finished(&item, &head, slot.parts.as_deref()), head, false);
        };
        let merged = merge::overruled(&item, told, &slot.head);
        if merged.json().as_str() != item.json().as_str() {
            self.note(Anomaly::ItemChanged { output_index });
        }
        self.add(merged, slot.head, true);
    }

    /// Adds an item, unless it is a call that was yielded already or must not be yielded.
    fn add(&mut self, item: Item, head: Head, is_finished: bool) {
        if head.is_call() {
            if is_finished && head.is_nameless() && self.outcome != Outcome::Failed {
                let unreadable = check_call(&head, &item).err();
                self.settled.nameless = self.settled.nameless.take().or(unreadable);
            }
            // The end of its item in the stream proves as much as a status.
            let is_completed = || {
                let status: Option<String> = item.json().member("status").ok().flatten();
                status.map_or(is_finished, |status| status == "completed")
            };
            if self.outcome == Outcome::Incomplete && !is_completed() {
                return self.drop_reasoning();
            }
            let call_id = head.call_id.clone();
            let is_new = call_id.is_none_or(|id| self.calls.insert((head.kind.clone(), id)));
            if !is_new {
                return self.note(Anomaly::CallRepeated);
            }
        }
        self.rows.push((item, head));
    }

    /// Adds the text of the response, if no item has text.
    fn add_text(&mut self, text: &Json) {
        let is_message = |head: &Head| head.kind == "message";
        let has_text = |item: &Item| {
            let content = item.json().get("content");
            content.is_some_and(|content| !merge::text_of(&content).is_empty())
        };
        let is_silent = self.outcome != Outcome::Failed
            && text.as_str().starts_with('"')
            && !self.rows.iter().any(|(item, head)| is_message(head) && has_text(item))
            && self.settled.unfinished.iter().all(|parts| parts.text().is_empty());
        if is_silent {
            let item = merge::message_of(text.as_str());
            let head = Head::of_finished(item.json());
            // The text belongs to a message without text, if there is one.
            match self.rows.iter_mut().rfind(|(_, head)| is_message(head)) {
                Some((message, head)) => *message = merge::overruled(message, item.json(), head),
                None => self.rows.push((item, head)),
            }
        }
    }

    /// Drops the reasoning that led to an omitted item.
    fn drop_reasoning(&mut self) {
        if self.outcome != Outcome::Failed {
            while self.rows.pop_if(|(_, head)| head.is_reasoning()).is_some() {}
        }
    }

    fn note(&mut self, anomaly: Anomaly) {
        self.settled.anomalies.push(anomaly);
    }

    fn into_settled(mut self) -> Settled {
        self.settled.items = self.rows.into_iter().map(|(item, _)| item).collect();
        self.settled
    }
}
