//! `docs/language.md`: builtins and settings, from their rows in `lang`.

use super::{cell, notice};
use fathom_lang::builtins::{self, Builtin, Form};
use fathom_lang::config::{Config, KEYS};

/// A section: title, which builtins belong there.
type Section = (&'static str, fn(&Builtin) -> bool);

static SECTIONS: &[Section] = &[
    ("Values", |b| matches!(b.form, Form::Value | Form::Either)),
    ("Functions", |b| b.form == Form::Function),
    ("Aggregations", |b| b.form == Form::Aggregation),
];

/// The document.
pub fn text() -> String {
    let mut out = format!("{}# Builtins and settings\n\n", notice());
    out.push_str("Everything that a script can call, and every setting. Functions marked **unsafe** change the system and need `--unsafe`.\n");
    for (title, belongs) in SECTIONS {
        out.push_str(&format!("\n## {title}\n"));
        let mut rows: Vec<&Builtin> = builtins::rows().filter(|b| belongs(b)).collect();
        rows.sort_by_key(|b| b.name);
        for b in rows {
            out.push_str(&builtin(b));
        }
    }
    out.push_str("\n## Settings\n\n");
    out.push_str("Set in a script with `config = { name = value }`, or by the environment variable `BPFTRACE_` and the name in capitals, which wins.\n\n");
    out.push_str("| setting | default | values | |\n|--|--|--|--|\n");
    let defaults = Config::default();
    for key in KEYS {
        let default = (key.get)(&defaults);
        out.push_str(&format!(
            "| `{}` | {} | {} | {} |\n",
            key.name,
            cell(&default),
            cell(key.values),
            cell(key.doc)
        ));
    }
    out
}

fn builtin(b: &Builtin) -> String {
    let mark = if b.is_unsafe { " **unsafe**" } else { "" };
    format!(
        "\n### `{}`{mark}\n\n    {}\n\n{}\n\n    {}\n",
        b.name,
        b.signature,
        b.doc.trim(),
        b.example.trim().replace('\n', "\n    ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_the_document() {
        let text = text();
        for b in builtins::rows() {
            assert!(text.contains(&format!("### `{}`", b.name)), "{}", b.name);
        }
        for key in KEYS {
            assert!(text.contains(&format!("| `{}` |", key.name)), "{}", key.name);
        }
    }
}
