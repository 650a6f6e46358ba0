//! What is shown of a refused head, and that no secret is.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    ringbolt_fuzz::wire::properties::excerpt(input, ringbolt_fuzz::cut(input));
});
