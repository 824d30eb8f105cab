//! `/proc/kallsyms`: the kernel's symbols, one per line, and a compact table of them.

use std::io::BufRead;

use crate::{Error, Result};

/// One symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelSymbol<'a> {
    /// Address; 0 for all symbols if the reader may not see addresses (`kernel.kptr_restrict`).
    pub address: u64,
    /// Type letter as in `nm`: `T`/`t` text, `W`/`w` weak, `D`/`d` data and so on; capitals are global.
    pub kind: char,
    /// Name.
    pub name: &'a str,
    /// Module, `None` for the kernel itself. JIT-compiled programs stand under `bpf`.
    pub module: Option<&'a str>,
}

impl KernelSymbol<'_> {
    /// Whether the symbol is code.
    pub fn is_text(&self) -> bool {
        matches!(self.kind, 't' | 'T' | 'w' | 'W')
    }
}

/// Parses one line; `None` if it has not the shape `address kind name [module]`.
pub fn parse_line(line: &str) -> Option<KernelSymbol<'_>> {
    let mut words = line.split_ascii_whitespace();
    let address = u64::from_str_radix(words.next()?, 16).ok()?;
    let kind = words.next()?.chars().next()?;
    let name = words.next()?;
    let module = words.next().and_then(|m| m.strip_prefix('[')?.strip_suffix(']'));
    Some(KernelSymbol { address, kind, name, module })
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    address: u64,
    /// Place of the kind letter in `names`; the name follows.
    at: u32,
    name_len: u16,
    /// Index into `modules`, 0 is the kernel.
    module: u16,
}

/// All symbols of a kernel, sorted by address. About 16 bytes and the name for each.
#[derive(Debug, Clone, Default)]
pub struct Kallsyms {
    entries: Vec<Entry>,
    names: Vec<u8>,
    modules: Vec<String>,
}

impl Kallsyms {
    /// Reads the whole file; `keep` decides which symbols are wanted (e.g. [`KernelSymbol::is_text`]).
    ///
    /// Errors: reading fails. Lines of another shape are passed over.
    pub fn read(mut input: impl BufRead, mut keep: impl FnMut(&KernelSymbol<'_>) -> bool) -> Result<Self> {
        let mut table = Self::default();
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = input.read_until(b'\n', &mut line);
            if read.map_err(|e| Error::new("kallsyms", format!("reading failed: {e}")))? == 0 {
                break;
            }
            let symbol = std::str::from_utf8(&line).ok().and_then(parse_line);
            if let Some(symbol) = symbol.filter(&mut keep) {
                table.push(&symbol);
            }
        }
        table.entries.sort_by_key(|entry| entry.address);
        Ok(table)
    }

    fn push(&mut self, symbol: &KernelSymbol<'_>) {
        let (Ok(at), Ok(name_len)) = (u32::try_from(self.names.len()), u16::try_from(symbol.name.len()))
        else {
            return;
        };
        let module = match symbol.module {
            None => 0,
            Some(name) => {
                // Symbols of one module stand together, so the last one is nearly always it.
                let found = self.modules.iter().rposition(|m| m == name);
                let index = found.unwrap_or_else(|| {
                    self.modules.push(name.to_owned());
                    self.modules.len() - 1
                });
                u16::try_from(index + 1).unwrap_or(0)
            }
        };
        self.names.push(if symbol.kind.is_ascii() { symbol.kind as u8 } else { b'?' });
        self.names.extend_from_slice(symbol.name.as_bytes());
        self.entries.push(Entry { address: symbol.address, at, name_len, module });
    }

    fn symbol(&self, entry: &Entry) -> KernelSymbol<'_> {
        let at = entry.at as usize;
        let name = self.names.get(at + 1..at + 1 + usize::from(entry.name_len)).unwrap_or(&[]);
        KernelSymbol {
            address: entry.address,
            kind: self.names.get(at).map_or('?', |&k| char::from(k)),
            name: std::str::from_utf8(name).unwrap_or(""),
            module: usize::from(entry.module)
                .checked_sub(1)
                .and_then(|i| self.modules.get(i))
                .map(String::as_str),
        }
    }

    /// The symbol that covers an address, and the offset in it. Of several at one address, the first in the file.
    pub fn by_address(&self, address: u64) -> Option<(KernelSymbol<'_>, u64)> {
        let after = self.entries.partition_point(|entry| entry.address <= address);
        let nearest = self.entries.get(after.checked_sub(1)?)?.address;
        let first = self.entries.partition_point(|entry| entry.address < nearest);
        Some((self.symbol(self.entries.get(first)?), address - nearest))
    }

    /// All symbols with this name: the same name may stand in several files and modules.
    pub fn by_name<'s>(&'s self, name: &'s str) -> impl Iterator<Item = KernelSymbol<'s>> + 's {
        let with_len = self.entries.iter().filter(move |e| usize::from(e.name_len) == name.len());
        with_len.map(|entry| self.symbol(entry)).filter(move |symbol| symbol.name == name)
    }

    /// All symbols by address.
    pub fn iter(&self) -> impl Iterator<Item = KernelSymbol<'_>> + '_ {
        self.entries.iter().map(|entry| self.symbol(entry))
    }

    /// Number of symbols.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing was kept.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the kernel hid all addresses; then names can be listed but nothing can be resolved.
    pub fn addresses_hidden(&self) -> bool {
        self.entries.last().is_some_and(|entry| entry.address == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "ffffffff81000000 T _text\nffffffff81000000 T startup_64\nffffffff81000400 t helper\n\
        ffffffff82000000 D jiffies\nffffffffc0001000 t helper\t[ext4]\nffffffffc0000000 T ext4_init\t[ext4]\nrubbish\n";

    #[test]
    fn both_directions() {
        let table = Kallsyms::read(TEXT.as_bytes(), |_| true).unwrap();
        assert_eq!(table.len(), 6);
        let (symbol, offset) = table.by_address(0xffff_ffff_8100_0010).unwrap();
        assert_eq!((symbol.name, offset), ("_text", 0x10));
        let (symbol, offset) = table.by_address(0xffff_ffff_c000_1008).unwrap();
        assert_eq!((symbol.name, symbol.module, offset), ("helper", Some("ext4"), 8));
        assert!(table.by_address(0x1000).is_none());
        let places: Vec<_> = table.by_name("helper").map(|s| s.module).collect();
        assert_eq!(places, [None, Some("ext4")]);
        assert!(!table.addresses_hidden());
    }

    #[test]
    fn text_only_and_hidden_addresses() {
        let text = Kallsyms::read(TEXT.as_bytes(), |s| s.is_text()).unwrap();
        assert!(text.by_name("jiffies").next().is_none());
        let hidden =
            Kallsyms::read("0000000000000000 T _text\n0000000000000000 t x\n".as_bytes(), |_| true).unwrap();
        assert!(hidden.addresses_hidden());
        assert!(!Kallsyms::default().addresses_hidden());
    }
}
