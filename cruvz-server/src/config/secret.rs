//! Values that are never shown.

use std::fmt;

use cruvz_core::StreamKey;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// What stands in the place of a secret wherever it would be shown.
const REDACTED: &str = "***";

/// A secret of the configuration. Neither `Debug` nor serialising shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(StreamKey);

impl Secret {
    /// This secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(StreamKey::new(secret))
    }

    /// Whether it equals `presented`, in a time that does not depend on where they differ.
    pub fn matches(&self, presented: &str) -> bool {
        self.0.matches(presented)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)? {
            empty if empty.is_empty() => Err(D::Error::custom("a secret must not be empty")),
            // `config print` writes this; a server that took it for the key would have a key that everybody knows.
            shown if shown == REDACTED => {
                Err(D::Error::custom("*** stands for a secret that was left out; write the secret itself"))
            }
            secret => Ok(Self::new(secret)),
        }
    }
}
