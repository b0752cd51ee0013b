#!/usr/bin/env python3
"""Runs every test and ends with one line: N passed, N failed.

  run.py [--build release|asan|both] [--only SUBSTRING] [--list]

What it runs: unit tests (cmocka, TAP), lints, every fuzz corpus replayed, the
demo, end-to-end programs (each prints `PASS name` and `FAIL name: why`). A
test that fails shows its whole output. End-to-end programs find the binaries
through the environment: PORTREEVE_BIN (folder), PORTREEVE_BUILD.
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
os.chdir(ROOT)

passed, failed = [], []
TELLING = threading.Lock()


def note(name, ok, output="", why=""):
    (passed if ok else failed).append(name)
    if not ok:
        print(f"FAIL {name}: {why}")
        print("\n".join("    " + l for l in output.splitlines()[-400:]))
        sys.stdout.flush()


def run(cmd, env=None, timeout=900):
    e = dict(os.environ)
    e.update(env or {})
    started = time.monotonic()
    try:
        p = subprocess.run(cmd, env=e, timeout=timeout, text=True,
                           errors="replace", stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        out, code = p.stdout, p.returncode
    except subprocess.TimeoutExpired as x:
        out = (x.stdout or b"").decode(errors="replace") \
            if isinstance(x.stdout, bytes) else (x.stdout or "")
        code = -1
        out += f"\n(no end within {timeout} s)"
    return code, out, time.monotonic() - started


SAN = {"ASAN_OPTIONS": "abort_on_error=0:detect_leaks=1:allocator_may_return_null=1",
       "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1"}


def units(build):
    for src in sorted(ROOT.glob("tests/unit/test_*.c")):
        name = f"unit/{build}/{src.stem}"
        exe = ROOT / "build" / build / "unit" / src.stem
        code, out, secs = run([str(exe)], {"CMOCKA_MESSAGE_OUTPUT": "TAP", **SAN})
        oks = len(re.findall(r"^ok \d+", out, re.M))
        bad = re.findall(r"^not ok \d+ - (\S+)", out, re.M)
        for i in range(oks):
            passed.append(f"{name}#{i}")
        for b in bad:
            note(f"{name}:{b}", False, out, "assertion")
        if code != 0 and not bad:
            note(name, False, out, f"exit {code}")
        if oks == 0 and not bad:
            note(name, False, out, "no test ran")
        print(f"{'ok  ' if code == 0 else 'FAIL'} {name} ({oks} tests, {secs:.1f} s)",
              flush=True)


def lints():
    for src in sorted(ROOT.glob("tests/lint/*.py")):
        code, out, _ = run([sys.executable, str(src)])
        note(f"lint/{src.stem}", code == 0, out, f"exit {code}")
        print(f"{'ok  ' if code == 0 else 'FAIL'} lint/{src.stem}", flush=True)


def replays(build):
    for src in sorted(ROOT.glob("tests/fuzz/fuzz_*.c")):
        corpus = ROOT / "tests/fuzz/corpus" / src.stem
        if not corpus.is_dir():
            corpus = ROOT / "tests/fuzz/corpus" / src.stem.removeprefix("fuzz_")
        name = f"corpus/{build}/{src.stem}"
        code, out, _ = run([str(ROOT / "build" / build / "fuzz" / src.stem),
                            str(corpus)], SAN)
        note(name, code == 0, out, f"exit {code}")
        print(f"{'ok  ' if code == 0 else 'FAIL'} {name}: {out.strip().splitlines()[-1] if out.strip() else ''}",
              flush=True)


def e2e(build, src):
    name = f"e2e/{build}/{src.stem}"
    code, out, secs = run([sys.executable, str(src)], {
        "PORTREEVE_BIN": str(ROOT / "build" / build),
        "PORTREEVE_BUILD": build,
        # Leaks are looked for in the unsandboxed unit tests: the leak
        # checker needs ptrace, which no role may call.
        "ASAN_OPTIONS": "abort_on_error=0:detect_leaks=0",
        "UBSAN_OPTIONS": SAN["UBSAN_OPTIONS"]}, timeout=1200)
    oks = re.findall(r"^PASS (.*)$", out, re.M)
    bad = re.findall(r"^FAIL (.*)$", out, re.M)
    said = []
    with TELLING:
        passed.extend(f"{name}:{o}" for o in oks)
        failed.extend(f"{name}:{b}" for b in bad)
        if code != 0 and not bad:
            failed.append(name)
        if code == 0 and not bad and not oks:
            failed.append(f"{name}: no test ran")
        good = code == 0 and not bad and oks
        if not good:
            said = [f"FAIL {name}: exit {code}; {len(bad)} failed"]
            said += ["    " + l for l in out.splitlines()[-300:]]
        said.append(f"{'ok  ' if good else 'FAIL'} {name} ({len(oks)} tests, "
                    f"{secs:.1f} s)")
        print("\n".join(said), flush=True)


def all_e2e(builds, only):
    """One after the other, since they measure time; but those that mostly
    wait, as they say themselves, run beside the others."""
    main, beside = [], []
    for build in builds:
        for src in sorted(ROOT.glob("tests/e2e/test_*.py")):
            head = src.read_text()[:1500]
            if build == "asan" and "release only" in head:
                continue
            if only in f"e2e/{build}/{src.stem}":
                lane = beside if "mostly waits" in head else main
                lane.append((build, src))
    other = threading.Thread(target=lambda: [e2e(*t) for t in beside])
    other.start()
    for t in main:
        e2e(*t)
    other.join()


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--build", default="both", choices=["release", "asan", "both"])
    ap.add_argument("--only", default="")
    ap.add_argument("--skip-units", action="store_true")
    a = ap.parse_args()
    builds = ["release", "asan"] if a.build == "both" else [a.build]
    if not a.only or a.only == "unit":
        lints()
        for b in builds:
            if not a.skip_units:
                units(b)
                replays(b)
    all_e2e(builds, a.only)
    print()
    for f in failed:
        print("failed:", f)
    print(f"{len(passed)} passed, {len(failed)} failed")
    sys.exit(1 if failed or not passed else 0)


main()
