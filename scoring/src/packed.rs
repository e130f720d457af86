//! Tables in one run of bytes, read where they lie: what the build script lays out costs no memory and no time at
//! the start. Numbers are little-endian and four bytes wide.

use std::borrow::Cow;

/// Sections of bytes, one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Packed<'a>(Cow<'a, [u8]>);

impl<'a> Packed<'a> {
    pub(crate) const fn at(bytes: &'a [u8]) -> Self {
        Self(Cow::Borrowed(bytes))
    }

    pub(crate) fn section(&self, index: usize) -> &[u8] {
        item(&self.0, &self.0, index)
    }
}

impl From<Vec<u8>> for Packed<'static> {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Cow::Owned(bytes))
    }
}

impl Packed<'_> {
    /// Lays `sections` out.
    pub(crate) fn lay(sections: &[Vec<u8>]) -> Vec<u8> {
        let mut ends = Vec::new();
        let mut end = (sections.len() + 1) * 4;
        push(&mut ends, end);
        for section in sections {
            end += section.len();
            push(&mut ends, end);
        }
        [ends, sections.concat()].concat()
    }
}

/// A list of byte strings as two sections: where each begins, and the bytes.
pub(crate) fn list<T: AsRef<[u8]>>(items: &[T]) -> [Vec<u8>; 2] {
    let (mut starts, mut bytes) = (Vec::new(), Vec::new());
    for item in items {
        push(&mut starts, bytes.len());
        bytes.extend_from_slice(item.as_ref());
    }
    push(&mut starts, bytes.len());
    [starts, bytes]
}

/// One of a list; nothing where there is none.
pub(crate) fn item<'a>(starts: &[u8], bytes: &'a [u8], index: usize) -> &'a [u8] {
    let range = number(starts, index).zip(number(starts, index + 1));
    range.and_then(|(from, to)| bytes.get(from..to)).unwrap_or_default()
}

pub(crate) fn numbers(bytes: &[u8]) -> impl Iterator<Item = usize> {
    (0..bytes.len() / 4).map_while(|index| number(bytes, index))
}

pub(crate) fn number(bytes: &[u8], index: usize) -> Option<usize> {
    bytes.get(index * 4..)?.first_chunk().map(|number| u32::from_le_bytes(*number) as usize)
}

pub(crate) fn push(bytes: &mut Vec<u8>, number: usize) {
    bytes.extend(u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
}

pub(crate) fn array(numbers: impl IntoIterator<Item = usize>) -> Vec<u8> {
    let mut bytes = Vec::new();
    numbers.into_iter().for_each(|number| push(&mut bytes, number));
    bytes
}
