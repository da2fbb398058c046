//! Defects that the crate's own tests switch on, one at a time, to see that the soak finds them.
//!
//! Nothing of it is in a build that is not a unit test: there `defect!` is `false`.

/// Whether this defect is switched on.
macro_rules! defect {
    ($name:ident) => {{
        #[cfg(test)]
        let active = crate::defects::is_active(crate::defects::Defect::$name);
        #[cfg(not(test))]
        let active = false;
        active
    }};
}

#[cfg(test)]
pub(crate) use switch::{Defect, is_active};

#[cfg(test)]
mod switch {
    use std::cell::Cell;

    macro_rules! defects {
        ($($(#[$doc:meta])* $name:ident,)*) => {
            /// One thing done wrong.
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub(crate) enum Defect {
                $($(#[$doc])* $name,)*
            }

            impl Defect {
                #[cfg(feature = "testing")]
                pub(crate) const ALL: &[Self] = &[$(Self::$name,)*];
            }
        };
    }

    defects! {
        /// What was sent with no answer is sent again under `Never`.
        ReplaysUnderNever,
        /// What was accepted is sent again under `BeforeCreated`.
        ReplaysAccepted,
        /// The number of replays is not limited.
        ReplaysWithoutEnd,
        /// The number of attempts is not limited.
        AttemptsWithoutEnd,
        /// `Retry-After` is not waited for.
        RetryAfterIgnored,
        /// `WebSocketOnly` falls back to SSE.
        PolicyOverridden,
        /// A late event of the response before is taken for one of this.
        StrayTaken,
        /// Whatever comes between turns is swallowed.
        IdleSwallowsAll,
        /// Garbage leaves the socket in use.
        SocketKeptAfterGarbage,
        /// The parent of one socket is named on another.
        ParentElsewhere,
        /// What is not stored is continued over SSE.
        ParentOverSse,
        /// A failed turn leaves what was before it to be continued.
        StaleBaseline,
        /// The settled output lacks its last item.
        OutputShort,
        /// One item more is left out than the server has.
        SkipsOneMore,
        /// One item is sent that the server has.
        SkipsOneLess,
        /// The digest of a history misses an item.
        DigestMissesItem,
        /// Instructions are no part of the context.
        InstructionsIgnored,
        /// A fork is the same session.
        ForkShares,
        /// A superseded stream goes on.
        SupersededGoesOn,
        /// The terminal event adds items that were finished.
        TerminalAddsItems,
        /// The end of the connection ends the turn well.
        EndIsSuccess,
        /// A retry tells `Created` again.
        CreatedAgain,
        /// An event is kept back.
        EventLost,
        /// Dropping a stream leaves its socket open.
        DroppedStaysOpen,
        /// A socket is used past its age.
        MaxAgeIgnored,
        /// What one account's server has is named to another's.
        AccountIgnored,
        /// A warm-up is continued whatever the request is.
        WarmUpForAnother,
    }

    thread_local! {
        static ACTIVE: Cell<Option<Defect>> = const { Cell::new(None) };
    }

    pub(crate) fn is_active(defect: Defect) -> bool {
        ACTIVE.get() == Some(defect)
    }

    /// Switches a defect on, or all off, in this thread.
    #[cfg(feature = "testing")]
    pub(crate) fn switch(to: Option<Defect>) {
        ACTIVE.set(to);
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests;
