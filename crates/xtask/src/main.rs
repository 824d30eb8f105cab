//! Project tasks: `cargo xtask test`, `bench`, `gen`, `dist`.
fn main() {}
