//! Parsers over bytes (BTF, ELF, DWARF, USDT notes, kallsyms, process maps, tracepoint formats) and name resolution.
