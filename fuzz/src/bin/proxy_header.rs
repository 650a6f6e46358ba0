//! The header of the PROXY protocol, in either version.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    ringbolt_fuzz::wire::properties::proxy_header(input);
});
