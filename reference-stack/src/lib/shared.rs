//! A part of a machine that its snapshots share until one of them changes it.

use std::ops::{Deref, DerefMut};
/// The reference count of what snapshots share. It has no weak references, so that a look whether
/// a part is shared is a plain load, where `std`'s is a locked operation on every change.
pub(crate) use triomphe::Arc;

/// Copied on write: a clone is a reference count, the first change afterwards a copy.
#[derive(Clone, Debug, Default)]
pub struct Shared<T>(Arc<T>);

impl<T> Shared<T> {
    /// A part of its own.
    pub fn new(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}
