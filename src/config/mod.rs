//! The configuration: one TOML file → checked settings, or all of its problems.
//!
//! [`settings`] holds what the program uses, with every default filled in; [`load`](fn@load) reads a
//! file into it and reports everything that is wrong at once, each problem with file, line, column,
//! the line itself and the nearest known name.

pub mod settings;

pub use settings::*;
