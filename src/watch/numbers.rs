//! Numbers for values that occur again and again: each value is kept once.

use std::collections::HashMap;
use std::hash::Hash;

/// The number of a value. 0 stands for none.
pub type Number = u32;

/// Values, each once, numbered from 1.
pub struct Numbers<T> {
    pub values: Vec<T>,
    numbers: HashMap<T, Number>,
}

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            numbers: HashMap::new(),
        }
    }
}

impl<T: Clone + Eq + Hash> Numbers<T> {
    /// The number of a value, which it gets if it has none.
    pub fn number(&mut self, value: &T) -> Number {
        if let Some(&number) = self.numbers.get(value) {
            return number;
        }
        self.values.push(value.clone());
        let number = Number::try_from(self.values.len()).unwrap_or(Number::MAX);
        self.numbers.insert(value.clone(), number);
        number
    }

    /// The value with this number; `None` for 0.
    pub fn get(&self, number: Number) -> Option<&T> {
        self.values.get((number as usize).checked_sub(1)?)
    }
}
