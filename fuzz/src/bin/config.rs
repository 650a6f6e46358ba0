//! The configuration file.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    ringbolt_fuzz::config::fuzz_any(input);
});
