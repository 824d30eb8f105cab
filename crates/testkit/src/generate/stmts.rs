//! Random statements.

use super::decls::INTS;
use super::node::{Node, Part, Ty};
use super::scope::{Content, MapVar, Var};
use super::Gen;

/// Most runs of a statement, about.
const WEIGHT_MAX: u32 = 60;
/// Most runs of something that prints.
const PRINT_WEIGHT_MAX: u32 = 20;

/// Directives of printf for integers, all with 64 bits.
const INT_FORMATS: &[&str] = &[
    "%lld", "%d", "%llu", "%u", "%llx", "%#llx", "%llo", "%5lld|", "%-8lld|", "%08llx", "%hhd", "%hx", "%c",
    "%s",
];
const STR_FORMATS: &[&str] = &["%s", "%10s|", "%-12s|", "%.3s"];

impl Gen {
    /// A few statements in a scope of their own.
    fn body(&mut self) -> Vec<Node> {
        self.scope.enter();
        let count = self.rng.between(1, 4);
        let body = (0..count).filter_map(|_| self.stmt()).collect();
        self.scope.leave();
        body
    }

    /// About so many statements, in the scope that there is.
    pub(super) fn block_of_about(&mut self, count: u32) -> Vec<Node> {
        let mut out = Vec::new();
        for _ in 0..count {
            match self.stmt() {
                Some(stmt) => out.push(stmt),
                None => break,
            }
        }
        out
    }

    /// Prints all variables and the elements of maps.
    pub(super) fn print_all(&mut self, out: &mut Vec<Node>) {
        let vars: Vec<Var> = self.scope.innermost().to_vec();
        for var in vars.iter().filter(|v| !matches!(v.ty, Ty::Pointer(_))) {
            out.push(Node::leaf(Ty::Stmt, false, format!("print({});", var.name)));
        }
    }

    /// One statement; `None` when there were enough.
    pub(super) fn stmt(&mut self) -> Option<Node> {
        if self.budget == 0 {
            return None;
        }
        self.budget -= 1;
        let d = self.size.depth;
        Some(match self.rng.below(26) {
            0..=3 => self.declare(d),
            4..=6 => self.assign(d),
            7..=9 => self.update_some_map(d),
            10..=12 => self.print(d),
            13 => self.printf(d),
            14 | 15 => self.branch(d),
            16 => self.for_range(d),
            17 => self.for_map(),
            18 => self.while_loop(d),
            19 => self.unroll(),
            20 => self.block(),
            21 => self.map_action(),
            22 => self.jump(d),
            23 => {
                let ty = self.value_type(1);
                let value = self.of(&ty, d);
                Node::of(Ty::Stmt, "_ = {};", vec![value])
            }
            24 => match self.called(d) {
                Some(call) => Node::of(Ty::Stmt, "_ = {};", vec![call]),
                None => self.assign(d),
            },
            _ => self.find_in_map().unwrap_or_else(|| self.assign(d)),
        })
    }

    fn declare(&mut self, d: u32) -> Node {
        let name = self.scope.fresh("$v");
        let ty = match self.rng.below(12) {
            0 if !self.scope.structs.is_empty() => {
                Ty::Struct(self.rng.below(self.scope.structs.len() as u32) as usize)
            }
            1 if !self.scope.enumerators.is_empty() => Ty::Enum,
            _ => self.value_type(2),
        };
        let (node, declared) = if ty == Ty::Int && self.rng.one_in(3) {
            let int = self.rng.pick(&INTS);
            let node = match self.rng.one_in(4) {
                true => Node::leaf(Ty::Stmt, false, format!("let {name} : {int};")),
                false => {
                    let value = self.int(d);
                    Node::of(Ty::Stmt, &format!("let {name} : {int} = ({int}){{}};"), vec![value])
                }
            };
            (node, Some(int))
        } else {
            let value = self.of(&ty, d);
            let word = self.rng.pick(&["let ", ""]);
            (Node::of(Ty::Stmt, &format!("{word}{name} = {{}};"), vec![value]), None)
        };
        self.scope.declare(Var { name, ty, declared, fixed: false });
        node
    }

    fn assign(&mut self, d: u32) -> Node {
        let found: Vec<Var> = self.scope.vars().filter(|v| !v.fixed).cloned().collect();
        if found.is_empty() {
            return self.declare(d);
        }
        let var = self.rng.pick(&found);
        let name = &var.name;
        match (&var.ty, var.declared) {
            (Ty::Int, Some(int)) => {
                let value = self.int(d);
                Node::of(Ty::Stmt, &format!("{name} = ({int}){{}};"), vec![value])
            }
            (Ty::Int, None) if self.rng.one_in(2) => {
                self.compound(Node::leaf(Ty::Stmt, false, name.clone()), d)
            }
            (ty, _) => {
                let value = self.of(&ty.clone(), d);
                Node::of(Ty::Stmt, &format!("{name} = {{}};"), vec![value])
            }
        }
    }

    /// `target op= value`, `target++`.
    fn compound(&mut self, target: Node, d: u32) -> Node {
        let op = self.rng.pick(&["+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>", "++", "--"]);
        if op.len() == 2 && op != "<<" && op != ">>" {
            let template = if self.rng.one_in(2) { format!("{{}}{op};") } else { format!("{op}{{}};") };
            return Node::of(Ty::Stmt, &template, vec![target]);
        }
        let mut value = self.int(d);
        if value.constant {
            value = match op {
                "/" | "%" => Node::leaf(Ty::Int, true, self.rng.between(1, 20).to_string()),
                "<<" | ">>" => Node::leaf(Ty::Int, true, self.rng.below(64).to_string()),
                _ => value,
            };
        }
        Node::of(Ty::Stmt, &format!("{{}} {op}= {{}};"), vec![target, value])
    }

    fn update_some_map(&mut self, d: u32) -> Node {
        let maps = self.scope.maps.clone();
        if maps.is_empty() {
            return self.declare(d);
        }
        let map = self.rng.pick(&maps);
        if map.content == Content::Plain(Ty::Int) && self.rng.one_in(2) {
            let target = self.element(&map, Ty::Stmt, 1);
            return self.compound(target, d);
        }
        self.map_update(&map, d)
    }

    /// Gives an element a value.
    pub(super) fn map_update(&mut self, map: &MapVar, d: u32) -> Node {
        let target = self.element(map, Ty::Stmt, 1);
        let value = match &map.content {
            Content::Plain(ty) => self.of(ty, d),
            Content::Number("count()") => Node::leaf(Ty::Stmt, true, "count()"),
            Content::Number(call) | Content::Graph(call) => {
                let number = self.int(d);
                // Numbers of both signs in one map are signed; a cast keeps it one type.
                Node::of(Ty::Stmt, &call.replace("{}", "(int64){}"), vec![number])
            }
        };
        Node::of(Ty::Stmt, "{} = {};", vec![target, value])
    }

    fn print(&mut self, d: u32) -> Node {
        if self.weight > PRINT_WEIGHT_MAX {
            return self.assign(d);
        }
        let ty = match self.rng.below(8) {
            0 if !self.scope.structs.is_empty() => {
                Ty::Struct(self.rng.below(self.scope.structs.len() as u32) as usize)
            }
            1 if !self.scope.enumerators.is_empty() => Ty::Enum,
            _ => self.value_type(2),
        };
        let value = self.of(&ty, d);
        Node::of(Ty::Stmt, "print({});", vec![value])
    }

    fn printf(&mut self, d: u32) -> Node {
        if self.weight > PRINT_WEIGHT_MAX {
            return self.assign(d);
        }
        let (mut format, mut args) = (String::new(), Vec::new());
        for _ in 0..self.rng.between(0, 4) {
            let ty = self.rng.pick(&[Ty::Int, Ty::Int, Ty::Str, Ty::Bool, Ty::Tuple(vec![Ty::Int, Ty::Str])]);
            format.push_str(match ty {
                Ty::Int => self.rng.pick(INT_FORMATS),
                Ty::Str => self.rng.pick(STR_FORMATS),
                Ty::Bool => self.rng.pick(&["%d", "%s"]),
                _ => "%s",
            });
            format.push_str(self.rng.pick(&[" ", ",", "%% "]));
            args.push(self.of(&ty, d));
        }
        let holes = ", {}".repeat(args.len());
        Node::of(Ty::Stmt, &format!("printf(\"{format}\\n\"{holes});"), args)
    }

    fn branch(&mut self, d: u32) -> Node {
        let cond = if self.rng.one_in(6) { self.int(d) } else { self.bool(d) };
        let then = self.body();
        let mut node = Node::of(Ty::Stmt, "if ({}) ", vec![cond]).block(then);
        match self.rng.below(3) {
            0 => {
                node = node.text(" else ");
                let otherwise = self.body();
                node = node.block(otherwise);
            }
            1 => {
                let cond = self.bool(1);
                let (second, third) = (self.body(), self.body());
                let inner =
                    Node::of(Ty::Stmt, "if ({}) ", vec![cond]).block(second).text(" else ").block(third);
                node = node.text(" else ");
                node.parts.push(Part::Node(inner));
            }
            _ => {}
        }
        node
    }

    /// A body that runs `times` times.
    fn repeated(&mut self, times: u32, inside: impl FnOnce(&mut Gen) -> Vec<Node>) -> Vec<Node> {
        let weight = self.weight;
        self.weight = weight.saturating_mul(times.max(1));
        let body = inside(self);
        self.weight = weight;
        body
    }

    fn in_loop(&mut self, times: u32, var: Option<Var>) -> Vec<Node> {
        self.loops += 1;
        self.scope.enter();
        if let Some(var) = var {
            self.scope.declare(var);
        }
        let body = self.repeated(times, Gen::body);
        self.scope.leave();
        self.loops -= 1;
        body
    }

    fn for_range(&mut self, d: u32) -> Node {
        let times = self.rng.between(0, 6);
        if self.weight * times > WEIGHT_MAX {
            return self.assign(d);
        }
        let name = self.scope.fresh("$i");
        let low = self.rng.pick(&["0", "1", "(-3)", "5"]);
        let (start, end) = match self.rng.below(3) {
            0 => (Node::leaf(Ty::Int, true, low), Node::leaf(Ty::Int, true, format!("({low} + {times})"))),
            1 => {
                let number = self.int(1);
                (Node::leaf(Ty::Int, true, "0"), Node::of(Ty::Stmt, "({} & 3)", vec![number]))
            }
            _ => (Node::leaf(Ty::Int, true, "0"), Node::leaf(Ty::Int, true, times.to_string())),
        };
        let var = Var { name: name.clone(), ty: Ty::Int, declared: None, fixed: true };
        let body = self.in_loop(times.max(3), Some(var));
        Node::of(Ty::Stmt, &format!("for ({name} : {{}}..{{}}) "), vec![start, end]).block(body)
    }

    fn while_loop(&mut self, d: u32) -> Node {
        let times = self.rng.between(1, 5);
        if self.weight * times > WEIGHT_MAX {
            return self.assign(d);
        }
        let name = self.scope.fresh("$w");
        let cond = self.bool(1);
        let var = Var { name: name.clone(), ty: Ty::Int, declared: None, fixed: true };
        let mut body = vec![Node::leaf(Ty::Stmt, false, format!("{name}++;"))];
        body.extend(self.in_loop(times, Some(var)));
        let template = match self.rng.below(3) {
            0 => format!("while ({name} < {times} && {{}}) "),
            _ => format!("while ({name} < {times} || ({{}} && false)) "),
        };
        let inner = Node::of(Ty::Stmt, &template, vec![cond]).block(body);
        let first = Node::leaf(Ty::Stmt, false, format!("{name} = 0;"));
        Node { ty: Ty::Stmt, constant: false, parts: vec![Part::Block(vec![first, inner])] }
    }

    fn unroll(&mut self) -> Node {
        let times = self.rng.between(1, 4);
        if self.weight * times > WEIGHT_MAX {
            return self.block();
        }
        let body = self.in_loop(times, None);
        Node::leaf(Ty::Stmt, false, format!("unroll ({times}) ")).block(body)
    }

    fn block(&mut self) -> Node {
        let body = self.body();
        Node { ty: Ty::Stmt, constant: false, parts: vec![Part::Block(body)] }
    }

    /// A loop over a map: over one element anything goes, over more only what gives the same in any order.
    fn for_map(&mut self) -> Node {
        let single = self.rng.one_in(2);
        let name = self.scope.fresh("$kv");
        if single {
            return self.for_single(name);
        }
        let fits = |m: &MapVar| m.key.is_some() && !matches!(m.content, Content::Graph(_));
        let found: Vec<usize> =
            self.scope.maps.iter().enumerate().filter(|(_, m)| fits(m)).map(|(i, _)| i).collect();
        if found.is_empty() || self.pure_only || self.weight > 10 {
            return self.for_single(name);
        }
        let at = self.rng.pick(&found);
        let map = self.scope.maps.remove(at);
        let mut out = Vec::new();
        let (sum, target) = (self.scope.fresh("$v"), self.scope.fresh("@t"));
        out.push(Node::leaf(Ty::Stmt, false, format!("{sum} = 1;")));
        self.scope.enter();
        self.scope.declare(kv(&name, &map));
        self.pure_only = true;
        let mut body = Vec::new();
        for _ in 0..self.rng.between(1, 3) {
            let stmt = self.in_any_order(&name, &sum, &target);
            body.push(stmt);
        }
        self.pure_only = false;
        self.scope.leave();
        self.scope.maps.insert(at, map.clone());
        out.push(Node::leaf(Ty::Stmt, false, format!("for ({name} : {}) ", map.name)).block(body));
        out.push(Node::leaf(Ty::Stmt, false, format!("print({sum});")));
        Node { ty: Ty::Stmt, constant: false, parts: vec![Part::Block(out)] }
    }

    /// A statement that may run in any order.
    fn in_any_order(&mut self, kv: &str, sum: &str, target: &str) -> Node {
        let d = self.size.depth;
        match self.rng.below(6) {
            0 | 1 => {
                let value = self.int(d);
                Node::of(Ty::Stmt, &format!("{sum} += {{}};"), vec![value])
            }
            2 => {
                let value = self.int(d);
                let call = self.rng.pick(&["sum", "max", "min", "stats", "hist"]);
                Node::of(Ty::Stmt, &format!("{target}{call}[{kv}.0] = {call}((int64){{}});"), vec![value])
            }
            3 => Node::leaf(Ty::Stmt, false, format!("{target}copy[{kv}.0] = {kv}.1;")),
            4 => Node::leaf(Ty::Stmt, false, format!("{target}pair[{kv}] = count();")),
            _ => {
                let cond = self.bool(d);
                let inner = vec![Node::leaf(Ty::Stmt, false, format!("{target}n = count();"))];
                Node::of(Ty::Stmt, "if ({}) ", vec![cond]).block(inner)
            }
        }
    }

    /// A loop over a map of its own with one element.
    fn for_single(&mut self, name: String) -> Node {
        let map = MapVar {
            name: self.scope.fresh("@o"),
            key: Some(self.key_type()),
            content: Content::Plain(self.value_type(1)),
        };
        let fill = self.map_update(&map, 1);
        let var = kv(&name, &map);
        let body = self.in_loop(1, Some(var));
        let inner = Node::leaf(Ty::Stmt, false, format!("for ({name} : {}) ", map.name)).block(body);
        Node { ty: Ty::Stmt, constant: false, parts: vec![Part::Block(vec![fill, inner])] }
    }

    fn map_action(&mut self) -> Node {
        let maps = self.scope.maps.clone();
        if maps.is_empty() || self.weight > PRINT_WEIGHT_MAX {
            return self.declare(2);
        }
        let map = self.rng.pick(&maps);
        let name = &map.name;
        match self.rng.below(8) {
            0 if map.key.is_some() => Node::leaf(Ty::Stmt, false, format!("clear({name});")),
            1 => Node::leaf(Ty::Stmt, false, format!("zero({name});")),
            2 | 3 if map.key.is_some() => {
                let key = self.whole_key(&map);
                Node::of(Ty::Stmt, &format!("delete({name}, {{}});"), vec![key])
            }
            4 if map.key.is_some() => {
                let key = self.whole_key(&map);
                Node::of(Ty::Stmt, &format!("print({name}[{{}}]);"), vec![key])
            }
            5 if map.key.is_some() => Node::leaf(Ty::Stmt, false, format!("print({name}, 2);")),
            6 if map.key.is_none() => Node::leaf(Ty::Stmt, false, format!("delete({name});")),
            _ => Node::leaf(Ty::Stmt, false, format!("print({name});")),
        }
    }

    fn jump(&mut self, d: u32) -> Node {
        let cond = self.bool(d.min(2));
        let text = match self.loops {
            0 if self.no_return => return self.assign(d),
            0 => "return;",
            _ if self.no_return => self.rng.pick(&["break;", "continue;"]),
            _ => self.rng.pick(&["break;", "continue;", "break;", "continue;", "return;"]),
        };
        Node::of(Ty::Stmt, "if ({}) ", vec![cond]).block(vec![Node::leaf(Ty::Stmt, false, text)])
    }

    /// `find(@m, k, $out)`
    fn find_in_map(&mut self) -> Option<Node> {
        let maps: Vec<MapVar> = self
            .scope
            .maps
            .iter()
            .filter(|m| m.key.is_some() && matches!(m.content, Content::Plain(_)))
            .cloned()
            .collect();
        if maps.is_empty() {
            return None;
        }
        let map = self.rng.pick(&maps);
        let Content::Plain(ty) = &map.content else { return None };
        let vars: Vec<Var> =
            self.scope.vars().filter(|v| v.ty == *ty && !v.fixed && v.declared.is_none()).cloned().collect();
        if vars.is_empty() {
            return None;
        }
        let var = self.rng.pick(&vars);
        let key = self.whole_key(&map);
        let then = self.body();
        Some(
            Node::of(Ty::Stmt, &format!("if (find({}, {{}}, {})) ", map.name, var.name), vec![key])
                .block(then),
        )
    }
}

/// The variable of a loop over a map.
fn kv(name: &str, map: &MapVar) -> Var {
    let value = match &map.content {
        Content::Plain(ty) => ty.clone(),
        _ => Ty::Int,
    };
    let key = map.key.clone().unwrap_or(Ty::Int);
    Var { name: name.to_owned(), ty: Ty::Tuple(vec![key, value]), declared: None, fixed: true }
}
