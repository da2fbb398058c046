//! What the tables of items and their parts become: types, and how they are read.

/// Structs of the members of JSON objects. A member that has another name on the wire gives it,
/// and one that is read as another type gives that `as` its reader.
macro_rules! objects {
    ($($(#[$doc:meta])* $name:ident {
        $($(#[$field_doc:meta])*
        $field:ident $(= $wire:literal)?: $type:ty $(as $reader:ident)?,)*
    })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $name {
            pub(crate) fn decode(
                json: &$crate::json::Json,
            ) -> Result<Self, $crate::error::DecodeError> {
                let members = $crate::event::item::Members::of(json)?;
                Ok(Self {
                    $($field: $crate::event::item::objects!(
                        @read members.read($crate::event::item::objects!(@wire $field $($wire)?)),
                        $($reader)?
                    ),)*
                })
            }
        }

        impl $crate::event::item::Read for $name {
            fn read(json: &$crate::json::Json) -> Option<Self> {
                Self::decode(json).ok()
            }
        }
    )*};
    (@read $read:expr,) => { $read? };
    (@read $read:expr, $reader:ident) => {{
        let $crate::event::item::$reader(value) = $read?;
        value
    }};
    (@wire $field:ident) => { stringify!($field) };
    (@wire $field:ident $wire:literal) => { $wire };
}

/// Enums of what a `type` tells apart; what cannot be read is `Other`. What is what its item is
/// about says how a string in the place of a list of them is read.
macro_rules! unions {
    ($($(#[$doc:meta])* $name:ident $(is its item, $of_text:ident)? {
        $($(#[$variant_doc:meta])*
        $variant:ident $(($payload:ty))? = $wire:literal $(| $alias:literal)*,)*
    })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_doc])* $variant $(($payload))?,)*
            /// Anything else, as it came.
            Other($crate::json::Json),
        }

        impl $crate::event::item::Read for $name {
            $(
                const IS_ITS_ITEM: bool = true;

                fn of_text(json: &$crate::json::Json) -> Option<Self> {
                    Self::$of_text(json)
                }
            )?

            fn read(json: &$crate::json::Json) -> Option<Self> {
                let known = || {
                    Some(match $crate::event::item::type_of(json)?.as_ref() {
                        $($wire $(| $alias)* => Self::$variant $(
                            (<$payload as $crate::event::item::Read>::read(json)?)
                        )?,)*
                        _ => return None,
                    })
                };
                Some(known().unwrap_or_else(|| Self::Other(json.clone())))
            }
        }
    )*};
}

/// The table of the items: [`objects`] with the members that all items have, and
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
            pub fn read(item: &Item) -> Result<Self, $crate::error::DecodeError> {
                Ok(match item.item_type().as_str() {
                    $($wire $(| $alias)* => Self::$name($name::decode(item.json())?),)*
                    _ => Self::Other(item.clone()),
                })
            }
        }
    };
}

pub(crate) use objects;
pub(super) use {items, unions};
