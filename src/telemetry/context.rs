//! W3C trace context in `params._meta` of a frame: read from it, and put in where a client sent none.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The trace a caller is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) trace: [u8; 16],
    pub(super) parent: [u8; 8],
    pub(super) sampled: bool,
    pub(super) state: String,
}

/// What a span says of the frame beside the call.
#[derive(Debug, Default)]
pub(super) struct Envelope {
    pub(super) context: Option<Context>,
    pub(super) id: Option<String>,
    pub(super) protocol: Option<String>,
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow, default, rename = "_meta")]
    meta: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(default)]
    traceparent: Option<String>,
    #[serde(default)]
    tracestate: Option<String>,
    #[serde(default, rename = "io.modelcontextprotocol/protocolVersion")]
    protocol: Option<String>,
}

/// An id of a caller is cut to this.
const ID: usize = 128;
/// The longest `tracestate` that is passed on.
const STATE: usize = 512;

/// Reads what is there; a frame that is no JSON-RPC says nothing.
pub(super) fn read(frame: &[u8]) -> Envelope {
    let Ok(outer) = serde_json::from_slice::<Frame<'_>>(frame) else { return Envelope::default() };
    let id = outer.id.map(|id| id.get().trim_matches('"').chars().take(ID).collect());
    let meta = outer
        .params
        .and_then(|params| serde_json::from_str::<Params<'_>>(params.get()).ok()?.meta)
        .and_then(|meta| serde_json::from_str::<Meta>(meta.get()).ok());
    let Some(meta) = meta else { return Envelope { id, ..Envelope::default() } };
    let context =
        meta.traceparent.as_deref().and_then(|text| parse(text, meta.tracestate.unwrap_or_default()));
    Envelope { context, id, protocol: meta.protocol }
}

/// `00-<32 hex>-<16 hex>-<2 hex>`; later versions may have more behind it.
fn parse(text: &str, state: String) -> Option<Context> {
    let mut parts = text.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_right = version.len() == 2 && version != "ff" && (version != "00" || parts.next().is_none());
    let trace: [u8; 16] = HEXLOWER.decode(trace.as_bytes()).ok()?.try_into().ok()?;
    let parent: [u8; 8] = HEXLOWER.decode(parent.as_bytes()).ok()?.try_into().ok()?;
    let flags = HEXLOWER.decode(flags.as_bytes()).ok()?;
    let [flags] = *flags.as_slice() else { return None };
    let is_real = trace != [0; 16] && parent != [0; 8];
    let state = if state.len() <= STATE { state } else { String::new() };
    (is_right && is_real).then_some(Context { trace, parent, sampled: flags & 1 == 1, state })
}

pub(super) fn written(trace: &[u8; 16], span: &[u8; 8]) -> String {
    format!("00-{}-{}-01", HEXLOWER.encode(trace), HEXLOWER.encode(span))
}

/// The frame with this `traceparent`; every other byte stays. `None` when it has one already, or no params.
pub(super) fn added(frame: &Bytes, traceparent: &str) -> Option<Bytes> {
    let outer: Frame<'_> = serde_json::from_slice(frame).ok()?;
    let params = outer.params?;
    let meta = serde_json::from_str::<Params<'_>>(params.get()).ok()?.meta;
    let (place, text) = match meta {
        Some(meta) if meta.get().contains("traceparent") => return None,
        Some(meta) => (meta.get(), format!("\"traceparent\":\"{traceparent}\"")),
        None => (params.get(), format!("\"_meta\":{{\"traceparent\":\"{traceparent}\"}}")),
    };
    let inside = place.strip_prefix('{')?;
    let comma = if inside.trim_start().starts_with('}') { "" } else { "," };
    let at = (inside.as_ptr() as usize).checked_sub(frame.as_ptr() as usize)?;
    let (before, after) = frame.split_at_checked(at)?;
    Some([before, text.as_bytes(), comma.as_bytes(), after].concat().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_trace_is_read_as_the_w3c_writes_it_and_nothing_else_is_believed() {
        let read_one = |text: &str| {
            read(format!(r#"{{"id":"a","params":{{"_meta":{{"traceparent":"{text}"}}}}}}"#).as_bytes())
        };
        let context = read_one(PARENT).context.unwrap();
        assert_eq!(written(&context.trace, &context.parent), PARENT);
        assert!(context.sampled);
        assert!(!read_one(&PARENT.replace("-01", "-00")).context.unwrap().sampled);
        assert!(read_one(&PARENT.replacen("00-", "01-", 1)).context.is_some());
        for wrong in [
            &PARENT.to_uppercase(),
            &PARENT.replacen("00-", "ff-", 1),
            &format!("{PARENT}-more"),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "",
        ] {
            assert_eq!(read_one(wrong).context, None, "{wrong}");
        }
    }

    #[test]
    fn a_trace_is_put_in_and_every_other_byte_stays() {
        let cases = [
            (
                r#"{ "params": {"name":"x"} , "id":1}"#,
                r#"{ "params": {"_meta":{"traceparent":"T"},"name":"x"} , "id":1}"#,
            ),
            (r#"{"params":{ }}"#, r#"{"params":{"_meta":{"traceparent":"T"} }}"#),
            (r#"{"params":{"_meta":{"a":1}}}"#, r#"{"params":{"_meta":{"traceparent":"T","a":1}}}"#),
            (r#"{"params":{"_meta":{}}}"#, r#"{"params":{"_meta":{"traceparent":"T"}}}"#),
        ];
        for (frame, expected) in cases {
            assert_eq!(added(&Bytes::from(frame), "T").unwrap(), expected);
        }
        for unchanged in [r#"{"params":{"_meta":{"traceparent":"mine"}}}"#, r#"{"id":1}"#, "nonsense"] {
            assert_eq!(added(&Bytes::from(unchanged), "T"), None, "{unchanged}");
        }
    }
}
