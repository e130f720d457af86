//! Headers that repeat what stands in the body. Whoever routes or counts by them must see what is decided on.

use std::sync::Arc;

use herma_scoring::Kind;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;

use super::super::frame::name_of;
use super::super::receive::ReceiveError;
use crate::call::Listed;

const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
/// What follows names a property of the tool's schema, marked there with [`MARK`].
const PARAMETER: &str = "mcp-param-";
const MARK: &str = "x-mcp-header";
/// Schemas are read no deeper than this.
const DEPTH: u8 = 8;

/// What the headers could repeat of a call. Reading a long body once more is only for those who send them.
#[derive(Debug)]
pub(super) struct Mirrored<'a> {
    pub(super) kind: Kind,
    pub(super) frame: &'a [u8],
    pub(super) arguments: &'a [u8],
}

impl Mirrored<'_> {
    /// What `Mcp-Name` must repeat.
    fn name(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Outer {
            params: Params,
        }
        #[derive(Deserialize)]
        struct Params {
            name: Option<String>,
            uri: Option<String>,
        }
        let params = serde_json::from_slice::<Outer>(self.frame).ok()?.params;
        match self.kind {
            Kind::Resource => params.uri,
            Kind::Tool | Kind::Prompt | Kind::Sampling | Kind::Elicitation => params.name,
        }
    }

    /// Every header that repeats something must repeat it truly, and once. A parameter that the tool's schema does
    /// not mark is not ours to judge.
    pub(super) fn check(
        &self,
        headers: &HeaderMap,
        listed: impl FnOnce(&str) -> Option<Arc<Listed>>,
    ) -> Result<(), ReceiveError> {
        let mirrors = |name: &HeaderName| *name == METHOD || *name == NAME || is_parameter(name);
        if !headers.keys().any(mirrors) {
            return Ok(());
        }
        if headers.contains_key(METHOD) {
            same(headers, &METHOD, name_of(self.kind).to_owned())?;
        }
        let parameters: Vec<&HeaderName> = headers.keys().filter(|name| is_parameter(name)).collect();
        if !headers.contains_key(NAME) && parameters.is_empty() {
            return Ok(());
        }
        let name = self.name().unwrap_or_default();
        if headers.contains_key(NAME) {
            same(headers, &NAME, name.clone())?;
        }
        let Some(listed) =
            (!parameters.is_empty() && self.kind == Kind::Tool).then(|| listed(&name)).flatten()
        else {
            return Ok(());
        };
        let arguments: Value = serde_json::from_slice(self.arguments).unwrap_or_default();
        for header in parameters {
            let marked = header.as_str().strip_prefix(PARAMETER).unwrap_or_default();
            if let Some(path) = property(&listed.definition.input_schema, marked, DEPTH) {
                let argument = path.iter().rev().try_fold(&arguments, |value, key| value.get(key));
                same(headers, header, argument.map(plain).unwrap_or_default())?;
            }
        }
        Ok(())
    }
}

fn is_parameter(name: &HeaderName) -> bool {
    name.as_str().starts_with(PARAMETER)
}

fn same(headers: &HeaderMap, header: &HeaderName, body: String) -> Result<(), ReceiveError> {
    let mut values = headers.get_all(header).iter();
    let said = values.next().and_then(decoded);
    if said.as_deref() == Some(&body) && values.next().is_none() {
        return Ok(());
    }
    let said = said.unwrap_or_else(|| "something unreadable".into());
    Err(ReceiveError::Header { header: header.as_str().to_owned(), said, body })
}

/// The keys that lead to the property marked with this header name, the last first.
fn property<'a>(schema: &'a Value, header: &str, depth: u8) -> Option<Vec<&'a str>> {
    let depth = depth.checked_sub(1)?;
    schema.get("properties")?.as_object()?.iter().find_map(|(key, property)| {
        let marked = property.get(MARK).and_then(Value::as_str);
        if marked.is_some_and(|marked| marked.eq_ignore_ascii_case(header)) {
            return Some(vec![key.as_str()]);
        }
        let mut path = self::property(property, header, depth)?;
        path.push(key);
        Some(path)
    })
}

/// A value as a header repeats it: strings bare, all else as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Header values that are no plain ASCII travel as `=?base64?…?=`.
fn decoded(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    match text.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
        Some(encoded) => String::from_utf8(data_encoding::BASE64.decode(encoded.as_bytes()).ok()?).ok(),
        None => Some(text.to_owned()),
    }
}
