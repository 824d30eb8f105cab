//! The optimiser: one file per pass. [`crate::passes`] has their order.

pub(crate) mod legalize;
mod rewrite;
