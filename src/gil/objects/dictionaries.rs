//! Dictionaries read from memory: `PyDictObject` and `PyDictKeysObject` of `CPython`'s `dictobject.h` and `pycore_dict.h`.

use super::{Objects, is_object};

/// Larger dictionaries are not read.
const MAX_ENTRIES: usize = 1024;

const MAX_INDEX_BYTES: usize = 4 * MAX_ENTRIES;
/// Where the indices begin in `PyDictKeysObject`; the entries follow them.
const INDICES: usize = 32;

/// `DictKeysKind`: keys of any kind have their hashes beside them; strings know their own.
const ANY_KEYS: u8 = 0;
const STRINGS: u8 = 1;
const SHARED_STRINGS: u8 = 2;

/// `PyDictKeysObject` without its indices and entries.
struct Table {
    kind: u8,
    entries: usize,
    used: usize,
    values: usize,
}

impl Objects {
    /// What `dict`, an exact one, has for each of these strings. `None` for what it does not have. The second of a pair is where
    /// the string is, if it is interned, as a dictionary's keys mostly are.
    pub fn values<const N: usize>(
        &self,
        dict: usize,
        wanted: [(&str, usize); N],
    ) -> Option<[Option<usize>; N]> {
        let entries = self.entries(dict)?;
        let find = |is_wanted: &dyn Fn(usize) -> bool| {
            let found = entries.iter().find(|&&(key, _)| is_wanted(key));
            found.map(|&(_, value)| value)
        };
        Some(wanted.map(|(text, interned)| {
            find(&|key| key == interned).or_else(|| find(&|key| self.is_text(key, text)))
        }))
    }

    /// What `dict` has for the object at the address `key`.
    pub fn value_of(&self, dict: usize, key: usize) -> Option<usize> {
        let mut entries = self.entries(dict)?.into_iter();
        entries.find_map(|(at, value)| (at == key).then_some(value))
    }

    /// Where a string is among the keys that the dictionaries of a class share.
    pub fn position_among(&self, keys: usize, text: &str) -> Option<usize> {
        let table = self.table_of(keys, 0)?;
        let entries = self.array(table.entries, table.used * 2)?;
        let mut keys = entries.chunks_exact(2).map(|entry| entry[0]);
        let found = || keys.position(|key| self.is_text(key, text));
        (table.kind == SHARED_STRINGS).then(found)?
    }

    /// The addresses of the keys and of their values.
    fn entries(&self, dict: usize) -> Option<Vec<(usize, usize)>> {
        let table = self.table(dict)?;
        let words = match table.kind {
            ANY_KEYS => 3,
            STRINGS | SHARED_STRINGS => 2,
            _ => return None,
        };
        let shared = match (table.values, table.kind) {
            (0, ANY_KEYS | STRINGS) => None,
            (values, SHARED_STRINGS) if is_object(values) => {
                Some(self.array(values + self.shared_values?, table.used)?)
            }
            _ => return None,
        };
        let entries = self.array(table.entries, table.used * words)?;
        let entries = entries.chunks_exact(words).enumerate();
        let entries = entries.map(|(index, entry)| {
            let value = shared.as_ref().map_or(entry[words - 1], |all| all[index]);
            (entry[words - 2], value)
        });
        Some(
            entries
                .filter(|&(key, value)| is_object(key) && is_object(value))
                .collect(),
        )
    }

    fn table(&self, dict: usize) -> Option<Table> {
        let [_, kind, _, _, keys, values] = self.words(dict)?;
        if kind != self.types.dict {
            return None;
        }
        self.table_of(keys, values)
    }

    fn table_of(&self, keys: usize, values: usize) -> Option<Table> {
        let [_, sizes, _, used] = self.words(keys)?;
        let [_, log2_index_bytes, kind, ..] = sizes.to_ne_bytes();
        let indices = 1_usize.checked_shl(u32::from(log2_index_bytes))?;
        (used <= MAX_ENTRIES && indices <= MAX_INDEX_BYTES).then_some(Table {
            kind,
            entries: keys + INDICES + indices,
            used,
            values,
        })
    }

    fn array(&self, address: usize, length: usize) -> Option<Vec<usize>> {
        let mut words = vec![[0; 8]; length];
        (length == 0 || self.memory.read(address, words.as_flattened_mut()))
            .then(|| words.into_iter().map(usize::from_ne_bytes).collect())
    }

    /// Whether a dictionary shares its keys with others.
    pub fn shares_keys(&self, dict: usize) -> bool {
        self.table(dict)
            .is_some_and(|table| table.kind == SHARED_STRINGS)
    }
}
