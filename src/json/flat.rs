//! Reader of flat objects: the shape of deltas, which are nearly all events.
//!
//! The reader accepts what servers write: an object that begins with its type, without white space,
//! whose members are strings, whole numbers, `null` and empty lists. It refuses everything unusual,
//! which serde then reads, valid or not. What the reader accepts, serde reads in the same way.

/// Members of a flat object after its type.
pub(crate) struct FlatMembers<'a> {
    text: &'a str,
    /// Position after the last member.
    at: usize,
}

/// Value of a member.
pub(crate) enum FlatValue<'a> {
    Text(&'a str),
    /// A string with escapes, in its quotes.
    Escaped(&'a str),
    Number(u64),
    Null,
    EmptyList,
}

/// The next member, or the end of the object.
pub(crate) enum FlatStep<'a> {
    Member(&'a str, FlatValue<'a>),
    /// A member that is an object, and the text from there on. The reader cannot skip it.
    Object(&'a str, &'a str),
    End,
}

/// Most digits of a number. The number then fits into 32 bits.
const MAX_DIGITS: usize = 9;

impl<'a> FlatMembers<'a> {
    /// Begins to read `text`, which must begin with the type `event_type`.
    #[inline]
    pub(crate) fn of(text: &'a str, event_type: &str) -> Option<Self> {
        const HEAD: &str = r#"{"type":""#;
        let rest = text.strip_prefix(HEAD)?.strip_prefix(event_type)?;
        rest.starts_with('"').then_some(Self { text, at: HEAD.len() + event_type.len() + 1 })
    }

    /// Returns the next step; `None` if serde must read the object.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<FlatStep<'a>> {
        let bytes = self.text.as_bytes();
        match bytes.get(self.at)? {
            b',' => self.at += 1,
            b'}' if self.at + 1 == bytes.len() => {
                // Strings must not contain them, and white space is unusual.
                let lowest = bytes.iter().fold(u8::MAX, |lowest, byte| lowest.min(*byte));
                return (lowest >= b' ').then_some(FlatStep::End);
            }
            _ => return None,
        }
        let FlatValue::Text(name) = self.string()? else { return None };
        if bytes.get(self.at)? != &b':' {
            return None;
        }
        self.at += 1;
        let value = match bytes.get(self.at)? {
            b'"' => self.string()?,
            b'0'..=b'9' => self.number()?,
            b'n' => self.literal("null", FlatValue::Null)?,
            b'[' => self.literal("[]", FlatValue::EmptyList)?,
            b'{' => return Some(FlatStep::Object(name, self.text.get(self.at..)?)),
            _ => return None,
        };
        Some(FlatStep::Member(name, value))
    }

    #[inline]
    fn string(&mut self) -> Option<FlatValue<'a>> {
        let bytes = self.text.as_bytes();
        if bytes.get(self.at)? != &b'"' {
            return None;
        }
        let start = self.at + 1;
        let mut end = start;
        let mut has_escapes = false;
        loop {
            end += memchr::memchr2(b'"', b'\\', bytes.get(end..)?)?;
            if bytes.get(end)? == &b'"' {
                break;
            }
            has_escapes = true;
            end += 2;
        }
        let quoted = self.at..end + 1;
        self.at = quoted.end;
        match has_escapes {
            false => self.text.get(start..end).map(FlatValue::Text),
            true => self.text.get(quoted).map(FlatValue::Escaped),
        }
    }

    #[inline]
    fn number(&mut self) -> Option<FlatValue<'a>> {
        let digits = self.text.as_bytes().get(self.at..)?;
        let mut number = 0;
        let mut count = 0;
        while let Some(digit @ b'0'..=b'9') = digits.get(count) {
            if count == MAX_DIGITS {
                return None;
            }
            number = number * 10 + u64::from(*digit - b'0');
            count += 1;
        }
        // JSON has no leading zeros.
        if count > 1 && digits.first() == Some(&b'0') {
            return None;
        }
        self.at += count;
        Some(FlatValue::Number(number))
    }

    fn literal(&mut self, literal: &str, value: FlatValue<'a>) -> Option<FlatValue<'a>> {
        let rest = self.text.get(self.at..)?;
        self.at += literal.len();
        rest.starts_with(literal).then_some(value)
    }
}

#[cfg(test)]
mod tests;
