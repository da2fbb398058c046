//! Text and JSON of public values: the names of enums, and times in milliseconds.

use std::time::Duration;

use serde::{Serialize, Serializer};

/// Implements `as_str`, `Display` and `Serialize` of enums without data, so that all three agree.
/// The enum serializes as its name.
macro_rules! named {
    ($($type:ident { $($variant:ident = $name:literal,)* })*) => {$(
        impl $type {
            /// Returns the name of the value. `Display` writes this name, and the type serializes
            /// as it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }

        $crate::format::as_named!($type);
    )*};
}

/// Like [`named`], for an enum whose variant `Other` keeps a name that this version does not know.
macro_rules! named_or_other {
    ($($type:ident { $($variant:ident = $name:literal,)* })*) => {$(
        impl $type {
            /// Returns the name on the wire. `Display` writes this name, and the type serializes
            /// as it.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other(name) => name,
                }
            }
        }

        impl From<&str> for $type {
            fn from(name: &str) -> Self {
                match name {
                    $($name => Self::$variant,)*
                    _ => Self::Other(name.to_owned()),
                }
            }
        }

        $crate::format::as_named!($type);
    )*};
}

/// Like [`named`], for enums with data. `Display` writes the name and the detail that follows it.
/// The enum serializes as an object with its name as `kind`, and with its data under the names of
/// the bindings.
macro_rules! named_with_data {
    ($($type:ident {
        $($variant:ident $(($value:ident))? $({ $($field:ident),* })?
            = $name:literal $(, $detail:literal)?;)*
    })*) => {$(
        impl $type {
            /// Returns the name of the value, without its data. `Display` writes this name and then
            /// the data. The type serializes as an object with this name as its `kind`.
            pub const fn as_str(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $name,)*
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())?;
                match self {
                    $(Self::$variant $(($value))? $({ $($field),* })? => {
                        $(_ = $value;)?
                        $($(_ = $field;)*)?
                        $(write!(f, $detail)?;)?
                    })*
                }
                Ok(())
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap;
                let mut object = serializer.serialize_map(None)?;
                object.serialize_entry("kind", self.as_str())?;
                match self {
                    $(Self::$variant $(($value))? $({ $($field),* })? => {
                        $(object.serialize_entry(stringify!($value), $value)?;)?
                        $($(object.serialize_entry(stringify!($field), $field)?;)*)?
                    })*
                }
                object.end()
            }
        }
    )*};
}

/// Implements `Display` and `Serialize` by `as_str`.
macro_rules! as_named {
    ($type:ident) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

pub(crate) use {as_named, named, named_or_other, named_with_data};

/// Serializes a time in milliseconds, rounded to microseconds. `None` becomes `null`.
pub(crate) fn milliseconds<S: Serializer>(
    time: &(impl Copy + Into<Option<Duration>>),
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let time: Option<Duration> = (*time).into();
    time.map(|time| (time.as_secs_f64() * 1e6).round() / 1e3).serialize(serializer)
}

#[cfg(test)]
mod tests;
