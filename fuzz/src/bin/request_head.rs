//! The head of a request.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    ringbolt_fuzz::wire::properties::request_head(input, ringbolt_fuzz::cut(input));
});
