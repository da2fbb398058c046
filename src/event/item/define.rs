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
            ) -> Result<Self, $crate::json::DecodeError> {
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

pub(crate) use objects;
pub(super) use unions;
