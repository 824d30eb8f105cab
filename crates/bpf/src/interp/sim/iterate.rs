//! Helpers that call back into the program: `bpf_loop`, `for_each_map_elem`.

use super::errno::{fail, E2BIG, EINVAL};
use super::maps::Storage;
use super::{map_fd, Call, SimHost};
use crate::helpers::Helper;
use crate::interp::{Core, Fault, Space};
use crate::kinds::helper_flags::BPF_MAX_LOOPS;

pub(super) const HELPERS: &[(Helper, Call)] =
    &[(Helper::LOOP, bpf_loop), (Helper::FOR_EACH_MAP_ELEM, for_each_map_elem)];

/// Calls `callback(index, ctx)` until it gives other than 0; gives the number of calls.
fn bpf_loop(host: &mut SimHost, core: &mut Core, args: [u64; 5]) -> Result<u64, Fault> {
    let [count, callback, ctx, flags, _] = args;
    let count = u64::from(count as u32);
    if flags != 0 {
        return Ok(fail(EINVAL));
    }
    if count > BPF_MAX_LOOPS {
        return Ok(fail(E2BIG));
    }
    for index in 0..count {
        if core.call(host, callback, &[index, ctx])? != 0 {
            return Ok(index + 1);
        }
    }
    Ok(count)
}

/// Calls `callback(map, key, value, ctx)` for each element until it gives other than 0; gives the number of calls.
fn for_each_map_elem(host: &mut SimHost, core: &mut Core, args: [u64; 5]) -> Result<u64, Fault> {
    let [map, callback, ctx, flags, _] = args;
    let name = "for_each_map_elem";
    let found = host.map_of(map, name)?;
    if !matches!(found.storage, Storage::Hash(_) | Storage::Array(_)) {
        return Err(Fault::misuse(name, format!("it does not take a {} map", found.spec.kind)));
    }
    if flags != 0 {
        return Ok(fail(EINVAL));
    }
    let percpu = found.spec.kind.is_percpu();
    let mut calls = 0;
    for key in found.keys() {
        let at = if percpu { host.cpu } else { 0 };
        let SimHost { maps, memory, .. } = host;
        let Some(map_now) = map_fd(map).and_then(|fd| maps.get_mut(&fd)) else { break };
        // An element that an earlier call has deleted is not visited.
        let value = map_now.element(memory, &key).and_then(|element| element.values.get(at).copied());
        let Some(value) = value else { continue };
        let key = host.memory.map(Space::MapValue, key, false);
        let result = core.call(host, callback, &[map, key, value, ctx]);
        host.memory.unmap(key);
        calls += 1;
        if result? != 0 {
            break;
        }
    }
    Ok(calls)
}
