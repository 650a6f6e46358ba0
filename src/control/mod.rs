//! The process: launcher and generation, reload, probes, the control socket and the stats page.

pub mod generation;
pub mod launcher;
