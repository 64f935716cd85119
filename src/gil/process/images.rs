//! The programs and libraries that a process has loaded, from `/proc/PID/maps`.

use std::io;

/// A file that a process has mapped from its first byte on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mapped {
    pub base: usize,
    /// The first and the last address of the first part, as `/proc` writes them.
    pub range: String,
    pub path: String,
}

/// All of them, those first in which CPython is most likely: the program itself, then libraries that are named so, then all
/// others, as a program that embeds CPython may have it anywhere.
pub fn of(pid: libc::pid_t) -> io::Result<Vec<Mapped>> {
    // A path may consist of any bytes.
    let maps = std::fs::read(format!("/proc/{pid}/maps"))?;
    let program = std::fs::read_link(format!("/proc/{pid}/exe"));
    let program = program.map(|path| path.to_string_lossy().into_owned());
    Ok(in_order(
        &String::from_utf8_lossy(&maps),
        program.ok().as_deref(),
    ))
}

fn in_order(maps: &str, program: Option<&str>) -> Vec<Mapped> {
    let mut mapped: Vec<Mapped> = maps.lines().filter_map(parse).collect();
    mapped.sort_by_key(|mapped| {
        if Some(mapped.path.as_str()) == program {
            0
        } else if mapped.path.contains("libpython") {
            1
        } else {
            2
        }
    });
    mapped
}

/// Parses `55d0-55d1 r--p 00000000 fe:00 123   /usr/bin/python3` (proc(5)); `None` for the other parts of a file, and for
/// memory that is of no file.
fn parse(line: &str) -> Option<Mapped> {
    let mut rest = line;
    let mut word = || {
        let (word, after) = rest.trim_start_matches(' ').split_once(' ')?;
        rest = after;
        Some(word)
    };
    let (range, _rights, offset, _device, _inode) = (word()?, word()?, word()?, word()?, word()?);
    let path = rest.trim_start_matches(' ');
    let is_start = path.starts_with('/') && offset.bytes().all(|digit| digit == b'0');
    let base = usize::from_str_radix(range.split_once('-')?.0, 16).ok()?;
    is_start.then(|| Mapped {
        base,
        range: range.to_owned(),
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
5570a0000000-5570a0001000 r--p 00000000 fe:00 10                         /srv/my app/bin/python3.13 (deleted)
5570a0001000-5570a0002000 r-xp 00001000 fe:00 10                         /srv/my app/bin/python3.13 (deleted)
5570a1000000-5570a1100000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0000100000 r--p 00000000 fe:00 11                         /usr/lib/libc.so.6
7f0000200000-7f0000300000 r--p 00000000 fe:00 12                         /usr/lib/libpython3.13.so.1.0
7f0000300000-7f0000400000 rw-p 00000000 00:00 0 
";

    #[test]
    fn the_program_comes_first_and_then_libraries_that_are_named_like_python() {
        let program = "/srv/my app/bin/python3.13 (deleted)";
        let mapped = in_order(MAPS, Some(program));
        let paths: Vec<_> = mapped.iter().map(|mapped| mapped.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                program,
                "/usr/lib/libpython3.13.so.1.0",
                "/usr/lib/libc.so.6"
            ]
        );
        assert_eq!(mapped[0].base, 0x5570_a000_0000);
    }

    #[test]
    fn a_program_that_cannot_be_asked_for_is_found_among_the_others() {
        let mapped = in_order(MAPS, None);
        assert_eq!(mapped.len(), 3);
        assert_eq!(mapped[0].path, "/usr/lib/libpython3.13.so.1.0");
    }
}
