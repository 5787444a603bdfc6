//! TCP sequence numbers: 32 bits, compared around the circle (RFC 9293 3.4).

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// A TCP sequence number. There is no order on it but [`before`](Self::before) and
/// [`after`](Self::after), which hold within half the circle.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct SeqNum(pub u32);

impl SeqNum {
    /// Whether this comes before `other`.
    pub const fn before(self, other: Self) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// Whether this comes after `other`.
    pub const fn after(self, other: Self) -> bool {
        other.before(self)
    }

    /// Whether this lies in `low..=high`, going up from `low` (Linux `between`).
    pub const fn between(self, low: Self, high: Self) -> bool {
        high.0.wrapping_sub(low.0) >= self.0.wrapping_sub(low.0)
    }

    /// Distance up from `from`, modulo 2^32.
    pub const fn since(self, from: Self) -> u32 {
        self.0.wrapping_sub(from.0)
    }

    /// Signed distance from `from`.
    pub const fn diff(self, from: Self) -> i32 {
        self.0.wrapping_sub(from.0) as i32
    }

    /// The later of two.
    pub const fn max(self, other: Self) -> Self {
        if self.before(other) { other } else { self }
    }

    /// The earlier of two.
    pub const fn min(self, other: Self) -> Self {
        if self.before(other) { self } else { other }
    }
}

impl Add<u32> for SeqNum {
    type Output = Self;
    fn add(self, n: u32) -> Self {
        Self(self.0.wrapping_add(n))
    }
}

impl AddAssign<u32> for SeqNum {
    fn add_assign(&mut self, n: u32) {
        self.0 = self.0.wrapping_add(n);
    }
}

impl Sub<u32> for SeqNum {
    type Output = Self;
    fn sub(self, n: u32) -> Self {
        Self(self.0.wrapping_sub(n))
    }
}

impl fmt::Debug for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparison_goes_around_the_circle() {
        let (low, high) = (SeqNum(u32::MAX - 4), SeqNum(5));
        assert!(low.before(high) && high.after(low) && !high.before(low));
        assert_eq!(high.since(low), 10);
        assert_eq!(low.diff(high), -10);
        assert!(SeqNum(0).between(low, high) && !SeqNum(6).between(low, high));
        assert_eq!(low + 10, high);
    }
}
