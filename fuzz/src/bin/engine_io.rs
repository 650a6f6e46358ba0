//! The first bytes of an answer that may open an Engine.IO session, and queries.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    ringbolt_fuzz::wire::properties::engine_io(input);
});
