//! What the file says of warrants: whom to trust, and which warrants stand over whom.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use herma_warrant::admit::ProofRules;
use herma_warrant::key::{PublicKey, Verifier};
use herma_warrant::revocation::RevocationList;
use herma_warrant::text_form;
use herma_warrant::verify::Trust;
use herma_warrant::warrant::Warrant;
use toml::Spanned;

use super::resolve::Reader;
use super::{ConfigError, typed};
use crate::warrants::{NoWarrant, Party, Setup};

impl Reader<'_> {
    pub(super) fn warrants(&self, file: &typed::File) -> Result<Setup, ConfigError> {
        let typed = &file.warrants;
        let roots = typed.trusted_roots.iter().map(|root| self.key(root)).collect::<Result<Vec<_>, _>>()?;
        let no_warrant = match &typed.no_warrant {
            Some(word) => *word,
            None if roots.is_empty() => NoWarrant::Allow,
            None => NoWarrant::Block,
        };
        let seconds = |text: &Option<Spanned<String>>| {
            text.as_ref().map(|text| Ok(self.duration(text, text.get_ref())?.as_secs())).transpose()
        };
        let lists = typed.revocation_lists.iter().map(|list| {
            let bytes = self.read(&list.file)?;
            let read =
                RevocationList::decode(&bytes).map_err(|error| self.at(&list.file, error.to_string()))?;
            Ok((read, self.key(&list.key)?))
        });
        let trust = Trust { max_ttl: seconds(&typed.max_ttl)?, ..Trust::new(roots) };
        Ok(Setup {
            standing: self.standing(file, &trust)?,
            trust,
            no_warrant,
            proof: ProofRules { accept_v1: typed.accept_proof_v1.unwrap_or(true) },
            idempotent_tools: typed.idempotent_tools.clone(),
            lists: lists.collect::<Result<_, _>>()?,
            lists_newer_than: seconds(&typed.revocation_max_age)?,
        })
    }

    fn standing(&self, file: &typed::File, trust: &Trust) -> Result<HashMap<Party, Arc<[u8]>>, ConfigError> {
        let servers = file.server.iter().map(|server| {
            let server = server.get_ref();
            (Party::Server(server.name.clone()), &server.warrant)
        });
        let agents = file.agent.iter().map(|agent| {
            let agent = agent.get_ref();
            (Party::Agent(agent.name.clone()), &agent.warrant)
        });
        let mut standing = HashMap::new();
        let users = file.user.iter().map(|user| {
            let user = user.get_ref();
            (Party::User(format!("{}:{}", user.platform, user.id)), &user.warrant)
        });
        for (party, path) in servers.chain(agents).chain(users) {
            let Some(path) = path else { continue };
            let stack = text_form::read_any(&self.read(path)?).map_err(|error| {
                self.at(path, format!("{} holds no warrant: {error}", path.get_ref().display()))
            })?;
            let links = Warrant::decode_stack(&stack).map_err(|error| self.at(path, error.to_string()))?;
            let trusted = links
                .first()
                .is_some_and(|root| trust.roots.iter().any(|key| key.public_key() == root.payload.issuer));
            if !trusted {
                let said =
                    "the warrant's root is not among warrants.trusted_roots: every call would be refused";
                return Err(self.at(path, said));
            }
            standing.insert(party, stack.into());
        }
        Ok(standing)
    }

    /// A public key: 64 hex digits, or a file that holds them.
    fn key(&self, typed: &Spanned<String>) -> Result<Verifier, ConfigError> {
        let text = typed.get_ref().trim();
        let wrong = |why: String| {
            let said = format!(
                "`{text}` is no public key ({why}): write 64 hex digits or the name of a file with them"
            );
            self.at(typed, said)
        };
        let from_file;
        let hex = if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            text
        } else {
            let path = self.beside(Path::new(text));
            from_file = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
            from_file.trim()
        };
        PublicKey::from_hex(hex).and_then(|key| key.verifier()).map_err(|error| wrong(error.to_string()))
    }

    fn read(&self, path: &Spanned<std::path::PathBuf>) -> Result<Vec<u8>, ConfigError> {
        let place = self.beside(path.get_ref());
        std::fs::read(&place)
            .map_err(|error| self.at(path, format!("cannot read {}: {error}", place.display())))
    }
}
