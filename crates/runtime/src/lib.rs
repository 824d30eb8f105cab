//! A tracing session: load, attach, consume, decode, symbolise, print.
