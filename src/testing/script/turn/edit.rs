//! A named change of the steps of a turn.

use std::{fmt, sync::Arc};

use crate::testing::script::step::Step;

/// A change of the steps of a turn.
#[derive(Clone)]
pub(super) struct StepEdit {
    name: &'static str,
    change: Arc<Change>,
}

type Change = dyn Fn(&mut Vec<Step>) + Send + Sync;

impl StepEdit {
    pub(super) fn new(
        name: &'static str,
        change: impl Fn(&mut Vec<Step>) + Send + Sync + 'static,
    ) -> Self {
        Self { name, change: Arc::new(change) }
    }

    pub(super) fn apply(&self, steps: &mut Vec<Step>) {
        (self.change)(steps);
    }
}

impl fmt::Debug for StepEdit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
