//! Identifiers of file systems and partitions, which nothing random goes into.

use sha2::{Digest, Sha256};

/// The same identifier for a thing in every image: two builds are one image.
pub(super) fn id(name: &str) -> String {
    sprig_ground::hex::encode(&Sha256::digest(format!("sprig image {name}")))
}

/// The same as a UUID.
pub(super) fn uuid(name: &str) -> String {
    let id = id(name);
    // Version 8, of an application's own making (RFC 9562, section 5.8).
    format!("{}-{}-8{}-8{}-{}", &id[..8], &id[8..12], &id[13..16], &id[17..20], &id[20..32])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_of_the_right_form_and_differ() {
        let (one, other) = (uuid("boot-a"), uuid("boot-b"));
        assert_ne!(one, other);
        assert_eq!(one.len(), 36);
        let groups: Vec<usize> = one.split('-').map(str::len).collect();
        assert_eq!(groups, [8, 4, 4, 4, 12]);
        assert!(one.split('-').nth(2).unwrap().starts_with('8'));
    }
}
