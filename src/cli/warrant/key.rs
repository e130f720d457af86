//! Keys in files: PKCS#8 PEM, hex, or base64.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, anyhow, bail, ensure};
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use herma_warrant::key::{PublicKey, SigningKey};
use herma_warrant::text_form::from_base64;
use zeroize::Zeroizing;

/// What stands before the 32 bytes of an Ed25519 key in PKCS#8, without and with its public half behind it.
const PKCS8: &[u8] = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
const PKCS8_WITH_PUBLIC: &[u8] = b"\x30\x51\x02\x01\x01\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
/// The same for a public key.
const SPKI: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
const SECRET_LABEL: &str = "PRIVATE KEY";
const PUBLIC_LABEL: &str = "PUBLIC KEY";
/// No key in any of its forms is longer.
const LONGEST: u64 = 4096;

/// A secret key out of its file, or out of the environment as `env:NAME`.
pub(super) fn signing(given: &str) -> anyhow::Result<SigningKey> {
    if let Some(name) = given.strip_prefix("env:") {
        let text = Zeroizing::new(std::env::var(name).map_err(|_| anyhow!("${name} is not set"))?);
        return secret(&text).with_context(|| format!("${name} holds no signing key"));
    }
    let mut file = File::open(given).with_context(|| format!("cannot open the key {given}"))?;
    let mode = file.metadata()?.permissions().mode();
    ensure!(
        mode & 0o077 == 0,
        "others can read the key {given} (mode {:o}): chmod 600 it, and revoke it if they may have",
        mode & 0o777
    );
    let mut text = Zeroizing::new(String::new());
    Read::by_ref(&mut file)
        .take(LONGEST)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read the key {given}"))?;
    secret(&text).with_context(|| format!("{given} holds no signing key"))
}

fn secret(text: &str) -> anyhow::Result<SigningKey> {
    let bytes = Zeroizing::new(bytes(text, SECRET_LABEL)?);
    let seed = match bytes.len() {
        48 => bytes.strip_prefix(PKCS8),
        83 => bytes.strip_prefix(PKCS8_WITH_PUBLIC).and_then(|rest| rest.get(..32)),
        _ => Some(bytes.as_slice()),
    };
    let seed = seed.and_then(|seed| <&[u8; 32]>::try_from(seed).ok());
    let seed = seed.context("an Ed25519 key was expected, as PKCS#8 PEM, 64 hex digits or base64")?;
    Ok(SigningKey::from_bytes(seed))
}

/// A public key: its hex, its base64, or a file with either or with PEM.
pub(super) fn public(given: &str) -> anyhow::Result<PublicKey> {
    let from_file;
    let text = match fs::read_to_string(given) {
        Ok(text) => {
            from_file = Zeroizing::new(text);
            from_file.as_str()
        }
        Err(_) => given,
    };
    if text.contains(SECRET_LABEL) {
        bail!("{given} is a secret key: give its public half, the file with `.pub` at its end");
    }
    let read = || {
        let bytes = bytes(text, PUBLIC_LABEL)?;
        let key = bytes.strip_prefix(SPKI).unwrap_or(&bytes);
        let key = PublicKey::from_bytes(key.try_into().context("a public key has 32 bytes")?);
        key.verifier().map_err(|error| anyhow!("{error}"))?;
        Ok(key)
    };
    read().map_err(|error: anyhow::Error| {
        anyhow!("`{given}` is neither a public key nor a file with one ({error})")
    })
}

/// The bytes of a key from whatever form it has.
fn bytes(text: &str, label: &str) -> anyhow::Result<Vec<u8>> {
    let text = text.trim();
    if let Some(after) = text.strip_prefix("-----BEGIN ") {
        let body = after
            .strip_prefix(label)
            .and_then(|after| after.strip_prefix("-----"))
            .and_then(|after| after.strip_suffix(&format!("-----END {label}-----")))
            .with_context(|| format!("the PEM is no `{label}`"))?;
        let squeezed: Zeroizing<String> = Zeroizing::new(body.split_whitespace().collect());
        return from_base64(&squeezed).context("the PEM cannot be read");
    }
    if text.len() == 64
        && let Ok(bytes) = HEXLOWER_PERMISSIVE.decode(text.as_bytes())
    {
        return Ok(bytes);
    }
    from_base64(text).context("it is neither PEM nor hex nor base64")
}

/// The forms a secret key can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Form {
    /// PKCS#8, as openssl reads it
    Pem,
    /// 64 hex digits
    Hex,
    /// As `TENUO_SIGNING_KEY` wants it
    Base64,
}

pub(super) fn write_secret(key: &SigningKey, form: Form) -> Zeroizing<String> {
    let seed = Zeroizing::new(key.to_bytes());
    Zeroizing::new(match form {
        Form::Pem => {
            let der = Zeroizing::new([PKCS8, &*seed].concat());
            let body = Zeroizing::new(BASE64.encode(&der));
            format!("-----BEGIN {SECRET_LABEL}-----\n{}\n-----END {SECRET_LABEL}-----\n", *body)
        }
        Form::Hex => format!("{}\n", *Zeroizing::new(HEXLOWER_PERMISSIVE.encode(&*seed))),
        Form::Base64 => format!("{}\n", *Zeroizing::new(BASE64.encode(&*seed))),
    })
}

/// Makes a key and its two files. A key that is there already stays: what it signed could not be renewed.
pub(super) fn create(path: &Path, form: Form) -> anyhow::Result<SigningKey> {
    let seed = Zeroizing::new(super::random::<32>()?);
    let key = SigningKey::from_bytes(&seed);
    let text = write_secret(&key, form);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot make the key {}", path.display()))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let public = beside(path);
    fs::write(&public, format!("{}\n", PublicKey::of(&key).to_hex()))
        .with_context(|| format!("cannot write {}", public.display()))?;
    Ok(key)
}

/// Where the public half of a key lies.
pub(super) fn beside(path: &Path) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_in_every_form_and_refused_when_others_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        for form in [Form::Pem, Form::Hex, Form::Base64] {
            let path = dir.path().join(format!("{form:?}"));
            let made = create(&path, form).unwrap();
            let given = path.to_str().unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert_eq!(signing(given).unwrap().to_bytes(), made.to_bytes());
            assert_eq!(public(beside(&path).to_str().unwrap()).unwrap(), PublicKey::of(&made));
            assert!(create(&path, form).is_err(), "a key was overwritten");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            assert!(signing(given).unwrap_err().to_string().contains("others can read the key"));
        }
    }

    #[test]
    fn what_openssl_writes_is_read() {
        let secret_pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
        let public_pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("public.pem");
        fs::write(&path, public_pem).unwrap();
        let key = secret(secret_pem).unwrap();
        assert_eq!(public(path.to_str().unwrap()).unwrap(), PublicKey::of(&key));
        fs::write(&path, secret_pem).unwrap();
        assert!(public(path.to_str().unwrap()).unwrap_err().to_string().contains("is a secret key"));
        for wrong in ["", "abc", &secret_pem.replace("PRIVATE", "EC PRIVATE"), "00".repeat(31).as_str()] {
            assert!(secret(wrong).is_err(), "{wrong}");
        }
    }
}
