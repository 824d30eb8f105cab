//! The head of a script, and the first values of its maps and variables.

use super::node::{Node, Ty};
use super::scope::{Callable, Content, MapVar, StructVar, Var};
use super::Gen;

/// Integer types as scripts name them.
pub(super) const INTS: [&str; 8] = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"];
/// Names of macro parameters that hold expressions.
const PARAMS: [&str; 3] = ["x", "y", "z"];

impl Gen {
    /// C declarations, settings, macros, subprograms.
    pub(super) fn declarations(&mut self) -> Vec<Node> {
        let mut head = Vec::new();
        for _ in 0..self.rng.below(3) {
            head.push(self.structure());
        }
        if self.rng.one_in(3) {
            head.push(self.enumeration());
        }
        if self.rng.one_in(4) {
            head.push(self.settings());
        }
        for _ in 0..self.rng.below(4) {
            head.push(self.macro_or_subprogram());
        }
        self.maps();
        head
    }

    fn settings(&mut self) -> Node {
        let strlen = self.rng.pick(&[16, 64, 200, 1024, 4096]);
        let stack = self.rng.pick(&[0, 16, 32, 64, 128]);
        let text = match self.rng.below(3) {
            0 => format!("config = {{ max_strlen = {strlen}; }}"),
            1 => format!("config = {{ on_stack_limit = {stack}; }}"),
            _ => format!("config = {{ max_strlen = {strlen}; on_stack_limit = {stack}; }}"),
        };
        Node::leaf(Ty::Stmt, true, text)
    }

    fn structure(&mut self) -> Node {
        let name = self.scope.fresh("S");
        let mut s = StructVar { name: name.clone(), members: Vec::new(), plain: Vec::new(), room: 8 };
        let mut text = format!("struct {name} {{ ");
        for _ in 0..self.rng.between(1, 6) {
            self.member(&mut s, &mut text);
        }
        text.push_str("};");
        self.scope.structs.push(s);
        Node::leaf(Ty::Stmt, true, text)
    }

    fn member(&mut self, s: &mut StructVar, text: &mut String) {
        let name = self.scope.fresh("f");
        let ty = self.rng.pick(&["uint8_t", "int16_t", "uint32_t", "int64_t", "uint64_t", "char", "int"]);
        match self.rng.below(8) {
            0 | 1 => {
                let (ty, most) =
                    self.rng.pick(&[("uint32_t", 31), ("uint64_t", 50), ("int", 31), ("uint8_t", 7)]);
                let bits = self.rng.between(1, most);
                text.push_str(&format!("{ty} {name}:{bits}; "));
                s.members.push((name, Ty::Int));
            }
            2 => {
                let len = self.rng.between(1, 12);
                text.push_str(&format!("char {name}[{len}]; "));
                s.members.push((name.clone(), Ty::Str));
                s.plain.push(name);
                s.room += 16;
            }
            3 => {
                let (ty, size, signed) = self.rng.pick(&[
                    ("uint8_t", 1, false),
                    ("int16_t", 2, true),
                    ("uint32_t", 4, false),
                    ("int64_t", 8, true),
                ]);
                let count = self.rng.between(1, 4);
                text.push_str(&format!("{ty} {name}[{count}]; "));
                s.members.push((name.clone(), Ty::Array { size, signed, count }));
                s.plain.push(name);
                s.room += 32;
            }
            4 => {
                let (a, b) = (self.scope.fresh("f"), self.scope.fresh("f"));
                let word = self.rng.pick(&["struct", "union"]);
                text.push_str(&format!("{word} {{ {ty} {a}; uint16_t {b}; }}; "));
                for n in [a, b] {
                    s.members.push((n.clone(), Ty::Int));
                    s.plain.push(n);
                }
                s.room += 16;
            }
            _ => {
                text.push_str(&format!("{ty} {name}; "));
                s.members.push((name.clone(), Ty::Int));
                s.plain.push(name);
            }
        }
        s.room += 16;
    }

    fn enumeration(&mut self) -> Node {
        self.scope.enumerators = vec!["EA".into(), "EB".into(), "EC".into()];
        let low = self.rng.pick(&["1", "0", "-3", "100000"]);
        Node::leaf(Ty::Stmt, true, format!("enum E {{ EA = {low}, EB, EC = 7 }};"))
    }

    /// A macro or subprogram of integers.
    fn macro_or_subprogram(&mut self) -> Node {
        let hidden = self.scope.hide();
        let maps = std::mem::take(&mut self.scope.maps);
        self.scope.enter();
        // Bodies are values alone: maps and variables come in as parameters only.
        let budget = std::mem::take(&mut self.budget);
        let (node, callable) = match self.rng.below(4) {
            0 => self.macro_of_variable(),
            1 => self.macro_of_map(),
            2 => self.subprogram(),
            _ => self.macro_of_expressions(),
        };
        self.budget = budget;
        self.scope.maps = maps;
        self.scope.unhide(hidden);
        self.scope.callables.push(callable);
        node
    }

    fn parameter(&mut self, name: &str, fixed: bool) {
        self.scope.declare(Var { name: name.into(), ty: Ty::Int, declared: None, fixed });
    }

    fn macro_of_expressions(&mut self) -> (Node, Callable) {
        let name = self.scope.fresh("m");
        let count = self.rng.between(1, 3) as usize;
        let names = PARAMS.get(..count).unwrap_or_default();
        names.iter().for_each(|n| self.parameter(n, true));
        let head = format!("macro {name}({}) ", names.join(", "));
        let value = self.int(2);
        let node = Node::leaf(Ty::Stmt, false, head).block(vec![value]);
        (node, Callable { name, params: vec!['e'; count] })
    }

    fn macro_of_variable(&mut self) -> (Node, Callable) {
        let name = self.scope.fresh("m");
        self.parameter("$v", false);
        let (a, b) = (self.int(2), self.int(1));
        let op = self.rng.pick(&["+=", "-=", "^=", "*="]);
        let body = vec![
            Node::of(Ty::Stmt, &format!("$v {op} {{}};"), vec![a]),
            Node::of(Ty::Int, "($v ^ {})", vec![b]),
        ];
        let node = Node::leaf(Ty::Stmt, false, format!("macro {name}($v) ")).block(body);
        (node, Callable { name, params: vec!['$'] })
    }

    fn macro_of_map(&mut self) -> (Node, Callable) {
        let name = self.scope.fresh("m");
        self.parameter("k", true);
        let a = self.int(2);
        let body =
            vec![Node::of(Ty::Stmt, "@m[k] = {};", vec![a]), Node::leaf(Ty::Int, false, "(@m[k] + 1)")];
        let node = Node::leaf(Ty::Stmt, false, format!("macro {name}(@m, k) ")).block(body);
        (node, Callable { name, params: vec!['@', 'e'] })
    }

    fn subprogram(&mut self) -> (Node, Callable) {
        let name = self.scope.fresh("fn_");
        let count = self.rng.between(1, 4) as usize;
        let mut params = Vec::new();
        for _ in 0..count {
            let (param, ty) = (self.scope.fresh("$p"), self.rng.pick(&INTS));
            params.push(format!("{param} : {ty}"));
            self.scope.declare(Var { name: param, ty: Ty::Int, declared: Some(ty), fixed: false });
        }
        let ret = self.rng.pick(&INTS);
        let mut body = Vec::new();
        if self.rng.one_in(2) {
            let cond = self.bool(2);
            let early = self.int(1);
            let early = vec![Node::of(Ty::Stmt, &format!("return ({ret}){{}};"), vec![early])];
            body.push(Node::of(Ty::Stmt, "if ({}) ", vec![cond]).block(early));
        }
        let value = self.int(2);
        body.push(Node::of(Ty::Stmt, &format!("return ({ret}){{}};"), vec![value]));
        let head = format!("fn {name}({}) : {ret} ", params.join(", "));
        (Node::leaf(Ty::Stmt, false, head).block(body), Callable { name, params: vec!['e'; count] })
    }

    fn maps(&mut self) {
        for _ in 0..self.rng.between(2, 6) {
            let name = self.scope.fresh("@m");
            let key = self.rng.one_in(2).then(|| self.key_type());
            let content = match self.rng.below(10) {
                0..=5 => Content::Plain(self.value_type(1)),
                6 | 7 => {
                    Content::Number(self.rng.pick(&["count()", "sum({})", "min({})", "max({})", "avg({})"]))
                }
                8 => Content::Graph(self.rng.pick(&["stats({})"])),
                _ => Content::Graph(self.rng.pick(&[
                    "hist({})",
                    "hist({}, 2)",
                    "lhist({}, 0, 100, 10)",
                    "lhist({}, -50, 1000, 300)",
                ])),
            };
            self.scope.maps.push(MapVar { name, key, content });
        }
        if self.rng.one_in(2) {
            let name = self.scope.fresh("@m");
            self.scope.maps.push(MapVar { name, key: Some(Ty::Int), content: Content::Plain(Ty::Int) });
        }
    }

    /// A type of a map's key.
    pub(super) fn key_type(&mut self) -> Ty {
        match self.rng.below(6) {
            0..=2 => Ty::Int,
            3 => Ty::Str,
            4 => Ty::Bool,
            _ => Ty::Tuple((0..self.rng.between(2, 3)).map(|_| self.simple_type()).collect()),
        }
    }

    fn simple_type(&mut self) -> Ty {
        self.rng.pick(&[Ty::Int, Ty::Int, Ty::Int, Ty::Str, Ty::Bool])
    }

    /// A type of a value.
    pub(super) fn value_type(&mut self, depth: u32) -> Ty {
        match self.rng.below(12) {
            0..=4 => Ty::Int,
            5 | 6 => Ty::Str,
            7 => Ty::Bool,
            8 | 9 if depth > 0 => {
                Ty::Tuple((0..self.rng.between(2, 4)).map(|_| self.value_type(depth - 1)).collect())
            }
            10 if depth > 0 => {
                let names = ["a", "b", "c"];
                let count = self.rng.between(1, 3) as usize;
                Ty::Record(
                    names.iter().take(count).map(|n| ((*n).to_owned(), self.value_type(depth - 1))).collect(),
                )
            }
            11 => {
                let (size, signed, count) = self.rng.pick(&[
                    (1, false, 4),
                    (2, true, 4),
                    (4, false, 2),
                    (1, true, 8),
                    (8, false, 1),
                    (2, false, 1),
                ]);
                Ty::Array { size, signed, count }
            }
            _ => Ty::Int,
        }
    }

    /// Gives every map a first value, and makes some variables.
    pub(super) fn first_values(&mut self) -> Vec<Node> {
        self.scope.enter();
        let mut out = Vec::new();
        let maps = std::mem::take(&mut self.scope.maps);
        for map in maps {
            for _ in 0..if map.key.is_some() { self.rng.between(1, 3) } else { 1 } {
                let stmt = self.map_update(&map, 1);
                out.push(stmt);
            }
            self.scope.maps.push(map);
        }
        for index in 0..self.scope.structs.len() {
            self.struct_values(index, &mut out);
        }
        for _ in 0..self.rng.between(1, 3) {
            let name = self.scope.fresh("$v");
            let value = self.int_literal();
            out.push(Node::of(Ty::Stmt, &format!("{name} = {{}};"), vec![value]));
            self.scope.declare(Var { name, ty: Ty::Int, declared: None, fixed: false });
        }
        out
    }

    /// Bytes, a pointer to them as a struct, and a copy of the struct.
    fn struct_values(&mut self, index: usize, out: &mut Vec<Node>) {
        let Some(s) = self.scope.structs.get(index).cloned() else { return };
        let (buf, ptr, copy) = (self.scope.fresh("$b"), self.scope.fresh("$p"), self.scope.fresh("$s"));
        let mut text = String::new();
        for _ in 1..s.room {
            match self.rng.below(3) {
                0 => text.push_str(&format!("\\x{:02x}", self.rng.between(128, 255))),
                1 => text.push((b'a' + self.rng.below(26) as u8) as char),
                _ => text.push_str(&format!("\\x{:02x}", self.rng.between(1, 31))),
            }
        }
        let and = self.rng.pick(&["", "&"]);
        out.push(Node::leaf(Ty::Stmt, false, format!("{buf} = (uint8[{}])\"{text}\";", s.room)));
        out.push(Node::leaf(Ty::Stmt, false, format!("{ptr} = (struct {} *){and}{buf};", s.name)));
        out.push(Node::leaf(Ty::Stmt, false, format!("{copy} = *{ptr};")));
        let array = Ty::Array { size: 1, signed: false, count: s.room };
        self.scope.declare(Var { name: buf, ty: array, declared: None, fixed: true });
        self.scope.declare(Var { name: ptr, ty: Ty::Pointer(index), declared: None, fixed: true });
        self.scope.declare(Var { name: copy, ty: Ty::Struct(index), declared: None, fixed: false });
    }
}
