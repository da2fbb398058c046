//! Macro that expands the table of the items.

/// The table of the items: [`objects`](super::define::objects) with the members that all items have, and
/// [`OutputItem`](super::OutputItem) over them.
macro_rules! items {
    ($($(#[$doc:meta])* $name:ident = $wire:literal $(| $alias:literal)* {
        $($(#[$field_doc:meta])*
        $field:ident $(= $member:literal)?: $type:ty $(as $reader:ident)?,)*
    })*) => {
        objects! {$(
            $(#[$doc])*
            $name {
                /// Id of the item.
                id: Option<String>,
                /// Status: `in_progress`, `completed`, `incomplete`, or one that only some kinds
                /// have.
                status: Option<String>,
                $($(#[$field_doc])* $field $(= $member)?: $type $(as $reader)?,)*
                /// Creator of the item. Only items that were retrieved later have it.
                created_by: Option<String>,
                /// Agent of the item (multi-agent beta).
                agent: Option<$crate::event::item::Agent>,
            }
        )*}

        /// Output item, decoded. [`Item::json`] has the members without a field here.
        ///
        /// A `String` identifies or classifies. A [`Text`](crate::Text) was written by the model, a
        /// tool or a server, and is a slice of the item's bytes. A member that the server omitted
        /// is `None` or empty, and so is an optional member of another type.
        ///
        /// ```
        /// use responses_client::{Response, event::OutputItem};
        ///
        /// fn show(response: &Response) {
        ///     for item in response.output() {
        ///         match item {
        ///             OutputItem::Message(message) => println!("{}", message.text()),
        ///             OutputItem::Reasoning(reasoning) => println!("({})", reasoning.summary()),
        ///             OutputItem::FunctionCall(call) => println!("{}({})", call.name, call.arguments),
        ///             OutputItem::Other(item) => println!("an item of type {}", item.item_type()),
        ///             _ => {}
        ///         }
        ///     }
        /// }
        /// # let _ = show;
        /// ```
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum OutputItem {
            $($(#[$doc])* $name($name),)*
            /// An item of any other type, as received.
            Other(Item),
        }

        impl OutputItem {
            /// Types that this version knows.
            pub const TYPES: &'static [&'static str] = &[$($wire, $($alias,)*)*];

            /// Decodes `item`.
            ///
            /// # Errors
            ///
            /// [`DecodeError`](crate::error::DecodeError) if an item of a known type lacks its
            /// identifier (for example `call_id`), or its content is of another type.
            pub fn read(item: &Item) -> Result<Self, $crate::json::DecodeError> {
                Ok(match item.item_type() {
                    $($wire $(| $alias)* => Self::$name($name::decode(item.json())?),)*
                    _ => Self::Other(item.clone()),
                })
            }
        }
    };
}

pub(super) use items;
