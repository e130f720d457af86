//! An object whose members are taken out or put in while their values stay as they stand.

use serde_json::Value;
use serde_json::value::RawValue;

/// What stands before and after `part`, which is a slice of `whole`.
pub(super) fn around<'a>(whole: &'a [u8], part: &[u8]) -> (&'a [u8], &'a [u8]) {
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    let end = start.saturating_add(part.len());
    (whole.get(..start).unwrap_or_default(), whole.get(end..).unwrap_or_default())
}

/// The members of an object, their values as they stand.
pub(super) struct Members(pub(super) Vec<(String, String)>);

impl Members {
    pub(super) fn read(text: &str) -> Result<Self, serde_json::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    members.push((name, value.get().to_owned()));
                }
                Ok(Members(members))
            }
        }
        serde::Deserializer::deserialize_map(&mut serde_json::Deserializer::from_str(text), Visitor)
    }

    pub(super) fn write(&self) -> String {
        let members: Vec<_> =
            self.0.iter().map(|(name, value)| format!("{}:{value}", Value::from(name.as_str()))).collect();
        format!("{{{}}}", members.join(","))
    }
}
