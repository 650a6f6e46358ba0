//! The head of a response of an old server.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    ringbolt_fuzz::wire::properties::lenient_head(input, ringbolt_fuzz::cut(input));
});
