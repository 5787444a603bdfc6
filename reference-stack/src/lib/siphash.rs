//! SipHash-2-4 over 64-bit words: the keyed hash behind ISNs, timestamp offsets and IP ids.

/// A secret key, drawn once a boot.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SipKey(pub(crate) [u64; 2]);

/// Hashes words as `siphash_Nu64` does: each a block, the last one the length.
pub(crate) fn siphash(words: &[u64], key: SipKey) -> u64 {
    let [k0, k1] = key.0;
    let mut v = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    for &word in words {
        block(&mut v, word);
    }
    block(&mut v, (words.len() as u64 * 8) << 56);
    v[2] ^= 0xff;
    for _ in 0..4 {
        round(&mut v);
    }
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

fn block(v: &mut [u64; 4], word: u64) {
    v[3] ^= word;
    round(v);
    round(v);
    v[0] ^= word;
}

fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference vector of the SipHash paper for an 8-byte message, key 00..0f.
    #[test]
    fn the_published_vector_holds() {
        let key = SipKey([0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908]);
        assert_eq!(siphash(&[0x0706_0504_0302_0100], key), 0x93f5_f579_9a93_2462);
    }
}
