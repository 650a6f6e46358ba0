//! WebSocket frames, from a client and from a server.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    for client in [false, true] {
        ringbolt_fuzz::wire::properties::frames(input, client, ringbolt_fuzz::cut(input));
    }
});
