//! The request that a web application is answering, read from memory.
//!
//! ASGI applications and middlewares are coroutines with the arguments `scope`, `receive` and `send`.

use pyo3::prelude::*;

use super::coroutines::Coroutines;
use super::known_objects::Read;
use super::objects::learned::interned;
use super::objects::{MAX_CHARACTERS, Objects};
use super::stack::{Frame, Stack};

/// Longer paths are cut.
const MAX_PATH_CHARACTERS: usize = 200;

#[derive(Clone, Copy)]
pub struct Requests {
    objects: Objects,
    coroutines: Coroutines,
    /// The addresses of the names.
    arguments: [usize; 3],
    keys: [(&'static str, usize); 2],
}

impl Requests {
    pub fn new(py: Python<'_>, objects: Objects, coroutines: Coroutines) -> Self {
        Self {
            objects,
            coroutines,
            arguments: ["scope", "receive", "send"].map(|name| interned(py, name)),
            keys: ["path", "method"].map(|key| (key, interned(py, key))),
        }
    }

    /// The method and the path, as in `GET /report`, of the request that the stack's outermost application answers: it is the
    /// first to know the request. Only the path for a websocket.
    pub fn read(&self, stack: &Stack) -> Option<Read<String>> {
        let frames = stack.frames.iter().rev().enumerate();
        let mut requests =
            frames
                .filter(|(_, frame)| frame.is_generator)
                .filter_map(|(outside, frame)| {
                    let value = self.of_frame(frame)?;
                    Some(Read {
                        value,
                        frames: outside + 1,
                    })
                });
        requests.next()
    }

    fn of_frame(&self, frame: &Frame) -> Option<String> {
        let [index, ..] = self.coroutines.indices(frame.code, self.arguments)?;
        let scope = self.coroutines.variable(frame.address, index)?;
        let [path, method] = self.objects.values(scope, self.keys)?;
        let word = |value: Option<usize>, limit: usize| {
            let text = self.objects.text(value?, limit)?;
            (!text.is_empty()).then_some(text)
        };
        // Escaped characters take more room than they had.
        let path: String = word(path, MAX_PATH_CHARACTERS)?
            .chars()
            .take(MAX_PATH_CHARACTERS)
            .collect();
        Some(match word(method, MAX_CHARACTERS) {
            Some(method) => format!("{method} {path}"),
            None => path,
        })
    }
}
