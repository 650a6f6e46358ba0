//! A chunked body.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    ringbolt_fuzz::wire::properties::chunked(input, ringbolt_fuzz::cut(input));
});
