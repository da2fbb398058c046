//! Operations of the API besides turns, and which server has them.

use crate::format::named;

/// Operation of the API besides a turn, which not every server has.
///
/// [`Provider::support`](crate::Provider::support) returns whether a server has the operation.
///
/// ```
/// use responses_client::{Operation, Provider, Support};
///
/// let xai = Provider::xai();
/// assert_eq!(xai.support(Operation::Compact), Support::Yes);
/// assert_eq!(xai.support(Operation::Background), Support::No);
/// assert_eq!(Operation::InputTokens.to_string(), "input_tokens");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// `GET /responses/{id}`: retrieves a stored response.
    Retrieve,
    /// `POST /responses/{id}/cancel`: cancels a response in the background.
    Cancel,
    /// `DELETE /responses/{id}`: deletes a stored response.
    Delete,
    /// `GET /responses/{id}/input_items`: lists the input of a stored response.
    InputItems,
    /// `POST /responses/input_tokens`: counts the tokens of an input.
    InputTokens,
    /// `POST /responses/compact`: compacts a history.
    Compact,
    /// `GET /models`: lists models, in the form of the server.
    Models,
    /// `POST /responses` with [`background`](crate::ResponsesRequest#structfield.background).
    Background,
}

/// Knowledge about whether a server has an [`Operation`].
///
/// ```
/// use responses_client::{Operation, Provider, Support};
///
/// let gateway = Provider::compatible("https://gateway.example/v1")?;
/// assert_eq!(gateway.support(Operation::Compact), Support::Unknown);
/// let gateway = gateway.operation(Operation::Compact, true);
/// assert_eq!(gateway.support(Operation::Compact), Support::Yes);
/// # Ok::<_, responses_client::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Support {
    /// The server has the operation.
    Yes,
    /// The server does not have the operation.
    No,
    /// Neither is documented, or the settings of the server decide.
    Unknown,
}

/// Set of the operations that a server has, and set of those that it does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Operations {
    present: u8,
    absent: u8,
}

named! {
    Operation {
        Retrieve = "retrieve",
        Cancel = "cancel",
        Delete = "delete",
        InputItems = "input_items",
        InputTokens = "input_tokens",
        Compact = "compact",
        Models = "models",
        Background = "background",
    }

    Support {
        Yes = "yes",
        No = "no",
        Unknown = "unknown",
    }
}

impl Operation {
    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl Operations {
    /// Nothing is known.
    pub(super) const UNKNOWN: Self = Self { present: 0, absent: 0 };

    /// The server has every operation.
    pub(super) const ALL: Self = Self { present: u8::MAX, absent: 0 };

    /// The server has no operation.
    pub(super) const NONE: Self = Self { present: 0, absent: u8::MAX };

    /// Returns the sets with `operations` of this support.
    pub(super) const fn with(mut self, support: Support, operations: &[Operation]) -> Self {
        let mut rest = operations;
        while let [operation, others @ ..] = rest {
            let bit = operation.bit();
            self.present &= !bit;
            self.absent &= !bit;
            match support {
                Support::Yes => self.present |= bit,
                Support::No => self.absent |= bit,
                Support::Unknown => {}
            }
            rest = others;
        }
        self
    }

    pub(super) fn support(self, operation: Operation) -> Support {
        let bit = operation.bit();
        if self.present & bit != 0 {
            Support::Yes
        } else if self.absent & bit != 0 {
            Support::No
        } else {
            Support::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_support_of_an_operation_counts() {
        use Operation::{Cancel, Delete};
        let mut operations = Operations::UNKNOWN;
        for support in [Support::Yes, Support::No, Support::Unknown, Support::No, Support::Yes] {
            operations = operations.with(support, &[Cancel]);
            assert_eq!(operations.support(Cancel), support);
            assert_eq!(operations.support(Delete), Support::Unknown);
        }
        let both = Operations::ALL.with(Support::No, &[Cancel, Delete]);
        assert_eq!([Cancel, Delete].map(|it| both.support(it)), [Support::No; 2]);
        assert_eq!(both.support(Operation::Background), Support::Yes);
        assert_eq!(Operations::NONE.support(Operation::Background), Support::No);
    }
}
