//! The stats page: one HTML document without a script, from a [`Status`].
//!
//! Everything is in the one answer: no file, no font, nothing from elsewhere, so that it works behind
//! a bastion and under a strict `Content-Security-Policy`. It follows the reader's light or dark
//! scheme and fits a telephone.

use super::status::{
    PoolStatus, QueueStatus, ServerState, ServerStatus, Status, count, size, span,
};
use std::fmt::Write as _;

/// The document. `version` is shown to those who may know it; `json` is where the same is as JSON.
pub(super) fn page(status: &Status, refresh: u64, version: bool, json: &str) -> String {
    let mut html = String::with_capacity(16 << 10);
    html.push_str(HEAD);
    let _ = write!(
        html,
        "<meta http-equiv=\"refresh\" content=\"{}\">",
        refresh.max(1)
    );
    let (up, all) = servers_up(status);
    let _ = write!(
        html,
        "<title>{} Ringbolt · {up} of {all} up</title>",
        mark(up, all)
    );
    let _ = write!(html, "<style>{STYLE}</style></head><body><main>");
    header(&mut html, status, version);
    tiles(&mut html, status);
    for pool in &status.pools {
        self::pool(&mut html, pool);
    }
    let _ = write!(
        html,
        "<footer>Refreshes every {refresh} s · <a href=\"{}\">as JSON</a></footer></main></body></html>",
        Text(json)
    );
    html
}

const HEAD: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
<meta name=\"color-scheme\" content=\"light dark\"><meta name=\"robots\" content=\"noindex\">";

fn header(html: &mut String, status: &Status, version: bool) {
    html.push_str("<header><h1>");
    html.push_str(RING);
    html.push_str("Ringbolt");
    if version {
        let _ = write!(html, " <small>{}</small>", Text(&status.version));
    }
    html.push_str("</h1><p>");
    if status.draining || status.lame_duck {
        html.push_str("<b class=\"drain\">draining</b> · ");
    }
    let _ = write!(html, "up {}", span(status.uptime));
    if version {
        let plural = if status.workers == 1 { "" } else { "s" };
        let _ = write!(
            html,
            " · {} worker{plural} on {}",
            status.workers,
            Text(&status.driver)
        );
    }
    html.push_str("</p>");
    for listener in &status.listeners {
        let _ = write!(
            html,
            "<p class=\"listener\"><b>{}</b>",
            Text(&listener.name)
        );
        for address in &listener.addresses {
            let _ = write!(html, " <code>{}</code>", Text(address));
        }
        html.push_str("</p>");
    }
    html.push_str("</header>");
    if let Some(why) = status.refused_reload.as_ref().filter(|_| version) {
        let _ = write!(
            html,
            "<p class=\"notice\"><b>Last reload refused.</b> {}</p>",
            Text(why)
        );
    }
    if status.panics > 0 || status.restarts > 0 {
        let _ = write!(
            html,
            "<p class=\"notice\"><b>Faults of Ringbolt's own.</b> Connections ended: {}; serving \
             processes that died: {}. The log says where.</p>",
            status.panics, status.restarts
        );
    }
}

/// A mooring ring on its bolt.
const RING: &str = "<svg viewBox=\"0 0 32 32\" aria-hidden=\"true\"><circle cx=\"16\" cy=\"20\" r=\"9\" \
fill=\"none\" stroke=\"currentColor\" stroke-width=\"4\"/><path d=\"M11 3h10v6a5 5 0 0 1-10 0z\" \
fill=\"currentColor\"/></svg>";

fn tiles(html: &mut String, status: &Status) {
    let (up, all) = servers_up(status);
    let sum = |of: fn(&ServerStatus) -> u64| -> u64 {
        status.pools.iter().map(|pool| pool.sum(of)).sum()
    };
    let share = f64::from(status.connections) * 100.0 / f64::from(status.max_connections.max(1));
    let tiles = [
        (
            "Connections",
            count(status.connections.into()),
            format!("of {} · {share:.0} %", count(status.max_connections.into())),
        ),
        (
            "Tunnels",
            count(status.tunnels.into()),
            "open now".to_owned(),
        ),
        (
            "Servers up",
            format!("{up}/{all}"),
            pools_text(status.pools.len()),
        ),
        (
            "Requests",
            count(sum(|server| server.requests)),
            "since the start".to_owned(),
        ),
        (
            "Traffic",
            size(sum(|server| server.bytes_out)),
            format!("out · {} in", size(sum(|server| server.bytes_in))),
        ),
    ];
    html.push_str("<section class=\"tiles\">");
    for (name, value, detail) in tiles {
        let _ = write!(
            html,
            "<div><h2>{name}</h2><strong>{value}</strong><span>{detail}</span></div>"
        );
    }
    html.push_str("</section>");
}

fn pool(html: &mut String, pool: &PoolStatus) {
    let all = pool.servers.len();
    let class = if pool.active == 0 { "down" } else { "up" };
    let _ = write!(
        html,
        "<section class=\"pool\"><h2>{} <span class=\"{class}\">{} of {all} take new sessions{}</span></h2>\
         <div class=\"scroll\"><table><thead><tr><th>Server<th>State<th class=\"n\">Weight\
         <th class=\"n\">Sessions<th class=\"n\">Tunnels<th class=\"n\">Queue<th class=\"n\">Total<th class=\"n\">In\
         <th class=\"n\">Out<th class=\"n\">2xx<th class=\"n\">4xx<th class=\"n\">5xx\
         <th class=\"n\">Errors<th class=\"n\">Retries<th class=\"n\">Checks</tr></thead><tbody>",
        Text(&pool.name),
        pool.active,
        if pool.panic {
            ", their health is ignored"
        } else {
            ""
        }
    );
    for server in &pool.servers {
        row(html, server);
    }
    html.push_str("</tbody>");
    if all > 1 || pool.queue.longest > 0 {
        foot(html, pool);
    }
    html.push_str("</table></div>");
    for name in pool.names.iter().filter(|name| name.error.is_some()) {
        let _ = write!(
            html,
            "<p class=\"notice\"><b>DNS does not say where {} is.</b> {}; known: {}</p>",
            Text(&name.asks),
            Text(name.error.as_deref().unwrap_or_default()),
            name.addresses
        );
    }
    html.push_str("</section>");
}

fn row(html: &mut String, server: &ServerStatus) {
    let state = server.state.word();
    let _ = write!(
        html,
        "<tr class=\"{state}\"><th><b>{0}</b><code title=\"{1}{2}\">{1}{2}</code><td><b class=\"{state}\">{state}</b>\
         <small title=\"{3}\">{3}</small>",
        Text(&server.name),
        Text(&server.address),
        found_by(server),
        state_text(server)
    );
    let checks = checks(server);
    for cell in [
        count(server.weight.into()),
        of_at_most(server.sessions, server.max_connections),
        of_at_most(server.tunnels, server.max_tunnels),
        queue(&server.queue),
        count(server.total_sessions),
        size(server.bytes_in),
        size(server.bytes_out),
        count(server.responses[1]),
        count(server.responses[3]),
        count(server.responses[4]),
        count(server.connect_errors + server.response_errors),
        count(server.retries + server.redispatches),
        checks,
    ] {
        let _ = write!(html, "<td class=\"n\">{cell}");
    }
    html.push_str("</tr>");
}

/// ` of backend.example.com:3000`
fn found_by(server: &ServerStatus) -> String {
    let name = server.found_by.as_ref();
    name.map_or_else(String::new, |name| format!(" of {}", Text(name)))
}

/// `12`, and `of 100` below it where there is a bound.
fn of_at_most(number: u32, most: Option<u32>) -> String {
    let bound = most.map(|most| format!("<small>of {}</small>", count(most.into())));
    count(number.into()) + &bound.unwrap_or_default()
}

/// `3`, and below it what happened since the start.
fn queue(queue: &QueueStatus) -> String {
    match queue.words().split_once(' ') {
        None if queue.waiting == 0 => "–".to_owned(),
        None => count(queue.waiting.into()),
        Some((waiting, rest)) => {
            let rest = rest.trim_matches(['(', ')']);
            format!("{waiting}<small>{rest}</small>")
        }
    }
}

/// `1,200 http, 3 failed`, and below it how the last one went.
fn checks(server: &ServerStatus) -> String {
    if !server.checked {
        return "–".to_owned();
    }
    let mut text = format!("{} {}", count(server.checks), server.check);
    if server.failed_checks > 0 {
        let _ = write!(text, ", {} failed", count(server.failed_checks));
    }
    if !server.last_check.is_empty() {
        let milliseconds = server.last_check_us as f64 / 1000.0;
        let _ = write!(
            text,
            "<small title=\"{0} · {milliseconds:.1} ms\">{0} · {milliseconds:.1} ms</small>",
            Text(&server.last_check)
        );
    }
    text
}

/// `for 12m 30s`, what there is to be said besides, and what the agent says.
fn state_text(server: &ServerStatus) -> String {
    let span = span(server.since);
    let mut text = match server.remark() {
        Some(remark) => format!("{} · {span}", Text(&remark)),
        None => format!("for {span}"),
    };
    if !server.agent.is_empty() {
        let _ = write!(text, " · agent: {}", Text(&server.agent));
        if server.agent_heard != server.agent && !server.agent_heard.is_empty() {
            let _ = write!(text, " · {}", Text(&server.agent_heard));
        }
    }
    text
}

fn foot(html: &mut String, pool: &PoolStatus) {
    let sum = |of: fn(&ServerStatus) -> u64| pool.sum(of);
    html.push_str("<tfoot><tr><th>Total<td><td class=\"n\">");
    for cell in [
        count(pool.sessions.into()),
        count(pool.tunnels.into()),
        queue(&pool.queue),
        count(pool.total_sessions),
        size(sum(|server| server.bytes_in)),
        size(sum(|server| server.bytes_out)),
        count(sum(|server| server.responses[1])),
        count(sum(|server| server.responses[3])),
        count(sum(|server| server.responses[4])),
        count(sum(|server| server.connect_errors + server.response_errors)),
        count(sum(|server| server.retries + server.redispatches)),
        count(sum(|server| server.checks)),
    ] {
        let _ = write!(html, "<td class=\"n\">{cell}");
    }
    html.push_str("</tr></tfoot>");
}

fn servers_up(status: &Status) -> (usize, usize) {
    let servers = || status.pools.iter().flat_map(|pool| &pool.servers);
    let up = servers().filter(|server| server.state == ServerState::Up);
    (up.count(), servers().count())
}

fn mark(up: usize, all: usize) -> char {
    if up == all { '●' } else { '▲' }
}

fn pools_text(count: usize) -> String {
    format!("in {count} pool{}", if count == 1 { "" } else { "s" })
}

/// Escaped for HTML text and quoted attributes. Names come from the configuration, not from peers,
/// but they may hold anything.
struct Text<'a>(&'a str);

impl std::fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

const STYLE: &str = "
:root{--paper:#f4f6f8;--card:#fff;--ink:#17212b;--soft:#5d6b79;--line:#e1e6eb;--sea:#0b6e8a;\
--up:#157347;--upbg:#e2f4e9;--down:#b3261e;--downbg:#fbe6e4;--warn:#8a5a00;--warnbg:#fdf0d5}
@media(prefers-color-scheme:dark){:root{--paper:#10161c;--card:#18212a;--ink:#e6edf3;--soft:#93a1af;\
--line:#2a3641;--sea:#5cc3df;--up:#5fd08f;--upbg:#17362a;--down:#ff8f85;--downbg:#43201f;\
--warn:#f0c060;--warnbg:#3d3118}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.45 system-ui,sans-serif}
main{max-width:1880px;margin:0 auto;padding:28px 20px 40px}
header{display:flex;flex-wrap:wrap;align-items:center;gap:2px 18px;margin-bottom:20px}
header p{margin:0;color:var(--soft)}
header .listener{flex-basis:100%}
h1{font-size:26px;letter-spacing:-.02em;margin:0;display:flex;align-items:center;gap:9px}
h1 svg{width:28px;height:28px;color:var(--sea)}
small{font-size:12px;color:var(--soft);font-weight:400}
h1 small{font-size:14px;letter-spacing:0}
code{font:12.5px ui-monospace,monospace;color:var(--soft)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(160px,1fr));gap:12px;margin-bottom:22px}
.tiles div,.pool{background:var(--card);border:1px solid var(--line);border-radius:10px}
.tiles div{padding:13px 16px;display:flex;flex-direction:column}
.tiles h2{font-size:12.5px;font-weight:500;color:var(--soft);margin:0}
.tiles strong{font-size:25px;font-weight:650;letter-spacing:-.02em;font-variant-numeric:tabular-nums}
.tiles span{font-size:12.5px;color:var(--soft)}
.pool{margin-bottom:18px;overflow:hidden}
.pool>h2{font-size:16px;margin:0;padding:13px 16px;display:flex;justify-content:space-between;\
flex-wrap:wrap;gap:4px 14px;align-items:center}
.pool>h2 span{font-size:12.5px;font-weight:500}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;white-space:nowrap}
th,td{padding:5px 9px;line-height:16px;text-align:left;border-top:1px solid var(--line);font-weight:400}
th:first-child,td:first-child{padding-left:16px}
th:last-child,td:last-child{padding-right:16px}
thead th{font-size:12px;color:var(--soft);padding-top:6px;padding-bottom:6px}
tbody th b{display:block;font-weight:600}
td small,th code{display:block;max-width:190px;overflow:hidden;text-overflow:ellipsis}
td.n small{max-width:150px;margin-left:auto}
.n{text-align:right}
tfoot th,tfoot td{background:color-mix(in srgb,var(--line) 35%,transparent);font-weight:600}
b.up,b.down,b.drain,b.soft-drain,b.ejected,b.maintenance{display:inline-block;font-size:12px;line-height:14px;font-weight:600;\
padding:0 9px;border-radius:99px;background:var(--warnbg);color:var(--warn)}
b.up{background:var(--upbg);color:var(--up)}
b.down{background:var(--downbg);color:var(--down)}
span.up{color:var(--up)}
span.down{color:var(--down)}
tr.down{box-shadow:inset 3px 0 var(--down)}
tr.drain,tr.soft-drain,tr.ejected,tr.maintenance{box-shadow:inset 3px 0 var(--warn)}
.notice{background:var(--warnbg);color:var(--warn);border-radius:10px;padding:11px 16px;margin:0 0 20px}
footer{color:var(--soft);font-size:13px}
a{color:var(--sea)}
";

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn status() -> Status {
        let server = |name: &str, state: &str| {
            format!(
                r#"{{"name":"{name}","address":"127.0.0.1:3000","state":"{state}","checked":true,
                "reason":"connection refused","since_ms":0,"since":75,"weight":1,"share":100,"sessions":12,
                "tunnels":9,"max_connections":50,
                "queue":{{"waiting":3,"max":8,"longest":7,"timeouts":1100,"refused":0}},"total_sessions":1200,"bytes_in":2048,"bytes_out":4096,"requests":7000,
                "responses":[1,2,3,4,5],"connect_errors":1,"response_errors":2,"retries":3,
                "redispatches":4,"checks":10,"failed_checks":2,"downs":1}}"#
            )
        };
        let json = format!(
            r#"{{"version":"9.8.7","pid":1,"launcher":1,"started_ms":0,"uptime":75,"driver":"epoll",
            "workers":2,"draining":false,"connections":5,"max_connections":100,"tunnels":3,
            "reloads":0,"refused_reload":"line 7","listeners":[{{"name":"in","addresses":["[::]:80"],"connections":5,
            "total_connections":77}}],
            "pools":[{{"name":"<app>","active":1,"sessions":24,"tunnels":18,"total_sessions":2400,
            "servers":[{},{}]}}]}}"#,
            server("one", "up"),
            server("two", "down")
        );
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn the_page_says_what_the_status_says() {
        let html = page(&status(), 7, true, "/stats.json");
        for wanted in [
            "content=\"7\"",
            "1 of 2 up",
            "&lt;app&gt;",
            "connection refused · 1m 15s",
            "14,000",
            "12<small>of 50</small>",
            "3<small>most 7, 1,100 timed out</small>",
            "4.0 KiB",
            "9.8.7",
            "href=\"/stats.json\"",
            "Last reload refused",
        ] {
            assert!(html.contains(wanted), "{wanted} is missing");
        }
        assert!(!html.contains("<app>"));
    }

    #[test]
    fn every_state_has_its_words() {
        for (name, share, honours, wanted) in [
            ("up", 100, true, ">up</b><small title=\"for 1m 15s\""),
            (
                "up",
                6,
                true,
                ">up</b><small title=\"slow start, 6 % · 1m 15s\"",
            ),
            (
                "drain",
                100,
                true,
                ">drain</b><small title=\"by the operator · 1m 15s\"",
            ),
            (
                "drain",
                100,
                false,
                ">drain</b><small title=\"cookies are not honoured any more · 1m 15s\"",
            ),
            (
                "soft-drain",
                100,
                true,
                ">soft-drain</b><small title=\"connection refused · 1m 15s\"",
            ),
            (
                "down",
                100,
                true,
                ">down</b><small title=\"connection refused · 1m 15s\"",
            ),
            (
                "maintenance",
                100,
                true,
                ">maintenance</b><small title=\"by the operator · 1m 15s\"",
            ),
        ] {
            let mut status = status();
            let server = &mut status.pools[0].servers[0];
            server.state = serde_json::from_value(name.into()).unwrap();
            server.operator = name.to_owned();
            (server.share, server.honours_cookies) = (share, honours);
            let html = page(&status, 7, true, "/stats.json");
            assert!(html.contains(wanted), "{wanted} is missing");
        }
    }

    #[test]
    fn strangers_learn_no_version() {
        let html = page(&status(), 7, false, "/stats.json");
        assert!(!html.contains("9.8.7") && !html.contains("epoll") && !html.contains("line 7"));
    }
}
