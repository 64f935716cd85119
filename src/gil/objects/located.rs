//! How another process's interpreter lays out objects. Nothing can be tried there: the types are found by their symbols, and the
//! offsets are those of the version, as far as CPython does not publish them.

use super::{Objects, Types};
use crate::gil::memory::Memory;
use crate::gil::reader::layout::Layout;

impl Objects {
    /// `symbol` says where an exported symbol is. `None` if a type is missing.
    pub fn locate(
        memory: Memory,
        layout: &Layout,
        minor: u8,
        symbol: impl Fn(&str) -> Option<usize>,
    ) -> Option<Self> {
        Some(Self {
            memory,
            types: Types {
                str: symbol("PyUnicode_Type")?,
                int: symbol("PyLong_Type")?,
                tuple: symbol("PyTuple_Type")?,
                bytes: symbol("PyBytes_Type")?,
                dict: symbol("PyDict_Type")?,
                cell: symbol("PyCell_Type")?,
                code: symbol("PyCode_Type")?,
                coroutine: symbol("PyCoro_Type")?,
                generator: symbol("PyGen_Type")?,
            },
            ascii: layout.text.ascii,
            characters: layout.text.compact,
            // 3.15 keeps a tuple's hash before its items.
            tuple_items: if minor < 14 { 24 } else { 32 },
            digits: 24,
            has_sign_bits: minor >= 12,
            shared_values: Some(if minor < 13 { 0 } else { 8 }),
        })
    }
}
