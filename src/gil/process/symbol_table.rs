//! Symbols that a program has for debuggers only, read from its file: a program that contains CPython need not export anything.
//! Only a file that is not stripped has them.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use super::images::Mapped;
use crate::gil::reader::bytes::Bytes;

/// All that are looked for.
const WANTED: [&str; 13] = [
    "_PyRuntime",
    "Py_Version",
    "PyCode_Type",
    "PyUnicode_Type",
    "PyLong_Type",
    "PyFloat_Type",
    "PyTuple_Type",
    "PyBytes_Type",
    "PyDict_Type",
    "PyCell_Type",
    "PyCoro_Type",
    "PyGen_Type",
    "PyType_Type",
];
/// Larger tables are not read.
const MAX_BYTES: usize = 1 << 26;
const SECTION: usize = 64;
const SYMBOL: usize = 24;
/// `SHT_SYMTAB` (elf.h)
const SYMBOL_TABLE: u32 = 2;
/// `PT_LOAD` and `ET_DYN`.
const LOAD: u32 = 1;
const ANYWHERE: u16 = 3;

/// The addresses of symbols in a process.
pub struct SymbolTable(HashMap<&'static str, usize>);

impl SymbolTable {
    /// The table of the file that a process has mapped; `None` if it has none, or cannot be read.
    pub fn of(pid: libc::pid_t, mapped: &Mapped) -> Option<Self> {
        // The path is one of the process's own file system. A file that was deleted still is where it is mapped.
        let file = File::open(format!("/proc/{pid}/root{}", mapped.path));
        let file = file.or_else(|_| File::open(format!("/proc/{pid}/map_files/{}", mapped.range)));
        Self::read(&file.ok()?, mapped.base)
    }

    pub fn symbol(&self, name: &str) -> Option<usize> {
        self.0.get(name).copied()
    }

    fn read(file: &File, base: usize) -> Option<Self> {
        let header = bytes(file, 0, 64)?;
        if header.get(..5)? != b"\x7fELF\x02" {
            return None;
        }
        let header = Bytes(&header);
        let parts = bytes(
            file,
            header.address(32)?,
            56 * usize::from(header.short(56)?),
        )?;
        let mut parts = parts.chunks_exact(56).map(Bytes);
        let first = parts.find(|part| part.half_word(0) == Some(LOAD))?;
        let bias = if header.short(16)? == ANYWHERE {
            base.wrapping_sub(first.address(16)?.wrapping_sub(first.address(8)?))
        } else {
            0
        };
        let count = usize::from(header.short(60)?);
        let sections = bytes(file, header.address(40)?, SECTION * count)?;
        let section = |index: usize| sections.chunks_exact(SECTION).nth(index).map(Bytes);
        let content = |section: Bytes<'_>| bytes(file, section.address(24)?, section.address(32)?);
        let mut all = sections.chunks_exact(SECTION).map(Bytes);
        let table = all.find(|section| section.half_word(4) == Some(SYMBOL_TABLE))?;
        let names = content(section(table.half_word(40)? as usize)?)?;
        let mut found = HashMap::new();
        for symbol in content(table)?.chunks_exact(SYMBOL).map(Bytes) {
            let name = names.get(symbol.half_word(0)? as usize..)?;
            let name = name.split(|&byte| byte == 0).next()?;
            let is_defined = symbol.short(6)? != 0;
            let wanted = WANTED.iter().find(|wanted| wanted.as_bytes() == name);
            if let Some(wanted) = wanted.filter(|_| is_defined) {
                found.insert(*wanted, symbol.address(8)?.wrapping_add(bias));
            }
        }
        Some(Self(found))
    }
}

fn bytes(file: &File, offset: usize, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; Some(length).filter(|&length| length <= MAX_BYTES)?];
    let read = file.read_exact_at(&mut bytes, offset as u64);
    read.is_ok().then_some(bytes)
}
