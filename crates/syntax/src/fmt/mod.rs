//! The formatter: prints the tree of a script in one style. Comments, blank lines between statements and the spelling
//! of literals stay. What it prints has the same tree, and is printed the same again.

mod doc;
mod expr;
mod stmt;

use crate::ast::{AttachPoint, CItem, CItemKind, Import};
use crate::ast::{
    Comment, Config, ConfigValue, Item, Macro, MacroParamKind, MapDecl, Probe, Script, Subprog,
};
use crate::diag::Diagnostic;
use crate::parse::parse;
use crate::span::{FileId, Span};
use doc::Doc;

/// The script in the canonical style.
///
/// # Errors
/// The syntax errors of a script that does not parse; their spans are in file 0.
pub fn format(source: &str) -> Result<String, Vec<Diagnostic>> {
    let (script, diagnostics) = parse(source, FileId(0));
    if !diagnostics.is_empty() {
        return Err(diagnostics);
    }
    let mut formatter = Formatter { source, comments: &script.comments, next_comment: 0 };
    let doc = formatter.script(&script);
    let mut text = doc::print(&doc);
    if let Some(shebang) = &script.shebang {
        let behind = source.get(shebang.len()..).unwrap_or("").trim_start_matches([' ', '\t', '\r']);
        let blank = behind
            .strip_prefix('\n')
            .is_some_and(|rest| rest.trim_start_matches([' ', '\t', '\r']).starts_with('\n'));
        text.insert_str(0, &format!("{}\n{}", shebang.trim_end(), if blank { "\n" } else { "" }));
    }
    Ok(text)
}

/// The source and the comments that are not printed yet.
struct Formatter<'a> {
    source: &'a str,
    comments: &'a [Comment],
    next_comment: usize,
}

/// A statement, item or entry with its place in the source.
struct Entry {
    span: Span,
    doc: Doc,
}

/// Where a sequence of lines is in the source.
struct Last {
    /// The end of what was printed last.
    end: u32,
    /// Whether that was an entry or a comment behind one on its line.
    behind: bool,
}

/// A part of the head of a script.
enum Head<'a> {
    C(&'a CItem),
    Config(&'a Config),
    Import(&'a Import),
}

impl<'a> Formatter<'a> {
    /// The next comment if it begins before `end`.
    fn next_comment_before(&mut self, end: u32) -> Option<&'a Comment> {
        let comment = self.comments.get(self.next_comment).filter(|c| c.span.start < end)?;
        self.next_comment += 1;
        Some(comment)
    }

    fn has_comment_before(&self, end: u32) -> bool {
        self.comments.get(self.next_comment).is_some_and(|c| c.span.start < end)
    }

    /// How many line ends stand between two places.
    fn lines_between(&self, start: u32, end: u32) -> usize {
        self.source
            .get(start as usize..end as usize)
            .map_or(0, |text| text.bytes().filter(|b| *b == b'\n').count())
    }

    /// A comment as printed. The lines of a block comment that begin with `*` are aligned below the first.
    fn comment(&self, comment: &Comment) -> Doc {
        let text = comment.text.trim_end();
        if !text.contains('\n') {
            return Doc::text(text);
        }
        let mut lines = text.lines();
        let first = lines.next().unwrap_or("").trim_end();
        if !lines.clone().all(|line| line.trim_start().starts_with('*')) {
            return Doc::Raw(text.to_string());
        }
        let mut parts = vec![Doc::text(first)];
        for line in lines {
            parts.extend([Doc::Hard, Doc::text(format!(" {}", line.trim()))]);
        }
        Doc::Concat(parts)
    }

    /// Begins a new line in a sequence; keeps one blank line of the source between two places, or makes one.
    fn line_break(&self, last: u32, start: u32, blank: bool, out: &mut Vec<Doc>) {
        if !out.is_empty() {
            out.push(Doc::Hard);
            if blank || self.lines_between(last, start) > 1 {
                out.push(Doc::Hard);
            }
        }
    }

    /// Adds the comments before `end` to a sequence of lines. A comment on the line where the entry before them ended
    /// stays there (`at.behind`); `blank` asks for a blank line before the first on a line of its own.
    fn comments_before(&mut self, end: u32, at: &mut Last, mut blank: bool, out: &mut Vec<Doc>) -> bool {
        let mut own_line = false;
        while let Some(comment) = self.next_comment_before(end) {
            let doc = self.comment(comment);
            if at.behind && self.lines_between(at.end, comment.span.start) == 0 {
                out.extend([Doc::text(" "), doc]);
            } else {
                self.line_break(at.end, comment.span.start, blank, out);
                out.push(doc);
                (at.behind, blank, own_line) = (false, false, true);
            }
            at.end = at.end.max(comment.span.end);
        }
        own_line
    }

    /// Prints a sequence of entries, one per line, with the comments between, within and behind them up to `end`.
    /// The source before `start` is not theirs. `spaced` tells whether a blank line stands before and behind an entry.
    fn sequence(
        &mut self,
        count: usize,
        range: (u32, u32),
        span_of: impl Fn(usize) -> Span,
        mut print: impl FnMut(&mut Self, usize) -> Entry,
        spaced: impl Fn(usize) -> bool,
    ) -> Vec<Doc> {
        let (mut out, mut at) = (Vec::new(), Last { end: range.0, behind: false });
        for i in 0..count {
            let from = span_of(i).start;
            let blank = i > 0 && (spaced(i) || spaced(i - 1));
            let own_line = self.comments_before(from, &mut at, blank, &mut out);
            self.line_break(at.end, from, blank && !own_line, &mut out);
            let entry = print(self, i);
            // Comments within that have no place of their own go before.
            out.extend(self.hoisted(entry.span.end));
            out.push(entry.doc);
            at = Last { end: entry.span.end, behind: true };
        }
        self.comments_before(range.1, &mut at, false, &mut out);
        out
    }

    /// Takes the comments before `end` as lines of their own.
    fn hoisted(&mut self, end: u32) -> Vec<Doc> {
        let mut out = Vec::new();
        while let Some(comment) = self.next_comment_before(end) {
            out.extend([self.comment(comment), Doc::Hard]);
        }
        out
    }

    fn script(&mut self, script: &Script) -> Doc {
        let mut heads: Vec<(Span, Head)> = Vec::new();
        heads.extend(script.c_items.iter().map(|item| (item.span, Head::C(item))));
        heads.extend(script.imports.iter().map(|import| (import.span, Head::Import(import))));
        heads.extend(script.config.iter().map(|config| (config.span, Head::Config(config))));
        heads.sort_by_key(|(span, _)| span.start);
        let count = heads.len() + script.items.len();
        let item_span = |i: usize| match heads.get(i) {
            Some((span, _)) => *span,
            None => script.items.get(i - heads.len()).map_or(Span::default(), item_span),
        };
        let spaced = |i: usize| match heads.get(i) {
            Some((_, Head::Config(_))) => true,
            Some((_, Head::C(item))) => item.kind == CItemKind::Declaration && item.text.contains('\n'),
            Some((_, Head::Import(_))) => false,
            None => !matches!(script.items.get(i - heads.len()), Some(Item::MapDecl(_))),
        };
        let print = |f: &mut Self, i: usize| match heads.get(i) {
            Some((span, head)) => Entry { span: *span, doc: f.head(head) },
            None => f.item(&script.items[i - heads.len()]),
        };
        let start = script.shebang.as_ref().map_or(0, |line| line.len() as u32);
        let mut lines = self.sequence(count, (start, u32::MAX), item_span, print, spaced);
        if !lines.is_empty() {
            lines.push(Doc::Hard);
        }
        Doc::Concat(lines)
    }

    fn head(&mut self, head: &Head) -> Doc {
        match head {
            Head::C(item) if item.kind == CItemKind::Declaration => Doc::Raw(format!("{};", item.text)),
            Head::C(item) => Doc::Raw(item.text.clone()),
            Head::Import(import) => Doc::text(format!("import {};", expr::quoted(import.path.as_bytes()))),
            Head::Config(config) => self.config(config),
        }
    }

    fn config(&mut self, config: &Config) -> Doc {
        let entry = |f: &mut Self, i: usize| {
            let entry = &config.entries[i];
            let value = match &entry.value {
                ConfigValue::Str(text) => expr::quoted(text.as_bytes()),
                ConfigValue::Bool(value) => value.to_string(),
                ConfigValue::Word(word) => word.clone(),
                ConfigValue::Int(value) => f.config_number(entry.span).unwrap_or(value.to_string()),
            };
            Entry { span: entry.span, doc: Doc::text(format!("{} = {value};", entry.key)) }
        };
        let span = |i: usize| config.entries[i].span;
        let range = (config.span.start, config.span.end.saturating_sub(1));
        let lines = self.sequence(config.entries.len(), range, span, entry, |_| false);
        Doc::Concat(vec![Doc::text("config = "), stmt::braced(lines)])
    }

    /// A number of the configuration as it is spelled.
    fn config_number(&self, entry: Span) -> Option<String> {
        let text = self.source.get(entry.start as usize..entry.end as usize)?;
        let number = text.trim_end().rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()?;
        number.starts_with(|c: char| c.is_ascii_digit()).then(|| number.to_string())
    }

    fn item(&mut self, item: &Item) -> Entry {
        match item {
            Item::Probe(probe) => self.probe(probe),
            Item::Macro(item) => self.macro_item(item),
            Item::MapDecl(decl) => self.map_decl(decl),
            Item::Subprog(subprog) => self.subprog(subprog),
        }
    }

    fn probe(&mut self, probe: &Probe) -> Entry {
        let mut out = self.hoisted(probe.body.span.start);
        let mut head = Vec::new();
        for (i, point) in probe.attach_points.iter().enumerate() {
            if i > 0 {
                head.extend([Doc::text(","), Doc::Line]);
            }
            head.push(Doc::text(attach_point(point)));
        }
        if let Some(predicate) = &probe.predicate {
            head.extend([Doc::Line, self.predicate(predicate)]);
        }
        head.extend([Doc::Line, Doc::text("{")]);
        out.push(Doc::group(head));
        out.push(self.body_behind_brace(&probe.body));
        Entry { span: probe.span, doc: Doc::Concat(out) }
    }

    fn macro_item(&mut self, item: &Macro) -> Entry {
        let mut out = self.hoisted(item.body.span.start);
        let params = item.params.iter().map(|p| match p.kind {
            MacroParamKind::Var => format!("${}", p.name),
            MacroParamKind::Map => format!("@{}", p.name),
            MacroParamKind::Expr => p.name.clone(),
        });
        out.push(Doc::text(format!("macro {}({}) {{", item.name, params.collect::<Vec<_>>().join(", "))));
        out.push(self.body_behind_brace(&item.body));
        Entry { span: item.span.to(item.body.span), doc: Doc::Concat(out) }
    }

    fn map_decl(&mut self, decl: &MapDecl) -> Entry {
        let entries = self.expr(&decl.max_entries);
        let doc = Doc::Concat(vec![
            Doc::text(format!("let {} = {}(", decl.name, decl.kind)),
            entries,
            Doc::text(");"),
        ]);
        Entry { span: decl.span, doc }
    }

    fn subprog(&mut self, subprog: &Subprog) -> Entry {
        let mut out = self.hoisted(subprog.body.span.start);
        out.push(Doc::text(format!("fn {}(", subprog.name)));
        for (i, param) in subprog.params.iter().enumerate() {
            out.push(Doc::text(format!("{}{} : ", if i > 0 { ", " } else { "" }, param.name)));
            out.push(self.type_doc(&param.ty));
        }
        out.push(Doc::text(")"));
        if let Some(ret) = &subprog.ret {
            out.extend([Doc::text(" : "), self.type_doc(ret)]);
        }
        out.push(Doc::text(" {"));
        out.push(self.body_behind_brace(&subprog.body));
        Entry { span: subprog.span.to(subprog.body.span), doc: Doc::Concat(out) }
    }
}

fn item_span(item: &Item) -> Span {
    match item {
        Item::Probe(probe) => probe.span,
        Item::Macro(item) => item.span.to(item.body.span),
        Item::MapDecl(decl) => decl.span,
        Item::Subprog(subprog) => subprog.span.to(subprog.body.span),
    }
}

fn attach_point(point: &AttachPoint) -> String {
    match &point.name {
        Some(name) => format!("{name}={}", point.raw),
        None => point.raw.clone(),
    }
}
