//! Names of addresses in this very process, and of what has ended.

use super::*;
use crate::maps;

fn process(text: &str) -> Process {
    Process { pid: 0, maps: MapTable::parse(text.as_bytes()), ..Process::default() }
}

fn reason(resolved: &Resolved) -> Option<&Reason> {
    match resolved {
        Resolved::Unknown { reason, .. } => Some(reason),
        Resolved::Symbol(_) => None,
    }
}

#[test]
fn each_failure_has_its_reason() {
    let mut names = UserSymboliser::new(Options::default());
    let process = process(
        "1000-2000 r-xp 00000000 08:01 7 /nowhere/lib.so\n\
         2000-3000 r-xp 00000000 08:01 8 /tmp/gone (deleted)\n\
         3000-4000 rwxp 00000000 00:00 0 \n\
         4000-5000 rw-p 00000000 00:00 0 [heap]\n\
         5000-6000 r-xp 00000000 00:00 9 /etc/passwd\n",
    );
    let mut why = |address| reason(&names.resolve(&process, address)).cloned();
    assert!(matches!(why(0x1000), Some(Reason::Unreadable(cause)) if cause.contains("No such file")));
    assert_eq!(why(0x2000), Some(Reason::Deleted));
    assert_eq!(why(0x3000), Some(Reason::Anonymous));
    assert_eq!(why(0x4000), Some(Reason::Special("[heap]".into())));
    assert!(matches!(why(0x5000), Some(Reason::Unreadable(_))));
    assert_eq!(why(0x9000), Some(Reason::Unmapped));
    let nobody = Process::default();
    assert_eq!(reason(&names.resolve(&nobody, 1)), Some(&Reason::NoMaps));
    let Resolved::Unknown { module: Some((module, offset)), .. } = &*names.resolve(&process, 0x1234) else {
        panic!()
    };
    assert_eq!((&**module, *offset), (Path::new("/nowhere/lib.so"), 0x234));
}

/// Our own maps, less the pid, as if the process were gone.
#[test]
fn names_our_own_code_and_libc() {
    let mut names = UserSymboliser::new(Options::default());
    let own = Process::read(std::process::id()).unwrap();
    let here = names_our_own_code_and_libc as fn() as usize as u64;
    let resolved = names.resolve(&own, here);
    let symbol = resolved.symbol().expect("the test binary has symbols");
    assert!(symbol.name.ends_with("names_our_own_code_and_libc"), "{}", symbol.name);
    assert_eq!(symbol.offset, 0);
    assert!(symbol.source.as_ref().is_some_and(|s| s.file.ends_with("user/tests.rs")), "{:?}", symbol.source);
    assert!(Arc::ptr_eq(&resolved, &names.resolve(&own, here)));

    let is_libc =
        |m: &&Mapping| m.executable && m.path().is_some_and(|p| p.to_string_lossy().contains("libc.so"));
    let Some(libc) = own.maps.iter().find(is_libc) else { return };
    let bytes = fs::read(libc.path().unwrap()).unwrap();
    let function = Elf::parse(&bytes).unwrap().function("getppid").unwrap();
    let dead = Process { pid: 0, maps: own.maps.clone(), ..Process::default() };
    let resolved = names.resolve(&dead, libc.start + (function.file_offset - libc.offset) + 1);
    let symbol = resolved.symbol().unwrap();
    assert_eq!((symbol.name.trim_start_matches('_'), symbol.offset), ("getppid", 1));
    assert_eq!(symbol.module.as_deref(), libc.path());
    let by_offset = names.resolve_offset(libc.path().unwrap(), function.file_offset);
    assert_eq!(by_offset.symbol().unwrap().offset, 0);
}

#[test]
fn perf_maps_name_anonymous_code_and_are_read_again() {
    let dir = std::env::temp_dir().join(format!("fathom-symbols-{}", std::process::id()));
    fs::create_dir_all(dir.join("tmp")).unwrap();
    let map = dir.join("tmp/perf-7.map");
    let mut names = UserSymboliser::new(Options::default());
    let mut jit = process("3000-4000 rwxp 00000000 00:00 0 \n");
    (jit.pid, jit.root, jit.namespace_pid) = (4_000_000, Some(dir.clone()), Some(7));
    assert_eq!(reason(&names.resolve(&jit, 0x3004)), Some(&Reason::Anonymous));
    fs::write(&map, "3000 10 hot loop\n").unwrap();
    assert_eq!(
        names.resolve(&jit, 0x3004).symbol().map(|s| (s.name.as_str(), s.offset)),
        Some(("hot loop", 4))
    );
    fs::write(&map, "3000 10 hot loop\n3010 10 later\n").unwrap();
    assert_eq!(names.resolve(&jit, 0x3010).symbol().unwrap().name, "later");
    fs::remove_dir_all(&dir).unwrap();
    assert_eq!(names.resolve(&jit, 0x3010).symbol().unwrap().name, "later");
    names.forget_process(4_000_000);
    assert_eq!(reason(&names.resolve(&jit, 0x3010)), Some(&Reason::Anonymous));
}

#[test]
fn the_vdso_has_names() {
    let own = Process::read(std::process::id()).unwrap();
    let Some(vdso) = own.maps.iter().find(|m| m.what == maps::Mapped::Special("[vdso]".into())) else {
        return;
    };
    let image = own_vdso().unwrap();
    let elf = Elf::parse(&image).unwrap();
    let gettime = elf.function("__vdso_clock_gettime").unwrap();
    let mut names = UserSymboliser::new(Options::default());
    let resolved = names.resolve(&own, vdso.start + gettime.file_offset + 2);
    let symbol = resolved.symbol().unwrap();
    assert!(symbol.name.ends_with("clock_gettime") && symbol.offset == 2, "{symbol:?}");
}
