//! Macro that expands the table of events into their types, their names and their decoder.

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident = $wire:literal $(of $item:ident)? {
        $($(#[$field_doc:meta])* $field:ident: $type:ident,)*
    })*) => {
        /// Kind of an event. Its name is the `type` on the wire, for example
        /// `response.output_text.delta`.
        ///
        /// ```
        /// use responses_client::event::EventKind;
        ///
        /// let kind = EventKind::from("response.output_text.delta");
        /// assert_eq!(kind, EventKind::OutputTextDelta);
        /// assert_eq!(kind.to_string(), "response.output_text.delta");
        /// assert_eq!(EventKind::from("response.brand_new"), EventKind::Unknown);
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum EventKind {
            $(#[doc = concat!("`", $wire, "`")] $name,)*
            /// An event of a type that this version does not know. Its name is `unknown`.
            Unknown,
            /// An event of the crate, not of the server: see [`ResponseEvent::Restarted`]. Its name
            /// is `responses_client.restarted`.
            Restarted,
            /// An event of the crate, not of the server: see [`ResponseEvent::Steered`]. Its name is
            /// `responses_client.steered`.
            Steered,
        }

        named!(EventKind {
            $($name = $wire,)*
            Unknown = "unknown",
            Restarted = "responses_client.restarted",
            Steered = "responses_client.steered",
        });

        /// Converts a `type` on the wire. A type that no server sends or that this version does not
        /// know is [`Unknown`](EventKind::Unknown).
        impl From<&str> for EventKind {
            fn from(name: &str) -> Self {
                match name {
                    $($wire => Self::$name,)*
                    _ => Self::Unknown,
                }
            }
        }

        /// Event of a response, the same on both transports.
        ///
        /// Strings and JSON in an event are slices of the received frame and keep the frame in
        /// memory; copy a part that you keep for long. [`raw`](Self::raw) returns the frame.
        ///
        /// An event serializes as it was received, byte for byte, and
        /// [`from_json`](Self::from_json) reads it back.
        ///
        /// ```
        /// # use responses_client::testing::{Script, ScriptedServer, Turn};
        /// # #[tokio::main(flavor = "current_thread")]
        /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
        /// # let server = ScriptedServer::start(Script::new().respond(|_| Turn::text("hi"))).await?;
        /// # let client = server.client()?;
        /// use responses_client::{ResponseEvent, ResponsesRequest};
        ///
        /// let request = ResponsesRequest::new("gpt-6-astra").input("Say hi");
        /// let mut session = client.session();
        /// let mut stream = session.stream(&request).await?;
        /// while let Some(event) = stream.try_next().await? {
        ///     match event {
        ///         ResponseEvent::OutputTextDelta(event) => print!("{}", event.delta),
        ///         ResponseEvent::OutputItemDone(event) => println!("\n{:?}", event.output_item()?),
        ///         ResponseEvent::Unknown(event) => println!("{}", event.event_type),
        ///         _ => {}
        ///     }
        /// }
        /// # Ok(()) }
        /// ```
        #[derive(Clone, Debug)]
        #[non_exhaustive]
        pub enum ResponseEvent {
            $($(#[$doc])* $name($name),)*
            /// An event of a type that this version does not know.
            Unknown(Unknown),
            /// An event of the crate, not of the server. Under [`ReplayPolicy::Restart`], the
            /// request was sent again after output had been yielded. Discard that output; another
            /// `Created` follows.
            ///
            /// [`ReplayPolicy::Restart`]: crate::ReplayPolicy::Restart
            Restarted,
            /// An event of the crate, in place of the terminal event of a response that another
            /// response continues because of a [steer]. Keep the output; the `Created` of the next
            /// response follows.
            ///
            /// [steer]: crate::ResponseStream::steer
            Steered(Steered),
        }

        impl ResponseEvent {
            /// Returns the kind of the event.
            pub fn kind(&self) -> EventKind {
                match self {
                    $(Self::$name(_) => EventKind::$name,)*
                    Self::Unknown(_) => EventKind::Unknown,
                    Self::Restarted => EventKind::Restarted,
                    Self::Steered(_) => EventKind::Steered,
                }
            }

            /// Returns the `type` on the wire, also of an event that this version does not know.
            pub fn event_type(&self) -> &str {
                match self {
                    Self::Unknown(event) => &event.event_type,
                    event => event.kind().as_str(),
                }
            }

            /// Returns the JSON as received, byte for byte. Empty for `Restarted`.
            pub fn raw(&self) -> &str {
                self.source().map_or("", |raw| &**raw)
            }

            /// Returns the JSON as received, for slices of it.
            pub(super) fn source(&self) -> Option<&ByteString> {
                match self {
                    $(Self::$name(event) => Some(&event.raw),)*
                    Self::Unknown(event) => Some(&event.raw),
                    Self::Steered(event) => Some(&event.raw),
                    Self::Restarted => None,
                }
            }

            /// Returns the JSON as received, which all events of a server have.
            pub(crate) fn into_source(self) -> ByteString {
                match self {
                    $(Self::$name(event) => event.raw,)*
                    Self::Unknown(event) => event.raw,
                    Self::Steered(event) => event.raw,
                    Self::Restarted => ByteString::new(),
                }
            }

            /// Returns `sequence_number`, or `None` if the event has none.
            pub fn sequence_number(&self) -> Option<u64> {
                match self {
                    $(Self::$name(event) => event.sequence_number,)*
                    Self::Unknown(event) => event.sequence_number,
                    Self::Steered(event) => event.sequence_number,
                    Self::Restarted => None,
                }
            }

            /// Decodes an event that begins with the type of this kind. The event is of another kind
            /// if it has another type as well: the last of duplicate members counts.
            pub(crate) fn decode(
                kind: EventKind,
                payload: ByteString,
            ) -> Result<Self, DecodeError> {
                match kind {
                    $(EventKind::$name => $name::decode(payload),)*
                    EventKind::Unknown => Unknown::decode("", payload).map(Self::Unknown),
                    EventKind::Restarted => Ok(Self::Restarted),
                    EventKind::Steered => Steered::decode(payload).map(Self::Steered),
                }
            }
        }

        $(
            $(#[$doc])*
            #[derive(Clone)]
            #[non_exhaustive]
            pub struct $name {
                $(
                    #[doc = concat!("The ", stringify!($item), "'s id.")]
                    pub item_id: owned::MaybeText,
                    #[doc = concat!("The ", stringify!($item), "'s place in the output.")]
                    pub output_index: owned::Index,
                )?
                $($(#[$field_doc])* pub $field: owned::$type,)*
                /// Number of the event in the response, from 0; gaps are normal.
                pub sequence_number: Option<u64>,
                pub(super) raw: ByteString,
            }

            impl $name {
                /// Reads another member of the event. Returns `None` if the member is absent or
                /// null.
                ///
                /// # Errors
                ///
                /// [`DecodeError`] if the member does not deserialize into `T`.
                pub fn member<T: serde::de::DeserializeOwned>(
                    &self,
                    name: &str,
                ) -> Result<Option<T>, DecodeError> {
                    Json::from_trusted(self.raw.clone()).member(name)
                }
            }

            impl $name {
                /// Reads the event from its payload.
                ///
                /// The function returns the enum, because an event is large and wrapping it later
                /// would move all of it.
                fn decode(payload: ByteString) -> Result<ResponseEvent, DecodeError> {
                    #[derive(Deserialize)]
                    struct Wire<'a> {
                        $(
                            #[doc = stringify!($item)]
                            #[serde(borrow, default)]
                            item_id: fields::MaybeText<'a>,
                            #[serde(borrow, default)]
                            output_index: fields::Index<'a>,
                        )?
                        $(#[serde(borrow, default)] $field: fields::$type<'a>,)*
                        #[serde(borrow, default)]
                        sequence_number: fields::Number<'a>,
                        #[serde(borrow, default, rename = "type")]
                        event_type: fields::MaybeText<'a>,
                    }
                    /// Reads a flat event; `None` if serde must read it.
                    fn flat(text: &str) -> Option<Wire<'_>> {
                        let mut members = FlatMembers::of(text, $wire)?;
                        $(
                            let mut item_id = of!($item, None);
                            let mut output_index = None;
                        )?
                        $(let mut $field = None;)*
                        let mut sequence_number = None;
                        loop {
                            let (name, value) = match members.next()? {
                                FlatStep::Member(name, value) => (name, value),
                                FlatStep::Object(..) => return None,
                                FlatStep::End => break,
                            };
                            match name {
                                $(
                                    of!($item, "item_id") => fields::set(&mut item_id, value)?,
                                    "output_index" => fields::set(&mut output_index, value)?,
                                )?
                                $(stringify!($field) => fields::set(&mut $field, value)?,)*
                                "sequence_number" => fields::set(&mut sequence_number, value)?,
                                // The last of duplicate members counts.
                                "type" => return None,
                                _ => fields::skip(value)?,
                            }
                        }
                        Some(Wire {
                            $(
                                item_id: of!($item, item_id).unwrap_or_default(),
                                output_index: output_index.unwrap_or_default(),
                            )?
                            $($field: $field.unwrap_or_default(),)*
                            sequence_number: sequence_number.unwrap_or_default(),
                            event_type: fields::MaybeText::default(),
                        })
                    }
                    let wire = match flat(&payload) {
                        Some(wire) => wire,
                        None => crate::json::from_str(&payload)
                            .map_err(|error| DecodeError::new("the event", &error))?,
                    };
                    if let Some(last) = wire.event_type.other_than($wire) {
                        return ResponseEvent::decode(EventKind::from(&*last), payload);
                    }
                    Ok(ResponseEvent::$name(Self {
                        $(
                            item_id: of!($item, wire.item_id.into_owned(&payload, "item_id")).unwrap_or_default(),
                            output_index: wire.output_index.0,
                        )?
                        $($field: wire.$field.into_owned(&payload, stringify!($field)).map_err(|expected| {
                            DecodeError::expected(concat!("`", stringify!($field), "`"), expected)
                        })?,)*
                        sequence_number: wire.sequence_number.0,
                        raw: payload,
                    }))
                }
            }

            impl fmt::Debug for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.debug_struct(stringify!($name))
                        $(
                            .field("item_id", of!($item, &self.item_id))
                            .field("output_index", &self.output_index)
                        )?
                        $(.field(stringify!($field), &self.$field))*
                        .field("sequence_number", &self.sequence_number)
                        .finish()
                }
            }
        )*
    };
}

/// Expands to its second argument. The first one only makes the repetition optional.
macro_rules! of {
    ($item:ident, $($value:tt)*) => { $($value)* };
}

pub(super) use {events, of};
