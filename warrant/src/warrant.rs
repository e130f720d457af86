//! One warrant: the payload, the signature over it, and how both are written.

use crate::capability::Capability;
use crate::cbor::{CborError, Reader, Writer};
use crate::error::FormatError;
use crate::gate::{self, Gates};
use crate::key::{CONTEXT, PublicKey, Signature, SigningKey, sign};
use std::collections::BTreeMap;
use std::fmt;

pub const MAX_WARRANT: usize = 64 * 1024;
pub const MAX_STACK: usize = 256 * 1024;
/// Links of a chain.
pub const MAX_LINKS: usize = 64;
pub const MAX_TOOLS: usize = 256;
const MAX_EXTENSIONS: usize = 64;
const MAX_EXTENSION: usize = 8 * 1024;
const MAX_APPROVERS: usize = 256;
/// Longest life of a warrant, in seconds.
pub const MAX_TTL: u64 = 90 * 86_400;

const SESSION: &str = "tenuo.session_id";
const AGENT: &str = "tenuo.agent_id";

/// Names a warrant in revocations, proofs and budgets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WarrantId(pub [u8; 16]);

impl WarrantId {
    /// A UUIDv7 of a moment in milliseconds and ten random bytes.
    pub fn new(now_ms: u64, random: [u8; 10]) -> Self {
        let [_, _, m0, m1, m2, m3, m4, m5] = now_ms.to_be_bytes();
        let [r0, r1, r2, r3, r4, r5, r6, r7, r8, r9] = random;
        Self([m0, m1, m2, m3, m4, m5, 0x70 | (r0 & 0x0f), r1, 0x80 | (r2 & 0x3f), r3, r4, r5, r6, r7, r8, r9])
    }

    pub fn to_hex(self) -> String {
        crate::text_form::to_hex(&self.0)
    }

    /// Reads `tnu_wrt_<hex>` or the bare digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("tnu_wrt_").unwrap_or(text);
        crate::text_form::from_hex(digits)?.try_into().ok().map(Self)
    }
}

impl fmt::Display for WarrantId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "tnu_wrt_{}", self.to_hex())
    }
}

impl fmt::Debug for WarrantId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Calls tools.
    Execution,
    /// Issues execution warrants, and calls nothing.
    Issuer,
}

/// What a warrant says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    pub id: WarrantId,
    pub kind: Kind,
    pub tools: BTreeMap<String, Capability>,
    pub holder: PublicKey,
    pub issuer: PublicKey,
    pub issued_at: u64,
    pub expires_at: u64,
    /// How deep the chain may grow.
    pub max_depth: u8,
    /// How deep this one stands; a root is 0.
    pub depth: u32,
    pub parent_hash: Option<[u8; 32]>,
    pub session_id: Option<String>,
    pub agent_id: Option<String>,
    pub gates: Option<Gates>,
    /// Extensions of others, which mean nothing here.
    pub extensions: BTreeMap<String, Vec<u8>>,
    pub issuable_tools: Option<Vec<String>>,
    pub max_issue_depth: Option<u32>,
    pub constraint_bounds: Option<Capability>,
    pub required_approvers: Option<Vec<PublicKey>>,
    pub min_approvals: Option<u32>,
    pub clearance: Option<u8>,
}

/// A payload with its signature. Parsed is not verified: see [`crate::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warrant {
    pub payload: Payload,
    /// The very bytes that are signed.
    pub(crate) signed: Vec<u8>,
    pub(crate) signature: Signature,
}

/// Reads `[1, bytes]`, which keys and signatures are.
pub(crate) fn read_tagged<const N: usize>(reader: &mut Reader<'_>) -> Result<[u8; N], FormatError> {
    reader.array_of(2, "[algorithm, bytes]")?;
    match reader.unsigned()? {
        1 => Ok(reader.fixed()?),
        other => Err(FormatError::Algorithm(other)),
    }
}

/// Reads a key or signature tagged with its algorithm, or bare as the published documents have it.
pub(crate) fn read_tagged_or_bare<const N: usize>(reader: &mut Reader<'_>) -> Result<[u8; N], FormatError> {
    if reader.clone().array(2) == Ok(2) {
        return read_tagged(reader);
    }
    Ok(reader.bytes_or_numbers(N)?.try_into().map_err(|_| CborError::Range)?)
}

pub(crate) fn write_tagged(out: &mut Writer, bytes: &[u8]) {
    out.array(2).unsigned(1).bytes(bytes);
}

impl Payload {
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes);
        let mut draft = Draft::default();
        let fields = reader.map(19)?;
        let mut last = None;
        for _ in 0..fields {
            let key = reader.unsigned()?;
            match last {
                Some(last) if key == last => return Err(CborError::DuplicateKey.into()),
                Some(last) if key < last => return Err(CborError::Unsorted.into()),
                _ => last = Some(key),
            }
            draft.field(key, &mut reader)?;
        }
        reader.end()?;
        draft.finish()
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut extensions = self.extensions.clone();
        let own = [
            (SESSION, self.session_id.as_ref().map(|text| text.as_bytes().to_vec())),
            (AGENT, self.agent_id.as_ref().map(|text| text.as_bytes().to_vec())),
            (gate::EXTENSION, self.gates.as_ref().map(Gates::encode)),
        ];
        extensions.extend(own.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        let optional = [
            self.parent_hash.is_some(),
            !extensions.is_empty(),
            self.issuable_tools.is_some(),
            self.max_issue_depth.is_some(),
            self.constraint_bounds.is_some(),
            self.required_approvers.is_some(),
            self.min_approvals.is_some(),
            self.clearance.is_some(),
        ];
        let mut out = Writer::new();
        out.map(10 + optional.into_iter().filter(|present| *present).count());
        out.unsigned(0).unsigned(1).unsigned(1).bytes(&self.id.0);
        out.unsigned(2).unsigned(u64::from(self.kind == Kind::Issuer)).unsigned(3).map(self.tools.len());
        for (tool, capability) in &self.tools {
            out.text(tool);
            capability.write(&mut out);
        }
        out.unsigned(4);
        write_tagged(&mut out, self.holder.bytes());
        out.unsigned(5);
        write_tagged(&mut out, self.issuer.bytes());
        out.unsigned(6).unsigned(self.issued_at).unsigned(7).unsigned(self.expires_at);
        out.unsigned(8).unsigned(u64::from(self.max_depth));
        if let Some(hash) = &self.parent_hash {
            out.unsigned(9).numbers(hash);
        }
        if !extensions.is_empty() {
            out.unsigned(10).map(extensions.len());
            for (key, value) in &extensions {
                out.text(key).numbers(value);
            }
        }
        if let Some(tools) = &self.issuable_tools {
            out.unsigned(11).array(tools.len());
            tools.iter().for_each(|tool| {
                out.text(tool);
            });
        }
        if let Some(depth) = self.max_issue_depth {
            out.unsigned(13).unsigned(u64::from(depth));
        }
        if let Some(bounds) = &self.constraint_bounds {
            out.unsigned(14);
            bounds.write(&mut out);
        }
        if let Some(approvers) = &self.required_approvers {
            out.unsigned(15).array(approvers.len());
            approvers.iter().for_each(|key| write_tagged(&mut out, key.bytes()));
        }
        if let Some(least) = self.min_approvals {
            out.unsigned(16).unsigned(u64::from(least));
        }
        if let Some(clearance) = self.clearance {
            out.unsigned(17).unsigned(u64::from(clearance));
        }
        out.unsigned(18).unsigned(u64::from(self.depth));
        out.finish()
    }

    /// How many distinct approvers must approve what is gated.
    pub fn threshold(&self) -> usize {
        let approvers = self.required_approvers.as_ref().map_or(0, Vec::len);
        self.min_approvals.map_or(approvers, |least| usize::try_from(least).unwrap_or(usize::MAX))
    }

    /// What the warrant says of a tool: by its very name, or through `*`.
    pub fn capability(&self, tool: &str) -> Option<&Capability> {
        self.tools.get(tool).or_else(|| self.tools.get("*"))
    }

    /// Rules that hold for a warrant on its own.
    pub(crate) fn validate(&self) -> Result<(), FormatError> {
        if self.expires_at <= self.issued_at {
            return Err(FormatError::Rule("it expires before it is issued"));
        }
        if self.expires_at - self.issued_at > MAX_TTL {
            return Err(FormatError::Rule("it lives longer than 90 days"));
        }
        if usize::from(self.max_depth) > MAX_LINKS || self.depth > u32::from(self.max_depth) {
            return Err(FormatError::Rule("it stands deeper than it may"));
        }
        if (self.depth == 0) != self.parent_hash.is_none() {
            return Err(FormatError::Rule("a root has no parent, and only a root has none"));
        }
        let issues = self.issuable_tools.as_ref().is_some_and(|tools| !tools.is_empty());
        match self.kind {
            Kind::Issuer if !self.tools.is_empty() => {
                return Err(FormatError::Rule("an issuer warrant calls no tools"));
            }
            Kind::Issuer if !issues => {
                return Err(FormatError::Rule("an issuer warrant names the tools it issues"));
            }
            Kind::Execution
                if self.issuable_tools.is_some()
                    || self.max_issue_depth.is_some()
                    || self.constraint_bounds.is_some() =>
            {
                return Err(FormatError::Rule("an execution warrant issues nothing"));
            }
            _ => {}
        }
        if self.max_issue_depth.is_some_and(|depth| depth > u32::from(self.max_depth)) {
            return Err(FormatError::Rule("it issues deeper than it may stand"));
        }
        let distinct = |keys: &[PublicKey]| keys.iter().collect::<std::collections::BTreeSet<_>>().len();
        match (&self.required_approvers, self.min_approvals) {
            (None, None) => Ok(()),
            (None, Some(_)) => Err(FormatError::Rule("it wants approvals and names no approvers")),
            (Some(keys), _) if keys.is_empty() => Err(FormatError::Rule("the list of approvers is empty")),
            (Some(_), Some(0)) => Err(FormatError::Rule("it wants no approvals of its approvers")),
            (Some(keys), _) if self.threshold() > distinct(keys) => {
                Err(FormatError::Rule("it wants more approvals than it names approvers"))
            }
            _ => Ok(()),
        }
    }
}

#[derive(Default)]
struct Draft {
    version: Option<u64>,
    id: Option<[u8; 16]>,
    kind: Option<u64>,
    tools: Option<BTreeMap<String, Capability>>,
    holder: Option<[u8; 32]>,
    issuer: Option<[u8; 32]>,
    issued_at: Option<u64>,
    expires_at: Option<u64>,
    max_depth: Option<u8>,
    depth: Option<u32>,
    parent_hash: Option<[u8; 32]>,
    extensions: BTreeMap<String, Vec<u8>>,
    issuable_tools: Option<Vec<String>>,
    max_issue_depth: Option<u32>,
    constraint_bounds: Option<Capability>,
    required_approvers: Option<Vec<PublicKey>>,
    min_approvals: Option<u32>,
    clearance: Option<u8>,
}

impl Draft {
    fn field(&mut self, key: u64, reader: &mut Reader<'_>) -> Result<(), FormatError> {
        match key {
            0 => self.version = Some(reader.unsigned()?),
            1 => self.id = Some(reader.fixed()?),
            2 => self.kind = Some(reader.unsigned()?),
            3 => {
                let mut tools = BTreeMap::new();
                reader.sorted_map::<FormatError>(MAX_TOOLS, |reader, tool| {
                    tools.insert(tool.to_owned(), Capability::read(reader)?);
                    Ok(())
                })?;
                self.tools = Some(tools);
            }
            4 => self.holder = Some(read_tagged(reader)?),
            5 => self.issuer = Some(read_tagged(reader)?),
            6 => self.issued_at = Some(reader.unsigned()?),
            7 => self.expires_at = Some(reader.unsigned()?),
            8 => self.max_depth = Some(reader.small()?),
            9 => self.parent_hash = Some(reader.numbers(32)?.try_into().map_err(|_| CborError::Range)?),
            10 => {
                let extensions = &mut self.extensions;
                reader.sorted_map::<FormatError>(MAX_EXTENSIONS, |reader, key| {
                    extensions.insert(key.to_owned(), reader.numbers(MAX_EXTENSION)?);
                    Ok(())
                })?;
                if extensions.is_empty() {
                    return Err(FormatError::Rule("extensions are left out when there are none"));
                }
            }
            11 => {
                let length = reader.array(MAX_TOOLS)?;
                self.issuable_tools = Some(
                    (0..length).map(|_| Ok(reader.text()?.to_owned())).collect::<Result<_, CborError>>()?,
                );
            }
            13 => self.max_issue_depth = Some(reader.small()?),
            14 => self.constraint_bounds = Some(Capability::read(reader)?),
            15 => {
                let length = reader.array(MAX_APPROVERS)?;
                let keys = (0..length).map(|_| Ok(PublicKey::from_bytes(read_tagged(reader)?)));
                self.required_approvers = Some(keys.collect::<Result<_, FormatError>>()?);
            }
            16 => self.min_approvals = Some(reader.small()?),
            17 => self.clearance = Some(reader.small()?),
            18 => self.depth = Some(reader.small()?),
            other => return Err(FormatError::UnknownField(other)),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Payload, FormatError> {
        match self.version {
            Some(1) => {}
            Some(found) => return Err(FormatError::Version { what: "the payload", found }),
            None => return Err(FormatError::Missing("version")),
        }
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|_| FormatError::from(CborError::Text));
        let session_id = self.extensions.remove(SESSION).map(text).transpose()?;
        let agent_id = self.extensions.remove(AGENT).map(text).transpose()?;
        let gates = self.extensions.remove(gate::EXTENSION).map(|bytes| Gates::decode(&bytes)).transpose()?;
        let critical = |key: &&String| key.starts_with("tenuo.") || key.starts_with("herma.");
        if let Some(key) = self.extensions.keys().find(critical) {
            return Err(FormatError::CriticalExtension(key.chars().take(40).collect()));
        }
        let payload = Payload {
            id: WarrantId(self.id.ok_or(FormatError::Missing("id"))?),
            kind: match self.kind.ok_or(FormatError::Missing("warrant_type"))? {
                0 => Kind::Execution,
                1 => Kind::Issuer,
                _ => return Err(FormatError::Rule("a warrant is for execution or for issuing")),
            },
            tools: self.tools.ok_or(FormatError::Missing("tools"))?,
            holder: self.holder.map(PublicKey::from_bytes).ok_or(FormatError::Missing("holder"))?,
            issuer: self.issuer.map(PublicKey::from_bytes).ok_or(FormatError::Missing("issuer"))?,
            issued_at: self.issued_at.ok_or(FormatError::Missing("issued_at"))?,
            expires_at: self.expires_at.ok_or(FormatError::Missing("expires_at"))?,
            max_depth: self.max_depth.ok_or(FormatError::Missing("max_depth"))?,
            depth: self.depth.ok_or(FormatError::Missing("depth"))?,
            parent_hash: self.parent_hash,
            session_id,
            agent_id,
            gates,
            extensions: self.extensions,
            issuable_tools: self.issuable_tools,
            max_issue_depth: self.max_issue_depth,
            constraint_bounds: self.constraint_bounds,
            required_approvers: self.required_approvers,
            min_approvals: self.min_approvals,
            clearance: self.clearance,
        };
        payload.validate()?;
        Ok(payload)
    }
}

/// What is signed for a payload.
pub(crate) fn message(payload: &[u8]) -> Vec<u8> {
    [CONTEXT, &[1], payload].concat()
}

impl Warrant {
    /// Signs a payload. The key must be the one that the payload names as its issuer.
    pub(crate) fn sign(payload: Payload, key: &SigningKey) -> Self {
        let signed = payload.encode();
        let signature = sign(key, &message(&signed));
        Self { payload, signed, signature }
    }

    /// Reads one warrant: sizes and structure, no trust.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        if bytes.len() > MAX_WARRANT {
            return Err(FormatError::TooLarge { what: "a warrant", found: bytes.len(), most: MAX_WARRANT });
        }
        let mut reader = Reader::new(bytes);
        let warrant = Self::read(&mut reader)?;
        reader.end()?;
        Ok(warrant)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        reader.array_of(3, "a signed warrant")?;
        match reader.unsigned()? {
            1 => {}
            found => return Err(FormatError::Version { what: "the envelope", found }),
        }
        let signed = reader.bytes()?;
        if signed.len() > MAX_WARRANT {
            return Err(FormatError::TooLarge { what: "a warrant", found: signed.len(), most: MAX_WARRANT });
        }
        let signature = read_tagged(reader)?;
        Ok(Self { payload: Payload::decode(signed)?, signed: signed.to_vec(), signature })
    }

    /// Reads a stack, root first, or a single warrant as a stack of one.
    pub fn decode_stack(bytes: &[u8]) -> Result<Vec<Self>, FormatError> {
        if bytes.len() > MAX_STACK {
            return Err(FormatError::TooLarge { what: "a stack", found: bytes.len(), most: MAX_STACK });
        }
        if !crate::text_form::is_stack(bytes) {
            return Ok(vec![Self::decode(bytes)?]);
        }
        let mut reader = Reader::new(bytes);
        let length = reader.array(usize::MAX)?;
        if length > MAX_LINKS {
            return Err(FormatError::TooMany { what: "links", found: length, most: MAX_LINKS });
        }
        let links = (0..length).map(|_| Self::read(&mut reader)).collect::<Result<Vec<_>, _>>()?;
        reader.end()?;
        if links.is_empty() { Err(FormatError::Rule("an empty stack")) } else { Ok(links) }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        self.write(&mut out);
        out.finish()
    }

    fn write(&self, out: &mut Writer) {
        out.array(3).unsigned(1).bytes(&self.signed);
        write_tagged(out, &self.signature);
    }

    pub fn encode_stack(links: &[Self]) -> Vec<u8> {
        let mut out = Writer::new();
        out.array(links.len());
        links.iter().for_each(|link| link.write(&mut out));
        out.finish()
    }

    pub fn payload_bytes(&self) -> &[u8] {
        &self.signed
    }

    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// What a child names as the hash of its parent.
    pub fn hash(&self) -> [u8; 32] {
        use sha2::Digest as _;
        sha2::Sha256::digest(&self.signed).into()
    }
}
