//! Cookie and Set-Cookie fields, and what a sticky cookie's values lead to. Lines are fields.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    ringbolt_fuzz::wire::properties::cookies(input);
    ringbolt_fuzz::balance::sticky::properties::values(input);
});
