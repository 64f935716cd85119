use super::*;
use crate::gil::process::images;

fn own() -> (Memory, libc::pid_t) {
    (Memory::own(), i32::try_from(std::process::id()).unwrap())
}

/// Where the linker of this process says that a symbol is.
fn linked(name: &std::ffi::CStr) -> usize {
    // SAFETY: looks up a NUL-terminated name among the loaded symbols, and reads nothing there.
    unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) as usize }
}

fn found(name: &str) -> Vec<usize> {
    let (memory, pid) = own();
    let mapped = images::of(pid).unwrap().into_iter();
    let images = mapped.filter_map(|mapped| Image::at(memory, mapped.base));
    images.filter_map(|image| image.symbol(name)).collect()
}

#[test]
fn symbols_of_libraries_are_found_where_the_linker_says_that_they_are() {
    for name in [c"getpid", c"malloc", c"qsort", c"environ"] {
        let there = linked(name);
        assert_ne!(there, 0);
        assert!(found(name.to_str().unwrap()).contains(&there), "{name:?}");
    }
}

#[test]
fn a_symbol_that_nothing_defines_is_not_found() {
    assert!(found("gilscope_defines_no_such_symbol").is_empty());
    assert!(found("").is_empty());
}

#[test]
fn both_tables_of_hashes_say_the_same() {
    // The kernel's part of each process has both, or the old one only.
    let (memory, _) = own();
    // SAFETY: returns a number.
    let base = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) };
    let base = usize::try_from(base).unwrap();
    let Some(image) = Image::at(memory, base) else {
        return; // this kernel gives processes no such part
    };
    let by_either = image.symbol("__vdso_clock_gettime");
    let dynamic = |kind| {
        let mut entries = Vec::new();
        let mut header = [0; 64];
        assert!(memory.read(base, &mut header));
        let number = usize::from(Bytes(&header).short(56).unwrap());
        for index in 0..number {
            let mut entry = [0; 56];
            assert!(memory.read(
                base + Bytes(&header).address(32).unwrap() + 56 * index,
                &mut entry
            ));
            entries.push(entry);
        }
        let entry = entries
            .iter()
            .find(|entry| Bytes(&entry[..]).half_word(0) == Some(kind::DYNAMIC));
        let entry = Bytes(&entry.unwrap()[..]);
        let section = Entries::read(
            memory,
            image.bias.wrapping_add(entry.address(16).unwrap()),
            entry.address(40).unwrap(),
        );
        section.unwrap().get(kind).map(|at| {
            if at < base {
                at.wrapping_add(image.bias)
            } else {
                at
            }
        })
    };
    assert!(by_either.is_some());
    if let Some(table) = dynamic(kind::HASH) {
        assert_eq!(image.by_hash(table, "__vdso_clock_gettime"), by_either);
        assert_eq!(
            image.by_hash(table, "gilscope_defines_no_such_symbol"),
            None
        );
    }
}

#[test]
fn hashes_are_those_of_the_standard() {
    assert_eq!(gnu_hash(""), 5381);
    assert_eq!(gnu_hash("printf"), 0x156b_2bb8);
    assert_eq!(hash(""), 0);
    assert_eq!(hash("printf"), 0x0779_05a6);
}

#[test]
fn what_is_not_an_image_is_not_taken_for_one() {
    let (memory, _) = own();
    let mut bytes = vec![0_u8; 4096];
    let base = bytes.as_ptr() as usize;
    assert!(Image::at(memory, base).is_none());
    bytes[..5].copy_from_slice(b"\x7fELF\x01");
    assert_eq!(class(memory, base), Some(Class::Bits32));
    assert!(Image::at(memory, base).is_none());
    bytes[4] = 2;
    // All zero behind the first bytes, then all ones.
    assert!(Image::at(memory, base).is_none());
    bytes[5..].fill(0xff);
    assert!(Image::at(memory, base).is_none());
    assert!(Image::at(memory, 8).is_none());
}
