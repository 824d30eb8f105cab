//! The syntax tree: a value without types. Types, resolutions and constants sit in side tables by [`NodeId`].
//!
//! The parser makes a tree for any input; what it could not read is an [`ExprKind::Error`] or a missing part, with a
//! diagnostic. Macro expansion (in `lang`) clones subtrees with fresh ids.

use crate::span::Span;

/// Identity of an expression or statement within one script, for side tables. Dense from 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord, Default)]
pub struct NodeId(pub u32);

/// Hands out [`NodeId`]s; the parser makes one and leaves it in the [`Script`], later stages go on with it.
#[derive(Clone, Debug, Default)]
pub struct NodeIds(u32);

impl NodeIds {
    /// A fresh id.
    pub fn fresh(&mut self) -> NodeId {
        self.0 += 1;
        NodeId(self.0 - 1)
    }
    /// How many ids were given: the length that a side table needs.
    pub fn count(&self) -> usize {
        self.0 as usize
    }
}

/// A whole script file.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// `#include`, `#define`, struct, union, enum and typedef text before everything else, in order.
    pub c_items: Vec<CItem>,
    /// `config = { ... }`.
    pub config: Option<Config>,
    /// `import "path";` at the head of the file.
    pub imports: Vec<Import>,
    /// Probes, macros, map declarations and subprograms in source order.
    pub items: Vec<Item>,
    /// Ids given so far.
    pub ids: NodeIds,
    /// Comments, kept for the formatter, in source order.
    pub comments: Vec<Comment>,
    /// `#!...` of the first line, without the line end.
    pub shebang: Option<String>,
}

/// A comment as written, with its delimiters.
#[derive(Clone, Debug)]
pub struct Comment {
    /// Where it stands.
    pub span: Span,
    /// Text with `//` or `/* */`.
    pub text: String,
}

/// One piece of the C part of a script. The text is parsed by `lang` (C declarations) and not by the script parser.
#[derive(Clone, Debug)]
pub struct CItem {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub kind: CItemKind,
    /// The text, without a trailing `;`.
    pub text: String,
}

/// Kinds of C text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CItemKind {
    /// `#include <x>` or `"x"`.
    Include,
    /// `#define` and any other preprocessor line.
    Directive,
    /// A struct, union, enum definition or typedef.
    Declaration,
}

/// `config = { key = value; ... }`.
#[derive(Clone, Debug)]
pub struct Config {
    /// The block.
    pub span: Span,
    /// Its entries.
    pub entries: Vec<ConfigEntry>,
}

/// One configuration assignment.
#[derive(Clone, Debug)]
pub struct ConfigEntry {
    /// `key = value`.
    pub span: Span,
    /// The key as written.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub value: ConfigValue,
}

/// Values of configuration keys.
#[derive(Clone, Debug, PartialEq)]
pub enum ConfigValue {
    /// A number.
    Int(u64),
    /// `true` or `false`.
    Bool(bool),
    /// `"text"`.
    Str(String),
    /// A bare word such as `PER_PID` or `warn`.
    Word(String),
}

/// `import "path";`
#[derive(Clone, Debug)]
pub struct Import {
    /// Statement id.
    pub id: NodeId,
    /// The whole statement.
    pub span: Span,
    /// The path as written.
    pub path: String,
}

/// A top-level item.
#[derive(Clone, Debug)]
pub enum Item {
    /// `probe, probe /pred/ { ... }`
    Probe(Probe),
    /// `macro name(args) { ... }`
    Macro(Macro),
    /// `let @m = kind(N);`
    MapDecl(MapDecl),
    /// `fn name($a : type) : type { ... }`
    Subprog(Subprog),
}

/// A clause: attach points, predicate, body.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Identity of the clause.
    pub id: NodeId,
    /// The whole clause.
    pub span: Span,
    /// What it attaches to; never empty unless there was a syntax error.
    pub attach_points: Vec<AttachPoint>,
    /// `/condition/`.
    pub predicate: Option<Expr>,
    /// The body.
    pub body: Block,
}

/// One attach point as text: `provider:part:part`. What the parts mean is the provider's business.
#[derive(Clone, Debug)]
pub struct AttachPoint {
    /// Where it stands.
    pub span: Span,
    /// `name` of the reserved form `name=attach_point`.
    pub name: Option<String>,
    /// The text as written, without white space around it, quotes kept.
    pub raw: String,
    /// The parts between `:` outside quotes; quotes removed, escapes resolved. `$N` not yet replaced.
    pub parts: Vec<AttachPart>,
}

/// One part of an attach point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachPart {
    /// The text.
    pub text: String,
    /// Whether any of it was quoted (then a `$` is literal and `*` still matches anything).
    pub quoted: bool,
}

/// `macro name(params) { body }`.
#[derive(Clone, Debug)]
pub struct Macro {
    /// Identity.
    pub id: NodeId,
    /// `macro name(...)`: the head.
    pub span: Span,
    /// Its name.
    pub name: String,
    /// Its parameters.
    pub params: Vec<MacroParam>,
    /// Its body; the value of the block is the value of the call.
    pub body: Block,
}

/// A macro parameter; its kind decides what may be passed.
#[derive(Clone, Debug)]
pub struct MacroParam {
    /// Where it stands.
    pub span: Span,
    /// Name without the sigil.
    pub name: String,
    /// What it takes.
    pub kind: MacroParamKind,
}

/// What a macro parameter takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MacroParamKind {
    /// `$v`: a variable, which the body may assign.
    Var,
    /// `@m`: a map.
    Map,
    /// `ident`: any expression (or a `typeof(T)`), substituted each time it is named.
    Expr,
}

/// `let @name = kind(max_entries);`
#[derive(Clone, Debug)]
pub struct MapDecl {
    /// Identity.
    pub id: NodeId,
    /// The whole declaration.
    pub span: Span,
    /// Map name with the `@`.
    pub name: String,
    /// `hash`, `lruhash`, `percpuhash`, `percpulruhash`, as written.
    pub kind: String,
    /// Where the kind stands.
    pub kind_span: Span,
    /// Entries.
    pub max_entries: Expr,
}

/// `fn name($a : type, ...) : type { ... }`.
#[derive(Clone, Debug)]
pub struct Subprog {
    /// Identity.
    pub id: NodeId,
    /// The head.
    pub span: Span,
    /// Its name.
    pub name: String,
    /// Parameters.
    pub params: Vec<SubprogParam>,
    /// Return type.
    pub ret: Option<TypeExpr>,
    /// Body.
    pub body: Block,
}

/// A parameter of a subprogram.
#[derive(Clone, Debug)]
pub struct SubprogParam {
    /// Where it stands.
    pub span: Span,
    /// Name with the `$`.
    pub name: String,
    /// Its type.
    pub ty: TypeExpr,
}

/// `{ stmts; value }`. `value` is the last expression without `;` when the block is used as an expression or could be.
#[derive(Clone, Debug)]
pub struct Block {
    /// With the braces.
    pub span: Span,
    /// Statements.
    pub stmts: Vec<Stmt>,
    /// A last expression that has no `;` behind it.
    pub value: Option<Box<Expr>>,
}

/// A statement.
#[derive(Clone, Debug)]
pub struct Stmt {
    /// Identity.
    pub id: NodeId,
    /// Without the `;`.
    pub span: Span,
    /// What it does.
    pub kind: StmtKind,
}

/// Kinds of statements.
#[derive(Clone, Debug)]
pub enum StmtKind {
    /// An expression for its effect. `if`, blocks, calls, `@x++`, `delete(...)` are expressions.
    Expr(Expr),
    /// `lhs op= rhs`; `op` is `None` for `=`. `lhs` is a variable, map, map access, or (error) anything.
    Assign {
        /// Target.
        lhs: Expr,
        /// The operator of a compound assignment.
        op: Option<BinaryOp>,
        /// Value.
        rhs: Expr,
    },
    /// `_ = e`.
    Discard(Expr),
    /// `let $x`, `let $x : T`, `let $x = e`, `let $x : T = e`.
    Let {
        /// The variable (an [`ExprKind::Var`]).
        var: Expr,
        /// Declared type.
        ty: Option<TypeExpr>,
        /// Initial value.
        value: Option<Expr>,
    },
    /// `for ($kv : @map) { }`.
    ForMap {
        /// The loop variable (an [`ExprKind::Var`]).
        var: Expr,
        /// The map (an [`ExprKind::Map`]), or a macro parameter name.
        map: Expr,
        /// Body.
        body: Block,
    },
    /// `for ($i : a..b) { }`.
    ForRange {
        /// The loop variable (an [`ExprKind::Var`]).
        var: Expr,
        /// First value.
        start: Expr,
        /// Value behind the last.
        end: Expr,
        /// Body.
        body: Block,
    },
    /// `while (c) { }`.
    While {
        /// Condition.
        cond: Expr,
        /// Body.
        body: Block,
    },
    /// `unroll (n) { }`.
    Unroll {
        /// How often.
        count: Expr,
        /// Body.
        body: Block,
    },
    /// `break`.
    Break,
    /// `continue`.
    Continue,
    /// `return`, `return e`.
    Return(Option<Expr>),
    /// `import "path"` inside a block.
    Import(Import),
}

/// An expression.
#[derive(Clone, Debug)]
pub struct Expr {
    /// Identity.
    pub id: NodeId,
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub kind: ExprKind,
}

/// Kinds of expressions.
#[derive(Clone, Debug)]
pub enum ExprKind {
    /// A number; `text` as written (`0x10`, `1e6`, `5ms`). `suffix` is the C suffix in lower case (`u`, `ll`, ...) or empty;
    /// a duration is already in nanoseconds.
    Int {
        /// The value.
        value: u64,
        /// As written.
        text: String,
        /// `u`, `l`, `ul`, `ll`, `ull` or empty.
        suffix: String,
    },
    /// `true`, `false`.
    Bool(bool),
    /// `"text"`, escapes resolved (bytes may be any).
    Str(Vec<u8>),
    /// A bare name: builtin, enum constant, macro, `#define`.
    Ident(String),
    /// `$1`.
    Positional(u32),
    /// `$#`.
    ParamCount,
    /// `$x`, name with the `$`.
    Var(String),
    /// `@m`, name with the `@`, without key.
    Map(String),
    /// `@m[k]`; several keys are one [`ExprKind::Tuple`].
    MapAccess {
        /// The map (an [`ExprKind::Map`], or a macro parameter's name).
        map: Box<Expr>,
        /// The key.
        key: Box<Expr>,
    },
    /// `name(args)`.
    Call {
        /// Name as written.
        name: String,
        /// Where the name stands.
        name_span: Span,
        /// Arguments.
        args: Vec<Expr>,
    },
    /// `base.field` or `base->field` (the same).
    Field {
        /// Of what.
        base: Box<Expr>,
        /// Which.
        field: String,
        /// Where the name stands.
        field_span: Span,
    },
    /// `base.N`.
    TupleField {
        /// Of what.
        base: Box<Expr>,
        /// Which.
        index: u32,
    },
    /// `base[index]` of an array, pointer or string.
    Index {
        /// Of what.
        base: Box<Expr>,
        /// Which.
        index: Box<Expr>,
    },
    /// Prefix operator.
    Unary {
        /// Operator.
        op: UnaryOp,
        /// Operand.
        expr: Box<Expr>,
    },
    /// `++` and `--`, before or behind.
    Step {
        /// +1 or -1.
        increment: bool,
        /// Whether the value is that before the step.
        postfix: bool,
        /// Variable or map.
        target: Box<Expr>,
    },
    /// `a op b`.
    Binary {
        /// Operator.
        op: BinaryOp,
        /// Left.
        left: Box<Expr>,
        /// Right.
        right: Box<Expr>,
    },
    /// `c ? a : b`; `then` is `None` in `c ?: b`.
    Ternary {
        /// Condition.
        cond: Box<Expr>,
        /// If so.
        then: Option<Box<Expr>>,
        /// If not.
        otherwise: Box<Expr>,
    },
    /// `if c { } else { }`, also as a statement.
    If {
        /// Condition.
        cond: Box<Expr>,
        /// If so.
        then: Block,
        /// If not: a block, or an [`ExprKind::If`].
        otherwise: Option<Box<Expr>>,
    },
    /// `{ ...; e }`.
    Block(Block),
    /// `(type)e`.
    Cast {
        /// To what.
        ty: TypeExpr,
        /// Operand.
        expr: Box<Expr>,
    },
    /// `(a, b)`, `(a,)`, `()`.
    Tuple(Vec<Expr>),
    /// `(x = 1, y = 2)`.
    Record(Vec<RecordField>),
    /// `sizeof(T)` or `sizeof(e)`.
    Sizeof(Box<TypeOrExpr>),
    /// `offsetof(T, a.b)`.
    Offsetof {
        /// Of what.
        base: Box<TypeOrExpr>,
        /// Path of member names.
        path: Vec<String>,
    },
    /// `typeof(T)` or `typeof(e)`, as an argument of a macro or where a type may stand.
    Typeof(Box<TypeOrExpr>),
    /// `typeinfo(T)` or `typeinfo(e)`.
    Typeinfo(Box<TypeOrExpr>),
    /// `comptime e`.
    Comptime(Box<Expr>),
    /// What the parser could not read.
    Error,
}

/// `name = value` of a record.
#[derive(Clone, Debug)]
pub struct RecordField {
    /// Where the name stands.
    pub span: Span,
    /// Name.
    pub name: String,
    /// Value.
    pub value: Expr,
}

/// Operand of `sizeof` and friends.
#[derive(Clone, Debug)]
pub enum TypeOrExpr {
    /// A type.
    Type(TypeExpr),
    /// An expression (a bare name may turn out to be a type).
    Expr(Expr),
}

/// A type as written.
#[derive(Clone, Debug)]
pub struct TypeExpr {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub kind: TypeExprKind,
}

/// Kinds of written types.
#[derive(Clone, Debug)]
pub enum TypeExprKind {
    /// `uint64`, `string`, a typedef, `unsigned long` (words joined by one space).
    Name(String),
    /// `struct x`, `union x`, `enum x`.
    Tagged {
        /// Which keyword.
        tag: TypeTag,
        /// Name.
        name: String,
    },
    /// `T *`.
    Pointer(Box<TypeExpr>),
    /// `T[n]`; `T[]` has no length. Also `string[N]`, `buffer[N]`, `inet[N]`.
    Array(Box<TypeExpr>, Option<Box<Expr>>),
    /// `typeof(e)` or `typeof(T)`.
    Typeof(Box<TypeOrExpr>),
    /// `(T, T)`: a tuple type.
    Tuple(Vec<TypeExpr>),
}

/// Keyword of a tagged type.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum TypeTag {
    /// `struct`
    Struct,
    /// `union`
    Union,
    /// `enum`
    Enum,
}

/// Prefix operators.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum UnaryOp {
    /// `*p`
    Deref,
    /// `-e`
    Neg,
    /// `!e`
    Not,
    /// `~e`
    BitNot,
    /// `&$v`, `&@m`
    AddressOf,
}

/// Infix operators.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum BinaryOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Mod,
    /// `&`
    And,
    /// `|`
    Or,
    /// `^`
    Xor,
    /// `<<`
    Shl,
    /// `>>`
    Shr,
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `&&`
    LogicalAnd,
    /// `||`
    LogicalOr,
}

impl TypeTag {
    /// The keyword.
    pub fn word(self) -> &'static str {
        match self {
            TypeTag::Struct => "struct",
            TypeTag::Union => "union",
            TypeTag::Enum => "enum",
        }
    }
}

impl UnaryOp {
    /// The operator as written.
    pub fn sign(self) -> &'static str {
        match self {
            UnaryOp::Deref => "*",
            UnaryOp::Neg => "-",
            UnaryOp::Not => "!",
            UnaryOp::BitNot => "~",
            UnaryOp::AddressOf => "&",
        }
    }
}

impl BinaryOp {
    /// The operator as written.
    pub fn sign(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Mod => "%",
            BinaryOp::And => "&",
            BinaryOp::Or => "|",
            BinaryOp::Xor => "^",
            BinaryOp::Shl => "<<",
            BinaryOp::Shr => ">>",
            BinaryOp::Eq => "==",
            BinaryOp::Ne => "!=",
            BinaryOp::Lt => "<",
            BinaryOp::Le => "<=",
            BinaryOp::Gt => ">",
            BinaryOp::Ge => ">=",
            BinaryOp::LogicalAnd => "&&",
            BinaryOp::LogicalOr => "||",
        }
    }
}
