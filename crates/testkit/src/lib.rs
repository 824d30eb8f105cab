//! Support for tests: recorded kernels, interpreted sessions, golden files.
