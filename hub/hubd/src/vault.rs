//! Sealing of the hub's secrets at rest, under a key file that is not in the store: a copied data directory without its key file tells nothing.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// The key that seals the hub's secrets.
pub(crate) struct Vault(LessSafeKey);

impl Vault {
    /// Reads the key file, 64 hexadecimal digits; makes one if there is none and `may_make` says that nothing is sealed yet.
    pub(crate) fn open(path: &Path, may_make: bool) -> anyhow::Result<Self> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && may_make => make(path)?,
            Err(error) => {
                return Err(error).with_context(|| {
                    format!("the key file {} cannot be read; without it the hub's keys cannot be opened: put it back", path.display())
                });
            }
        };
        let bytes = unhex(text.trim()).with_context(|| format!("the key file {} does not hold 64 hexadecimal digits", path.display()))?;
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| anyhow::anyhow!("the key file {} is not a key", path.display()))?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Seals `plain` for `purpose`. The nonce is random and stands first.
    pub(crate) fn seal(&self, purpose: &str, plain: &[u8]) -> String {
        let nonce: [u8; NONCE_LEN] = shared_identity::random();
        let mut sealed = plain.to_vec();
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(purpose.as_bytes()), &mut sealed)
            .unwrap_or_else(|_| unreachable!("BUG: secrets are far below AES-GCM's 64 GiB"));
        hex(&[&nonce[..], &sealed].concat())
    }

    /// Opens what was sealed for `purpose`.
    pub(crate) fn open_sealed(&self, purpose: &str, sealed: &str) -> anyhow::Result<Vec<u8>> {
        let Some(mut bytes) = unhex(sealed).filter(|bytes| bytes.len() > NONCE_LEN) else { bail!("the sealed {purpose} is damaged") };
        let mut rest = bytes.split_off(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&bytes).map_err(|_| anyhow::anyhow!("the sealed {purpose} is damaged"))?;
        let plain = self
            .0
            .open_in_place(nonce, Aad::from(purpose.as_bytes()), &mut rest)
            .map_err(|_| anyhow::anyhow!("the sealed {purpose} does not open with this key file; was another one put in its place?"))?;
        Ok(plain.to_vec())
    }
}

/// Makes a secret file of 64 hexadecimal digits that only its owner can read.
pub(crate) fn make(path: &Path) -> anyhow::Result<String> {
    let text = hex(&shared_identity::random::<32>());
    let failed = || format!("{} cannot be written", path.display());
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).with_context(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(failed)?;
    if let Some(directory) = path.parent() {
        fs::File::open(directory).and_then(|directory| directory.sync_all()).with_context(failed)?;
    }
    Ok(text)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    text.len().is_multiple_of(2).then(|| text.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_only_with_its_key_file_and_for_its_purpose() {
        let directory = tempfile::tempdir().expect("a directory");
        let (a, b) = (directory.path().join("a"), directory.path().join("b"));
        let vault = Vault::open(&a, true).expect("made");
        let sealed = vault.seal("data key", b"canary");
        assert!(!sealed.contains(&hex(b"canary")));
        assert_eq!(Vault::open(&a, false).expect("there").open_sealed("data key", &sealed).expect("opens"), b"canary");
        assert!(vault.open_sealed("authority", &sealed).is_err());
        assert!(Vault::open(&b, true).expect("made").open_sealed("data key", &sealed).is_err());
        assert!(Vault::open(&directory.path().join("c"), false).is_err(), "nothing new is made where something is sealed");
    }
}
