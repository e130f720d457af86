//! The operator's rule packs: read from files, and whether somebody trusted signed them.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE as HEX};
use ed25519_dalek::{SECRET_KEY_LENGTH, Signature, Signer, SigningKey, VerifyingKey};
use herma_scoring::Source;
use zeroize::Zeroizing;

/// What is signed before the bytes of a pack, so that no other signature of the key passes for one.
const CONTEXT: &[u8] = b"herma rule pack v1\n";

/// A rule pack of the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pack {
    /// The file it came from.
    pub name: String,
    pub text: String,
    /// Signed by a key of `trusted_packs`: it may lower what the shipped packs hold for a person.
    pub trusted: bool,
}

/// A pack, a signature or a key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("cannot write {}: {source}", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    #[error(
        "{}: it does not sign this pack by a key of `trusted_packs`: sign it again with `herma rules sign`, name the \
         key that signed it in herma.toml, or remove the file",
        path.display()
    )]
    Unsigned { path: PathBuf },
    #[error("{}: not a key of 64 hex digits: `herma rules keygen FILE` makes one", path.display())]
    NoKey { path: PathBuf },
    #[error("{}: others can read the key (mode {mode:o}): chmod 600 it", path.display())]
    OpenKey { path: PathBuf, mode: u32 },
    #[error("no randomness for a new key: {0}")]
    NoRandomness(getrandom::Error),
}

impl Pack {
    /// As scoring wants it.
    pub fn source(&self) -> Source<'_> {
        Source { name: &self.name, text: &self.text, trusted: self.trusted }
    }
}

/// Every pack at `place`, a file or a directory with `*.toml` in it and below, in the order of their names.
///
/// A signature beside a pack (`pack.toml.sig`) must hold; without one the pack is used, but not trusted.
pub fn read(place: &Path, trusted: &[VerifyingKey]) -> Result<Vec<Pack>, PackError> {
    let mut packs = Vec::new();
    for path in files(place)? {
        let text = std::fs::read_to_string(&path).map_err(unreadable(&path))?;
        let beside = signature_of(&path);
        let trusted = match std::fs::read_to_string(&beside) {
            Ok(signature) if holds(trusted, text.as_bytes(), &signature) => true,
            Ok(_) => return Err(PackError::Unsigned { path: beside }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(source) => return Err(PackError::Unreadable { path: beside, source }),
        };
        packs.push(Pack { name: path.display().to_string(), text, trusted });
    }
    Ok(packs)
}

fn files(place: &Path) -> Result<Vec<PathBuf>, PackError> {
    if !place.is_dir() {
        return Ok(vec![place.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(place).map_err(unreadable(place))? {
        let path = entry.map_err(unreadable(place))?.path();
        if path.is_dir() {
            files.extend(self::files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> PackError + use<> {
    let path = path.to_owned();
    |source| PackError::Unreadable { path, source }
}

fn signature_of(pack: &Path) -> PathBuf {
    let mut name = pack.as_os_str().to_owned();
    name.push(".sig");
    name.into()
}

fn holds(trusted: &[VerifyingKey], pack: &[u8], signature: &str) -> bool {
    let bytes = BASE64.decode(signature.trim().as_bytes()).ok();
    let Some(signature) = bytes.and_then(|bytes| Signature::from_slice(&bytes).ok()) else { return false };
    let signed = [CONTEXT, pack].concat();
    trusted.iter().any(|key| key.verify_strict(&signed, &signature).is_ok())
}

/// Signs the pack with the key in a file, and leaves the signature beside it.
pub fn sign(pack: &Path, key: &Path) -> Result<PathBuf, PackError> {
    let key = load_key(key)?;
    let text = std::fs::read(pack).map_err(unreadable(pack))?;
    let signature = BASE64.encode(&key.sign(&[CONTEXT, &text].concat()).to_bytes());
    let path = signature_of(pack);
    std::fs::write(&path, format!("{signature}\n"))
        .map_err(|source| PackError::Unwritable { path: path.clone(), source })?;
    Ok(path)
}

/// Makes a key in a new file that only its owner reads, and gives the half that goes into `trusted_packs`.
pub fn make_key(path: &Path) -> Result<String, PackError> {
    let mut secret = Zeroizing::new([0; SECRET_KEY_LENGTH]);
    getrandom::fill(&mut *secret).map_err(PackError::NoRandomness)?;
    let text = Zeroizing::new(format!("{}\n", HEX.encode(&*secret)));
    let unwritable = |source| PackError::Unwritable { path: path.to_owned(), source };
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(unwritable)?;
    Ok(HEX.encode(SigningKey::from_bytes(&secret).verifying_key().as_bytes()))
}

/// A public key as `trusted_packs` names it.
pub fn public_key(text: &str) -> Option<VerifyingKey> {
    let bytes: [u8; 32] = HEX.decode(text.trim().as_bytes()).ok()?.try_into().ok()?;
    VerifyingKey::from_bytes(&bytes).ok().filter(|key| !key.is_weak())
}

fn load_key(path: &Path) -> Result<SigningKey, PackError> {
    let mode = std::fs::metadata(path).map_err(unreadable(path))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(PackError::OpenKey { path: path.to_owned(), mode: mode & 0o777 });
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(unreadable(path))?);
    let mut secret = Zeroizing::new([0; SECRET_KEY_LENGTH]);
    let digits = text.trim().as_bytes();
    let decoded = digits.len() == 2 * SECRET_KEY_LENGTH && HEX.decode_mut(digits, &mut *secret).is_ok();
    if decoded {
        Ok(SigningKey::from_bytes(&secret))
    } else {
        Err(PackError::NoKey { path: path.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_is_trusted_by_a_signature_beside_it_and_by_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (pack, secret) = (dir.path().join("ours.toml"), dir.path().join("pack.key"));
        std::fs::write(&pack, "# ours\n").unwrap();
        let public = public_key(&make_key(&secret).unwrap()).unwrap();
        let trusted =
            |keys: &[VerifyingKey]| read(dir.path(), keys).map(|packs| packs.first().unwrap().trusted);
        assert!(!trusted(&[public]).unwrap());

        let signature = sign(&pack, &secret).unwrap();
        assert!(trusted(&[public]).unwrap());
        let stranger = public_key(&make_key(&dir.path().join("other.key")).unwrap()).unwrap();
        assert!(trusted(&[stranger, public]).unwrap());
        for keys in [&[][..], &[stranger]] {
            let refused = trusted(keys).unwrap_err().to_string();
            assert!(refused.contains("ours.toml.sig") && refused.contains("herma rules sign"), "{refused}");
        }

        std::fs::write(&pack, "# theirs\n").unwrap();
        assert!(matches!(trusted(&[public]), Err(PackError::Unsigned { .. })));
        std::fs::write(&signature, "not base64").unwrap();
        assert!(matches!(trusted(&[public]), Err(PackError::Unsigned { .. })));
    }

    #[test]
    fn a_key_that_others_can_read_signs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (pack, secret) = (dir.path().join("ours.toml"), dir.path().join("pack.key"));
        std::fs::write(&pack, "").unwrap();
        make_key(&secret).unwrap();
        assert!(make_key(&secret).is_err());
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(sign(&pack, &secret), Err(PackError::OpenKey { mode: 0o644, .. })));
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&secret, "12").unwrap();
        assert!(matches!(sign(&pack, &secret), Err(PackError::NoKey { .. })));
    }
}
