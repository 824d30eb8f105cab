//! The parser, the diagnostics and the formatter against recorded results. `UPDATE_GOLDEN=1` records them anew.

use std::fs;
use std::path::{Path, PathBuf};

use fathom_syntax::span::Expansions;
use fathom_syntax::{dump, format, parse, render, SourceMap};

fn scripts(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "bt")).collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

fn check(path: &Path, actual: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path, actual).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert!(expected == actual, "{} differs from\n{actual}", path.display());
}

fn errors(source: &str) -> String {
    let mut sources = SourceMap::new();
    let file = sources.add_file("stdin", source);
    let (_, diagnostics) = parse(source, file);
    render(&diagnostics, &sources, &Expansions::default(), false)
}

#[test]
fn trees() {
    for path in scripts("corpus") {
        let source = fs::read_to_string(&path).unwrap();
        assert_eq!(errors(&source), "", "{}", path.display());
        check(&path.with_extension("ast"), &dump(&parse(&source, Default::default()).0));
    }
}

#[test]
fn layouts() {
    for path in scripts("corpus") {
        let source = fs::read_to_string(&path).unwrap();
        let formatted = format(&source).unwrap();
        check(&path.with_extension("fmt"), &formatted);
        assert_eq!(format(&formatted).unwrap(), formatted, "{}", path.display());
        let (before, after) = (parse(&source, Default::default()).0, parse(&formatted, Default::default()).0);
        assert_eq!(dump(&after), dump(&before), "{}", path.display());
        let texts = |script: &fathom_syntax::ast::Script| script.comments.len();
        assert_eq!(texts(&after), texts(&before), "{}", path.display());
    }
}

#[test]
fn messages() {
    for path in scripts("errors") {
        let source = fs::read_to_string(&path).unwrap();
        check(&path.with_extension("err"), &errors(&source));
    }
}
