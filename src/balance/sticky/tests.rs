//! Sessions between a client, us and servers: what each cookie leads to.

use super::super::{Change, Pool, Reason};
use super::*;
use crate::config::{
    Address, AdminState, Balance, Check, Network, PoolTimeouts, Secret, Secure, StickyMode, Timeout,
};
use std::time::Duration;

/// `sticky = { cookie = "SERVERID" }`
pub(super) fn settings() -> config::Sticky {
    config::Sticky {
        cookie: "SERVERID".into(),
        mode: StickyMode::Insert,
        indirect: true,
        nocache: true,
        postonly: false,
        preserve: false,
        persist: false,
        http_only: false,
        secure: Secure::Auto,
        same_site: None,
        partitioned: false,
        domain: Vec::new(),
        path: "/".into(),
        max_age: None,
        attributes: Vec::new(),
        max_idle: None,
        max_life: None,
        dynamic_key: None,
        signing_keys: Vec::new(),
        force: Vec::new(),
        ignore: Vec::new(),
    }
}

/// Servers a, b, … on ports 3000, 3001, … with these keys; `""` is none.
pub(in super::super) fn pool_settings(
    sticky: Option<config::Sticky>,
    keys: &[&str],
) -> config::Pool {
    let server = |(at, key): (u16, &&str)| config::Server {
        name: char::from(b'a' + (at % 26) as u8).to_string() + &at.to_string(),
        address: Address::Ip(([127, 0, 0, 1], 3000 + at).into()),
        weight: 1,
        cookie: (!key.is_empty()).then(|| (*key).to_owned()),
        shared_cookie: true,
        check: Some(Check {
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(2),
            rise: 2,
            fall: 3,
        }),
        state: AdminState::Ready,
    };
    config::Pool {
        name: "p".into(),
        balance: Balance::RoundRobin,
        retries: 3,
        redispatch: true,
        timeouts: PoolTimeouts {
            connect: Timeout::Never,
            server: Timeout::Never,
            tunnel: Timeout::Never,
        },
        forwarded_for: None,
        forwarded_proto: false,
        forwarded: false,
        via: false,
        request_id: None,
        sticky,
        servers: (0..).zip(keys).map(server).collect(),
    }
}

fn pool(sticky: config::Sticky, keys: &[&str]) -> Pool {
    Pool::new(&pool_settings(Some(sticky), keys), None, 1)
}

fn two(sticky: config::Sticky) -> Pool {
    pool(sticky, &["bridge1", "bridge2"])
}

fn down(pool: &Pool, server: usize) {
    let change = Change {
        up: false,
        reason: Reason::Refused,
        took: Duration::ZERO,
        lasted: Duration::ZERO,
    };
    pool.mark(server, &change, 1);
}

fn asked<'a>(path: &'a str) -> Asked<'a> {
    Asked {
        path: path.as_bytes(),
        client: None,
        header: &|_, _| false,
    }
}

const NOW: u64 = 1_800_000_000;

fn read_at(pool: &Pool, values: &[&str], now: u64) -> Verdict {
    let sticky = pool.sticky.as_ref().unwrap();
    let values = values.iter().map(|v| v.as_bytes());
    sticky.read(&pool.servers, values, now, &asked("/"))
}

fn read(pool: &Pool, values: &[&str]) -> Verdict {
    read_at(pool, values, NOW)
}

/// The `Set-Cookie` of a 200 to a GET, at `now`.
fn issued_at(pool: &Pool, verdict: &Verdict, chosen: usize, now: u64) -> (String, char) {
    let sticky = pool.sticky.as_ref().unwrap();
    let answer = sticky.answer(verdict, chosen, b"GET", 200, false, false, now);
    let mut line = Vec::new();
    sticky.write(&answer, &mut line);
    assert_eq!(answer.issue == Issue::Nothing, line.is_empty());
    (String::from_utf8(line).unwrap(), char::from(answer.letter))
}

fn issued(pool: &Pool, verdict: &Verdict, chosen: usize) -> (String, char) {
    issued_at(pool, verdict, chosen, NOW)
}

/// The value between the name and the attributes.
fn value_of(line: &str) -> String {
    let rest = line.strip_prefix("SERVERID=").unwrap();
    rest.split(';').next().unwrap().to_owned()
}

fn seen(pool: &Pool, values: &[&str]) -> (char, Option<usize>) {
    let verdict = read(pool, values);
    (char::from(verdict.letter), verdict.server)
}

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
    assert_eq!(pool.pick(kept.server, None).unwrap().server, 0);
    assert_eq!(new(&kept, 0), nothing);
    down(&pool, 0);
    let lost = read(&pool, &["bridge1"]);
    assert_eq!(pool.pick(lost.server, None).unwrap().server, 1);
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
fn a_server_without_a_key_makes_the_client_forget_its_cookie() {
    let pool = pool(settings(), &["", "bridge2"]);
    let forget = "SERVERID=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/";
    for stale in ["gone", "bridge2"] {
        let verdict = read(&pool, &[stale]);
        assert_eq!(issued(&pool, &verdict, 0), (forget.into(), 'I'));
    }
    assert_eq!(issued(&pool, &read(&pool, &[]), 0), (String::new(), 'N'));
}

#[test]
fn dates_expire_and_are_renewed_once_a_step() {
    let pool = two(config::Sticky {
        max_idle: Some(Duration::from_secs(100)),
        max_life: Some(Duration::from_secs(1000)),
        ..settings()
    });
    let first = value_of(&issued(&pool, &read(&pool, &[]), 0).0);
    assert_eq!(first.len(), "bridge1|LLLLL|FFFFF".len());
    for (later, letter, renewed) in [
        (0, 'V', false),
        (1, 'V', true),
        (100, 'V', true),
        (101, 'E', true),
        (1000, 'E', true),
        (1001, 'O', true),
    ] {
        let verdict = read_at(&pool, &[&first], NOW + later);
        assert_eq!(char::from(verdict.letter), letter, "{later}");
        assert_eq!(verdict.server.is_some(), letter == 'V');
        let (line, written) = issued_at(&pool, &verdict, 0, NOW + later);
        assert_eq!(!line.is_empty(), renewed, "{later}");
        if renewed {
            assert_eq!(written, if letter == 'V' { 'U' } else { 'I' });
            // The first date stays as long as the cookie counts.
            let kept = value_of(&line).ends_with(&first[first.len() - 5..]);
            assert_eq!(kept, letter == 'V', "{later}");
        }
    }
    // No cookie lives longer by being used: renewed every 50 s, it ends after max_life.
    let mut value = first;
    let mut now = NOW;
    while read_at(&pool, &[&value], now).letter == b'V' {
        let verdict = read_at(&pool, &[&value], now);
        let line = issued_at(&pool, &verdict, 0, now).0;
        value = if line.is_empty() {
            value
        } else {
            value_of(&line)
        };
        now += 50;
    }
    assert_eq!(read_at(&pool, &[&value], now).letter, b'O');
    assert_eq!(now - NOW, 1050);
}

#[test]
fn clocks_that_are_wrong_are_tolerated_for_a_day() {
    let pool = two(config::Sticky {
        max_idle: Some(Duration::from_secs(100)),
        ..settings()
    });
    let line = |now| value_of(&issued_at(&pool, &Verdict::NONE, 0, now).0);
    for (ahead, letter) in [(86_400, b'V'), (86_404, b'E'), (1 << 31, b'E')] {
        let verdict = read(&pool, &[&line(NOW + ahead)]);
        assert_eq!(verdict.letter, letter, "{ahead}");
    }
}

#[test]
fn dates_are_added_and_removed_as_the_settings_change() {
    let plain = two(settings());
    let idle = two(config::Sticky {
        max_idle: Some(Duration::from_secs(100)),
        ..settings()
    });
    let life = two(config::Sticky {
        max_life: Some(Duration::from_secs(100)),
        ..settings()
    });
    let stamp = String::from_utf8(dates::write(NOW).to_vec()).unwrap();
    let one = format!("bridge1|{stamp}");
    let both = format!("bridge1|{stamp}|{stamp}");
    let change = |pool: &Pool, from: &str| {
        let (line, letter) = issued(pool, &read(pool, &[from]), 0);
        (!line.is_empty()).then(|| {
            assert_eq!(letter, 'U');
            value_of(&line)
        })
    };
    assert_eq!(change(&plain, "bridge1"), None);
    assert_eq!(change(&plain, &one).unwrap(), "bridge1");
    assert_eq!(change(&plain, &both).unwrap(), "bridge1");
    assert_eq!(change(&idle, "bridge1").unwrap(), one);
    assert_eq!(change(&idle, &one), None);
    assert_eq!(change(&idle, &both).unwrap(), one);
    assert_eq!(change(&life, "bridge1").unwrap(), both);
    assert_eq!(change(&life, &one).unwrap(), both);
    assert_eq!(change(&life, &both), None);
    // Only the life is bounded: the date of the last issue need not be renewed.
    let verdict = read_at(&life, &[&both], NOW + 50);
    assert_eq!(
        issued_at(&life, &verdict, 0, NOW + 50),
        (String::new(), 'N')
    );
}

fn signed(secrets: &[&str]) -> config::Sticky {
    let secret = |s: &&str| Secret(s.as_bytes().to_vec());
    config::Sticky {
        signing_keys: secrets.iter().map(secret).collect(),
        max_idle: Some(Duration::from_secs(100)),
        ..settings()
    }
}

#[test]
fn a_signed_value_hides_the_key_and_cannot_be_changed() {
    let pool = two(signed(&["new"]));
    let fresh = read(&pool, &[]);
    let one = value_of(&issued(&pool, &fresh, 0).0);
    let other = value_of(&issued(&pool, &fresh, 1).0);
    assert_eq!(one.len(), 16 + 1 + 5 + 1 + 22);
    assert!(!one.contains("bridge") && one != other);
    assert_eq!(seen(&pool, &[&one]), ('V', Some(0)));
    assert_eq!(seen(&pool, &[&other]), ('V', Some(1)));
    assert_eq!(issued(&pool, &read(&pool, &[&one]), 0).1, 'N');
    assert_eq!(seen(&pool, &["bridge1"]), ('I', None));
    // One's name with the other's tag; any single byte changed, added or missing.
    let swapped = one[..22].to_owned() + &other[22..];
    assert_eq!(seen(&pool, &[&swapped]), ('I', None));
    for at in 0..one.len() {
        let mut bytes = one.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert_eq!(seen(&pool, &[&changed]), ('I', None), "{changed}");
        assert_eq!(seen(&pool, &[&one[..at]]), ('I', None));
    }
    assert_eq!(seen(&pool, &[&format!("{one}A")]), ('I', None));
}

#[test]
fn signing_keys_can_be_replaced_without_losing_a_client() {
    let (old, both, new) = (
        two(signed(&["old"])),
        two(signed(&["new", "old"])),
        two(signed(&["new"])),
    );
    let value = value_of(&issued(&old, &read(&old, &[]), 1).0);
    let verdict = read(&both, &[&value]);
    assert_eq!(verdict.server, Some(1));
    let (line, letter) = issued(&both, &verdict, 1);
    assert_eq!(letter, 'U');
    let renewed = value_of(&line);
    assert_eq!(seen(&both, &[&renewed]), ('V', Some(1)));
    assert_eq!(issued(&both, &read(&both, &[&renewed]), 1).1, 'N');
    assert_eq!(seen(&new, &[&renewed]), ('V', Some(1)));
    assert_eq!(seen(&new, &[&value]), ('I', None));
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

proptest::proptest! {
    #[test]
    fn any_bytes_in_a_cookie_are_read_without_panic(
        values: Vec<Vec<u8>>,
        near in "(bridge1|[A-Za-z0-9_-]{16})?[|]?[A-Za-z+/]{0,6}[|.~]?[A-Za-z0-9_-]{0,23}",
        now: u64,
    ) {
        let modes = [StickyMode::Insert, StickyMode::Prefix];
        for sticky in [settings(), signed(&["one", "two"])] {
            for mode in modes {
                let pool = two(config::Sticky { mode, ..sticky.clone() });
                let sticky = pool.sticky.as_ref().unwrap();
                let values = values.iter().map(Vec::as_slice).chain([near.as_bytes()]);
                for value in values.clone() {
                    if let Forwarded::After(count) = sticky.forwarded(value) {
                        proptest::prop_assert!(count <= value.len());
                    }
                }
                let verdict = sticky.read(&pool.servers, values, now, &asked("/"));
                let answer = sticky.answer(&verdict, 0, b"GET", 200, false, false, now);
                let mut line = Vec::new();
                sticky.write(&answer, &mut line);
                proptest::prop_assert!(line.iter().all(|b| (b' '..0x7f).contains(b)));
            }
        }
    }

    #[test]
    fn what_is_issued_is_read_back(now in 1u64..1 << 32, server in 0usize..2, mode in 0..4) {
        let sticky = match mode {
            0 => settings(),
            1 => signed(&["k"]),
            2 => config::Sticky { max_life: Some(Duration::from_secs(60)), ..settings() },
            _ => config::Sticky { max_life: Some(Duration::from_secs(60)), ..signed(&["k"]) },
        };
        let pool = two(sticky);
        let line = issued_at(&pool, &Verdict::NONE, server, now).0;
        let verdict = read_at(&pool, &[&value_of(&line)], now);
        proptest::prop_assert_eq!(verdict.server, Some(server));
        proptest::prop_assert_eq!(issued_at(&pool, &verdict, server, now).1, 'N');
    }
}
