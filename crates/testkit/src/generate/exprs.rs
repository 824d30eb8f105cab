//! Random expressions of a wanted type.

use super::decls::INTS;
use super::node::{Node, Part, Ty};
use super::scope::{Content, MapVar, Var};
use super::Gen;

/// Integers as scripts may write them.
const NUMBERS: &[&str] = &[
    "0",
    "1",
    "2",
    "3",
    "7",
    "8",
    "10",
    "31",
    "32",
    "63",
    "64",
    "100",
    "127",
    "128",
    "255",
    "256",
    "1000",
    "32767",
    "32768",
    "65535",
    "65536",
    "0x7fffffff",
    "2147483648",
    "4294967295",
    "4294967296",
    "1e6",
    "1_000_000",
    "0777",
    "5ms",
    "0x8000",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "5u",
    "7l",
    "200ull",
    "(-1)",
    "(-2)",
    "(-5)",
    "(-128)",
    "(-129)",
    "(-32768)",
    "(-2147483648)",
    "(-2147483649)",
    "(-9223372036854775808)",
];
const SMALL: &[&str] = &["0", "1", "2", "3", "4", "5", "7", "9", "15", "16", "(-1)", "(-3)", "(-8)"];
const DIVISORS: &[&str] =
    &["1", "2", "3", "5", "7", "8", "10", "16", "100", "255", "1000", "(-1)", "(-2)", "(-7)"];
const WORDS: &[&str] = &[
    "",
    "a",
    "b",
    "ab",
    "abc",
    "abd",
    "hello",
    "hello world",
    "x",
    "0123456789",
    "the quick brown fox",
    "a\\tb",
    "q\\\"q",
    "back\\\\slash",
    "\\x41\\x7e",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

impl Gen {
    /// An expression of a type.
    pub(super) fn of(&mut self, ty: &Ty, depth: u32) -> Node {
        match ty {
            Ty::Stmt | Ty::Int => self.int(depth),
            Ty::Bool => self.bool(depth),
            Ty::Str => self.str(depth),
            _ => self.compound_value(ty, depth),
        }
    }

    pub(super) fn int_literal(&mut self) -> Node {
        let text = self.rng.pick(NUMBERS);
        Node::leaf(Ty::Int, true, text)
    }

    fn small(&mut self) -> Node {
        let text = self.rng.pick(SMALL);
        Node::leaf(Ty::Int, true, text)
    }

    /// A variable that an expression may read.
    pub(super) fn readable(&mut self, want: impl Fn(&Var) -> bool) -> Option<Var> {
        let pure = self.pure_only;
        let found: Vec<Var> = self.scope.vars().filter(|v| (!pure || v.fixed) && want(v)).cloned().collect();
        (!found.is_empty()).then(|| self.rng.pick(&found))
    }

    fn readable_map(&mut self, want: impl Fn(&MapVar) -> bool) -> Option<MapVar> {
        if self.pure_only {
            return None;
        }
        let found: Vec<MapVar> = self.scope.maps.iter().filter(|m| want(m)).cloned().collect();
        (!found.is_empty()).then(|| self.rng.pick(&found))
    }

    /// `@m` or `@m[key]`.
    pub(super) fn element(&mut self, map: &MapVar, ty: Ty, depth: u32) -> Node {
        match &map.key {
            None => Node::leaf(ty, false, map.name.clone()),
            Some(key) => {
                let key = self.key(key, depth);
                Node::of(ty, &format!("{}[{{}}]", map.name), vec![key]).dynamic()
            }
        }
    }

    /// A key, mostly one of a few so that keys meet again.
    pub(super) fn key(&mut self, ty: &Ty, depth: u32) -> Node {
        match ty {
            Ty::Int if !self.rng.one_in(4) => self.small(),
            Ty::Tuple(members) => {
                let members: Vec<Node> = members.iter().map(|m| self.key(m, depth)).collect();
                let holes = vec!["{}"; members.len()].join(", ");
                let template = if self.rng.one_in(2) { format!("({holes})") } else { holes };
                Node::of(Ty::Stmt, &template, members)
            }
            Ty::Str if !self.rng.one_in(3) => self.word(),
            _ => self.of(ty, depth.saturating_sub(1)),
        }
    }

    /// An integer that the compiler can't know, or a small literal where there is nothing to read.
    fn changing_int(&mut self) -> Node {
        if let Some(var) = self.readable(|v| v.ty == Ty::Int) {
            return Node::leaf(Ty::Int, false, var.name);
        }
        match self.readable_map(|m| m.key.is_none() && m.content == Content::Plain(Ty::Int)) {
            Some(map) => Node::leaf(Ty::Int, false, map.name),
            None => Node::leaf(Ty::Int, false, "(int64)uid"),
        }
    }

    pub(super) fn int(&mut self, depth: u32) -> Node {
        if depth == 0 {
            return match self.rng.below(3) {
                0 => self.int_literal(),
                _ => self.changing_int(),
            };
        }
        let d = depth - 1;
        match self.rng.below(30) {
            0 => self.int_literal(),
            1..=3 => self.changing_int(),
            4..=10 => self.arithmetic(d),
            11 | 12 => {
                let ty = self.rng.pick(&INTS);
                let inner = self.int(d);
                Node::of(Ty::Int, &format!("(({ty}){{}})"), vec![inner])
            }
            13 => {
                let inner = self.int(d);
                let inner = if inner.constant { self.changing_int() } else { inner };
                let op = self.rng.pick(&["-", "~"]);
                Node::of(Ty::Int, &format!("({op}{{}})"), vec![inner])
            }
            14 => {
                let inner = self.bool(d);
                Node::of(Ty::Int, "((int64){})", vec![inner])
            }
            15 => self.string_number(d),
            16 => self.member_of_type(&Ty::Int).unwrap_or_else(|| self.arithmetic(d)),
            17 => self.array_element().unwrap_or_else(|| self.arithmetic(d)),
            18 => self.size_or_offset(),
            19 | 20 => self.called(d).unwrap_or_else(|| self.arithmetic(d)),
            21 => self.stepped().unwrap_or_else(|| self.changing_int()),
            22 => self.swapped(d),
            23 => self.map_number(d).unwrap_or_else(|| self.arithmetic(d)),
            24 => {
                let (a, b) = (self.int(d), self.int(d));
                Node::of(Ty::Int, "({} ?: {})", vec![a, b])
            }
            25 => self.through_pointer().unwrap_or_else(|| self.changing_int()),
            26 if !self.scope.enumerators.is_empty() => {
                let name = self.rng.pick(&self.scope.enumerators.clone());
                Node::leaf(Ty::Int, true, format!("((int32){name})"))
            }
            27 => Node::leaf(Ty::Int, false, self.rng.pick(&["pid", "tid", "uid", "gid"])),
            _ => self.chosen(&Ty::Int, d),
        }
    }

    fn arithmetic(&mut self, d: u32) -> Node {
        let op = self.rng.pick(&["+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>"]);
        let (mut a, mut b) = (self.int(d), self.int(d));
        match op {
            "/" | "%" if b.constant => b = Node::leaf(Ty::Int, true, self.rng.pick(DIVISORS)),
            "<<" | ">>" if b.constant => b = Node::leaf(Ty::Int, true, self.rng.below(64).to_string()),
            _ => {}
        }
        if a.constant && b.constant {
            if !matches!(op, "+" | "-" | "*" | "&" | "|" | "^") || self.rng.one_in(2) {
                a = self.changing_int();
            } else {
                (a, b) = (self.small(), self.small());
            }
        }
        Node::of(Ty::Int, &format!("({{}} {op} {{}})"), vec![a, b])
    }

    fn string_number(&mut self, d: u32) -> Node {
        let s = self.str(d);
        match self.rng.below(6) {
            0 => Node::of(Ty::Int, "(int64)strlen({})", vec![s]),
            1 => Node::of(Ty::Int, "len({})", vec![s]),
            2 => {
                let t = self.str(d);
                let n = self.rng.between(1, 20);
                Node::of(Ty::Int, &format!("strncmp({{}}, {{}}, {n})"), vec![s, t])
            }
            3 => {
                let t = self.word();
                Node::of(Ty::Int, "strstr({}, {})", vec![s, t])
            }
            4 => match self.readable(|v| v.ty == Ty::Str) {
                Some(var) => {
                    let index =
                        if self.rng.one_in(2) { self.changing_int() } else { Node::leaf(Ty::Int, true, "0") };
                    Node::of(Ty::Int, &format!("{}[{{}}]", var.name), vec![index]).dynamic()
                }
                None => Node::of(Ty::Int, "(int64)strcap({})", vec![s]),
            },
            _ => Node::of(Ty::Int, "(int64)strcap({})", vec![s]),
        }
    }

    /// A member of the wanted type, of a tuple, record, struct or through a pointer.
    fn member_of_type(&mut self, want: &Ty) -> Option<Node> {
        let structs: Vec<Vec<(String, Ty)>> = self.scope.structs.iter().map(|s| s.members.clone()).collect();
        let members = |ty: &Ty| -> Vec<String> {
            match ty {
                Ty::Tuple(m) => {
                    let fits = m.iter().enumerate().filter(|(_, t)| *t == want);
                    fits.map(|(i, _)| format!(".{i}")).collect()
                }
                Ty::Record(m) => m.iter().filter(|(_, t)| t == want).map(|(n, _)| format!(".{n}")).collect(),
                Ty::Struct(i) | Ty::Pointer(i) => {
                    let dots: &[&str] = if matches!(ty, Ty::Pointer(_)) { &["->", "."] } else { &["."] };
                    let fits = structs.get(*i).into_iter().flatten().filter(|(_, t)| t == want);
                    fits.flat_map(|(n, _)| dots.iter().map(move |d| format!("{d}{n}"))).collect()
                }
                _ => Vec::new(),
            }
        };
        if self.rng.one_in(4) {
            if let Some(map) =
                self.readable_map(|m| matches!(&m.content, Content::Plain(t) if !members(t).is_empty()))
            {
                let Content::Plain(ty) = &map.content else { return None };
                let member = self.rng.pick(&members(ty));
                let element = self.element(&map, ty.clone(), 1);
                return Some(Node::of(want.clone(), &format!("{{}}{member}"), vec![element]).dynamic());
            }
        }
        let var = self.readable(|v| !members(&v.ty).is_empty())?;
        let member = self.rng.pick(&members(&var.ty));
        Some(Node::leaf(want.clone(), false, format!("{}{member}", var.name)))
    }

    fn array_element(&mut self) -> Option<Node> {
        let var = self.readable(|v| matches!(v.ty, Ty::Array { .. }))?;
        let Ty::Array { count, .. } = var.ty else { return None };
        let index = match self.rng.below(3) {
            0 => self.changing_int(),
            1 => Node::of(Ty::Int, "({} & 3)", vec![self.changing_int()]),
            _ => Node::leaf(Ty::Int, true, self.rng.below(count).to_string()),
        };
        Some(Node::of(Ty::Int, &format!("{}[{{}}]", var.name), vec![index]).dynamic())
    }

    fn size_or_offset(&mut self) -> Node {
        let structs = self.scope.structs.clone();
        let text = match self.rng.below(4) {
            0 => format!("sizeof({})", self.rng.pick(&INTS)),
            1 => match self.readable(|_| true) {
                Some(var) if var.name.starts_with('$') => format!("sizeof({})", var.name),
                _ => "sizeof(uint8[3])".into(),
            },
            _ => match structs.is_empty() {
                true => "sizeof((int8)1)".into(),
                false => {
                    let s = self.rng.pick(&structs);
                    match s.plain.is_empty() || self.rng.one_in(3) {
                        true => format!("sizeof(struct {})", s.name),
                        false => format!("offsetof(struct {}, {})", s.name, self.rng.pick(&s.plain)),
                    }
                }
            },
        };
        Node::leaf(Ty::Int, true, format!("(int64){text}"))
    }

    /// A call of a macro or subprogram.
    pub(super) fn called(&mut self, d: u32) -> Option<Node> {
        let callables = self.scope.callables.clone();
        if callables.is_empty() {
            return None;
        }
        let f = self.rng.pick(&callables);
        if self.pure_only && f.params.iter().any(|p| *p != 'e') {
            return None;
        }
        let mut args = Vec::new();
        for kind in &f.params {
            args.push(match kind {
                '$' => Node::leaf(Ty::Stmt, false, self.plain_variable()?.name),
                '@' => {
                    let map = self
                        .readable_map(|m| m.key == Some(Ty::Int) && m.content == Content::Plain(Ty::Int))?;
                    Node::leaf(Ty::Stmt, false, map.name)
                }
                // What is substituted must not become known when compiling: it may be a divisor.
                _ => {
                    let arg = self.int(d.min(1));
                    if arg.constant {
                        self.changing_int()
                    } else {
                        arg
                    }
                }
            });
        }
        let holes = vec!["{}"; args.len()].join(", ");
        Some(Node::of(Ty::Int, &format!("{}({holes})", f.name), args).dynamic())
    }

    /// An integer variable that adapts to what it is given.
    fn plain_variable(&mut self) -> Option<Var> {
        if self.pure_only {
            return None;
        }
        self.readable(|v| v.ty == Ty::Int && !v.fixed && v.declared.is_none())
    }

    /// `$x++` and the like.
    fn stepped(&mut self) -> Option<Node> {
        let target = match self.readable_map(|m| m.content == Content::Plain(Ty::Int)) {
            Some(map) if self.rng.one_in(2) => self.element(&map, Ty::Stmt, 0),
            _ => Node::leaf(Ty::Stmt, false, self.plain_variable()?.name),
        };
        let template = self.rng.pick(&["({}++)", "({}--)", "(++{})", "(--{})"]);
        Some(Node::of(Ty::Int, template, vec![target]).dynamic())
    }

    fn swapped(&mut self, d: u32) -> Node {
        let ty = self.rng.pick(&["uint16", "uint32", "uint64", "uint8"]);
        let inner = self.int(d);
        let inner = if inner.constant { self.changing_int() } else { inner };
        Node::of(Ty::Int, &format!("bswap(({ty}){{}})"), vec![inner])
    }

    /// What is read of a map that aggregates, and its number of elements.
    fn map_number(&mut self, d: u32) -> Option<Node> {
        if self.rng.one_in(3) {
            let map = self.readable_map(|m| m.key.is_some())?;
            return Some(Node::leaf(Ty::Int, false, format!("len({})", map.name)));
        }
        let map = self.readable_map(|m| matches!(m.content, Content::Number(_)))?;
        let element = self.element(&map, Ty::Int, d);
        Some(Node::of(Ty::Int, "((int64){})", vec![element]).dynamic())
    }

    fn through_pointer(&mut self) -> Option<Node> {
        let var = self.plain_variable()?;
        Some(Node::leaf(Ty::Int, false, format!("(*(&{}))", var.name)))
    }

    pub(super) fn bool(&mut self, depth: u32) -> Node {
        if depth == 0 {
            return match self.readable(|v| v.ty == Ty::Bool) {
                Some(var) if self.rng.one_in(2) => Node::leaf(Ty::Bool, false, var.name),
                _ => {
                    let (a, b) = (self.changing_int(), self.small());
                    self.compared(a, b)
                }
            };
        }
        let d = depth - 1;
        match self.rng.below(16) {
            0 => Node::leaf(Ty::Bool, true, self.rng.pick(&["true", "false"])),
            1..=5 => {
                let (a, b) = (self.int(d), self.int(d));
                self.compared(a, b)
            }
            6 => {
                let (a, b) = (self.str(d), self.str(d));
                let op = self.rng.pick(&["==", "!="]);
                Node::of(Ty::Bool, &format!("({{}} {op} {{}})"), vec![a, b])
            }
            7 | 8 => {
                let (a, b) = (self.bool(d), self.bool(d));
                let op = self.rng.pick(&["&&", "||"]);
                Node::of(Ty::Bool, &format!("({{}} {op} {{}})"), vec![a, b])
            }
            9 => {
                let inner = self.bool(d);
                Node::of(Ty::Bool, "(!{})", vec![inner])
            }
            10 => {
                let inner = self.int(d);
                Node::of(Ty::Bool, "((bool){})", vec![inner])
            }
            11 => match self.readable_map(|m| m.key.is_some()) {
                Some(map) => {
                    let key = self.whole_key(&map);
                    Node::of(Ty::Bool, &format!("has_key({}, {{}})", map.name), vec![key]).dynamic()
                }
                None => self.bool(d),
            },
            12 => {
                let (a, b) = (self.str(d), self.str(d.min(1)));
                Node::of(Ty::Bool, "strcontains({}, {})", vec![a, b])
            }
            13 => self.tuples_compared(d),
            14 => self.deleted().unwrap_or_else(|| self.bool(d)),
            _ => self.chosen(&Ty::Bool, d),
        }
    }

    /// A key as one expression.
    pub(super) fn whole_key(&mut self, map: &MapVar) -> Node {
        match &map.key {
            Some(Ty::Tuple(members)) => {
                let members: Vec<Node> = members.iter().map(|m| self.key(m, 1)).collect();
                let holes = vec!["{}"; members.len()].join(", ");
                Node::of(Ty::Stmt, &format!("({holes})"), members)
            }
            Some(key) => self.key(key, 1),
            None => Node::leaf(Ty::Stmt, true, "0"),
        }
    }

    fn deleted(&mut self) -> Option<Node> {
        let map = self.readable_map(|m| m.key.is_some())?;
        let key = self.whole_key(&map);
        Some(Node::of(Ty::Bool, &format!("delete({}, {{}})", map.name), vec![key]).dynamic())
    }

    fn compared(&mut self, a: Node, b: Node) -> Node {
        let op = self.rng.pick(&["==", "!=", "<", "<=", ">", ">="]);
        Node::of(Ty::Bool, &format!("({{}} {op} {{}})"), vec![a, b])
    }

    fn tuples_compared(&mut self, d: u32) -> Node {
        let ty = match self.readable(|v| matches!(v.ty, Ty::Tuple(_))) {
            Some(var) => var.ty,
            None => Ty::Tuple(vec![Ty::Int, Ty::Str]),
        };
        let (a, b) = (self.of(&ty, d.min(1)), self.of(&ty, d.min(1)));
        let op = self.rng.pick(&["==", "!="]);
        Node::of(Ty::Bool, &format!("({{}} {op} {{}})"), vec![a, b])
    }

    fn word(&mut self) -> Node {
        let text = self.rng.pick(WORDS);
        Node::leaf(Ty::Str, true, format!("\"{text}\""))
    }

    pub(super) fn str(&mut self, depth: u32) -> Node {
        if depth == 0 || self.rng.one_in(3) {
            return match self.readable(|v| v.ty == Ty::Str) {
                Some(var) if self.rng.one_in(2) => Node::leaf(Ty::Str, false, var.name),
                _ => self.word(),
            };
        }
        let d = depth - 1;
        match self.rng.below(10) {
            0 => match self.readable_map(|m| m.content == Content::Plain(Ty::Str)) {
                Some(map) => self.element(&map, Ty::Str, d),
                None => self.word(),
            },
            1 | 2 => {
                let parts: Vec<Node> = (0..self.rng.between(2, 3)).map(|_| self.str(d)).collect();
                let holes = vec!["{}"; parts.len()].join(", ");
                Node::of(Ty::Str, &format!("str_concat({holes})"), parts)
            }
            3 => {
                let s = self.str(d);
                let n = self.rng.below(12);
                Node::of(Ty::Str, &format!("str({{}}, {n})"), vec![s])
            }
            4 => self.member_of_type(&Ty::Str).unwrap_or_else(|| self.word()),
            5 => {
                let word = self.word();
                Node::of(Ty::Str, "((string[100]){})", vec![word])
            }
            6 => Node::leaf(Ty::Str, false, self.rng.pick(&["comm", "probe"])),
            7 => {
                let (s, n) = (self.str(d), self.changing_int());
                Node::of(Ty::Str, "str({}, {})", vec![s, n])
            }
            _ => self.chosen(&Ty::Str, d),
        }
    }

    /// Tuples, records, arrays, structs.
    fn compound_value(&mut self, ty: &Ty, depth: u32) -> Node {
        let d = depth.saturating_sub(1);
        if self.rng.one_in(3) {
            if let Some(var) = self.readable(|v| v.ty == *ty) {
                return Node::leaf(ty.clone(), false, var.name);
            }
        }
        if self.rng.one_in(6) {
            if let Some(map) = self.readable_map(|m| m.content == Content::Plain(ty.clone())) {
                return self.element(&map, ty.clone(), d);
            }
        }
        if depth > 0 && self.rng.one_in(6) {
            return self.chosen(ty, d);
        }
        match ty {
            Ty::Tuple(members) => {
                let members: Vec<Node> = members.iter().map(|m| self.of(m, d)).collect();
                let holes = vec!["{}"; members.len()].join(", ");
                Node::of(ty.clone(), &format!("({holes})"), members)
            }
            Ty::Record(members) => {
                let mut order: Vec<&(String, Ty)> = members.iter().collect();
                if self.rng.one_in(4) {
                    order.reverse();
                }
                let values: Vec<Node> = order.iter().map(|(_, t)| self.of(t, d)).collect();
                let holes: Vec<String> = order.iter().map(|(n, _)| format!("{n} = {{}}")).collect();
                Node::of(ty.clone(), &format!("({})", holes.join(", ")), values)
            }
            Ty::Array { size, signed, count } => self.array(ty, *size, *signed, *count, d),
            Ty::Struct(index) => match self.readable(|v| v.ty == Ty::Pointer(*index)) {
                Some(var) => Node::leaf(ty.clone(), false, format!("*{}", var.name)),
                None => Node::leaf(ty.clone(), false, "0"),
            },
            Ty::Enum => Node::leaf(ty.clone(), true, "EB"),
            _ => self.int(d),
        }
    }

    fn array(&mut self, ty: &Ty, size: u32, signed: bool, count: u32, d: u32) -> Node {
        let sign = if signed { "" } else { "u" };
        let elem = format!("{sign}int{}", size * 8);
        let bytes = size * count;
        if size == 1 && bytes > 8 {
            let text = "z".repeat(count as usize - 1);
            return Node::leaf(ty.clone(), false, format!("({elem}[{count}])\"{text}\""));
        }
        let inner = self.int(d);
        Node::of(ty.clone(), &format!("({elem}[{count}])(uint{}){{}}", bytes * 8), vec![inner]).dynamic()
    }

    /// One of two values, or the value of a block.
    fn chosen(&mut self, ty: &Ty, d: u32) -> Node {
        let cond = self.bool(d);
        match self.rng.below(4) {
            0 if !self.pure_only && self.budget > 0 => {
                let (then, otherwise) = (self.value_block(ty, d), self.value_block(ty, d));
                let node = Node::of(ty.clone(), "(if ({}) ", vec![cond]).block(then);
                let mut node = node.text(" else ");
                node.parts.push(Part::Block(otherwise));
                node.text(")")
            }
            1 if !self.pure_only && self.budget > 0 => {
                let body = self.value_block(ty, d);
                Node::leaf(ty.clone(), false, "(").block(body).text(")")
            }
            _ => {
                let (a, b) = (self.of(ty, d), self.of(ty, d));
                Node::of(ty.clone(), "({} ? {} : {})", vec![cond, a, b])
            }
        }
    }

    /// Statements and a value.
    fn value_block(&mut self, ty: &Ty, d: u32) -> Vec<Node> {
        let (loops, no_return) = (self.loops, self.no_return);
        (self.loops, self.no_return) = (0, true);
        self.scope.enter();
        let mut body = Vec::new();
        for _ in 0..self.rng.below(3) {
            if let Some(stmt) = self.stmt() {
                body.push(stmt);
            }
        }
        let value = self.of(ty, d);
        body.push(value);
        self.scope.leave();
        (self.loops, self.no_return) = (loops, no_return);
        body
    }
}
