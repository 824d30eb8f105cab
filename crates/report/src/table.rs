//! Aligned tables of text.

/// To which side the cells of a column go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Align {
    /// To the left, for words.
    #[default]
    Left,
    /// To the right, for numbers.
    Right,
}

/// Rows under headings; each column is as wide as its widest cell.
#[derive(Clone, Debug, Default)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns; empty headings in all columns leave out the line of headings.
    pub fn new<S: Into<String>>(columns: impl IntoIterator<Item = (S, Align)>) -> Table {
        Table { columns: columns.into_iter().map(|(s, a)| (s.into(), a)).collect(), rows: Vec::new() }
    }

    /// Adds a row; missing cells are empty, cells beyond the last column are left out.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().take(self.columns.len()).map(Into::into).collect());
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines, each ended by a newline and without spaces at its end. Columns are two spaces apart.
    pub fn render(&self) -> String {
        let mut widths: Vec<usize> = self.columns.iter().map(|(head, _)| width(head)).collect();
        for row in &self.rows {
            for (most, cell) in widths.iter_mut().zip(row) {
                *most = (*most).max(width(cell));
            }
        }
        let mut out = String::new();
        if self.columns.iter().any(|(head, _)| !head.is_empty()) {
            self.line(self.columns.iter().map(|(head, _)| head.as_str()), &widths, &mut out);
        }
        for row in &self.rows {
            self.line(row.iter().map(String::as_str), &widths, &mut out);
        }
        out
    }

    fn line<'a>(&self, cells: impl Iterator<Item = &'a str>, widths: &[usize], out: &mut String) {
        let start = out.len();
        for (i, ((cell, (_, align)), most)) in cells.zip(&self.columns).zip(widths).enumerate() {
            if i > 0 {
                out.push_str("  ");
            }
            let fill = most.saturating_sub(width(cell));
            if *align == Align::Right {
                out.extend(std::iter::repeat_n(' ', fill));
            }
            out.push_str(cell);
            if *align == Align::Left {
                out.extend(std::iter::repeat_n(' ', fill));
            }
        }
        out.truncate(start + out[start..].trim_end_matches(' ').len());
        out.push('\n');
    }
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut t = Table::new([("PID", Align::Right), ("COMM", Align::Left), ("LAT", Align::Right)]);
        t.row(["1", "systemd", "5"]);
        t.row(["12345", "é", "1000"]);
        t.row(["7"]);
        t.row(["1", "a", "2", "dropped"]);
        assert_eq!(
            t.render(),
            "  PID  COMM      LAT\n    1  systemd     5\n12345  é        1000\n    7\n    1  a           2\n"
        );
    }

    #[test]
    fn no_headings_no_line() {
        let mut t = Table::new([("", Align::Left), ("", Align::Left)]);
        assert!(t.is_empty());
        t.row(["a", "b"]);
        assert_eq!(t.render(), "a  b\n");
    }
}
