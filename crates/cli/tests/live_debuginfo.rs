//! What debug information gives to probes: arguments and results by name and type, source lines, types for casts; without it, or in
//! a separate file.

mod support;

use std::path::{Path, PathBuf};
use support::{compile, fathom, folder, skipped, tool, Ran};

fn program(test: &str, flags: &[&str]) -> Option<PathBuf> {
    if skipped(test) {
        return None;
    }
    compile(&folder(test), "traced.c", "traced", flags)
}

fn trace(program: &Path, more: &[&str], script: &str) -> Ran {
    let (path, command) = (program.display().to_string(), format!("{} 2", program.display()));
    let script = script.replace("BIN", &path);
    let ran = fathom(&[more, &["-q", "-c", &command, "-e", &script]].concat());
    assert_eq!(ran.code, 0, "{script}: {ran:?}");
    ran
}

fn has_lines(ran: &Ran, lines: &[&str]) {
    for line in lines {
        assert_eq!(ran.out.lines().filter(|l| l == line).count(), 2, "{line}: {ran:?}");
    }
}

const NAMED: &str = r#"
    uprobe:BIN:traced_add { printf("add %d %d %s\n", args.a, args.b, str(args.s)); }
    uprobe:BIN:traced_point {
        printf("point %d %d %s %d %s\n", args.p->x, args.p->y, str(args.p->name), args.p->in.b, args.c);
        printf("chars %d %d\n", args.ch, args.u);
        printf("cast %d %d\n", ((struct point *)arg0)->y, sizeof(struct point));
    }
    uprobe:BIN:traced_many { printf("stack %d %d\n", args.g, args.h); }
    uprobe:BIN:traced_pair { printf("pair %d %d %d %d\n", args.p.first, args.p.second, args.p.third, args.after); }
    uretprobe:BIN:traced_add { printf("returned %d\n", retval); }"#;

#[test]
fn arguments_have_names_and_types() {
    let Some(program) = program("arguments_have_names_and_types", &["-g", "-O1"]) else { return };
    let ran = trace(&program, &[], NAMED);
    has_lines(
        &ran,
        &["add 1 2 hello", "point 7 70 a point -4 GREEN", "chars 99 200", "cast 70 32", "stack -7 8"],
    );
    has_lines(&ran, &["pair 1 -2 3 9", "returned -97"]);
    let float = fathom(&["-e", &format!("uprobe:{}:traced_pair {{ print(args.d); }}", program.display())]);
    assert_eq!(float.code, 1, "{float:?}");
}

#[test]
fn lines_of_the_source_are_places() {
    let Some(program) = program("lines_of_the_source_are_places", &["-g", "-O1"]) else { return };
    let source =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/targets/traced.c"));
    let line = source.unwrap().lines().position(|l| l.contains("line: sum")).unwrap() + 1;
    let ran = trace(&program, &[], &format!("uprobe:BIN@traced.c:{line} {{ @[probe, func] = count(); }}"));
    let element = format!("@[uprobe:{}@traced.c:{line}, traced_add]", program.display());
    assert!(ran.value(&element).is_some_and(|n| n >= 2), "{ran:?}");
    let path = program.display();
    let none = fathom(&["-e", &format!("uprobe:{path}@traced.c:1 {{ }}")]);
    assert!(none.code == 1 && none.err.contains("No matches"), "{none:?}");
    let at_return = fathom(&["-e", &format!("uretprobe:{path}@traced.c:{line} {{ }}")]);
    assert!(at_return.code == 1 && at_return.err.contains("entry of a function"), "{at_return:?}");
}

#[test]
fn separate_debug_files_are_found() {
    let test = "separate_debug_files_are_found";
    let Some(program) = program(test, &["-g", "-O1", "-Wl,--build-id"]) else { return };
    let dir = folder(test);
    let (path, debug) = (program.display().to_string(), dir.join("traced.debug").display().to_string());
    let stripped = dir.join("stripped").display().to_string();
    if tool("objcopy", &["--only-keep-debug", &path, &debug]).is_none()
        || tool("objcopy", &["--strip-debug", &format!("--add-gnu-debuglink={debug}"), &path, &stripped])
            .is_none()
    {
        return;
    }
    // Beside the program, by its debug link.
    let script = "uprobe:BIN:traced_add { printf(\"add %d\\n\", args.b); }";
    has_lines(&trace(stripped.as_ref(), &[], script), &["add 2"]);
    // In a directory that is given.
    let elsewhere = dir.join("elsewhere");
    std::fs::create_dir_all(&elsewhere).unwrap();
    std::fs::rename(&debug, elsewhere.join("traced.debug")).unwrap();
    let given = elsewhere.display().to_string();
    has_lines(&trace(stripped.as_ref(), &["--debuginfo", &given], script), &["add 2"]);
    let without = fathom(&["-e", &script.replace("BIN", &stripped)]);
    assert!(without.code == 1 && without.err.contains("no debug information"), "{without:?}");
}

#[test]
fn operands_of_static_probes_are_read_in_every_form() {
    let Some(program) = program("operands_of_static_probes_are_read_in_every_form", &["-O1"]) else { return };
    let script = r#"usdt:BIN:traced:forms {
            printf("forms %d %d %d %d %s %d %d %d %d %d\n",
                arg0, arg1, arg2, arg3, str(arg4), arg5, arg6, arg7, arg8, arg9);
        }
        usdt:BIN:tr*:tw* { @[arg0] = count(); }"#;
    let ran = trace(&program, &[], script);
    has_lines(&ran, &["forms -9 -5 -3 65000 from a note 2 3 22 -5 253"]);
    // Two places, in registers and in memory, each in two rounds.
    assert_eq!((ran.value("@[0]"), ran.value("@[1]")), (Some(2), Some(2)), "{ran:?}");
}

#[test]
fn stacks_have_names_wherever_the_program_lies() {
    for (name, flags, named) in [
        ("stacks_pie", &["-O1", "-fno-omit-frame-pointer", "-pie"][..], true),
        ("stacks_fixed", &["-O1", "-fno-omit-frame-pointer", "-no-pie"][..], true),
        ("stacks_stripped", &["-O1", "-fno-omit-frame-pointer", "-s"][..], false),
    ] {
        let Some(program) = program(name, flags) else { return };
        if named {
            let script =
                r#"uprobe:BIN:traced_inner { @[usym(reg("ip"))] = count(); printf("%s\n", ustack(3)); }"#;
            let ran = trace(&program, &[], script);
            assert_eq!(ran.value("@[traced_inner]"), Some(2), "{name}: {ran:?}");
            assert!(ran.out.contains("traced_inner") && ran.out.contains("main+"), "{name}: {ran:?}");
        } else {
            let ran = trace(&program, &[], "usdt:BIN:twice { @[ustack(1)] = count(); }");
            assert!(ran.out.contains("0x") && !ran.out.contains("static_probes"), "{name}: {ran:?}");
        }
    }
}
