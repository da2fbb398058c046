//! The turn that answers a request.

use serde_json::Value;

use super::{
    builder::{NextTurn, Script},
    error_reply::ErrorReply,
    request,
    step::Step,
    turn::Turn,
};

/// Facts about a request that decide its turn.
#[derive(Debug)]
pub(crate) struct Admission<'a> {
    pub(crate) body: &'a Value,
    /// Code of the Close frame with which the connection answers every request.
    pub(crate) close_on_create: Option<u16>,
    /// Error of an invalid request.
    pub(crate) error: Option<ErrorReply>,
    /// Id of the response that the request continues, if the server does not have it.
    pub(crate) lost_parent: Option<&'a str>,
}

/// The turn of a request.
pub(crate) struct ChosenTurn {
    pub(crate) turn: NextTurn,
    /// The request takes a turn of the script.
    pub(crate) is_scripted: bool,
}

impl Script {
    /// Chooses the turn that answers a request, and takes it from the script if it is scripted.
    pub(crate) fn choose(&mut self, admission: Admission<'_>) -> ChosenTurn {
        match self.unscripted(&admission) {
            Some(turn) => ChosenTurn { turn: NextTurn::fixed(turn), is_scripted: false },
            None => match self.next_turn() {
                Some(turn) => ChosenTurn { turn, is_scripted: true },
                None => {
                    // A status that no client retries: a retry would get the same answer.
                    let message = "The script has no more turns.";
                    let error = ErrorReply::new(400, "script_exhausted", message);
                    let turn = NextTurn::fixed(Turn::error_reply(error));
                    ChosenTurn { turn, is_scripted: false }
                }
            },
        }
    }

    /// Returns the turn of a request that takes none of the script.
    fn unscripted(&self, admission: &Admission<'_>) -> Option<Turn> {
        let Admission { body, close_on_create, error, lost_parent } = admission;
        if close_on_create.is_some() {
            let close = Step::Close { code: *close_on_create, reason: String::new() };
            return Some(Turn::steps([close]));
        }
        if let Some(error) = error {
            return Some(Turn::error_reply(error.clone()));
        }
        if let Some(id) = lost_parent {
            return Some(Turn::error_reply(request::not_found(id)));
        }
        let generates = self.ignores_generate || body.get("generate") != Some(&Value::Bool(false));
        (!generates).then(|| Turn::output([]))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn admission(body: &Value) -> Admission<'_> {
        Admission { body, close_on_create: None, error: None, lost_parent: None }
    }

    fn is_scripted(script: &mut Script, admission: Admission<'_>) -> bool {
        script.choose(admission).is_scripted
    }

    #[test]
    fn only_valid_requests_that_generate_take_a_turn() {
        let mut script = Script::new().turn(Turn::text("1"));
        let body = json!({ "model": "m" });
        let invalid = ErrorReply::new(400, "invalid_json", "");
        for none in [
            Admission { close_on_create: Some(1011), ..admission(&body) },
            Admission { error: Some(invalid), ..admission(&body) },
            Admission { lost_parent: Some("resp_1"), ..admission(&body) },
            admission(&json!({ "generate": false })),
        ] {
            assert!(!is_scripted(&mut script, none));
        }
        assert!(is_scripted(&mut script, admission(&body)));
        assert!(!is_scripted(&mut script, admission(&body)), "the script is exhausted");
    }

    #[test]
    fn a_function_answers_after_the_last_turn() {
        let mut script =
            Script::new().turn(Turn::text("1")).respond(|_| Turn::text("2")).ignore_generate();
        let body = json!({ "generate": false });
        assert!(matches!(script.choose(admission(&body)).turn, NextTurn::Fixed(_)));
        assert!(matches!(script.choose(admission(&body)).turn, NextTurn::Respond(_)));
        assert!(is_scripted(&mut script, admission(&body)));
    }
}
