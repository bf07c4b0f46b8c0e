//! Signed documents as the session sees them: bytes with a digest. Their format and verification are `shared/release`'s.

use std::fmt;

use bytes::Bytes;
use shared_model::Digest;

macro_rules! document {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq)]
        pub struct $type {
            bytes: Bytes,
            digest: Digest,
        }

        impl $type {
            /// Takes the bytes as they were signed or received.
            pub fn new(bytes: impl Into<Bytes>) -> Self {
                let bytes = bytes.into();
                Self { digest: Digest::of(&bytes), bytes }
            }

            /// The bytes, signature included.
            pub fn bytes(&self) -> &Bytes {
                &self.bytes
            }

            /// The digest of the bytes, by which both sides tell whether they hold the same.
            pub fn digest(&self) -> Digest {
                self.digest
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "({}, {} bytes)"), self.digest.short(), self.bytes.len())
            }
        }
    };
}

document!(
    /// A signed index: what one cluster should run.
    IndexDocument
);
document!(
    /// A signed statement that an index is still what the hub wants.
    FreshnessDocument
);
document!(
    /// The root document: which keys and which authority count.
    RootDocument
);
