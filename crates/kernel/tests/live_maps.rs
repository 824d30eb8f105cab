//! Maps of the running kernel: element access, batches, values per CPU, shared memory.

mod support;

use fathom_bpf::kinds::{map_flags, MapKind};
use fathom_kernel::map::{self, Map, MapSpec, Update};
use support::live;

fn filled(kind: MapKind, count: u32) -> Map {
    let m = Map::create(&MapSpec::new("live_test", kind, 4, 8, count)).unwrap();
    let cpus = m.stride() / 8;
    for i in 0..count {
        let value: Vec<u8> = (0..cpus).flat_map(|c| (u64::from(i) * 100 + c as u64).to_ne_bytes()).collect();
        m.update(&i.to_ne_bytes(), &value, Update::Any).unwrap();
    }
    m
}

#[test]
fn elements_round_trip() {
    if !live("elements_round_trip") {
        return;
    }
    let m = filled(MapKind::HASH, 10);
    assert_eq!(m.lookup(&3u32.to_ne_bytes()).unwrap(), Some(300u64.to_ne_bytes().to_vec()));
    assert_eq!(m.lookup(&99u32.to_ne_bytes()).unwrap(), None);
    assert!(m.delete(&3u32.to_ne_bytes()).unwrap());
    assert!(!m.delete(&3u32.to_ne_bytes()).unwrap());
    let full = m.update(&1000u32.to_ne_bytes(), &[0; 8], Update::Exist).unwrap_err();
    assert_eq!(full.errno, libc::ENOENT);
    assert!(m.update(&[0; 3], &[0; 8], Update::Any).unwrap_err().to_string().contains("3 bytes"));
    assert_eq!(m.keys().unwrap().len(), 9 * 4);
    m.clear().unwrap();
    assert!(m.entries().unwrap().is_empty());
    let info = m.info().unwrap();
    assert_eq!((info.kind, info.name.as_str(), info.max_entries), (MapKind::HASH, "live_test", 10));
    assert!(map::ids().unwrap().contains(&info.id));
    assert_eq!(Map::by_id(info.id).unwrap().key_size(), 4);
}

#[test]
fn batches_read_everything_once() {
    if !live("batches_read_everything_once") {
        return;
    }
    for kind in
        [MapKind::HASH, MapKind::PERCPU_HASH, MapKind::LRU_HASH, MapKind::ARRAY, MapKind::PERCPU_ARRAY]
    {
        let count = 5000;
        let m = filled(kind, count);
        let entries = m.entries().unwrap();
        let mut keys: Vec<u32> =
            entries.iter().map(|(k, _)| u32::from_ne_bytes(k.try_into().unwrap())).collect();
        keys.sort_unstable();
        keys.dedup();
        // An LRU map may evict before it is full.
        assert!(keys.len() as u32 == count || kind == MapKind::LRU_HASH, "{kind}: {}", keys.len());
        assert_eq!(keys.len(), entries.len(), "{kind}");
        for (key, value) in entries.iter() {
            let key = u64::from(u32::from_ne_bytes(key.try_into().unwrap()));
            for (cpu, v) in m.cpu_values(value).enumerate() {
                assert_eq!(u64::from_ne_bytes(v.try_into().unwrap()), key * 100 + cpu as u64, "{kind}");
            }
        }
    }
}

#[test]
fn draining_empties_a_hash() {
    if !live("draining_empties_a_hash") {
        return;
    }
    for kind in [MapKind::HASH, MapKind::PERCPU_HASH] {
        let m = filled(kind, 3000);
        assert!(m.has_batches().unwrap());
        assert_eq!(m.drain().unwrap().len(), 3000);
        assert!(m.drain().unwrap().is_empty());
        m.update(&1u32.to_ne_bytes(), &vec![0; m.stride()], Update::NoExist).unwrap();
        m.clear().unwrap();
        assert!(m.entries().unwrap().is_empty());
    }
}

#[test]
fn odd_kinds_fall_back() {
    if !live("odd_kinds_fall_back") {
        return;
    }
    let q = Map::create(&MapSpec::new("q", MapKind::QUEUE, 0, 8, 4)).unwrap();
    q.update(&[], &7u64.to_ne_bytes(), Update::Any).unwrap();
    assert_eq!(q.take(&[]).unwrap(), Some(7u64.to_ne_bytes().to_vec()));
    assert_eq!(q.take(&[]).unwrap(), None);
    let stacks = Map::create(&MapSpec::new("s", MapKind::STACK_TRACE, 4, 64, 16)).unwrap();
    assert!(stacks.entries().unwrap().is_empty());
    let a = filled(MapKind::PERCPU_ARRAY, 3);
    a.zero().unwrap();
    assert!(a.entries().unwrap().iter().all(|(_, v)| v.iter().all(|b| *b == 0)));
}

#[test]
fn arrays_in_shared_memory() {
    if !live("arrays_in_shared_memory") {
        return;
    }
    let spec = MapSpec::new("shared", MapKind::ARRAY, 4, 12, 3).flags(map_flags::BPF_F_MMAPABLE);
    let m = Map::create(&spec).unwrap();
    let mem = m.memory(true).unwrap();
    assert_eq!(mem.stride(), 16);
    assert!(mem.write(16, b"hello world!"));
    assert_eq!(m.lookup(&1u32.to_ne_bytes()).unwrap().unwrap(), b"hello world!");
    assert!(mem.store_u64(32, 5));
    assert_eq!(mem.swap_u64(32, 6), Some(5));
    assert_eq!(mem.load_u64(32), Some(6));
    assert_eq!(mem.load_u64(1 << 30), None);
    assert!(!mem.write(4090, b"too long") && !m.memory(false).unwrap().write(0, b"x"));
    let frozen = Map::create(&MapSpec::new("ro", MapKind::ARRAY, 4, 8, 1)).unwrap();
    frozen.freeze().unwrap();
    assert_eq!(frozen.update(&[0; 4], &[0; 8], Update::Any).unwrap_err().errno, libc::EPERM);
}

#[test]
fn refusals_say_what_and_why() {
    if !live("refusals_say_what_and_why") {
        return;
    }
    let e = Map::create(&MapSpec::new("bad", MapKind(9999), 4, 8, 1)).unwrap_err();
    assert!(e.to_string().starts_with("cannot create map `bad` (#9999): Invalid argument (EINVAL)"), "{e}");
}
