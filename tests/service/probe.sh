#!/bin/bash
# Runs as a unit in the container of tests/service.rs: installs the service, uses it, and writes one line a step to
# /probe/found: `step: what was seen`. The test compares them. Then the container powers off.

exec 3> /probe/found
say() { echo "$*" >&3; }

# get PATH: the status and the body's first line.
get() {
    exec 4<> /dev/tcp/127.0.0.1/80 || return
    printf 'GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n' "$1" >&4
    local answer
    answer=$(timeout 10 cat <&4 | tr -d '\r')
    exec 4>&-
    echo "$(head -n 1 <<< "$answer" | cut -d ' ' -f 2) $(tail -n 1 <<< "$answer")"
}

# wait_for COMMAND...: until it succeeds, ten seconds at most.
wait_for() {
    local end=$((SECONDS + 10))
    until "$@"; do [ $SECONDS -lt $end ] || return 1; sleep 0.05; done
}

property() { systemctl show --value -p "$1" ringbolt; }
state() { echo "$(property ActiveState) $(property Result) $(property ExecMainStatus)"; }
main() { property MainPID; }
serving() { local main; main=$(main); cut -d ' ' -f 1 < "/proc/$main/task/$main/children"; }
of() { sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status" | cut -f 1; }
restarted() { local now; now=$(serving) && [ -n "$now" ] && [ "$now" != "$1" ]; }
sandbox() { "$ringbolt" status "$@" | grep -i '^sandbox'; }
served() { [ "$(get /)" = "200 the server" ]; }

steps() {
    /probe/source/scripts/install --binary /probe/ringbolt > /probe/install.log 2>&1
    say "install: $?"
    say "user: $(getent passwd ringbolt | cut -d : -f 1,7)"
    cp /probe/source.service /etc/systemd/system/ringbolt.service
    systemctl daemon-reload
    say "complaints about the unit: $(systemd-analyze verify ringbolt.service 2>&1 | grep -c ringbolt)"

    systemctl start ringbolt
    say "start: $? $(state)"
    [ "$(property ActiveState)" = active ] || return
    wait_for served
    say "request: $(get /)"
    ringbolt=/usr/local/bin/ringbolt
    "$ringbolt" status > /probe/status 2>&1
    status=$?
    [ "$(sandbox)" = "$(sandbox --socket /probe/backend.sock)" ]
    say "status: $status, sandbox as without the unit: $?"
    launcher=$(main) serving=$(serving)
    say "launcher: user $(of "$launcher" Uid), no new privileges $(of "$launcher" NoNewPrivs), seccomp $(of "$launcher" Seccomp)"
    say "bounding: $(of "$launcher" CapBnd)"
    say "serving: user $(id -nu "$(of "$serving" Uid)"), capabilities $(of "$serving" CapEff) $(of "$serving" CapPrm) $(of "$serving" CapBnd)"

    # What logrotate's file does.
    mv /var/log/ringbolt/access.log /var/log/ringbolt/access.log.1
    kill -USR1 "$launcher"
    wait_for test -e /var/log/ringbolt/access.log
    get / > /dev/null
    wait_for grep -q 'GET /' /var/log/ringbolt/access.log
    say "log reopened: $?"

    cp /etc/ringbolt/config.toml /probe/config.toml
    printf '\n[[route]]\npath = "/new"\nanswer = { body = "reloaded" }\n' >> /etc/ringbolt/config.toml
    systemctl reload ringbolt
    say "reload: $? $(state)"
    reloaded() { [ "$(get /new)" = "200 reloaded" ]; }
    wait_for reloaded
    say "after reload: $(get /new), same launcher $([ "$(main)" = "$launcher" ]; echo $?)"
    echo 'nonsense = 1' >> /etc/ringbolt/config.toml
    systemctl reload ringbolt 2> /dev/null
    say "bad reload: $? $(state | cut -d ' ' -f 1), $(get /new)"
    cp /probe/config.toml /etc/ringbolt/config.toml

    # The launcher starts another serving process with the privileges that it has kept.
    crashed=$(serving)
    kill -KILL "$crashed"
    wait_for restarted "$crashed"
    wait_for served
    say "after a crash: $(get /), same launcher $([ "$(main)" = "$launcher" ]; echo $?)"

    systemctl stop ringbolt
    say "stop: $? $(state)"
    say "left: $(cat /proc/[0-9]*/cmdline 2> /dev/null | tr '\0' '\n' | grep -c '^/etc/ringbolt/config.toml$')"
    systemctl start ringbolt
    say "second start: $? $(state)"
    wait_for served
    say "second request: $(get /)"
    systemctl stop ringbolt
    say "second stop: $? $(state)"
}

steps
journalctl --no-pager -o cat -u ringbolt -u backend > /probe/journal 2>&1
systemctl --force poweroff
