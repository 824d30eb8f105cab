//! Intermediate representation, optimiser passes, register allocation, eBPF emission, the compiled program as plain data.
