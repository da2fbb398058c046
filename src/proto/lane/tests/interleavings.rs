//! Three lanes against a model that knows to whom each frame belongs.

use proptest::prelude::*;

use super::*;

const LANES: usize = 3;

/// An event of the socket, or of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    /// A request is written, if its lane is idle.
    Begin(usize),
    /// The next frame of the lane's response.
    Frame(usize),
    /// The terminal frame of the lane's response comes early.
    End(usize),
    /// An error that names the lane.
    Error(usize),
    /// The consumer of the lane leaves.
    Detach(usize),
    /// A frame with a name that no request has used.
    UnknownName,
    /// A late event of the last response of the lane, which names that response.
    Late(usize),
    /// A frame that means nothing, without a name.
    Keepalive,
    /// The error that ends a socket of its age.
    Age,
    /// An error that names nothing.
    Unnamed,
}

/// Knowledge of the model about a lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Known {
    is_active: bool,
    is_detached: bool,
    /// Frames of the response that have arrived.
    frames: usize,
    /// Number of the response.
    response: usize,
    /// A frame has named the response.
    is_named: bool,
    /// A frame had named the response before.
    was_named: bool,
    /// Responses that ended for a consumer.
    ends: usize,
}

struct Scene {
    lanes: Lanes,
    known: [Known; LANES],
}

impl Scene {
    /// Returns the lanes of a socket on which each lane has had a request.
    fn new() -> Self {
        let mut scene = Self { lanes: Lanes::new(1 << 20), known: [Known::default(); LANES] };
        for lane in 0..LANES {
            scene.step(Op::Begin(lane));
            scene.step(Op::End(lane));
        }
        scene
    }

    fn active(&self) -> Vec<usize> {
        (0..LANES).filter(|lane| self.known[*lane].is_active).collect()
    }

    /// Ends the exchange of a lane, and returns the decision about its last frame.
    fn ended(&mut self, lane: usize) -> String {
        let known = &mut self.known[lane];
        let has_consumer = !known.is_detached;
        known.ends += usize::from(has_consumer);
        (known.is_active, known.is_detached) = (false, false);
        if has_consumer { format!("to {lane}, free") } else { format!("freed {lane}") }
    }

    /// Ends the exchanges that an error without a name concerns.
    fn all_ended(&mut self, lanes: &[usize]) -> String {
        match lanes {
            [] => "retire".to_owned(),
            [only] => self.ended(*only),
            lanes => {
                for lane in lanes {
                    self.ended(*lane);
                }
                format!("to {lanes:?}, free")
            }
        }
    }

    /// Returns the lanes that an error without a name concerns.
    fn concerned(&self) -> Vec<usize> {
        let active = self.active();
        if active.contains(&0) {
            return vec![0];
        }
        let is_waiting = |lane: &&usize| {
            let known = &self.known[**lane];
            known.frames == 0 && !known.is_detached
        };
        let waiting: Vec<usize> = active.iter().filter(is_waiting).copied().collect();
        if active.len() > 1 && waiting.len() == 1 { waiting } else { active }
    }

    /// Returns the payload and the decision that the model expects.
    fn frame(&mut self, op: Op) -> (String, String) {
        let payload = |lane: usize, kind: &str, response: usize| {
            let id = format!("resp_{lane}_{response}");
            let lane = u8::try_from(lane).unwrap();
            on(lane, &format!(r#"{{"type":"response.{kind}","response":{{"id":"{id}"}}}}"#))
        };
        match op {
            Op::Begin(_) | Op::Detach(_) => panic!("no frame"),
            Op::Frame(lane) | Op::End(lane) => {
                let known = self.known[lane];
                let kind = match known.frames {
                    0 if op == Op::Frame(lane) => "created",
                    1 | 2 if op == Op::Frame(lane) => "output_text.delta",
                    _ => "completed",
                };
                let payload = payload(lane, kind, known.response);
                if !known.is_active {
                    // Late, because the lane's response has ended. Without a name, only its id shows
                    // whose it is.
                    let is_known = lane > 0 || known.is_named;
                    return (payload, if is_known { "ignore" } else { "retire" }.to_owned());
                }
                self.known[lane].frames += 1;
                self.known[lane].is_named = true;
                let decision = match kind {
                    "completed" => self.ended(lane),
                    _ if known.is_detached => "ignore".to_owned(),
                    _ => format!("to {lane}"),
                };
                (payload, decision)
            }
            Op::Error(lane) => {
                let payload = on(u8::try_from(lane).unwrap(), ERROR);
                let decision = match (self.known[lane].is_active, lane) {
                    (true, _) => self.ended(lane),
                    // Without a name, it is not known to be of the default lane.
                    (false, 0) => {
                        let concerned = self.concerned();
                        self.all_ended(&concerned)
                    }
                    // Nobody has the lane.
                    (false, _) => "ignore".to_owned(),
                };
                (payload, decision)
            }
            Op::UnknownName => (on(9, DELTA), "ignore".to_owned()),
            Op::Late(lane) => {
                let known = self.known[lane];
                let last = known.response - usize::from(known.is_active);
                (payload(lane, "completed", last), "ignore".to_owned())
            }
            Op::Keepalive => {
                let decision = match self.active().as_slice() {
                    // The default lane has it, once, as a sign of life.
                    active if active.contains(&0) => None,
                    [_] => None,
                    _ => Some("ignore".to_owned()),
                };
                (KEEPALIVE.to_owned(), decision.unwrap_or_default())
            }
            Op::Age => {
                let error =
                    r#"{"type":"error","error":{"code":"websocket_connection_limit_reached"}}"#;
                let active = self.active();
                let mut decision = self.all_ended(&active);
                if decision.starts_with("freed") {
                    decision.push_str(", retired");
                }
                (error.to_owned(), decision)
            }
            Op::Unnamed => {
                let concerned = self.concerned();
                (ERROR.to_owned(), self.all_ended(&concerned))
            }
        }
    }

    /// Returns `true` if the last response of the lane that has ended named itself.
    fn has_named_last(&self, lane: usize) -> bool {
        let known = &self.known[lane];
        if known.is_active { known.was_named } else { known.is_named }
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Begin(lane) => {
                let known = &mut self.known[lane];
                if !known.is_active {
                    self.lanes.begin(LaneId(u8::try_from(lane).unwrap()), false);
                    self.lanes.written();
                    known.response += 1;
                    (known.is_active, known.frames) = (true, 0);
                    known.was_named = std::mem::take(&mut known.is_named);
                }
            }
            Op::Detach(lane) => {
                let known = &mut self.known[lane];
                let detached = self.lanes.detach(LaneId(u8::try_from(lane).unwrap()));
                assert_eq!(detached, known.is_active && !known.is_detached);
                known.is_detached |= known.is_active;
            }
            // Nothing shows whose it is.
            Op::Late(lane) if !self.has_named_last(lane) => {}
            op => {
                let (payload, decision) = self.frame(op);
                let got = route(&mut self.lanes, &payload);
                match decision.as_str() {
                    // A sign of life ends nothing and reaches no lane but one that runs.
                    "" => {
                        let allowed = got == "ignore"
                            || self.active().iter().any(|lane| got == format!("to {lane}"));
                        assert!(allowed, "{op:?}: {got}");
                    }
                    decision => assert_eq!(got, decision, "{op:?} {payload}"),
                }
            }
        }
        for (lane, known) in self.known.iter().enumerate() {
            let id = LaneId(u8::try_from(lane).unwrap());
            assert_eq!(self.lanes.is_active(id), known.is_active, "{op:?}, lane {lane}");
        }
    }
}

/// Calls `run` with each order in which the lanes can send their frames.
fn each_order(left: [usize; LANES], order: &mut Vec<Op>, run: &mut impl FnMut(&[Op])) {
    if left == [0; LANES] {
        return run(order);
    }
    for lane in 0..LANES {
        if left[lane] > 0 {
            let mut left = left;
            left[lane] -= 1;
            order.push(Op::Frame(lane));
            each_order(left, order, run);
            order.pop();
        }
    }
}

#[test]
fn c086_all_orders_of_three_lanes_keep_each_response_on_its_lane() {
    let noises = [
        Op::UnknownName,
        Op::Keepalive,
        Op::Late(0),
        Op::Late(1),
        Op::Detach(0),
        Op::Detach(1),
        Op::Error(2),
        Op::Age,
        Op::Unnamed,
    ];
    let mut orders = 0;
    // Created, two deltas and the end; created and the end alone would not show the middle.
    each_order([4, 3, 2], &mut Vec::new(), &mut |order| {
        orders += 1;
        // Each noise at one place, which moves on with the order.
        for (number, noise) in noises.iter().enumerate() {
            let mut scene = Scene::new();
            (0..LANES).for_each(|lane| scene.step(Op::Begin(lane)));
            for (place, op) in order.iter().enumerate() {
                if place == (orders + number) % order.len() {
                    scene.step(*noise);
                }
                scene.step(*op);
            }
            for lane in 0..LANES {
                // What has not ended ends now, once.
                scene.step(Op::End(lane));
                let known = scene.known[lane];
                let has_left = *noise == Op::Detach(lane) && known.ends == 1;
                assert!(known.ends == 2 || has_left, "{noise:?} {order:?} {known:?}");
            }
        }
    });
    assert_eq!(orders, 1260);
}

fn op() -> impl Strategy<Value = Op> {
    let lane = 0..LANES;
    prop_oneof![
        4 => lane.clone().prop_map(Op::Begin),
        10 => lane.clone().prop_map(Op::Frame),
        1 => lane.clone().prop_map(Op::End),
        1 => lane.clone().prop_map(Op::Error),
        1 => lane.clone().prop_map(Op::Detach),
        1 => lane.prop_map(Op::Late),
        1 => Just(Op::UnknownName),
        1 => Just(Op::Keepalive),
        1 => Just(Op::Age),
        1 => Just(Op::Unnamed),
    ]
}

proptest! {
    #[test]
    fn c086_c169_whatever_happens_no_frame_reaches_a_foreign_lane(
        ops in prop::collection::vec(op(), 1..80),
    ) {
        let mut scene = Scene::new();
        ops.into_iter().for_each(|op| scene.step(op));
    }
}
