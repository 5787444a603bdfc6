//! Linux's `lib/`: hashes, checksums, the seeded generator, sequence arithmetic.

pub(crate) mod checksum;
pub mod hash;
pub(crate) mod md5;
pub(crate) mod random;
pub mod seqnum;
pub mod shared;
pub(crate) mod siphash;
