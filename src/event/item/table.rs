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
                /// Its id.
                id: Option<String>,
                /// `in_progress`, `completed`, `incomplete`, or what only some kinds have.
                status: Option<String>,
                $($(#[$field_doc])* $field $(= $member)?: $type $(as $reader)?,)*
                /// Who made it, of items that were read back.
                created_by: Option<String>,
                /// The agent that it belongs to (multi-agent beta).
                agent: Option<$crate::event::item::Agent>,
            }
        )*}

        /// An output item that can be read. What has no member here stays in [`Item::json`].
        ///
        /// A `String` identifies or classifies; a [`Text`](crate::Text) is what the model, a tool
        /// or a server wrote: a part of the item's own bytes. What a server left out is `None`
        /// or empty, and so is a member of another type that an item can do without.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum OutputItem {
            $($(#[$doc])* $name($name),)*
            /// An item of any other type, as it was received.
            Other(Item),
        }

        impl OutputItem {
            /// The types that this version knows.
            pub const TYPES: &'static [&'static str] = &[$($wire, $($alias,)*)*];

            /// Reads `item`.
            ///
            /// # Errors
            ///
            /// [`DecodeError`](crate::error::DecodeError) when an item of a known type lacks what
            /// identifies it (`call_id`, say), or what it is about is of another type.
            pub fn read(item: &Item) -> Result<Self, $crate::json::DecodeError> {
                Ok(match item.item_type().as_str() {
                    $($wire $(| $alias)* => Self::$name($name::decode(item.json())?),)*
                    _ => Self::Other(item.clone()),
                })
            }
        }
    };
}

pub(super) use items;
