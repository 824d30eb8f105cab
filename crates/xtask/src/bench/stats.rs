//! Medians and Markdown tables.

/// The median; NaN of nothing.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted: Vec<f64> = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.get(sorted.len().saturating_sub(1) / 2), sorted.get(sorted.len() / 2));
    match (low, high) {
        (Some(low), Some(high)) => (low + high) / 2.0,
        _ => f64::NAN,
    }
}

/// A table under construction.
pub struct Table {
    text: String,
    columns: usize,
}

impl Table {
    /// Begins with the names of the columns.
    pub fn new(columns: &[&str]) -> Table {
        let mut text = format!("| {} |\n", columns.join(" | "));
        text.push_str(&format!("|{}\n", "--|".repeat(columns.len())));
        Table { text, columns: columns.len() }
    }

    /// Adds a row; missing cells are empty.
    pub fn row(&mut self, cells: &[String]) {
        let filled = (0..self.columns).map(|i| cells.get(i).map_or("", String::as_str).replace('|', "\\|"));
        self.text.push_str(&format!("| {} |\n", filled.collect::<Vec<_>>().join(" | ")));
    }

    /// The text.
    pub fn finish(self) -> String {
        self.text
    }
}

/// A number with so many digits behind the point; `-` for one that was not measured.
pub fn number(value: f64, digits: usize) -> String {
    if value.is_finite() {
        format!("{value:.digits$}")
    } else {
        "-".into()
    }
}

/// How many times larger `a` is than `b`.
pub fn ratio(a: f64, b: f64) -> String {
    if b > 0.0 && (a / b).is_finite() {
        format!("{:.2}x", a / b)
    } else {
        "-".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_cells() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
        assert_eq!(number(f64::NAN, 1), "-");
        assert_eq!(ratio(3.0, 2.0), "1.50x");
        assert_eq!(ratio(3.0, 0.0), "-");
        let mut table = Table::new(&["a", "b"]);
        table.row(&["x|y".into()]);
        assert_eq!(table.finish(), "| a | b |\n|--|--|\n| x\\|y |  |\n");
    }
}
