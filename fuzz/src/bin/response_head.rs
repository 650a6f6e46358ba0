//! The head of a response.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    ringbolt_fuzz::wire::properties::response_head(input, ringbolt_fuzz::cut(input));
});
