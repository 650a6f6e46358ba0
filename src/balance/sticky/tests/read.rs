//! What a client's cookie leads to.

use super::*;

#[test]
fn verdicts() {
    let pool = two(settings());
    for (values, letter, server) in [
        (&[][..], 'N', None),
        (&["bridge1"], 'V', Some(0)),
        (&["bridge2"], 'V', Some(1)),
        (&["BRIDGE2"], 'I', None),
        (&["bridge"], 'I', None),
        (&["bridge11"], 'I', None),
        (&[""], 'I', None),
        (&["|AAAAB"], 'I', None),
        (&["unknown", "bridge2"], 'V', Some(1)),
        (&["bridge2", "bridge1"], 'V', Some(1)),
        (&["", "unknown"], 'I', None),
        (&["bridge1|AAAAB|AAAAB"], 'V', Some(0)),
        (&["bridge1|junk"], 'V', Some(0)),
        (&["bridge1~app"], 'I', None),
    ] {
        assert_eq!(seen(&pool, values), (letter, server), "{values:?}");
    }
}

#[test]
fn the_state_of_the_server_that_the_cookie_names() {
    for (admin, is_down, weight, letter) in [
        (AdminState::Ready, false, 1, 'V'),
        (AdminState::Ready, false, 0, 'V'),
        (AdminState::Ready, true, 1, 'D'),
        (AdminState::Drain, false, 1, 'V'),
        (AdminState::Drain, true, 1, 'D'),
        (AdminState::Maintenance, false, 1, 'D'),
    ] {
        let pool = two(settings());
        pool.set_admin(0, admin);
        pool.set_weight(0, weight);
        if is_down {
            down(&pool, 0);
        }
        let server = (letter == 'V').then_some(0);
        assert_eq!(seen(&pool, &["bridge1"]), (letter, server), "{admin:?}");
        assert_eq!(seen(&pool, &["bridge1", "x"]), (letter, server));
        assert_eq!(seen(&pool, &["x", "bridge1"]).1, server);
        assert_eq!(seen(&pool, &["bridge1", "bridge2"]).0, 'V');
    }
    let persist = config::Sticky {
        persist: true,
        ..settings()
    };
    let pool = two(persist);
    down(&pool, 0);
    assert_eq!(seen(&pool, &["bridge1"]), ('V', Some(0)));
}

#[test]
fn prefix_mode_reads_what_stands_before_the_tilde() {
    let pool = two(config::Sticky {
        mode: StickyMode::Prefix,
        indirect: false,
        ..settings()
    });
    assert_eq!(seen(&pool, &["bridge2~app"]), ('V', Some(1)));
    assert_eq!(seen(&pool, &["bridge2"]), ('I', None));
    assert_eq!(seen(&pool, &["~bridge2"]), ('I', None));
}

#[test]
fn what_the_server_is_shown() {
    use Forwarded::{After, Nothing, Whole};
    for (mode, indirect, value, want) in [
        (StickyMode::Insert, true, "bridge1", Nothing),
        (StickyMode::Insert, true, "", Nothing),
        (StickyMode::Insert, false, "bridge1", Whole),
        (StickyMode::Rewrite, false, "bridge1", Whole),
        (StickyMode::Passive, true, "bridge1", Whole),
        (StickyMode::Prefix, false, "bridge1~app~x", After(8)),
        (StickyMode::Prefix, false, "gone~app", After(5)),
        (StickyMode::Prefix, false, "~app", After(1)),
        (StickyMode::Prefix, false, "app", Whole),
    ] {
        let sticky = config::Sticky {
            mode,
            indirect,
            ..settings()
        };
        let pool = two(sticky);
        let sticky = pool.sticky.as_ref().unwrap();
        assert_eq!(sticky.forwarded(value.as_bytes()), want, "{value}");
        assert_eq!(sticky.hides(), want == Nothing);
    }
}

#[test]
fn force_and_ignore() {
    let path = |prefix: &str| Condition {
        path_prefix: Some(prefix.into()),
        ..Condition::default()
    };
    let from = Condition {
        network: Some(Network {
            address: [10, 0, 0, 0].into(),
            prefix: 8,
        }),
        ..Condition::default()
    };
    let pool = two(config::Sticky {
        ignore: vec![path("/static")],
        force: vec![path("/test"), from],
        ..settings()
    });
    down(&pool, 0);
    let sticky = pool.sticky.as_ref().unwrap();
    let read = |path, client| {
        let asked = Asked {
            client,
            ..asked(path)
        };
        sticky.read(&pool.servers, [&b"bridge1"[..]], NOW, &asked)
    };
    let tester = Some([10, 1, 1, 1].into());
    let ordinary = read("/", None);
    assert_eq!((ordinary.letter, ordinary.server), (b'D', None));
    for forced in [read("/test/x", None), read("/", tester)] {
        assert!(forced.force);
        assert_eq!((forced.letter, forced.server), (b'V', Some(0)));
    }
    let ignored = read("/static/x.js", tester);
    assert!(ignored.ignore && !ignored.force);
    assert_eq!((ignored.letter, ignored.server), (b'U', None));
    let answer = sticky.answer(&ignored, 1, b"GET", 200, true, false, NOW);
    assert_eq!(
        (answer.theirs, answer.issue),
        (Theirs::Leave, Issue::Nothing)
    );
    let none = sticky.read(&pool.servers, [], NOW, &asked("/static"));
    assert_eq!((none.letter, none.ignore), (b'N', true));
    assert_eq!(issued(&pool, &none, 1), (String::new(), 'N'));
}

#[test]
fn servers_that_share_a_key_stand_in_for_each_other_in_file_order() {
    let pool = pool(settings(), &["x", "s", "s"]);
    assert_eq!(seen(&pool, &["s"]), ('V', Some(1)));
    down(&pool, 1);
    let stand_in = read(&pool, &["s"]);
    assert_eq!(stand_in.server, Some(2));
    assert_eq!(issued(&pool, &stand_in, 2), (String::new(), 'N'));
    // Redispatched inside the group: the client's cookie is right already.
    assert_eq!(issued(&pool, &stand_in, 1), (String::new(), 'N'));
    assert_eq!(issued(&pool, &stand_in, 0).1, 'I');
    down(&pool, 2);
    assert_eq!(seen(&pool, &["s"]), ('D', None));
}

#[test]
fn a_pool_with_a_secret_fills_in_keys() {
    let pool = pool(
        config::Sticky {
            dynamic_key: Some(Secret(b"secret".to_vec())),
            ..settings()
        },
        &["bridge1", ""],
    );
    let derived = dynamic_key(b"secret", &pool.servers[1].address);
    assert_eq!(pool.servers[0].key.as_deref(), Some("bridge1"));
    assert_eq!(pool.servers[1].key, Some(derived.clone()));
    assert_eq!(seen(&pool, &[&derived]), ('V', Some(1)));
}
