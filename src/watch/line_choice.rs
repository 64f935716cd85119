//! Which frame of a stack is the line to name: the rules of `gilscope/watch/origin.py` and `stack.py`, for use while no Python
//! code can run. `tests/watch/test_line_choice.py` proves that both say the same.

use pyo3::prelude::*;

use crate::locked::Locked;
use crate::watch::stacks::FrameData;

const INSTALLED_FOLDERS: [&str; 2] = ["site-packages", "dist-packages"];
const ARCHIVES: [&str; 6] = [".pyz", ".zip", ".whl", ".egg", ".pex", ".par"];
/// What the file is called of code that was typed in, or sent to a worker.
const TYPED_IN: [&str; 4] = ["stdin", "console", "input", "dynamic-code"];
const TYPED_IN_CELLS: [&str; 4] = [
    "doctest ",
    "python-input-",
    "ipython-input-",
    "ipykernel-input-",
];
const GENERATED: &str = "__create_fn__.";

/// Whose code a file is. The lower, the closer to the user: a culprit is looked for in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Origin {
    User,
    Program,
    Installed,
    Standard,
    Gilscope,
}

/// What Python knows of this process and its interpreter when the watch starts: `gilscope/watch/line_rules.py`.
#[derive(FromPyObject, Default)]
pub struct LineRules {
    /// The folder of gilscope itself, and those of installed packages and of the standard library.
    ours: String,
    installed: Vec<String>,
    standard: Vec<String>,
    /// Whether the program is the argument of `python -c`, whose file is `<string>`.
    is_command: bool,
    /// The file and the function that call a callback, and those that call the loop's callbacks one after the other.
    handle: (String, String),
    run_once: (String, String),
    /// Functions that run a loop.
    below_callbacks: Vec<(String, String)>,
    asyncio: String,
    selectors: String,
}

/// The rules, with the installed packages that are the program's own: more may be imported while the program runs.
pub struct LineChoice {
    rules: LineRules,
    program_packages: Locked<Vec<String>>,
}

impl LineChoice {
    pub fn new(rules: LineRules) -> Self {
        Self {
            rules,
            program_packages: Locked::default(),
        }
    }

    pub fn set_program_packages(&self, packages: Vec<String>) {
        self.program_packages.with(|it| *it = packages);
    }

    /// The innermost frame of the code that is closest to the user's own; never one of gilscope's.
    pub fn closest<'a>(&self, frames: &'a [FrameData]) -> Option<&'a FrameData> {
        self.program_packages.with(|packages| {
            frames
                .iter()
                .filter(|(file, ..)| !file.is_empty()) // it stands for frames that were left out
                .map(|frame| (self.rules.origin(&frame.0, &frame.2, packages), frame))
                .filter(|(origin, _)| *origin != Origin::Gilscope)
                .min_by_key(|(origin, _)| *origin)
                .map(|(_, frame)| frame)
        })
    }

    /// The frames of the callback that the loop is running; `above` is how many frames lie above the one that calls it.
    pub fn callback<'a>(&self, stack: &'a [FrameData], above: Option<usize>) -> &'a [FrameData] {
        let rules = &self.rules;
        for (index, frame) in stack.iter().enumerate() {
            if is(frame, &rules.handle) {
                return if index == 0 {
                    &stack[..1]
                } else {
                    &stack[..index]
                };
            }
            if is(frame, &rules.run_once) {
                return rules.on_top_of_the_loop(&stack[..index]);
            }
            if above == Some(index) || rules.below_callbacks.iter().any(|it| is(frame, it)) {
                return &stack[..index];
            }
        }
        if above == Some(stack.len()) {
            stack
        } else {
            &[]
        }
    }
}

impl LineRules {
    pub fn origin(&self, file: &str, function: &str, program_packages: &[String]) -> Origin {
        if file == "<string>" {
            let is_users = self.is_command && !function.starts_with(GENERATED);
            return if is_users {
                Origin::User
            } else {
                Origin::Standard
            };
        }
        if let Some(name) = file.strip_prefix('<') {
            return if is_typed_in(name) {
                Origin::User
            } else {
                Origin::Standard
            };
        }
        if is_in(file, &self.ours) {
            return Origin::Gilscope;
        }
        if let Some(package) = self.package(file) {
            let is_programs = program_packages.iter().any(|it| it == package);
            return if is_programs {
                Origin::Program
            } else {
                Origin::Installed
            };
        }
        let is_standard = self.standard.iter().any(|folder| is_in(file, folder))
            || file.split('/').any(is_standard_archive);
        if is_standard {
            Origin::Standard
        } else {
            Origin::User
        }
    }

    /// The installed package that a file belongs to.
    fn package<'a>(&self, file: &'a str) -> Option<&'a str> {
        let mut folders_end = file.rfind('/')?;
        loop {
            let begin = file[..folders_end].rfind('/').map_or(0, |at| at + 1);
            let folder = &file[begin..folders_end];
            if INSTALLED_FOLDERS.contains(&folder) {
                return first_stem(&file[folders_end..]);
            }
            let is_archive = ARCHIVES.iter().any(|suffix| folder.ends_with(suffix));
            if is_archive && !is_standard_archive(folder) {
                return Some(&file[..folders_end]);
            }
            if begin == 0 {
                break;
            }
            folders_end = begin - 1;
        }
        let folder = self.installed.iter().find(|folder| is_in(file, folder))?;
        first_stem(&file[folder.len()..])
    }

    /// What runs on top of the loop's own code, such as a signal handler on top of the selector; mostly nothing.
    fn on_top_of_the_loop<'a>(&self, frames: &'a [FrameData]) -> &'a [FrameData] {
        let is_loops = |file: &str| {
            let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
            file == self.selectors || folder == self.asyncio
        };
        let count = frames.iter().rposition(|(file, ..)| !is_loops(file));
        &frames[..count.map_or(0, |index| index + 1)]
    }
}

fn is(frame: &FrameData, place: &(String, String)) -> bool {
    *frame.0 == *place.0 && *frame.2 == *place.1
}

/// Whether `path` is `folder`, or lies in it.
fn is_in(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The first name of a path, without its suffix.
fn first_stem(path: &str) -> Option<&str> {
    let name = path.split('/').find(|name| !name.is_empty())?;
    Some(match name.rfind('.') {
        Some(at) if at > 0 && at + 1 < name.len() => &name[..at],
        _ => name,
    })
}

fn is_standard_archive(name: &str) -> bool {
    let number = name
        .strip_prefix("python")
        .and_then(|rest| rest.strip_suffix(".zip"));
    number.is_some_and(|it| !it.is_empty() && it.bytes().all(|digit| digit.is_ascii_digit()))
}

/// `name` is what follows the `<` of a file's name.
fn is_typed_in(name: &str) -> bool {
    name.strip_suffix('>').is_some_and(|name| {
        TYPED_IN.contains(&name) || TYPED_IN_CELLS.iter().any(|cell| name.starts_with(cell))
    })
}
