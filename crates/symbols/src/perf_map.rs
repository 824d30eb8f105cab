//! `/tmp/perf-PID.map`: where a JIT compiler says its functions are.
//!
//! A line is `START SIZE NAME` with hexadecimal numbers; the name may hold blanks.
//! Format: tools/perf/Documentation/jit-interface.txt of the kernel.

/// One function of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    start: u64,
    size: u64,
    name: String,
}

/// A parsed map. Where functions overlap, the one written last wins, as code is replaced over time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PerfMap {
    rows: Vec<Row>,
}

impl PerfMap {
    /// Parses a map; lines of another shape, such as one still being written, are passed over.
    pub fn parse(text: &[u8]) -> Self {
        let lines = text.split(|&b| b == b'\n');
        let mut rows: Vec<Row> =
            lines.filter_map(|line| parse_line(&String::from_utf8_lossy(line))).collect();
        // Of equal starts, the last in the file goes first.
        rows.reverse();
        rows.sort_by_key(|row| row.start);
        Self { rows }
    }

    /// The function at an address, and the offset in it.
    pub fn find(&self, address: u64) -> Option<(&str, u64)> {
        let end = self.rows.partition_point(|row| row.start <= address);
        let nearest = self.rows.get(end.checked_sub(1)?)?.start;
        let first = self.rows.partition_point(|row| row.start < nearest);
        let row = self.rows.get(first)?;
        let offset = address - row.start;
        (offset < row.size).then_some((row.name.as_str(), offset))
    }

    /// Number of functions.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it names nothing.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

fn parse_line(line: &str) -> Option<Row> {
    let hex = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    let (start, rest) = line.trim().split_once(' ')?;
    let (size, name) = rest.trim_start().split_once(' ')?;
    Some(Row { start: hex(start)?, size: hex(size)?, name: name.trim().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_lines_win_and_gaps_stay_empty() {
        let map =
            PerfMap::parse(b"1000 20 old\n0x2000 10 LazyCompile:*f file.js:1\n1000 10 new name\nhalf 1\n30");
        assert_eq!(map.len(), 3);
        assert_eq!(map.find(0x1004), Some(("new name", 4)));
        assert_eq!(map.find(0x2000), Some(("LazyCompile:*f file.js:1", 0)));
        assert_eq!(map.find(0x2010), None);
        assert_eq!(map.find(0xfff), None);
        assert!(PerfMap::parse(b"").is_empty());
    }
}
