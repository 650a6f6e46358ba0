//! Splitting changes nothing, at the level of the parser: every vector and its twin in two pieces, cut at each
//! offset, byte by byte, and in several pieces.

use std::sync::LazyLock;

use proptest::prelude::*;
use ringbolt::wire::properties::{Way, each_offset, requests, responses};
use ringbolt::wire::{HeadLimits, Method};

use super::corpus;
use super::{REQUESTS, RESPONSES};

/// A message, and what it answers, if it is an answer.
type Message = (Vec<u8>, Option<Method>);

static MESSAGES: LazyLock<Vec<Message>> = LazyLock::new(|| {
    let asked = |ask: &str| {
        if ask == "HEAD" {
            Method::Head
        } else {
            Method::Get
        }
    };
    let requests = corpus::vectors(REQUESTS).into_iter();
    let requests =
        requests.flat_map(|vector| [(vector.script.bytes(), None), (vector.twin.bytes(), None)]);
    let responses = corpus::vectors(RESPONSES).into_iter().flat_map(|vector| {
        let method = Some(asked(&vector.ask));
        [
            (vector.script.bytes(), method),
            (vector.twin.bytes(), method),
        ]
    });
    let mut seen = std::collections::HashSet::new();
    requests
        .chain(responses)
        .filter(|(bytes, _)| seen.insert(bytes.clone()))
        .collect()
});

fn check((bytes, asked): &Message, ways: impl IntoIterator<Item = Way>) {
    let limits = HeadLimits::default();
    match asked {
        None => requests(bytes, &limits, ways),
        Some(method) => responses(bytes, *method, &limits, ways),
    }
}

#[test]
fn a_message_cut_at_any_offset_is_the_same() {
    for message in MESSAGES.iter() {
        check(message, each_offset(message.0.len()));
    }
}

proptest! {
    #[test]
    fn a_message_in_several_pieces_is_the_same(
        which: prop::sample::Index,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 2..8),
    ) {
        let message = which.get(&MESSAGES);
        let length = message.0.len();
        let mut way: Vec<usize> = cuts.iter().map(|cut| cut.index(length + 1)).collect();
        way.push(length);
        way.sort_unstable();
        check(message, [way]);
    }
}
