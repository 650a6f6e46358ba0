//! What the answers say of the cookie.

use super::*;
use crate::balance::{Ask, Pick};

fn pick(pool: &Pool, wanted: Option<usize>) -> Pick {
    let ask = Ask {
        wanted,
        ..Ask::default()
    };
    pool.pick(&ask).unwrap()
}

#[test]
fn a_cookie_is_issued_when_absent_or_different_and_only_then() {
    let pool = two(settings());
    let new = |verdict: &Verdict, chosen| issued(&pool, verdict, chosen);
    let cookie = |key: &str| (format!("SERVERID={key}; Path=/"), 'I');
    let nothing = (String::new(), 'N');
    assert_eq!(new(&read(&pool, &[]), 0), cookie("bridge1"));
    assert_eq!(new(&read(&pool, &["bridge1"]), 0), nothing);
    assert_eq!(new(&read(&pool, &["unknown"]), 1), cookie("bridge2"));
    // After a redispatch, or whatever else chose another server than the cookie.
    let mut moved = read(&pool, &["bridge1"]);
    moved.redispatched();
    assert_eq!((moved.letter, moved.server), (b'D', None));
    assert_eq!(new(&moved, 1), cookie("bridge2"));
    // A drained server keeps its clients without a new cookie; a stopped one loses them.
    pool.set_admin(0, AdminState::Drain);
    let kept = read(&pool, &["bridge1"]);
    assert_eq!(pick(&pool, kept.server).server, 0);
    assert_eq!(new(&kept, 0), nothing);
    down(&pool, 0);
    let lost = read(&pool, &["bridge1"]);
    assert_eq!(pick(&pool, lost.server).server, 1);
    assert_eq!(new(&lost, 1), cookie("bridge2"));
}

#[test]
fn which_answers_carry_it() {
    let pool = two(settings());
    let sticky = pool.sticky.as_ref().unwrap();
    let fresh = read(&pool, &[]);
    for (status, carries) in [
        (100, false),
        (101, true),
        (103, false),
        (200, true),
        (304, true),
        (404, true),
        (500, true),
        (999, true),
    ] {
        let answer = sticky.answer(&fresh, 0, b"HEAD", status, true, false, NOW);
        assert_eq!(answer.issue == Issue::Cookie, carries, "{status}");
        assert_eq!(answer.theirs == Theirs::Delete, carries, "{status}");
        assert_eq!(answer.private, carries, "{status}");
    }
    let post = config::Sticky {
        postonly: true,
        ..settings()
    };
    let pool = two(post);
    let sticky = pool.sticky.as_ref().unwrap();
    for (method, carries) in [("POST", true), ("GET", false), ("post", false)] {
        let answer = sticky.answer(&fresh, 0, method.as_bytes(), 200, false, false, NOW);
        assert_eq!(answer.issue == Issue::Cookie, carries, "{method}");
    }
}

#[test]
fn the_servers_own_cookie_in_each_mode() {
    use Issue::{Cookie, Nothing};
    use StickyMode::{Insert, Passive, Prefix, Rewrite};
    use Theirs::{Delete, Leave, Replace};
    // mode, indirect, preserve, the client's cookie; then what becomes of theirs, ours, the letter
    for (mode, indirect, preserve, sent, theirs, issue, letter) in [
        (Insert, true, false, "", Delete, Cookie, 'I'),
        (Insert, true, false, "bridge1", Delete, Nothing, 'D'),
        (Insert, false, false, "bridge1", Delete, Nothing, 'D'),
        (Insert, true, true, "", Leave, Nothing, 'P'),
        (Insert, true, true, "bridge1", Leave, Nothing, 'P'),
        (Rewrite, false, false, "", Replace, Nothing, 'R'),
        (Rewrite, false, false, "bridge1", Replace, Nothing, 'R'),
        (Prefix, false, false, "", Theirs::Prefix, Nothing, 'R'),
        (
            Prefix,
            false,
            false,
            "bridge1~x",
            Theirs::Prefix,
            Nothing,
            'R',
        ),
        (Prefix, true, false, "bridge1~x", Delete, Nothing, 'D'),
        (Passive, false, false, "", Leave, Nothing, 'P'),
        (Passive, true, false, "bridge1", Delete, Nothing, 'D'),
        (Passive, true, false, "bridge2", Leave, Nothing, 'P'),
    ] {
        let pool = two(config::Sticky {
            mode,
            indirect,
            preserve,
            ..settings()
        });
        let sticky = pool.sticky.as_ref().unwrap();
        let values: &[&str] = if sent.is_empty() { &[] } else { &[sent] };
        let verdict = read(&pool, values);
        let answer = sticky.answer(&verdict, 0, b"GET", 200, true, false, NOW);
        let got = (answer.theirs, answer.issue, char::from(answer.letter));
        assert_eq!(got, (theirs, issue, letter), "{mode:?} {sent}");
        let mut value = Vec::new();
        sticky.value(&answer, &mut value);
        let want: &[u8] = match theirs {
            Replace => b"bridge1",
            Theirs::Prefix => b"bridge1~",
            Leave | Delete => b"",
        };
        assert_eq!(value, want);
        // Without a cookie of the server's, only insert mode says anything.
        let silent = sticky.answer(&verdict, 0, b"GET", 200, false, false, NOW);
        let inserts = mode == Insert && sent.is_empty();
        assert_eq!(silent.issue == Cookie, inserts);
        assert_eq!(silent.letter, if inserts { b'I' } else { b'N' });
    }
}

#[test]
fn a_server_without_a_key_makes_the_client_forget_its_cookie() {
    let pool = pool(settings(), &["", "bridge2"]);
    let forget = "SERVERID=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/";
    for stale in ["gone", "bridge2"] {
        let verdict = read(&pool, &[stale]);
        assert_eq!(issued(&pool, &verdict, 0), (forget.into(), 'I'));
    }
    assert_eq!(issued(&pool, &read(&pool, &[]), 0), (String::new(), 'N'));
}
