//! Process memory maps: `/proc/PID/maps`, and a table of mappings that can also be fed by mmap events.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// What is mapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mapped {
    /// A file; `deleted` if it has been unlinked or replaced since.
    File {
        /// Path as the process sees it, in its own mount namespace.
        path: PathBuf,
        /// Unlinked since.
        deleted: bool,
    },
    /// Something with a name in brackets or of the kernel's making: `[heap]`, `[vdso]`, `[anon:name]`.
    Special(String),
    /// Anonymous memory, as code made by a JIT compiler is.
    Anonymous,
}

/// One mapping of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// Address after the last.
    pub end: u64,
    /// Readable.
    pub readable: bool,
    /// Writable.
    pub writable: bool,
    /// Executable.
    pub executable: bool,
    /// Shared and not copy-on-write.
    pub shared: bool,
    /// Offset in the file of the first address, in bytes.
    pub offset: u64,
    /// Device of the file (major, minor).
    pub device: (u32, u32),
    /// Inode of the file, 0 if none.
    pub inode: u64,
    /// What is mapped.
    pub what: Mapped,
}

impl Mapping {
    /// The file, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match &self.what {
            Mapped::File { path, .. } => Some(path),
            _ => None,
        }
    }

    /// The offset in the file of an address in this mapping.
    pub fn file_offset(&self, address: u64) -> Option<u64> {
        if address < self.start || address >= self.end {
            return None;
        }
        (address - self.start).checked_add(self.offset)
    }
}

/// Parses one line of `/proc/PID/maps`; `None` if it has another shape.
pub fn parse_line(line: &[u8]) -> Option<Mapping> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    // Five fields, then the path, which may hold spaces, after padding.
    let mut rest = line;
    let mut field = || {
        let start = rest.iter().position(|&c| c != b' ')?;
        let word = &rest[start..];
        let len = word.iter().position(|&c| c == b' ').unwrap_or(word.len());
        let (word, tail) = word.split_at(len);
        rest = tail;
        std::str::from_utf8(word).ok()
    };
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let (start, end) = field()?.split_once('-')?;
    let flags = field()?.as_bytes();
    let offset = hex(field()?)?;
    let (major, minor) = field()?.split_once(':')?;
    let inode = field()?.parse().ok()?;
    let name = rest.iter().position(|&c| c != b' ').map_or(&[][..], |at| &rest[at..]);
    Some(Mapping {
        start: hex(start)?,
        end: hex(end)?,
        readable: flags.first() == Some(&b'r'),
        writable: flags.get(1) == Some(&b'w'),
        executable: flags.get(2) == Some(&b'x'),
        shared: flags.get(3) == Some(&b's'),
        offset,
        device: (hex(major)?.try_into().ok()?, hex(minor)?.try_into().ok()?),
        inode,
        what: classify(name),
    })
}

/// Sorts the name column into files, kernel names and nothing; also used for the names of mmap events.
pub fn classify(name: &[u8]) -> Mapped {
    if name.is_empty() || name == b"//anon" {
        return Mapped::Anonymous;
    }
    if !name.starts_with(b"/") {
        return Mapped::Special(String::from_utf8_lossy(name).into_owned());
    }
    let (path, deleted) = match name.strip_suffix(b" (deleted)") {
        Some(path) => (path, true),
        None => (name, false),
    };
    Mapped::File { path: OsString::from_vec(unescape(path)).into(), deleted }
}

/// The kernel writes a newline in a path as `\012`.
fn unescape(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&first, tail)) = rest.split_first() {
        rest = match tail.strip_prefix(b"012") {
            Some(after) if first == b'\\' => {
                out.push(b'\n');
                after
            }
            _ => {
                out.push(first);
                tail
            }
        };
    }
    out
}

/// The mappings of one process, sorted by address and without overlap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MapTable {
    mappings: Vec<Mapping>,
}

impl MapTable {
    /// Parses the text of `/proc/PID/maps`; lines of another shape are passed over.
    pub fn parse(text: &[u8]) -> Self {
        let mut table = Self::default();
        for mapping in text.split(|&c| c == b'\n').filter_map(parse_line) {
            table.insert(mapping);
        }
        table
    }

    /// Adds a mapping; what it covers of older ones is replaced, as `mmap` with `MAP_FIXED` does.
    pub fn insert(&mut self, new: Mapping) {
        if new.start >= new.end {
            return;
        }
        self.remove(new.start, new.end);
        let at = self.mappings.partition_point(|m| m.start < new.start);
        self.mappings.insert(at, new);
    }

    /// Takes a range of addresses out, splitting mappings where needed.
    pub fn remove(&mut self, start: u64, end: u64) {
        let first = self.mappings.partition_point(|m| m.end <= start);
        let last = self.mappings.partition_point(|m| m.start < end);
        if first >= last {
            return;
        }
        let mut kept = Vec::new();
        for old in &self.mappings[first..last] {
            if old.start < start {
                kept.push(Mapping { end: start, ..old.clone() });
            }
            if old.end > end {
                let offset = old.offset.saturating_add(end - old.start);
                kept.push(Mapping { start: end, offset, ..old.clone() });
            }
        }
        self.mappings.splice(first..last, kept);
    }

    /// The mapping that holds an address.
    pub fn find(&self, address: u64) -> Option<&Mapping> {
        let at = self.mappings.partition_point(|m| m.end <= address);
        self.mappings.get(at).filter(|m| m.start <= address)
    }

    /// All mappings by address.
    pub fn iter(&self) -> impl Iterator<Item = &Mapping> {
        self.mappings.iter()
    }

    /// Number of mappings.
    pub fn len(&self) -> usize {
        self.mappings.len()
    }

    /// Whether nothing is mapped, as in kernel threads.
    pub fn is_empty(&self) -> bool {
        self.mappings.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"55d0c0000000-55d0c0002000 r-xp 00001000 fe:01 1234    /usr/bin/my prog\n\
        7f0000000000-7f0000001000 rw-s 00000000 00:05 9  /dev/zero (deleted)\n\
        7f0000002000-7f0000003000 r--p 00000000 08:01 7  /tmp/a\\012b\n\
        7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0  [stack]\n\
        7ffe00000000-7ffe00021000 rwxp 00000000 00:00 0 \nrubbish\n";

    #[test]
    fn parses_files_names_and_nothing() {
        let table = MapTable::parse(TEXT);
        assert_eq!(table.len(), 5);
        let prog = table.find(0x55d0_c000_1234).unwrap();
        assert_eq!(prog.path().unwrap(), Path::new("/usr/bin/my prog"));
        assert_eq!(prog.file_offset(0x55d0_c000_1234), Some(0x2234));
        assert_eq!((prog.device, prog.inode, prog.executable, prog.shared), ((0xfe, 1), 1234, true, false));
        let zero = table.find(0x7f00_0000_0000).unwrap();
        assert_eq!(zero.what, Mapped::File { path: "/dev/zero".into(), deleted: true });
        assert!(zero.shared);
        assert_eq!(table.find(0x7f00_0000_2000).unwrap().path().unwrap(), Path::new("/tmp/a\nb"));
        assert_eq!(table.find(0x7ffd_0000_0000).unwrap().what, Mapped::Special("[stack]".into()));
        assert_eq!(table.find(0x7ffe_0000_0000).unwrap().what, Mapped::Anonymous);
        assert!(table.find(0x7f00_0000_1000).is_none());
        assert!(table.find(0).is_none());
    }

    #[test]
    fn a_newer_mapping_replaces_what_it_covers() {
        let mut table = MapTable::parse(b"1000-5000 r-xp 00010000 00:00 1 /old\n");
        let hole = Mapping {
            start: 0x2000,
            end: 0x3000,
            offset: 0,
            ..parse_line(b"1-2 r-xp 0 0:0 2 /new").unwrap()
        };
        table.insert(hole);
        let rows: Vec<_> = table.iter().map(|m| (m.start, m.end, m.offset)).collect();
        assert_eq!(rows, [(0x1000, 0x2000, 0x10000), (0x2000, 0x3000, 0), (0x3000, 0x5000, 0x12000)]);
        table.remove(0, u64::MAX);
        assert!(table.is_empty());
    }

    #[test]
    fn damaged_lines_are_nothing() {
        for line in
            [&b""[..], b"-", b"1-2", b"1-2 r", b"1-2 r-xp x 0:0 1", b"1-2 r-xp 0 0 1", b"\xff-\xff r 0 0:0 0"]
        {
            assert_eq!(parse_line(line), None, "{line:?}");
        }
    }
}
