//! Errors and warnings: texts and places.

use super::{analyse_with, error, error_with, messages, warnings};
use crate::compile::Options;

#[test]
fn unknown_names_are_errors() {
    assert_eq!(error("begin { foo(); }"), "1:9-12 Unknown function: 'foo'");
    assert_eq!(error("begin { print($x); }"), "1:15-17 Undefined or undeclared variable: $x");
    assert_eq!(error("begin { print(nope); }"), "1:15-19 Unknown identifier: 'nope'");
    assert_eq!(error("begin { print(@x); }"), "1:15-17 Undefined map: @x");
    assert_eq!(
        error("begin { if (1) { $x = 1; } print($x); }"),
        "1:34-36 Undefined or undeclared variable: $x"
    );
    let c = analyse_with("begin { prinft(\"x\"); }", &Options::default());
    assert_eq!(c.diagnostics[0].hints, ["did you mean 'printf'?"]);
}

#[test]
fn types_that_do_not_go_together() {
    let text = "Type mismatch for $x: trying to assign value of type 'string[2]' when variable already has a type 'int8'";
    assert_eq!(error("begin { $x = 1; $x = \"a\"; }"), format!("1:17-25 {text}"));
    assert!(error("begin { @ = count(); @ = 5; }").contains("when map already has a type 'count_t'"));
    assert!(error("begin { @a[1] = 1; @a[\"x\"] = 1; }").contains("Argument mismatch for @a"));
    assert!(
        error("begin { @a[1] = 1; @a = 1; }").contains("used as a map without an explicit key (scalar map)")
    );
    assert!(
        error("begin { @a = 1; @a[1] = 1; }").contains("used as a map with an explicit key (non-scalar map)")
    );
    assert!(error("begin { $x = \"a\" + 1; }").contains("The + operator can not be used"));
    assert!(error("begin { if (\"a\" == 1) { } }")
        .contains("Type mismatch for '==': comparing 'string[2]' with 'int8'"));
    assert!(error("begin { $x = 1 ? \"a\" : 1; }").contains("Ternary operator must return the same type"));
    assert!(
        error("begin { $x = (uint8[3])(uint64)1; }").contains("Cannot cast from \"uint64\" to \"uint8[3]\"")
    );
}

#[test]
fn literals_stay_in_range() {
    assert!(
        error("begin { let $x : uint8 = 300; }").contains("Value 300 is out of range for $x of type 'uint8'")
    );
    assert!(error("begin { let $x : uint8 = -1; }").contains("out of range"));
    assert!(error("begin { $x = 1 / 0; }").contains("division by zero"));
    assert!(error("begin { $x = nsecs % 0; }").contains("Modulo by zero"));
}

#[test]
fn members_that_do_not_exist() {
    let c = analyse_with("begin { print(curtask.pidd); }", &Options::default());
    assert_eq!(
        messages(&c),
        ["1:23-27 Struct/union of type 'struct task_struct' does not contain a field named 'pidd'"]
    );
    assert_eq!(c.diagnostics[0].hints, ["did you mean 'pid'?"]);
    assert!(error("begin { $x = 1; print($x.foo); }").contains("Can not access field 'foo'"));
    assert!(error("begin { $t = (1, 2); print($t.5); }").contains("Invalid tuple index: 5"));
    assert!(error("t:syscalls:sys_enter_openat { print(args.nope); }")
        .contains("Can't find function parameter 'nope'"));
}

#[test]
fn attach_points_without_a_match() {
    assert_eq!(error("t:syscalls:nonsense { }"), "1:1-20 No matches for tracepoint syscalls:nonsense.");
    let all = warnings("config = { missing_probes=warn } begin { } t:syscalls:nonsense { }");
    assert_eq!(
        all,
        [
            "1:44-63 No matches for tracepoint syscalls:nonsense. Skipping.",
            "1:44-63 Probe has no valid attach points. It is being removed which may cause issues with program behavior."
        ]
    );
    assert_eq!(error("config = { missing_probes=ignore } t:a:b { }"), " No probes to attach");
    let filter = Options { probe_filter: Some("zzz".into()), ..Options::default() };
    assert_eq!(error_with("k:vfs_read { }", &filter), " No probes to attach");
    let filter = Options { probe_filter: Some(":200".into()), ..Options::default() };
    let c = analyse_with("begin { } i:ms:100 { } i:ms:200 { } end { }", &filter);
    assert_eq!(c.typed.unwrap().probes.len(), 3);
    let many = Options { config: vec![("max_probes".into(), "1".into())], ..Options::default() };
    assert!(error_with("begin { } end { }", &many).contains("exceeds the current limit of 1 probes"));
}

#[test]
fn parameters_of_attach_points() {
    let options = Options { positional: vec!["i:ms:7".into()], ..Options::default() };
    let c = analyse_with("$1 { }", &options);
    assert!(!c.failed(), "{:?}", messages(&c));
    assert_eq!(c.typed.unwrap().probes[0].targets[0].name, "interval:ms:7");
    assert!(error("i:ms:$1 { }").contains("Positional parameter $1"));
}

#[test]
fn limits_of_loops() {
    assert_eq!(error("begin { unroll (101) { } }"), "1:16-21 unroll maximum value is 100");
    assert_eq!(error("begin { unroll (0) { } }"), "1:16-19 unroll minimum value is 1");
    assert!(error("begin { break; }").contains("'break' statement outside of a loop"));
    assert!(error("begin { @a = 1; for ($kv : @a) { } }").contains("cannot be used for iteration"));
    assert!(warnings("begin { while (nsecs > 5) { } }")[0].contains("'while' loops are deprecated"));
}

#[test]
fn variables_are_declared_once() {
    assert!(error("begin { $x = 1; if (1) { let $x = 2; } }").contains("shadowing is not allowed"));
    assert_eq!(
        warnings("begin { let $x; print($x); }"),
        ["1:23-25 Variable used before it was assigned: $x"]
    );
}

#[test]
fn maps_that_nobody_uses() {
    assert_eq!(warnings("let @a = percpuhash(1); begin { }"), ["1:1-23 Unused map: @a"]);
    assert!(error("let @a = foo(1); begin { @a = 1; }").contains("Invalid bpf map type: foo"));
}

#[test]
fn macros_that_go_wrong() {
    assert!(error("macro a() { b() } macro b() { a() } begin { a(); }")
        .contains("Recursive macro call detected. Call chain: a > b > a"));
    assert!(error("macro m($x) { $x } begin { m(1); }").contains("needs a variable"));
    assert!(error("macro m(x) { x } begin { m(); }").contains("Expected: 1 but got 0"));
    assert!(error("macro m() { @x } begin { @x = 1; m(); }").contains("Unhygienic access to map: @x"));
}

#[test]
fn places_in_macros_name_the_expansion() {
    let c = analyse_with("macro bad() { nope(1); } begin { bad(); }", &Options::default());
    let text = fathom_syntax::render(&c.diagnostics, &c.sources, &c.expansions, false);
    assert!(text.contains("stdin:1:15-19: ERROR: Unknown function: 'nope'"), "{text}");
    assert!(text.contains("stdin:1:34-39: ERROR: expanded from"), "{text}");
}

#[test]
fn assert_reports_from_the_standard_library() {
    let c = analyse_with("begin { assert(false, \"My error message\"); }", &Options::default());
    assert!(!c.failed(), "{:?}", messages(&c));
    let typed = c.typed.unwrap();
    let mut places = Vec::new();
    crate::analyse::walk::block(&typed.probes[0].body, &mut |e| {
        if matches!(&e.kind, fathom_syntax::ast::ExprKind::Call { name, .. } if name == "errorf") {
            places.push(c.sources.location(e.span));
        }
    });
    assert_eq!(places, ["stdlib/base.bt:6:5-37"]);
}

#[test]
fn incomplete_members_of_replaced_types() {
    let text = "struct task_struct { struct thread_info x; } begin { print(curtask.x.status); }";
    assert!(error(text).contains("error: field has incomplete type 'struct thread_info'"));
    assert!(error("struct foo { struct nothing x; } begin { }")
        .contains("error: field has incomplete type 'struct nothing'"));
}

#[test]
fn options_of_the_program() {
    let named = |list: &[(&str, Option<&str>)]| Options {
        named: list.iter().map(|(n, v)| ((*n).to_string(), v.map(str::to_string))).collect(),
        ..Options::default()
    };
    let text = "begin { print(getopt(\"aa\", 10)); }";
    let wrong = error_with(text, &named(&[("aa", Some("False"))]));
    // The whole report: no place in the script stands in front.
    assert_eq!(wrong.trim(), "program command line option --aa invalid integer (value: False)");
    let c = analyse_with(
        "begin { print((getopt(\"aa\", 10, \"Description of aa\"), getopt(\"cc\"))); }",
        &named(&[("help", None)]),
    );
    let text = fathom_syntax::render(&c.diagnostics, &c.sources, &c.expansions, false);
    assert!(text.contains("HINT: expected program options:"), "{text}");
    assert!(text.contains("--aa: Description of aa") && text.contains("--cc"), "{text}");
}

#[test]
fn subprograms_check_their_calls() {
    assert!(error("fn f($a : int32) : uint64 { return $a; } begin { $x = f(\"a\"); }")
        .contains("expects 'int32' here"));
    assert!(
        error("fn f($a : int32) : uint64 { return $a; } begin { $x = f(); }").contains("takes 1 arguments")
    );
    assert!(error("fn f() : int32 { return \"a\"; } begin { f(); }").contains("Function is of type 'int32'"));
}

#[test]
fn a_clause_without_targets_is_reported_once() {
    let c = analyse_with("t:a:b { print(args.x); print(ctx.y); }", &Options::default());
    assert_eq!(c.diagnostics.len(), 1, "{:?}", messages(&c));
}

#[test]
fn mixed_signs_are_named() {
    let all = warnings("begin { $x = nsecs; $x = (int64)-1; }");
    assert!(all[0].contains("'uint64' and signed integers are mixed"), "{all:?}");
    assert_eq!(warnings("begin { $x = pid; $x = (int32)-1; @ = nsecs - 5; }"), Vec::<String>::new());
    assert!(error("begin { if (\"a\") { } }").contains("Invalid condition"));
}

#[test]
fn unsafe_builtins_need_the_flag() {
    let text = "begin { system(\"x\"); }";
    if crate::builtins::find("system").is_some() {
        assert!(error(text).contains("system() is unsafe. To use you need the --unsafe flag"));
    }
}

#[test]
fn nothing_panics_on_broken_scripts() {
    let texts = [
        "",
        "begin",
        "begin {",
        "begin { @[ }",
        "begin { $x = ; }",
        "struct { begin { }",
        "#define\nbegin { }",
        "macro m( { } begin { m }",
        "begin { for ($x : ) { } }",
        "begin { print((1,)); $x = (); }",
        "struct a { struct a b; }; begin { }",
        "enum { A = 1 << 200 }; begin { print(A); }",
        "struct x { int a[-1]; int b : 99; }; begin { print(sizeof(struct x)); }",
        "begin { $x = $x; @a = @a; @a[@a] = 1; }",
        "begin { $x = ($x, 1); }",
        "fn f($a : int) : int { return $a; } begin { f(1); f(); }",
        "begin { _ = sizeof(); }",
        "config = { a = 1; max_strlen = \"x\" } begin { }",
        "import \"nothing\"; begin { }",
        "begin { &1; *1; -\"a\"; !(1,2); }",
        "begin { $a = comptime nsecs; }",
        "begin { exit(; }",
    ];
    for text in texts {
        analyse_with(text, &Options::default());
    }
}
