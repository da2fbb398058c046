//! Answers to the messages about a response, and the lanes of a server, in a script file.

use serde::Deserialize;

use crate::testing::script::{
    inject::Injecting, interrupt::Interrupting, lane::Lanes, steer::Steering,
};

#[derive(Deserialize)]
#[serde(rename = "Steering", rename_all = "snake_case")]
pub(super) enum SteeringForm {
    Accept,
    SuccessorFirst,
    SuccessorLast,
    PendingLate,
    Refuse(String),
    FailLater(String),
    Ignore,
}

#[derive(Deserialize)]
#[serde(rename = "Injecting", rename_all = "snake_case")]
pub(super) enum InjectingForm {
    Accept,
    Refuse(String),
    Ignore,
}

#[derive(Deserialize)]
#[serde(rename = "Interrupting", rename_all = "snake_case")]
pub(super) enum InterruptingForm {
    Accept,
    AfterItem,
    Refuse,
    Ignore,
}

#[derive(Deserialize)]
#[serde(rename = "Lanes", rename_all = "snake_case")]
pub(super) enum LanesForm {
    Serve,
    Refuse,
    Ignore,
    Strip,
}

impl From<SteeringForm> for Steering {
    fn from(form: SteeringForm) -> Self {
        match form {
            SteeringForm::Accept => Self::Accept,
            SteeringForm::SuccessorFirst => Self::SuccessorFirst,
            SteeringForm::SuccessorLast => Self::SuccessorLast,
            SteeringForm::PendingLate => Self::PendingLate,
            SteeringForm::Refuse(code) => Self::Refuse(code),
            SteeringForm::FailLater(code) => Self::FailLater(code),
            SteeringForm::Ignore => Self::Ignore,
        }
    }
}

impl From<InjectingForm> for Injecting {
    fn from(form: InjectingForm) -> Self {
        match form {
            InjectingForm::Accept => Self::Accept,
            InjectingForm::Refuse(code) => Self::Refuse(code),
            InjectingForm::Ignore => Self::Ignore,
        }
    }
}

impl From<InterruptingForm> for Interrupting {
    fn from(form: InterruptingForm) -> Self {
        match form {
            InterruptingForm::Accept => Self::Accept,
            InterruptingForm::AfterItem => Self::AfterItem,
            InterruptingForm::Refuse => Self::Refuse,
            InterruptingForm::Ignore => Self::Ignore,
        }
    }
}

impl From<LanesForm> for Lanes {
    fn from(form: LanesForm) -> Self {
        match form {
            LanesForm::Serve => Self::Serve,
            LanesForm::Refuse => Self::Refuse,
            LanesForm::Ignore => Self::Ignore,
            LanesForm::Strip => Self::Strip,
        }
    }
}
