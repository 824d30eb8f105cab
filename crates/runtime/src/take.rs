//! Maps that are printed and cleared at once: their values are taken out in one step.

use crate::decode::Decoder;
use crate::user_maps;
use fathom_codegen::program::{MapDef, UserMap};
use fathom_kernel::exchange::Exchange;
use fathom_kernel::map::Map;
use fathom_report::MapData;
use std::collections::{HashMap, HashSet};

/// Takes maps.
#[derive(Default)]
pub struct Taker {
    /// By map; `None` where the kernel cannot exchange its values.
    exchanges: HashMap<usize, Option<Exchange>>,
    /// Maps whose `clear` has been done by the print before it.
    taken: HashSet<usize>,
}

impl Taker {
    /// Reads a map and leaves it empty.
    ///
    /// Elements of hashes are deleted as they are read, values of arrays exchanged for zeros. Where the kernel has neither, the values are
    /// read and the `clear` that follows is left to do.
    ///
    /// # Errors
    /// The kernel's, naming the map.
    pub fn take(
        &mut self,
        index: usize,
        def: &MapDef,
        user: &UserMap,
        map: &Map,
        decoder: &Decoder<'_>,
    ) -> fathom_kernel::Result<MapData> {
        let decode = |elements: &[(&[u8], &[u8])]| {
            let cells = elements.iter().map(|(key, value)| (*key, user_maps::cells(user, map, value)));
            user_maps::decode(def, user, cells, decoder)
        };
        if user.key.is_some() {
            let all = map.drain()?;
            self.taken.insert(index);
            return Ok(decode(&all.iter().collect::<Vec<_>>()));
        }
        let exchange = self.exchanges.entry(index).or_insert_with(|| Exchange::open(map).ok());
        let Some(exchange) = exchange else { return user_maps::read(def, user, map, decoder) };
        let value = exchange.take(0)?.unwrap_or_default();
        self.taken.insert(index);
        Ok(decode(&[(&[0; 4], &value)]))
    }

    /// Whether the `clear` of a map that now comes has been done already.
    pub fn is_cleared(&mut self, index: usize) -> bool {
        self.taken.remove(&index)
    }
}
