//! Warrants as people see them: who stands under which, link by link.

use herma_warrant::capability::Capability;
use herma_warrant::warrant::{Payload, Warrant, WarrantId};

use super::{Desk, RevokedLine, WarrantBook, WarrantLine, WarrantLink, WarrantTool};
use crate::operator::Problem;
use crate::warrants::{Stands, WarrantError};

impl Desk {
    pub(in crate::operator) async fn warrants(&self, now: i64) -> Result<WarrantBook, Problem> {
        let warrants = &self.firewall.warrants;
        let mut lines = Vec::new();
        for stands in warrants.standing() {
            lines.push(self.warrant(stands, now).await?);
        }
        let revoked = warrants.revoked().await.map_err(|error| Problem::fault(&error))?;
        let revoked = revoked.into_iter().map(|row| RevokedLine {
            kind: row.kind,
            value: row.value,
            at_ms: row.at_ms,
            by: row.by,
            reason: row.reason,
        });
        Ok(WarrantBook {
            warrants: lines,
            revoked: revoked.collect(),
            no_warrant: serde_json::to_value(warrants.without())
                .ok()
                .and_then(|word| word.as_str().map(str::to_owned))
                .unwrap_or_default(),
        })
    }

    async fn warrant(&self, stands: Stands, now: i64) -> Result<WarrantLine, Problem> {
        let refused = self.firewall.warrants.verify(&stands.stack, now).err().map(|error| error.to_string());
        let links = Warrant::decode_stack(&stands.stack).unwrap_or_default();
        let mut chain = Vec::new();
        let mut parent = None;
        for link in &links {
            let drawn = self.firewall.warrants.drawn(link.payload.id).await;
            let drawn = drawn.map_err(|error| Problem::fault(&error))?;
            let used = drawn.into_iter().map(|(pool, millionths)| (pool, in_units(millionths)));
            chain.push(described(&link.payload, parent, used.collect()));
            parent = Some(link.payload.id);
        }
        Ok(WarrantLine {
            party: stands.party.to_string(),
            by: stands.by,
            at_ms: stands.at_ms,
            chain,
            refused,
        })
    }
}

fn described(payload: &Payload, parent: Option<WarrantId>, used: Vec<(String, String)>) -> WarrantLink {
    let tool = |(tool, capability): (&String, &Capability)| WarrantTool {
        tool: tool.clone(),
        terms: terms(payload, tool, capability),
    };
    WarrantLink {
        id: payload.id.to_string(),
        parent: parent.map(|parent| parent.to_string()),
        issuer: payload.issuer.fingerprint(),
        holder: payload.holder.fingerprint(),
        issued_s: payload.issued_at,
        expires_s: payload.expires_at,
        tools: payload.tools.iter().map(tool).collect(),
        used,
    }
}

fn terms(payload: &Payload, tool: &str, capability: &Capability) -> Vec<String> {
    let mut terms = Vec::new();
    if capability.is_open() {
        terms.push("any arguments".to_owned());
    }
    terms.extend(
        capability.constraints.iter().map(|(argument, constraint)| format!("{argument}: {constraint}")),
    );
    if capability.allow_unknown && !capability.constraints.is_empty() {
        terms.push("other arguments: anything".to_owned());
    }
    terms.extend(capability.limits.as_ref().map(|limits| format!("limits: {limits}")));
    let gates = payload.gates.as_ref();
    if gates.is_some_and(|gates| gates.0.contains_key(tool) || gates.0.contains_key("*")) {
        terms.push("once approved".to_owned());
    }
    terms
}

/// Millionths as a person writes them.
fn in_units(millionths: u128) -> String {
    let (whole, part) = (millionths / 1_000_000, millionths % 1_000_000);
    let part = format!("{part:06}");
    match part.trim_end_matches('0') {
        "" => whole.to_string(),
        part => format!("{whole}.{part}"),
    }
}

impl From<WarrantError> for Problem {
    fn from(error: WarrantError) -> Self {
        match error {
            WarrantError::Store(error) => Self::fault(&error),
            error => Self::unusable(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn millionths_are_written_as_people_write_numbers() {
        for (millionths, said) in [(0, "0"), (2_000_000, "2"), (1_500_000, "1.5"), (1, "0.000001")] {
            assert_eq!(super::in_units(millionths), said);
        }
    }
}
