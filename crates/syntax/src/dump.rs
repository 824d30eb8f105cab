//! The syntax tree as an indented text, for `-d ast` and for tests. It has no places and no ids, so that two texts with
//! the same meaning to the parser have the same dump.

use std::fmt::Write;

use crate::ast::{
    BinaryOp, Block, ConfigValue, Expr, ExprKind, Item, Macro, MacroParamKind, Probe, Script, Stmt, StmtKind,
    Subprog, TypeExpr, TypeExprKind, TypeOrExpr,
};

/// The tree as text, one node per line, children indented by two spaces.
pub fn dump(script: &Script) -> String {
    let mut out = Dump { out: String::new(), depth: 0 };
    for item in &script.c_items {
        out.line(format_args!("c {:?} {:?}", item.kind, item.text));
    }
    if let Some(config) = &script.config {
        out.node("config", |out| {
            for entry in &config.entries {
                out.line(format_args!("{} = {}", entry.key, config_value(&entry.value)));
            }
        });
    }
    for import in &script.imports {
        out.line(format_args!("import {:?}", import.path));
    }
    for item in &script.items {
        out.item(item);
    }
    out.out
}

/// An expression as text, in the form of [`dump`].
pub fn dump_expr(expr: &Expr) -> String {
    let mut out = Dump { out: String::new(), depth: 0 };
    out.expr(expr);
    out.out
}

/// A type as one line of script text.
pub fn dump_type(ty: &TypeExpr) -> String {
    match &ty.kind {
        TypeExprKind::Name(name) => name.clone(),
        TypeExprKind::Tagged { tag, name } => format!("{} {name}", tag.word()),
        TypeExprKind::Pointer(inner) => format!("{} *", dump_type(inner)),
        TypeExprKind::Array(inner, None) => format!("{}[]", dump_type(inner)),
        TypeExprKind::Array(inner, Some(length)) => format!("{}[{}]", dump_type(inner), one_line(length)),
        TypeExprKind::Typeof(operand) => match &**operand {
            TypeOrExpr::Type(ty) => format!("typeof({})", dump_type(ty)),
            TypeOrExpr::Expr(expr) => format!("typeof({})", one_line(expr)),
        },
        TypeExprKind::Tuple(types) => {
            format!("({})", types.iter().map(dump_type).collect::<Vec<_>>().join(", "))
        }
    }
}

/// The dump of an expression in one line: nodes separated by `;`, depth as dots.
fn one_line(expr: &Expr) -> String {
    let text = dump_expr(expr);
    let lines = text.lines().map(|line| {
        let name = line.trim_start();
        format!("{}{name}", ".".repeat((line.len() - name.len()) / 2))
    });
    lines.collect::<Vec<_>>().join("; ")
}

fn config_value(value: &ConfigValue) -> String {
    match value {
        ConfigValue::Int(value) => value.to_string(),
        ConfigValue::Bool(value) => value.to_string(),
        ConfigValue::Str(value) => format!("{value:?}"),
        ConfigValue::Word(word) => word.clone(),
    }
}

struct Dump {
    out: String,
    depth: usize,
}

impl Dump {
    fn line(&mut self, text: std::fmt::Arguments) {
        let _ = writeln!(self.out, "{:1$}{text}", "", 2 * self.depth);
    }

    fn node(&mut self, name: impl std::fmt::Display, children: impl FnOnce(&mut Self)) {
        self.line(format_args!("{name}"));
        self.depth += 1;
        children(self);
        self.depth -= 1;
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Probe(probe) => self.probe(probe),
            Item::Macro(item) => self.macro_item(item),
            Item::MapDecl(decl) => {
                self.node(format_args!("map {} {}", decl.name, decl.kind), |d| d.expr(&decl.max_entries))
            }
            Item::Subprog(subprog) => self.subprog(subprog),
        }
    }

    fn probe(&mut self, probe: &Probe) {
        self.node("probe", |d| {
            for point in &probe.attach_points {
                let parts =
                    point.parts.iter().map(|p| format!("{}{:?}", if p.quoted { "=" } else { "" }, p.text));
                let parts = parts.collect::<Vec<_>>().join(" ");
                match &point.name {
                    Some(name) => d.line(format_args!("attach {name} = {parts}")),
                    None => d.line(format_args!("attach {parts}")),
                }
            }
            if let Some(predicate) = &probe.predicate {
                d.node("predicate", |d| d.expr(predicate));
            }
            d.block("body", &probe.body);
        });
    }

    fn macro_item(&mut self, item: &Macro) {
        let params = item.params.iter().map(|p| match p.kind {
            MacroParamKind::Var => format!("${}", p.name),
            MacroParamKind::Map => format!("@{}", p.name),
            MacroParamKind::Expr => p.name.clone(),
        });
        let params = params.collect::<Vec<_>>().join(", ");
        self.node(format_args!("macro {}({params})", item.name), |d| d.block("body", &item.body));
    }

    fn subprog(&mut self, subprog: &Subprog) {
        let params = subprog.params.iter().map(|p| format!("{} : {}", p.name, dump_type(&p.ty)));
        let params = params.collect::<Vec<_>>().join(", ");
        let ret = subprog.ret.as_ref().map_or("-".to_string(), dump_type);
        self.node(format_args!("fn {}({params}) : {ret}", subprog.name), |d| d.block("body", &subprog.body));
    }

    fn block(&mut self, name: &str, block: &Block) {
        self.node(name, |d| {
            for stmt in &block.stmts {
                d.stmt(stmt);
            }
            if let Some(value) = &block.value {
                d.node("value", |d| d.expr(value));
            }
        });
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match &stmt.kind {
            StmtKind::Expr(expr) => self.expr(expr),
            StmtKind::Assign { lhs, op, rhs } => {
                self.node(format_args!("assign {}=", op.map_or("", BinaryOp::sign)), |d| {
                    d.expr(lhs);
                    d.expr(rhs);
                });
            }
            StmtKind::Discard(expr) => self.node("discard", |d| d.expr(expr)),
            StmtKind::Let { var, ty, value } => {
                let ty = ty.as_ref().map_or(String::new(), |ty| format!(" : {}", dump_type(ty)));
                self.node(format_args!("let{ty}"), |d| {
                    d.expr(var);
                    value.iter().for_each(|value| d.expr(value));
                });
            }
            StmtKind::ForMap { var, map, body } => self.node("for", |d| {
                d.expr(var);
                d.expr(map);
                d.block("body", body);
            }),
            StmtKind::ForRange { var, start, end, body } => self.node("for range", |d| {
                d.expr(var);
                d.expr(start);
                d.expr(end);
                d.block("body", body);
            }),
            StmtKind::While { cond, body } => self.node("while", |d| {
                d.expr(cond);
                d.block("body", body);
            }),
            StmtKind::Unroll { count, body } => self.node("unroll", |d| {
                d.expr(count);
                d.block("body", body);
            }),
            StmtKind::Break => self.line(format_args!("break")),
            StmtKind::Continue => self.line(format_args!("continue")),
            StmtKind::Return(value) => self.node("return", |d| value.iter().for_each(|value| d.expr(value))),
            StmtKind::Import(import) => self.line(format_args!("import {:?}", import.path)),
        }
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Int { value, text, suffix: _ } if *text == value.to_string() => {
                self.line(format_args!("int {text}"))
            }
            ExprKind::Int { value, text, suffix: _ } => self.line(format_args!("int {value} = {text}")),
            ExprKind::Bool(value) => self.line(format_args!("{value}")),
            ExprKind::Str(bytes) => self.line(format_args!("str \"{}\"", bytes.escape_ascii())),
            ExprKind::Ident(name) => self.line(format_args!("ident {name}")),
            ExprKind::Positional(number) => self.line(format_args!("param ${number}")),
            ExprKind::ParamCount => self.line(format_args!("param $#")),
            ExprKind::Var(name) => self.line(format_args!("var {name}")),
            ExprKind::Map(name) => self.line(format_args!("map {name}")),
            ExprKind::Error => self.line(format_args!("error")),
            ExprKind::Sizeof(operand) => self.operand("sizeof", operand),
            ExprKind::Typeof(operand) => self.operand("typeof", operand),
            ExprKind::Typeinfo(operand) => self.operand("typeinfo", operand),
            ExprKind::Offsetof { base, path } => self.operand(&format!("offsetof {}", path.join(".")), base),
            ExprKind::Cast { ty, expr } => {
                self.node(format_args!("cast {}", dump_type(ty)), |d| d.expr(expr))
            }
            ExprKind::Record(fields) => self.node("record", |d| {
                for field in fields {
                    d.node(format_args!("{} =", field.name), |d| d.expr(&field.value));
                }
            }),
            ExprKind::If { cond, then, otherwise } => self.node("if", |d| {
                d.expr(cond);
                d.block("then", then);
                if let Some(otherwise) = otherwise {
                    d.node("else", |d| d.expr(otherwise));
                }
            }),
            ExprKind::Block(block) => self.block("block", block),
            ExprKind::Ternary { cond, then, otherwise } => self.node("ternary", |d| {
                d.expr(cond);
                match then {
                    Some(then) => d.expr(then),
                    None => d.line(format_args!("same")),
                }
                d.expr(otherwise);
            }),
            kind => self.operation(kind),
        }
    }

    /// Nodes that are a name and expressions.
    fn operation(&mut self, kind: &ExprKind) {
        let (name, children): (String, Vec<&Expr>) = match kind {
            ExprKind::MapAccess { map, key } => ("map access".into(), vec![map, key]),
            ExprKind::Call { name, args, .. } => (format!("call {name}"), args.iter().collect()),
            ExprKind::Field { base, field, .. } => (format!("field {field}"), vec![base]),
            ExprKind::TupleField { base, index } => (format!("tuple field {index}"), vec![base]),
            ExprKind::Index { base, index } => ("index".into(), vec![base, index]),
            ExprKind::Unary { op, expr } => (format!("unary {}", op.sign()), vec![expr]),
            ExprKind::Step { increment, postfix, target } => {
                let sign = if *increment { "++" } else { "--" };
                (format!("{} {sign}", if *postfix { "postfix" } else { "prefix" }), vec![target])
            }
            ExprKind::Binary { op, left, right } => (format!("binary {}", op.sign()), vec![left, right]),
            ExprKind::Tuple(elements) => ("tuple".into(), elements.iter().collect()),
            ExprKind::Comptime(expr) => ("comptime".into(), vec![expr]),
            _ => ("?".into(), Vec::new()),
        };
        self.node(name, |d| children.into_iter().for_each(|child| d.expr(child)));
    }

    fn operand(&mut self, name: &str, operand: &TypeOrExpr) {
        match operand {
            TypeOrExpr::Type(ty) => self.line(format_args!("{name} type {}", dump_type(ty))),
            TypeOrExpr::Expr(expr) => self.node(name, |d| d.expr(expr)),
        }
    }
}
