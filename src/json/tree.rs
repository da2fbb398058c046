//! JSON values, exact where `serde_json::Value` is not.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::Result;

use super::{number::Number, reader::Cursor};

/// JSON value. Texts and keys are WTF-8; the last of duplicate members counts.
#[derive(PartialEq)]
pub(super) enum Tree<'a> {
    Null,
    Bool(bool),
    Number(Number<'a>),
    Text(Cow<'a, [u8]>),
    List(Vec<Tree<'a>>),
    Object(Members<'a>),
}

pub(super) type Members<'a> = BTreeMap<Cow<'a, [u8]>, Tree<'a>>;

impl<'a> Tree<'a> {
    /// Parses `text`, which is one JSON value.
    pub(super) fn read(text: &'a str) -> Result<Self> {
        let mut cursor = Cursor::new(text);
        let tree = Self::next(&mut cursor)?;
        cursor.end()?;
        Ok(tree)
    }

    fn next(cursor: &mut Cursor<'a>) -> Result<Self> {
        Ok(match cursor.peek() {
            Some(b'"') => Self::Text(cursor.string()?),
            Some(b'[') => {
                let (mut list, mut elements) = (Vec::new(), cursor.open()?);
                while let Some(cursor) = elements.next_element()? {
                    list.push(Self::next(cursor)?);
                }
                Self::List(list)
            }
            Some(b'{') => {
                let (mut members, mut elements) = (Members::new(), cursor.open()?);
                while let Some((key, cursor)) = elements.next_member()? {
                    members.insert(key, Self::next(cursor)?);
                }
                Self::Object(members)
            }
            _ => match cursor.value()? {
                "null" => Self::Null,
                "true" => Self::Bool(true),
                "false" => Self::Bool(false),
                number => Self::Number(Number::read(number)),
            },
        })
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}
