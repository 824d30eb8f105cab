//! Providers: what can be probed, what a probe's arguments are, how it is attached.
