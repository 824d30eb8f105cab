//! Types of variables and maps, constants.

use super::{printed, types, types_with};
use crate::compile::Options;

fn parameters(list: &[&str]) -> Options {
    Options { positional: list.iter().map(|s| (*s).to_string()).collect(), ..Options::default() }
}

#[test]
fn integers_adapt_and_widen() {
    assert_eq!(types("begin { $x = 1; }"), "$x: int8");
    assert_eq!(types("begin { $x = 1; $x = 300; }"), "$x: int16");
    assert_eq!(types("begin { $x = 1; $x = pid; }"), "$x: uint32");
    assert_eq!(types("begin { $x = (int8)1; $x = (int32)2; }"), "$x: int32");
    assert_eq!(types("begin { $x = 5; $x += 1; }"), "$x: int64");
    assert_eq!(types("begin { $x = 18446744073709551615; }"), "$x: uint64");
    assert_eq!(types("begin { $a = 0; while ($a <= 100) { $a++; } }"), "$a: int64");
    assert_eq!(types("begin { let $x : uint16 = 5; $x++; $x = $x + 1; }"), "$x: uint16");
}

#[test]
fn maps_get_keys_and_values_from_all_clauses() {
    assert_eq!(types("begin { @a[1] = 2; } end { @a[pid] = 700; }"), "@a[uint32]: int16");
    assert_eq!(types("begin { @a = \"hi\"; } end { @a = \"longer\"; }"), "@a: string[7]");
    assert_eq!(types("begin { @[1, \"a\"] = 1; @[2, \"abcd\"] = 1; }"), "@[(int8,string[5])]: int8");
    assert_eq!(types("begin { @ = (1, \"a\"); @ = (1000, \"abc\"); }"), "@: (int16,string[4])");
    assert_eq!(types("begin { @x++; @y[tid]--; }"), "@x: int64; @y[uint32]: int64");
    assert_eq!(types("begin { @b = @a; } end { @a = pid; }"), "@a: uint32; @b: uint32");
    assert_eq!(types("begin { @n = @n + 1; @m[tid] = @m[tid] * 2; }"), "@n: int64; @m[uint32]: int64");
    assert_eq!(types("begin { @a[true] = false; }"), "@a[bool]: bool");
}

#[test]
fn aggregations_fix_the_value_and_read_as_integers() {
    assert_eq!(types("begin { @ = count(); @s = sum(-1); @s = sum(pid); }"), "@: count_t; @s: sum_t");
    assert_eq!(
        types("begin { @a = count(); @b = sum(5); @[@a, @b] = 1; }"),
        "@a: count_t; @b: sum_t; @[(int64,int64)]: int8"
    );
    assert_eq!(
        types("begin { @a[1] = count(); for ($kv : @a) { $x = $kv; } }"),
        "@a[int8]: count_t; $kv: (int8,int64); $x: (int8,int64)"
    );
}

#[test]
fn members_are_found_through_pointers_and_anonymous_structs() {
    assert_eq!(types("begin { $a = curtask.pid; $b = curtask->comm; }"), "$a: int32; $b: string[16]");
    assert_eq!(types("begin { $a = curtask.real_parent.real_parent.tgid; }"), "$a: int32");
    assert_eq!(types("begin { $a = curtask.ax; $b = curtask.flag; }"), "$a: uint32; $b: uint32");
    assert_eq!(types("begin { $a = curtask.prio[2]; }"), "$a: int32");
    assert_eq!(types("begin { let $f: struct task_struct *; $f = curtask; }"), "$f: struct task_struct *");
    assert_eq!(
        types("begin { $t = (struct timer_list *)1; $w = (void *)0; $w = $t->function; }"),
        "$t: struct timer_list *; $w: void *"
    );
}

#[test]
fn arguments_have_their_types() {
    assert_eq!(
        types("t:syscalls:sys_enter_openat { $f = args.filename; $d = args.dfd; }"),
        "$f: int8 *; $d: int32"
    );
    assert_eq!(types("t:sched:sched_switch { @[args.prev_comm] = count(); }"), "@[string[16]]: count_t");
    assert_eq!(types("t:irq:irq_handler_entry { $n = args.name; }"), "$n: string[1024]");
    assert_eq!(types("t:skb:kfree_skb { $r = args.reason; }"), "$r: enum skb_drop_reason");
    assert_eq!(types("t:syscalls:sys_enter_execve { $p = args.argv[0]; }"), "$p: int8 *");
}

#[test]
fn structs_of_the_script_are_laid_out() {
    let sizes = |text: &str| printed(text, &Options::default());
    assert_eq!(sizes("struct foo { int x; char y; int z; } begin { print(sizeof(struct foo)); }"), ["12"]);
    assert_eq!(sizes("struct foo { int x; char y; int z; } __attribute__((packed)) begin { print(sizeof(struct foo)); }"), ["9"]);
    assert_eq!(
        sizes("struct A {int32_t a; int32_t b; char c[28] }; begin { print(sizeof(struct A)); }"),
        ["36"]
    );
    assert_eq!(
        sizes(
            "struct Foo { int x; struct Bar { int x; } bar; } begin { print(offsetof(struct Foo, bar.x)); }"
        ),
        ["4"]
    );
    assert_eq!(sizes("struct F { int a : 3; int b : 30; union { char c; long d; }; } begin { print(sizeof(struct F)); print(offsetof(struct F, d)); }"), ["16", "8"]);
    assert_eq!(sizes("struct F { int (*f)(int, char); char *names[3]; struct F *next; } begin { print(sizeof(struct F)); }"), ["40"]);
    assert_eq!(
        types("enum { ONE = 1, TWO = 2 }; begin { @[ONE] = TWO; @x = ONE + 1; }"),
        "@[enum]: enum; @x: int8"
    );
    assert_eq!(types("enum Foo { A, B } begin { $x = 1; $y = (enum Foo)$x; }"), "$x: int8; $y: enum Foo");
}

#[test]
fn sizes_fold() {
    let text = "struct Foo { int x; char c; } begin { $x = 1; print(sizeof(struct Foo)); print(sizeof((*(struct Foo*)0).x)); \
                print(sizeof((*(struct Foo*)0).c)); print(sizeof(1 == 1)); print(sizeof($x)); print(sizeof(BTF_VAR_STATIC)); print(sizeof(uint64_t)); }";
    assert_eq!(printed(text, &Options::default()), ["8", "4", "1", "1", "1", "8", "8"]);
    let tuple = "begin { $t = ((int8) 1, (int64) 1, (int8) 1, (int64) 1); print(sizeof($t)); $u = ((int32) 1, (int16) 1, (int8) 1); print(sizeof($u)); }";
    assert_eq!(printed(tuple, &Options::default()), ["32", "8"]);
}

#[test]
fn constants_fold() {
    let folded = |e: &str| printed(&format!("begin {{ print({e}); }}"), &Options::default());
    assert_eq!(folded("1 + 2 * 3 + 1 * 10"), ["17"]);
    assert_eq!(folded("1 + 2 / 2 * 3"), ["4"]);
    assert_eq!(folded("(1 << 32) - 1"), ["4294967295"]);
    assert_eq!(folded("\"hello\" == \"hell\""), ["0"]);
    assert_eq!(folded("(uint8)300"), ["44"]);
    assert_eq!(folded("-1 < 1"), ["1"]);
    assert_eq!(folded("~0"), ["-1"]);
    assert_eq!(folded("5ms"), ["5000000"]);
    assert_eq!(folded("config.max_strlen"), ["1024"]);
}

#[test]
fn parameters_are_numbers_or_text() {
    let text = "begin { print($1); print($2); print($#); }";
    assert_eq!(printed(text, &parameters(&["0x10", "abc"])), ["16", "\"abc\"", "2"]);
    assert_eq!(printed("begin { print($1); }", &parameters(&["0xffffffffffffffff"])), ["-1"]);
    assert_eq!(printed("begin { print($1 + 1); }", &parameters(&["hello"])), ["\"ello\""]);
    assert_eq!(types_with("begin { $x = $1; }", &parameters(&["0xffffffffffffffff"])), "$x: uint64");
}

#[test]
fn options_have_the_type_of_their_default() {
    let named = |list: &[(&str, Option<&str>)]| Options {
        named: list.iter().map(|(n, v)| ((*n).to_string(), v.map(str::to_string))).collect(),
        ..Options::default()
    };
    let text = "begin { print((getopt(\"aa\", 20), getopt(\"bb\", -1), getopt(\"cc\", true), getopt(\"dd\"), getopt(\"ee\", \"hello\"))); $a = getopt(\"aa\", 20); $e = getopt(\"ee\", \"hello\"); }";
    let options = named(&[
        ("dd", None),
        ("aa", Some("0xffffffffffffffff")),
        ("bb", Some("-10")),
        ("cc", Some("False")),
    ]);
    assert_eq!(types_with(text, &options), "$a: uint64; $e: string[6]");
}

#[test]
fn conditionals_unify_their_branches() {
    assert_eq!(types("begin { $a = nsecs ? (uint8)1 : (int32)-1; }"), "$a: int64");
    assert_eq!(types("begin { $a = nsecs ? true : false; }"), "$a: bool");
    assert_eq!(
        types("begin { $a = nsecs ? (\"hellolongstr\", \"a\") : (\"b\", \"hellolongstr\"); }"),
        "$a: (string[13],string[13])"
    );
    assert_eq!(types("begin { $a = if (nsecs) { \"a\" } else { \"bcd\" }; }"), "$a: string[4]");
    assert_eq!(types("begin { $a = curtask ? 1 : 2; }"), "$a: int8");
    assert_eq!(types("begin { @ = { $x = 1; print(\"bob\"); $x > 1 }; }"), "@: bool; $x: int8");
}

#[test]
fn casts_to_arrays_take_the_size() {
    assert_eq!(types("begin { $a = (uint8[8])(uint64)5; }"), "$a: uint8[8]");
    assert_eq!(types("begin { $a = (uint8[])(uint32)5; }"), "$a: uint8[4]");
    assert_eq!(types("begin { $a = (int8[])\"str\"; }"), "$a: int8[4]");
    assert_eq!(types("begin { @a = (bool[2])(uint16)1; }"), "@a: bool[2]");
    assert_eq!(types("begin { $a = (string[20])\"abc\"; }"), "$a: string[20]");
}

#[test]
fn pointers_keep_their_space() {
    assert_eq!(types("begin { let $a: typeof(size_t) = 1; let $b: typeof(size_t*) = &$a; $c = (uint64_t)1; $d = (char)1; $e = (char *)&$d; }"), "$a: uint64; $b: uint64 *; $c: uint64; $d: int8; $e: int8 *");
    assert_eq!(types("begin { @ = (int8*)0x32; @ += 1; @--; }"), "@: int8 *");
    assert_eq!(
        types("struct A { int x; } begin { $a = (struct A*)1024; $b = $a - 5; $c = *$a; }"),
        "$a: struct A *; $b: struct A *; $c: struct A"
    );
}

#[test]
fn records_take_their_members_by_name() {
    assert_eq!(
        types("begin { $v = 99; $t = (a=0, b=\"x\", e=$v); $x = $t.b; }"),
        "$v: int8; $t: (a=int8,b=string[2],e=int8); $x: string[2]"
    );
    assert_eq!(types("begin { $a = (foo=1, bar=2); $a = (bar=1, foo=700); }"), "$a: (foo=int16,bar=int8)");
}

#[test]
fn loops_give_their_variables_types() {
    assert_eq!(types("begin { for ($i : 0..5) { $x = $i; } }"), "$i: int64; $x: int64");
    assert_eq!(
        types("begin { @m[1,2] = 3; for ($kv : @m) { $x = $kv.0.1; } }"),
        "@m[(int8,int8)]: int8; $kv: ((int8,int8),int8); $x: int8"
    );
    assert_eq!(
        types("i:ms:100 { $x = 1; for ($kv : @a) { $y = ($x, $kv.0); } @a[1] = 1; }"),
        "@a[int8]: int8; $x: int8; $kv: (int8,int8); $y: (int8,int8)"
    );
}

#[test]
fn macros_substitute_without_capture() {
    assert_eq!(
        types("macro inc($x) { $x += 1; $x } begin { $a = 1; $b = inc($a); }"),
        "$a: int64; $b: int64"
    );
    assert_eq!(
        types("macro inc(x) { $y = x + 1; $y } begin { $y = 2; $z = inc(5); }"),
        "$y: int8; $y: int8; $z: int8"
    );
    assert_eq!(
        types("macro get(@x) { 1 + @x[1] } begin { @a[1] = 1; $b = get(@a); }"),
        "@a[int8]: int8; $b: int64"
    );
    assert_eq!(
        printed("macro one() { 1 } begin { print(one); print(one()); }", &Options::default()),
        ["1", "1"]
    );
    assert_eq!(printed("macro add3(x) { x + add2(x) } macro add2(x) { x + add1(x) } macro add1(x) { x + 1 } begin { print(add3(1)); }", &Options::default()), ["4"]);
    assert_eq!(
        printed("macro add() { 2 } macro ident(add) { add } begin { print(ident(1)); }", &Options::default()),
        ["1"]
    );
    assert_eq!(printed("struct Foo { char m; } macro sof(a, b) { sizeof(a[2]) + sizeof(b*) + sizeof(b) } begin { print(sof(typeof(uint64*), typeof(struct Foo))); }", &Options::default()), ["25"]);
    assert_eq!(
        printed(
            "macro m(t) { sizeof(t) + 2 } macro n(z) { print(m(typeof(z))); } begin { n(typeof(uint64*)); }",
            &Options::default()
        ),
        ["10"]
    );
}

#[test]
fn the_scripts_macros_replace_builtins_of_the_same_arity_only() {
    assert_eq!(
        printed("macro cpu(x) { x } begin { print(cpu(7)); print(cpu()); }", &Options::default()),
        ["7"]
    );
}

#[test]
fn defines_are_constants_or_macros() {
    let text = "#define _UNDERSCORE 314\n#define TWICE (_UNDERSCORE * 2)\n#define NAME \"x\"\n#define ADD(a, b) ((a) + (b))\nbegin { print(_UNDERSCORE); print(TWICE); print(NAME); print(ADD(1, 2)); print(EPERM); }";
    assert_eq!(printed(text, &Options::default()), ["314", "628", "\"x\"", "3", "1"]);
}

#[test]
fn preprocessor_conditions_choose() {
    let sizes = |text: &str| printed(text, &Options::default());
    let text = "#ifndef BPFTRACE_HAVE_BTF\nstruct s { char a[100]; };\n#else\nstruct s { char a[3]; };\n#endif\n\
                #if defined(NOPE) || 1 == 2\n#define N 1\n#elif 3 > 2\n#define N 2\n#else\n#define N 3\n#endif\n\
                begin { print(sizeof(struct s)); print(N); }";
    assert_eq!(sizes(text), ["3", "2"]);
}

#[test]
fn comptime_conditions_leave_one_branch() {
    assert_eq!(
        types("begin { if comptime (sizeof(uint64) == 8) { $a = 1; } else { $b = unknown_thing(); } }"),
        "$a: int8; $b: int64"
    );
}

#[test]
fn clauses_split_by_the_arguments_they_use() {
    use super::analyse_with;
    let text = "t:sched:sched_switch, t:skb:kfree_skb { args }";
    let c = analyse_with(text, &Options::default());
    assert_eq!(c.typed.unwrap().probes.len(), 2);
    let c = analyse_with("t:sched:sched_switch, t:skb:kfree_skb { @ = count(); }", &Options::default());
    assert_eq!(c.typed.unwrap().probes.len(), 1);
}

#[test]
fn files_are_imported_once() {
    use super::fixture::Fixture;
    use crate::compile::{check, Source};
    let mut world = Fixture::new();
    world
        .files
        .insert("lib.bt".into(), "import \"lib.bt\"; macro twice(x) { x + x } end { @b = twice(2); }".into());
    world.files.insert(
        "types.h".into(),
        "#ifndef T_H\n#define T_H\n#define LIMIT 7\nstruct thing { int a; char b[4]; };\n#endif\n".into(),
    );
    let text =
        "#include \"types.h\"\nimport \"lib.bt\";\nbegin { @a = twice(LIMIT); @c = ((struct thing *)0)->b; }";
    let c = check(&Source { name: "stdin".into(), text: text.into() }, &world, &Options::default());
    assert!(!c.failed(), "{:?}", super::messages(&c));
    let typed = c.typed.unwrap();
    assert_eq!(typed.probes.len(), 2);
    let c = typed.maps.iter().find(|m| m.name == "@c").unwrap();
    assert_eq!(c.value.to_string(), "string[4]");
}

#[test]
fn the_dump_names_types_and_constants() {
    let c = super::analyse_with("begin { @a[1] = 2 + 3; $x = pid; }", &Options::default());
    let dump = crate::analyse::dump(c.typed.as_ref().unwrap(), &c.sources);
    assert!(dump.starts_with("map @a[int8]: int8\nvar $x: uint32\nprobe begin\n"), "{dump}");
    assert!(dump.contains("  2 + 3: int8 = 5\n"), "{dump}");
}

#[test]
fn subprograms_have_parameters_and_results() {
    assert_eq!(
        types("fn f($a : int32) : uint64 { return $a; } begin { $x = f(3); }"),
        "$a: int32; $x: uint64"
    );
}

#[test]
fn variables_of_a_probe_are_captured_by_loops_over_maps_only() {
    let c = super::analyse_with(
        "begin { @a[1] = 1; $x = 1; $y = 1; for ($kv : @a) { $x += 1; $z = 1; for ($i : 0..2) { $z += 1; } } for ($i : 0..2) { $y += 1; } }",
        &Options::default(),
    );
    let typed = c.typed.unwrap();
    let captured: Vec<&str> =
        typed.var_infos.iter().filter(|v| v.captured).map(|v| v.name.as_str()).collect();
    assert_eq!(captured, ["$x"]);
}
