//! Chainable setters of public fields.

/// Defines a method for each field, which sets the field and returns the settings.
macro_rules! setters {
    ($settings:ident { $($field:ident: $value:ty,)* }) => {
        // Fails to compile if a field has no setter.
        const _: fn($settings) = |$settings { $($field: _,)* }| {};

        impl $settings {
            $(
                #[doc = concat!(
                    "Sets [`", stringify!($field), "`](#structfield.", stringify!($field), ")."
                )]
                #[must_use]
                pub fn $field(mut self, $field: $value) -> Self {
                    self.$field = $field.into();
                    self
                }
            )*
        }
    };
}

pub(super) use setters;
