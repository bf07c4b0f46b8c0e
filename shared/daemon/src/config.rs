//! Configuration in layers: the flag wins over the environment, the environment over the file, the file over the default. Flags and
//! environment are clap's business (it prefers the flag already); which settings exist is the business of each process.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// The largest configuration file: settings of one process take a few kilobytes, so 1 MiB is room for a hundred sources and a bound
/// for a path that names something else.
pub const CONFIG_BYTES_LIMIT: u64 = 1 << 20;

/// A configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration file {} cannot be read; does it exist, and may this user read it?", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The file is larger than [`CONFIG_BYTES_LIMIT`].
    #[error("the configuration file {} is larger than {CONFIG_BYTES_LIMIT} bytes; is it the right file?", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
    },
    /// The file is not YAML, or a setting is unknown or of a wrong type.
    #[error("the configuration file {} is not as it should be: {source}", path.display())]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// What is wrong, with line and column.
        source: serde_yaml::Error,
    },
}

/// Reads the YAML file at `path`. An empty file is `T` without any setting. `T` says by `#[serde(deny_unknown_fields)]` that a
/// misspelt setting is an error.
///
/// # Errors
/// See [`ConfigError`].
pub fn read_config<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).map_err(unreadable)?.take(CONFIG_BYTES_LIMIT + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > CONFIG_BYTES_LIMIT {
        return Err(ConfigError::TooLarge { path: path.to_owned() });
    }
    let document = if bytes.iter().all(u8::is_ascii_whitespace) { b"{}" } else { bytes.as_slice() };
    serde_yaml::from_slice(document).map_err(|source| ConfigError::Invalid { path: path.to_owned(), source })
}

/// The value of one setting: what flag or environment say, else what the file says, else the default.
pub fn layered<T>(flag_or_environment: Option<T>, file: Option<T>, default: T) -> T {
    flag_or_environment.or(file).unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, serde::Deserialize)]
    #[serde(default, deny_unknown_fields, rename_all = "camelCase")]
    struct Settings {
        data_dir: Option<String>,
        keep: Option<u32>,
    }

    fn read(text: &str) -> Result<Settings, ConfigError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hub.yaml");
        std::fs::write(&path, text).unwrap();
        read_config(&path)
    }

    #[test]
    fn a_file_says_some_settings_and_leaves_the_others() {
        assert_eq!(read("dataDir: /var/lib/capstan\n").unwrap(), Settings { data_dir: Some("/var/lib/capstan".into()), keep: None });
        assert_eq!(read(" \n").unwrap(), Settings::default());
    }

    #[test]
    fn a_misspelt_setting_is_refused_with_its_place() {
        let error = read("keep: 3\ndataDirectory: /x\n").unwrap_err().to_string();
        assert!(error.contains("unknown field `dataDirectory`") && error.contains("line 2"), "{error}");
    }

    #[test]
    fn a_missing_file_and_one_without_end_are_errors() {
        assert!(matches!(read_config::<Settings>(Path::new("/nowhere/hub.yaml")), Err(ConfigError::Unreadable { .. })));
        assert!(matches!(read_config::<Settings>(Path::new("/dev/zero")), Err(ConfigError::TooLarge { .. })));
    }

    #[test]
    fn the_layer_nearest_to_the_person_wins() {
        assert_eq!([layered(Some(1), Some(2), 3), layered(None, Some(2), 3), layered(None, None, 3)], [1, 2, 3]);
    }
}
