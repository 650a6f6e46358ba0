//! The line that an agent answers.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    ringbolt_fuzz::wire::properties::agent(input);
});
