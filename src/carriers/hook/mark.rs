//! The mark that a plugin puts on calls to MCP servers, so that the proxy knows whose they are.
//!
//! A model writes arguments too: the mark counts only with a code that the plugin got over its socket.

use data_encoding::HEXLOWER_PERMISSIVE;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use super::Desk;
use crate::call::Digest;

const BLOCK: usize = 64;

/// Whose a call is, by a mark that holds.
#[derive(Debug, Clone)]
pub struct Marked {
    pub agent: String,
    pub session: String,
    pub call: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    agent: String,
    session: String,
    call: String,
    proof: String,
}

#[derive(Debug, thiserror::Error)]
#[error("the mark on this call was not made by the agent's plugin: leave the argument `_herma` alone")]
pub struct Forged;

impl Desk {
    /// One agent cannot sign for another.
    fn key_of(&self, agent: &str) -> [u8; 32] {
        *Digest::salted(&self.key, agent.as_bytes()).bytes()
    }

    fn code(&self, agent: &str, session: &str, call: &str) -> [u8; 32] {
        hmac(&self.key_of(agent), [agent, session, call].join("\0").as_bytes())
    }

    /// What stands under `_herma.hook` of this call of the agent's.
    pub(super) fn mark(&self, agent: &str, session: &str, call: &str) -> serde_json::Value {
        let proof = HEXLOWER_PERMISSIVE.encode(&self.code(agent, session, call));
        serde_json::json!({ "agent": agent, "session": session, "call": call, "proof": proof })
    }

    /// Reads `_herma.hook` of a call.
    pub fn read_mark(&self, mark: &serde_json::Value) -> Result<Marked, Forged> {
        let Mark { agent, session, call, proof } = Mark::deserialize(mark).map_err(|_| Forged)?;
        let said = HEXLOWER_PERMISSIVE.decode(proof.as_bytes()).map_err(|_| Forged)?;
        match bool::from(self.code(&agent, &session, &call).ct_eq(&said)) {
            true => Ok(Marked { agent, session, call }),
            false => Err(Forged),
        }
    }
}

/// HMAC-SHA-256 as RFC 2104 has it, for a key no longer than a block.
fn hmac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let mut padded = [0u8; BLOCK];
    padded.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    let inner = Sha256::new().chain_update(padded.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(padded.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_the_one_every_library_computes() {
        let code = hmac(&[0x0b; 32], b"Hi There");
        let said = data_encoding::HEXLOWER.encode(&code);
        assert_eq!(said, "198a607eb44bfbc69903a0f1cf2bbdc5ba0aa3f3d9ae3c1c7a3b1696a0b68cf7");
    }
}
