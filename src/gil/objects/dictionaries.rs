//! Dictionaries read from memory: `PyDictObject` and `PyDictKeysObject` of `CPython`'s `dictobject.h` and `pycore_dict.h`.

use super::{Objects, is_object};

/// Larger dictionaries are not read.
const MAX_ENTRIES: usize = 1024;

mod field {
    pub const KEYS: usize = 32;
    pub const VALUES: usize = 40;
    pub const LOG2_INDEX_BYTES: usize = 9;
    pub const KIND: usize = 10;
    pub const ENTRIES_USED: usize = 24;
    /// Where the indices begin; the entries follow them.
    pub const INDICES: usize = 32;
}

/// `DictKeysKind`: keys of any kind have their hashes beside them; strings know their own.
const ANY_KEYS: u8 = 0;
const STRINGS: u8 = 1;
const SHARED_STRINGS: u8 = 2;

/// The head of a table, which is read before and after the entries.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Table {
    keys: usize,
    values: usize,
    head: [u8; field::INDICES],
}

impl Objects {
    /// What `dict`, an exact one, has for each of these strings. `None` for what it does not have.
    pub fn values<const N: usize>(
        &self,
        dict: usize,
        wanted: [&str; N],
    ) -> Option<[Option<usize>; N]> {
        let mut found = [None; N];
        for (key, value) in self.entries(dict)? {
            for (wanted, found) in wanted.iter().zip(&mut found) {
                if found.is_none() && self.is_text(key, wanted) {
                    *found = Some(value);
                }
            }
            if found.iter().all(Option::is_some) {
                break;
            }
        }
        Some(found)
    }

    /// What `dict` has for the object at the address `key`.
    pub fn value_of(&self, dict: usize, key: usize) -> Option<usize> {
        let mut entries = self.entries(dict)?.into_iter();
        entries.find_map(|(at, value)| (at == key).then_some(value))
    }

    /// The addresses of the keys and of their values.
    fn entries(&self, dict: usize) -> Option<Vec<(usize, usize)>> {
        if !self.is_a(dict, self.types.dict) {
            return None;
        }
        let table = self.table(dict)?;
        let kind = table.head[field::KIND];
        let used = usize::from_ne_bytes(table.head[field::ENTRIES_USED..].try_into().ok()?);
        let indices = 1_usize.checked_shl(u32::from(table.head[field::LOG2_INDEX_BYTES]))?;
        if used > MAX_ENTRIES || indices > 4 * MAX_ENTRIES {
            return None;
        }
        let words = match kind {
            ANY_KEYS => 3,
            STRINGS | SHARED_STRINGS => 2,
            _ => return None,
        };
        let entries = self.words(table.keys + field::INDICES + indices, used * words)?;
        let shared = match (table.values, kind) {
            (0, ANY_KEYS | STRINGS) => None,
            (values, SHARED_STRINGS) if is_object(values) => {
                Some(self.words(values + self.shared_values?, used)?)
            }
            _ => return None,
        };
        if self.table(dict)? != table {
            return None;
        }
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
        let keys = self.object(dict + field::KEYS)?;
        let values = self.word(dict + field::VALUES)?;
        let mut head = [0; field::INDICES];
        self.memory
            .read(keys, &mut head)
            .then_some(Table { keys, values, head })
    }

    fn words(&self, address: usize, count: usize) -> Option<Vec<usize>> {
        let mut bytes = vec![0; 8 * count];
        if count > 0 && !self.memory.read(address, &mut bytes) {
            return None;
        }
        let words = bytes.chunks_exact(8);
        words
            .map(|word| word.try_into().ok().map(usize::from_ne_bytes))
            .collect()
    }

    /// Whether a dictionary shares its keys with others.
    pub fn shares_keys(&self, dict: usize) -> bool {
        self.table(dict)
            .is_some_and(|table| table.head[field::KIND] == SHARED_STRINGS && table.values != 0)
    }
}
