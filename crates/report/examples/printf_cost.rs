//! Prints what one `printf()` event costs to format.

use fathom_report::{Field, Format, JsonOutput, Output};
use std::hint::black_box;
use std::io::{self, Write};
use std::time::Instant;

const EVENTS: u32 = 5_000_000;

fn main() -> io::Result<()> {
    let mut stdout = io::stdout();
    for text in ["%d %s %d\n", "%-16s %-6d %-6d %s\n", "%08lx %p %5d\n", "%s\n"] {
        let format = Format::parse(text).map_err(io::Error::other)?;
        let mut out = Vec::with_capacity(1 << 16);
        let started = Instant::now();
        for i in 0..EVENTS {
            let fields =
                [Field::Int(i64::from(i)), Field::Str(b"systemd-journal"), Field::Uint(123), Field::Int(-1)];
            format.render_fields(black_box(&fields), &mut out);
            if out.len() > 60_000 {
                black_box(&out);
                out.clear();
            }
        }
        let ns = started.elapsed().as_nanos() / u128::from(EVENTS);
        writeln!(stdout, "{ns:4} ns per event for {text:?}")?;
    }
    let mut json = JsonOutput::new(io::sink());
    let started = Instant::now();
    for _ in 0..EVENTS {
        json.printf(black_box(b"12345 systemd-journal 123\n"))?;
    }
    let ns = started.elapsed().as_nanos() / u128::from(EVENTS);
    writeln!(stdout, "{ns:4} ns per event as a JSON line")
}
