//! What follows the value in `Set-Cookie`.

use crate::config;

/// The bytes after the value, built once.
#[derive(Debug)]
pub(super) struct Attributes {}

impl Attributes {
    pub(super) fn new(_settings: &config::Sticky) -> Self {
        Self {}
    }
}
