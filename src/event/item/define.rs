//! Macros that expand the tables of items and their parts into types and their decoders.

/// Structs for JSON objects. A member with another name on the wire states that name, and a member
/// that is decoded through another type states that type after `as`.
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

/// Enums of the variants that a `type` distinguishes; a value that cannot be decoded is `Other`.
/// `is` states the requirement on a list of them, and the decoding of a string in its place.
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
            /// Any other value, as received.
            Other($crate::json::Json),
        }

        impl $crate::event::item::Read for $name {
            $(
                const REQUIRED_LIST: bool = true;

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
