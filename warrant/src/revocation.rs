//! What has been taken back: single warrants, keys, agents, or everything up to a moment.

use crate::cbor::{Reader, Writer};
use crate::error::FormatError;
use crate::key::{CONTEXT, PublicKey, Signature, SigningKey, Verifier, sign};
use crate::warrant::{Payload, WarrantId, read_tagged_or_bare, write_tagged};
use std::collections::BTreeSet;

const LIST_CONTEXT: &[u8] = b"tenuo-srl-v1";
const MAX_REVOKED: usize = 1 << 20;

/// Everything that is revoked here. Its epoch grows with every change, so that nothing verified before it is
/// believed without another look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revocations {
    epoch: u64,
    warrants: BTreeSet<WarrantId>,
    keys: BTreeSet<PublicKey>,
    agents: BTreeSet<String>,
    /// Everything issued up to this moment.
    until: Option<u64>,
    list: Option<Adopted>,
    /// Seconds after which the adopted list no longer counts as news; then everything is refused.
    max_age: Option<u64>,
}

/// The newest signed list that was taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Adopted {
    issuer: PublicKey,
    version: u64,
    issued_at: u64,
    warrants: BTreeSet<WarrantId>,
}

/// One thing to revoke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revoked {
    Warrant(WarrantId),
    Key(PublicKey),
    Agent(String),
    /// Whatever was issued up to this moment.
    All {
        until: u64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    #[error("the list of revocations is not signed by the key that may revoke")]
    Signature,
    #[error(
        "the list of revocations has version {found}, and version {known} is known: it has been rolled back"
    )]
    RolledBack { found: u64, known: u64 },
    #[error("the list of revocations changed without a new version")]
    Changed,
}

impl ListError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Signature => "revocations-forged",
            Self::RolledBack { .. } | Self::Changed => "revocations-rollback",
        }
    }
}

impl Revocations {
    /// Revocations as they were kept, which is how the epoch survives a restart.
    pub fn restore(epoch: u64, revoked: impl IntoIterator<Item = Revoked>) -> Self {
        let mut revocations = Self::default();
        revoked.into_iter().for_each(|it| revocations.revoke(it));
        revocations.epoch = epoch;
        revocations
    }

    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    pub fn revoke(&mut self, revoked: Revoked) {
        match revoked {
            Revoked::Warrant(id) => {
                self.warrants.insert(id);
            }
            Revoked::Key(key) => {
                self.keys.insert(key);
            }
            Revoked::Agent(agent) => {
                self.agents.insert(agent);
            }
            Revoked::All { until } => self.until = self.until.max(Some(until)),
        }
        self.epoch = self.epoch.saturating_add(1);
    }

    /// Refuses everything when no list newer than `seconds` has been adopted; with `None` lists may be of any age.
    pub fn require_lists_newer_than(&mut self, seconds: Option<u64>) {
        self.max_age = seconds;
        self.epoch = self.epoch.saturating_add(1);
    }

    /// Takes in a signed list. Its version must grow.
    pub fn adopt(&mut self, list: &RevocationList, revoker: &Verifier) -> Result<(), ListError> {
        list.verify(revoker)?;
        if let Some(known) = self.list.as_ref().filter(|known| known.issuer == list.issuer) {
            if list.version < known.version {
                return Err(ListError::RolledBack { found: list.version, known: known.version });
            }
            if list.version == known.version {
                let same = list.revoked == known.warrants && list.issued_at == known.issued_at;
                return if same { Ok(()) } else { Err(ListError::Changed) };
            }
        }
        self.list = Some(Adopted {
            issuer: list.issuer,
            version: list.version,
            issued_at: list.issued_at,
            warrants: list.revoked.clone(),
        });
        self.epoch = self.epoch.saturating_add(1);
        Ok(())
    }

    pub fn covers(&self, payload: &Payload) -> bool {
        self.warrants.contains(&payload.id)
            || self.list.as_ref().is_some_and(|list| list.warrants.contains(&payload.id))
            || self.keys.contains(&payload.issuer)
            || self.keys.contains(&payload.holder)
            || payload.agent_id.as_ref().is_some_and(|agent| self.agents.contains(agent))
            || self.until.is_some_and(|until| payload.issued_at <= until)
    }

    pub fn is_stale(&self, now: u64) -> bool {
        let issued = self.list.as_ref().map_or(0, |list| list.issued_at);
        self.max_age.is_some_and(|age| now.saturating_sub(issued) > age)
    }
}

/// A list of revoked warrants, signed by who may revoke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationList {
    pub revoked: BTreeSet<WarrantId>,
    pub version: u64,
    pub issued_at: u64,
    pub issuer: PublicKey,
    signed: Vec<u8>,
    signature: Signature,
}

impl RevocationList {
    pub fn sign(revoked: BTreeSet<WarrantId>, version: u64, issued_at: u64, key: &SigningKey) -> Self {
        let issuer = PublicKey::of(key);
        let mut out = Writer::new();
        out.map(4).text("revoked_ids").array(revoked.len());
        for id in &revoked {
            out.text(&id.to_string());
        }
        out.text("version").unsigned(version).text("issued_at").text(&rfc3339(issued_at)).text("issuer");
        write_tagged(&mut out, issuer.bytes());
        let signed = out.finish();
        let signature = sign(key, &[CONTEXT, LIST_CONTEXT, &signed].concat());
        Self { revoked, version, issued_at, issuer, signed, signature }
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes);
        if reader.map(2)? != 2 || reader.text()? != "payload" {
            return Err(FormatError::Missing("payload"));
        }
        let signed = reader.clone().skip(8)?;
        let expect = |reader: &mut Reader<'_>, name: &'static str| match reader.text()? {
            found if found == name => Ok(()),
            _ => Err(FormatError::Missing(name)),
        };
        if reader.map(4)? != 4 {
            return Err(FormatError::Missing("revoked_ids"));
        }
        expect(&mut reader, "revoked_ids")?;
        let length = reader.array(MAX_REVOKED)?;
        let mut revoked = BTreeSet::new();
        for _ in 0..length {
            let id = WarrantId::parse(reader.text()?);
            revoked.insert(id.ok_or(FormatError::Rule("a revoked id that is no warrant's"))?);
        }
        expect(&mut reader, "version")?;
        let version = reader.unsigned()?;
        expect(&mut reader, "issued_at")?;
        let issued_at = match reader.peek()? {
            crate::cbor::Major::Text => {
                parse_rfc3339(reader.text()?).ok_or(FormatError::Rule("a list with a malformed date"))?
            }
            _ => reader.unsigned()?,
        };
        expect(&mut reader, "issuer")?;
        let issuer = PublicKey::from_bytes(read_tagged_or_bare(&mut reader)?);
        expect(&mut reader, "signature")?;
        let signature = read_tagged_or_bare(&mut reader)?;
        reader.end()?;
        Ok(Self { revoked, version, issued_at, issuer, signed: signed.to_vec(), signature })
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.map(2).text("payload").raw(&self.signed).text("signature");
        write_tagged(&mut out, &self.signature);
        out.finish()
    }

    pub fn verify(&self, revoker: &Verifier) -> Result<(), ListError> {
        let message = [CONTEXT, LIST_CONTEXT, &self.signed].concat();
        // The published documents leave out the context that the format's own writers put in front.
        let published = [LIST_CONTEXT, &self.signed].concat();
        let holds = self.issuer == revoker.public_key()
            && (revoker.holds(&message, &self.signature) || revoker.holds(&published, &self.signature));
        if holds { Ok(()) } else { Err(ListError::Signature) }
    }
}

/// Days since 1970 to a civil date and back, after Howard Hinnant.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn rfc3339(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(0);
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let rest = seconds.rem_euclid(86_400);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

fn parse_rfc3339(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z').or_else(|| text.strip_suffix("+00:00"))?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let whole = time.split('.').next()?;
    let mut time = whole.splitn(3, ':').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    let sane = (1970..10_000).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    sane.then_some(())?;
    u64::try_from(days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second).ok()
}
