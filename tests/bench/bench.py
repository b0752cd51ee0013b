#!/usr/bin/env python3
"""Measures Portreeve with everything on against peers and targets, in one run:
TLS on both sides, interception, policy, redaction, detection, the decision
durable before a call is forwarded, a file sink. Prints a table and writes
build/bench.json: [{name, value, unit, baseline, ratio}].

  bench.py [--only A,B] [--seconds 4]

Fails only when something could not be measured, never because it is slow.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import time

import rig

rows, table, broken = [], [], []
found = {}


def put(name, value, unit, baseline=None, base_value=None):
    """One result; baseline names the target or the subject it is put against."""
    ratio = round(value / base_value, 4) if base_value else None
    rows.append({"name": name, "value": round(value, 3), "unit": unit,
                 "baseline": baseline, "ratio": ratio})
    found[name] = value


def target(name, value, unit, limit, most=True):
    put(name, value, unit, f"target {'<=' if most else '>='} {limit:g} {unit}",
        limit)
    met = value <= limit if most else value >= limit
    table.append((name, f"{value:,.1f} {unit}",
                  f"{'<=' if most else '>='} {limit:g}",
                  "met" if met else "MISSED"))


def tell(name, value, unit, against=""):
    table.append((name, f"{value:,.1f} {unit}", against, ""))


def say(text):
    print(text, flush=True)


def sound(r, what):
    if r["failed"] or r["refused"] or not r["done"]:
        raise rig.Broken(f"{what}: {r['failed']} failed, {r['refused']} "
                         f"refused, {r['done']} done: {r['error']}")
    return r


def measure(subject, what, *args, **kw):
    return sound(rig.measure(subject, *args, **kw), f"{subject.name} {what}")


# --- scenarios -------------------------------------------------------------------

def idle(b):
    with_subject(b, rig.Portreeve, lambda x: (
        time.sleep(1),
        target("idle, PSS of all daemons", rig.pss(x.pids()), "MB", 100)))


def calls(b):
    """Kept-alive 1 KB JSON-RPC POST on 32 connections, each subject."""
    direct = None
    for kind in (rig.Subject, rig.Haproxy, rig.Squid, rig.Portreeve):
        r = with_subject(b, kind, lambda x: measure(
            x, "calls", "-b", b.scene.dir / "body", "-c", "32", "-w", "1.5",
            "-d", b.seconds))
        if r is None:
            continue
        n = f"calls, {kind.name}"
        direct = direct or r["rate"]
        put(f"{n}, rate", r["rate"], "req/s", "direct", direct)
        put(f"{n}, p50", r["p50_us"], "us")
        put(f"{n}, p99", r["p99_us"], "us")
        say(f"  {kind.name:10} {r['rate']:8,.0f} req/s  p50 "
            f"{r['p50_us']:7,.0f} us  p99 {r['p99_us']:7,.0f} us  CPU "
            f"{r['cpu_us']:6.1f} us/req  PSS {r['subject_mb']:5.1f} MB")
        if kind is rig.Subject:
            continue
        put(f"{n}, PSS", r["subject_mb"], "MB")
        if kind is not rig.Portreeve:
            put(f"{n}, CPU", r["cpu_us"], "us/req")
            tell(f"{n}, CPU", r["cpu_us"], "us/req")
            continue
        for role, us in sorted(r["roles"].items(), key=lambda x: -x[1]):
            put(f"{n}, CPU of {role}", us, "us/req")
            if us >= 0.05:
                tell(f"{n}, CPU of {role}", us, "us/req")
        target(f"{n}, CPU of all roles", r["cpu_us"], "us/req", 60)
        for peer in ("squid", "haproxy"):
            p = found.get(f"calls, {peer}, CPU")
            if p:
                put(f"{n}, CPU against {peer}", r["cpu_us"], "us/req", peer, p)


def h2(b):
    """1 KB POSTs over HTTP/2 on both sides, 1 and 200 streams."""
    for streams, c, m in ((1, 1, 1), (200, 2, 100)):
        for kind in (rig.HaproxyH2, rig.Portreeve):
            r = with_subject(b, kind, lambda x: rig.measure_h2(
                x, c, m, b.seconds), origin=rig.origin_h2)
            if r is None:
                continue
            n = f"HTTP/2, {streams} streams, {kind.name}"
            put(f"{n}, rate", r["rate"], "req/s")
            put(f"{n}, mean", r["mean_us"], "us")
            base = found.get(f"HTTP/2, {streams} streams, haproxy, CPU")
            put(f"{n}, CPU", r["cpu_us"], "us/req", "haproxy" if base else
                None, base)
            for what, unit in (("rate", "req/s"), ("mean", "us"),
                               ("CPU", "us/req")):
                tell(f"{n}, {what}", found[f"{n}, {what}"], unit)
            for role, us in sorted(r["roles"].items(), key=lambda x: -x[1]):
                if kind is rig.Portreeve:
                    put(f"{n}, CPU of {role}", us, "us/req")


def latency(b):
    """One connection; one commit of one row, measured right after."""
    far = with_subject(b, rig.Subject, lambda x: measure(
        x, "latency", "-b", b.scene.dir / "body", "-c", "1", "-d", b.seconds,
        cpu_of_load=rig.SUBJECT_CPU))
    if far is None:
        return
    put("latency, direct across cores, p50", far["p50_us"], "us")
    put("latency, direct across cores, p99", far["p99_us"], "us")
    commit = ledger_single(b)
    for kind in (rig.Haproxy, rig.Squid, rig.Portreeve):
        r = with_subject(b, kind, lambda x: measure(
            x, "latency", "-b", b.scene.dir / "body", "-c", "1", "-d",
            b.seconds))
        if r is None:
            continue
        for q in ("p50", "p99"):
            added = r[f"{q}_us"] - far[f"{q}_us"]
            n = f"latency added, {kind.name}, {q}"
            if kind is rig.Portreeve and q == "p50":
                put("latency, one commit of one row, p50", commit, "us")
                tell("latency, one commit of one row, p50", commit, "us")
                target(n, added, "us", round(160 + commit, 1))
            else:
                put(n, added, "us")
                tell(n, added, "us")


def stdio(b):
    """A local server on stdio, bare and through portreeve stdio."""
    cwd = b.scene.dir / "stdio"
    cwd.mkdir()
    bare = rig.round_trips(rig.STDIO_ECHO, float(b.seconds), cwd)
    through = with_subject(b, rig.Portreeve, lambda x: rig.round_trips(
        [rig.BIN / "portreeve", "stdio", "--socket", x.stdio, "stdio", "--",
         *rig.STDIO_ECHO], float(b.seconds), cwd,
        {"PORTREEVE_TOKEN": x.token("coder")}))
    if through is None:
        return
    commit = ledger_single(b)
    put("stdio, one commit of one row, p50", commit, "us")
    for q, at in (("p50", 0.5), ("p99", 0.99)):
        was, now = (v[int(len(v) * at)] for v in (bare, through))
        put(f"stdio, bare server, {q}", was, "us")
        put(f"stdio, portreeve, {q}", now, "us", "bare server", was)
        put(f"stdio, added, {q}", now - was, "us")
        tell(f"stdio, added, {q}", now - was, "us", f"{commit:.0f} commit"
             if q == "p50" else "")


def ledger_run(b):
    if b.ledger is None:
        d = b.scene.dir / "ledger"
        d.mkdir()
        b.ledger = run_json("ledger_speed", d)
    return b.ledger


def ledger_single(b):
    return ledger_run(b)["single"]["p50_us"]


def ledger(b):
    r = ledger_run(b)
    put("ledger, commits of one row", r["single"]["rows_s"], "rows/s")
    put("ledger, commit of one row, p50", r["single"]["p50_us"], "us")
    put("ledger, commit of one row, p99", r["single"]["p99_us"], "us")
    tell("ledger, commits of one row", r["single"]["rows_s"], "rows/s")
    put("ledger, groups of 100", r["groups"]["rows_s"], "rows/s")
    tell("ledger, groups of 100", r["groups"]["rows_s"], "rows/s")
    put("ledger, group of 100, p99", r["groups"]["p99_us"], "us")


def redaction(b):
    r = run_json("redact_speed", rig.ROOT / "rules")
    put("redaction, clean 100 KB", r["100k"]["redact_mb_s"], "MB/s")
    tell("redaction, clean 100 KB", r["100k"]["redact_mb_s"], "MB/s")
    for part in ("index", "redact", "inspect"):
        put(f"redaction, clean 1 KB, {part}", r["1k"][f"{part}_us"], "us")
        tell(f"redaction, clean 1 KB, {part}", r["1k"][f"{part}_us"], "us")


def connections(b):
    """A new tunnel, handshake and request each time."""
    args = ("-b", b.scene.dir / "small", "-c", "16", "-n")
    for kind in (rig.Haproxy, rig.Squid, rig.Portreeve):
        r = with_subject(b, kind, lambda x: measure(
            x, "cached leaf", *args, "-d", b.seconds))
        if r is not None:
            connection_result(kind, "cached leaf", r, 900)
        if kind is rig.Haproxy:     # has one certificate
            continue
        r = with_subject(b, kind, lambda x: measure(
            x, "fresh leaf", *args, "-u", rig.NAMES, "-d", "20"))
        if r is not None:
            connection_result(kind, "fresh leaf", r, 600)


def connection_result(kind, what, r, limit):
    n = f"new connections, {what}, {kind.name}"
    if kind is rig.Portreeve:
        target(n, r["rate"], "conn/s", limit, most=False)
    else:
        put(n, r["rate"], "conn/s")
        tell(n, r["rate"], "conn/s")
    put(f"{n}, CPU", r["cpu_us"], "us/conn")
    tell(f"{n}, CPU", r["cpu_us"], "us/conn")


STREAMS = 1000
MANY = 10000
MANY_PERIOD_MS = 2000
MANY_SECONDS = 15       # a proxy gives memory back every 10 s


def proxy_pss(x):
    return rig.pss(x.proxy_pids() if isinstance(x, rig.Portreeve) else
                   x.pids())


def open_streams(x, n, seconds, *args):
    """(what the load found, MB before, descriptors of each process)"""
    before = proxy_pss(x)
    fds = []

    def memory(x):
        fds.extend(rig.descriptors(x.proxy_pids() if isinstance(
            x, rig.Portreeve) else x.pids()))
        return proxy_pss(x)
    r = rig.measure(x, "-S", "-p", "/sse", "-c", n, "-d", seconds, *args,
                    memory=memory)
    sound(r, f"{x.name}, {n} streams")
    if r["opened"] < n:
        raise rig.Broken(f"{x.name}: {r['opened']} streams of {n} opened: "
                         f"{r['error']}")
    return r, before, fds


def stream_result(kind, n, r, before):
    name = f"{n:,} streams, {kind.name}"
    for q in ("p50", "p99"):
        put(f"{name}, event delay {q}", r[f"delay_{q}_us"] / 1000, "ms")
        tell(f"{name}, event delay {q}", r[f"delay_{q}_us"] / 1000, "ms")
    if kind is rig.Subject:
        return
    each = (r["subject_mb"] - before) * 1024 / n
    if issubclass(kind, rig.Portreeve):
        target(f"{name}, memory of one", each, "kB", 55)
    else:
        put(f"{name}, memory of one", each, "kB")
        tell(f"{name}, memory of one", each, "kB")
    put(f"{name}, memory of all", r["subject_mb"], "MB")


class PortreeveTwo(rig.Portreeve):
    proxies = 2
    more_conf = f"limits: {{ streams: {MANY} }}\n"


def streams(b):
    """Open event streams: 1,000 with an event a second each; 10,000 over two
    proxies (two HAProxies) with an event every two seconds."""
    for kind in (rig.Subject, rig.Haproxy, rig.Portreeve):
        got = with_subject(b, kind, lambda x: open_streams(
            x, STREAMS, b.seconds, "-w", "8"))
        if got is not None:
            stream_result(kind, STREAMS, *got[:2])
    need = MANY + 200       # of the load and the origin: one a stream
    if rig.many_descriptors() < need:
        raise rig.Broken(f"{MANY:,} streams need {need} descriptors a "
                         f"process (ulimit -Hn)")
    for kind in (rig.Subject, rig.HaproxyTwo, PortreeveTwo):
        got = with_subject(b, kind, lambda x: open_streams(
            x, MANY, MANY_SECONDS, "-w", "120", "-g", "100"),
            period_ms=MANY_PERIOD_MS)
        if got is None:
            continue
        r, before, fds = got
        stream_result(kind, MANY, r, before)
        if kind is not rig.Subject:
            say(f"  {kind.name}: descriptors of each process: "
                f"{', '.join(map(str, fds))}")


def kill(b):
    """1,000 open MCP streams of 10 events a second; the kill switch."""
    near = b.scene.origin(priority=20)

    class Neighboured(rig.Portreeve):
        neighbour_port = near.port
        # A thousand handshakes at once must not refuse a stream.
        more_conf = "limits: { advice_time: 5s }\n"

    def one(x):
        # The neighbour and its origin go before the load, which stands for a
        # thousand clients on machines of their own; so does this program,
        # which takes the command's time.
        other = rig.Load(x, "-b", b.scene.dir / "small", "-t", "-w", "7", "-d",
                         "5", port=near.port, via=x.agent("neighbour"),
                         priority=20)
        load = rig.Load(x, "-S", "-k", "-b", b.scene.dir / "small", "-p",
                        "/sse", "-c", STREAMS, "-w", "8", "-d", "10")
        load.wait("begin")
        time.sleep(0.5)
        rig.prefer(os.getpid(), 30)
        out = x.run("kill", "connector/bench", "--reason", "bench").stdout
        began, ended = x.began_ns, time.monotonic_ns()
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        load.wait("end")
        r = load.result()
        for word in ("begin", "end"):
            other.wait(word)
        return r, other.result(), began, ended, out
    try:
        got = with_subject(b, Neighboured, one, period_ms=100)
    finally:
        rig.stop(near)
    if got is not None:
        kill_result(*got)


def p99(v):
    return sorted(v)[len(v) * 99 // 100]


def kill_result(r, other, began, ended, out):
    if r["opened"] < STREAMS or not all(r["closed_ns"]):
        raise rig.Broken(f"kill: {r['opened']} streams opened, "
                         f"{sum(1 for c in r['closed_ns'] if c)} closed: "
                         f"{r['error']}")
    if any(0 < t < began for t in r["own_ns"]) or other["refused"]:
        raise rig.Broken("kill: calls were refused that should run: "
                         f"{other['error']}")
    n = f"kill of {STREAMS:,} streams"
    say("  " + " / ".join(out.split("\n")[:3]))
    late = [max(0, t - began) / 1e6 for t in r["last_ns"]]
    told = [(t - began) / 1e6 for t in r["own_ns"] if t]
    last = max(r["closed_ns"])
    target(f"{n}, the connector's last byte p99", p99(late), "ms", 5)
    target(f"{n}, the connector's last byte, worst", max(late), "ms", 20)
    for name, us in zip(("took effect", "stored"),
                        (float(w.split()[0]) for w in
                         re.findall(r"(?:took effect|stored) +(.*) ms", out))):
        target(f"{n}, {name}", us, "ms", 10)
    target(f"{n}, command", (ended - began) / 1e6, "ms", 50)
    put(f"{n}, told by a refusal", len(told), "streams")
    tell(f"{n}, told by a refusal", len(told), "streams")
    if told:
        put(f"{n}, refusal p99", p99(told), "ms")
        tell(f"{n}, refusal p99", p99(told), "ms")
    target(f"{n}, all closed", (last - began) / 1e6, "ms", 100)
    pairs = list(zip(other["trace_ns"][::2], other["trace_ns"][1::2]))
    before = [took / 1e6 for t, took in pairs if t + took < began]
    during = [took / 1e6 for t, took in pairs
              if t + took >= began and t < last + 100_000_000]
    put(f"{n}, neighbour's call before, p99", p99(before), "ms")
    tell(f"{n}, neighbour's call before, p99", p99(before), "ms")
    put(f"{n}, neighbour's call before, worst", max(before), "ms")
    tell(f"{n}, neighbour's call before, worst", max(before), "ms")
    put(f"{n}, neighbour's call meanwhile, worst", max(during), "ms")
    tell(f"{n}, neighbour's call meanwhile, worst", max(during), "ms")


MATRIX_SECONDS = "2"
CELLS = [(size, conns) for size in ("1 KB", "100 KB") for conns in (1, 200)]


def matrix_h1(x, size, conns):
    path, body = (("/size/900", "body") if size == "1 KB" else
                  (f"/size/{rig.BIG}", "small"))
    return measure(x, f"h1, {size}", "-b", x.scene.dir / body, "-p", path,
                   "-c", conns, "-w", "1", "-d", MATRIX_SECONDS)


def matrix_h2(x, size, conns):
    path, body = (("/", "body") if size == "1 KB" else
                  (f"/size/{rig.BIG}", "small"))
    return rig.measure_h2(x, conns, 1, MATRIX_SECONDS, path, body)


def matrix(b):
    """HTTP/1.1 and HTTP/2 on both sides, calls with answers of 1 KB and of
    100 KB, 1 and 200 connections."""
    say("  Over HTTP/2 all go through the same relay of this program, also "
        "direct: rates and times are its too, CPU time is the subject's.\n"
        "  squid: HTTP/1.1 only; it speaks no HTTP/2 inside ssl-bump.")
    for proto, cell, origin, kinds in (
            ("h1", matrix_h1, None, (rig.Subject, rig.Haproxy, rig.Squid,
                                     rig.Portreeve)),
            ("h2", matrix_h2, rig.origin_h2, (rig.Subject, rig.HaproxyH2,
                                              rig.Portreeve))):
        for kind in kinds:
            with_subject(b, kind, lambda x: [matrix_cell(
                x, proto, cell, *c) for c in CELLS], origin=origin)


def matrix_cell(x, proto, cell, size, conns):
    n = f"matrix, {proto}, {size}, {conns} connections"
    try:
        r = cell(x, size, conns)
    except rig.Broken as e:
        note(f"{n}, {x.name}: {e}")
        return
    first = x.name == rig.Subject.name
    put(f"{n}, {x.name}, rate", r["rate"], "req/s", None if first else
        "direct", None if first else found.get(f"{n}, direct, rate"))
    for q in ("p50", "p99"):
        put(f"{n}, {x.name}, {q}", r[f"{q}_us"], "us", None if first else
            "direct", None if first else found.get(f"{n}, direct, {q}"))
    if not first:
        base = found.get(f"{n}, haproxy, CPU")
        put(f"{n}, {x.name}, CPU", r["cpu_us"], "us/req",
            "haproxy" if base else None, base)
    say(f"  {proto} {size:>6} {conns:3} {x.name:10} {r['rate']:8,.0f} req/s  "
        f"p50 {r['p50_us']:8,.0f} us  p99 {r['p99_us']:8,.0f} us" +
        ("" if first else f"  CPU {r['cpu_us']:7.1f} us/req"))


def bulk(b):
    """Answers of 100 KB, read whole, redacted, inspected."""
    direct = None
    for kind in (rig.Subject, rig.Haproxy, rig.Squid, rig.Portreeve):
        r = with_subject(b, kind, lambda x: measure(
            x, "100 KB", "-b", b.scene.dir / "small", "-p", "/size/100000",
            "-c", "16", "-d", b.seconds))
        if r is None:
            continue
        mb = r["bytes"] / r["seconds"] / 1e6
        direct = direct or mb
        put(f"100 KB answers, {kind.name}", mb, "MB/s", "direct", direct)
        tell(f"100 KB answers, {kind.name}", mb, "MB/s")


SCENARIOS = {f.__name__: f for f in (
    idle, ledger, redaction, calls, matrix, h2, latency, connections, streams, kill,
    bulk, stdio)}


# --- running ------------------------------------------------------------------------

def run_json(program, *args):
    log = b_log(program)
    p = rig.start([rig.OUT / program, *args], rig.SUBJECT_CPU, log,
                  stdout=subprocess.PIPE, text=True)
    out = p.stdout.read()
    rig.running.remove(p)
    if p.wait() != 0:
        raise rig.Broken(f"{program}: {log.read_text().strip()}")
    return json.loads(out)


def b_log(program):
    return rig.OUT / f"{program}.log"


def with_subject(b, kind, fn, period_ms=1000, origin=None):
    """fn of a running subject; None, and noted, when it could not be had."""
    behind = subject = None
    try:
        behind = origin(b.scene) if origin else b.scene.origin(period_ms)
        subject = kind(b.scene, behind)
        return fn(subject)
    except (rig.Broken, OSError, ValueError) as e:
        note(f"{kind.name}: {e}")
        return None
    finally:
        if subject is not None:
            subject.end()
        rig.stop(behind)


def note(why):
    broken.append(why)
    say(f"  COULD NOT MEASURE {why}")


def print_table():
    say("")
    w = max(len(t[0]) for t in table) if table else 0
    for name, value, limit, verdict in table:
        say(f"{name:{w}}  {value:>18}  {limit:>10}  {verdict}".rstrip())
    missed = [t[0] for t in table if t[3] == "MISSED"]
    say("")
    say(f"{sum(1 for t in table if t[3] == 'met')} targets met, "
        f"{len(missed)} missed" + (": " + "; ".join(missed) if missed else ""))


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--only", default=",".join(SCENARIOS))
    ap.add_argument("--seconds", default="4")
    b = ap.parse_args()
    b.ledger = None
    began = time.monotonic()
    rig.build()
    b.scene = rig.Scene()
    say("Subjects run on CPU 0, load and origin on CPU 1; CPU time per request"
        " is the fair column." if rig.PINNED else
        "One CPU only: nothing is pinned, rates are of all together.")
    busy = os.getloadavg()[0]
    if busy > 1:
        say(f"Other work runs here (load {busy:.1f}): times will be long.")
    for name in b.only.split(","):
        say(f"{name}: {(SCENARIOS[name].__doc__ or '').strip() or name}")
        try:
            SCENARIOS[name](b)
        except (rig.Broken, OSError, ValueError) as e:
            note(f"{name}: {e}")
    print_table()
    rig.OUT.parent.mkdir(exist_ok=True)
    (rig.OUT.parent / "bench.json").write_text(json.dumps(rows, indent=1))
    say(f"build/bench.json has {len(rows)} results "
        f"({time.monotonic() - began:.0f} s).")
    for why in broken:
        say(f"could not measure {why}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
