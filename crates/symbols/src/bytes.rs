//! A shared, immutable byte buffer of any origin: a vector, a static slice, a memory map of another crate.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Bytes that are cheap to clone and whose owner is not known here.
///
/// This lets [`crate::btf::Btf`] be one type whether the kernel's BTF was mapped, read or built.
#[derive(Clone)]
pub struct Bytes(Arc<dyn AsRef<[u8]> + Send + Sync>);

impl Bytes {
    /// Takes ownership of anything that lends bytes (`Vec<u8>`, `&'static [u8]`, a mapping guard).
    pub fn new(owner: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self(Arc::new(owner))
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.as_ref()
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(bytes)
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({} bytes)", self.as_ref().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_the_owner() {
        let a = Bytes::new(vec![1, 2, 3]);
        let b = a.clone();
        assert_eq!(a.as_ptr(), b.as_ptr());
        assert_eq!(&b[1..], [2, 3]);
    }
}
