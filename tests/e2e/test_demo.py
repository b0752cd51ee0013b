#!/usr/bin/env python3
"""The demo, as `make demo` runs it without a terminal: every stage must come
out right. Its own PASS and FAIL lines are the results; a failed stage has
printed the daemons' log. Also as an ordinary user where the tests run as root.
"""
import os
import pathlib
import pwd
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("PORTREEVE_BIN", ROOT / "build/release"))
LIMIT = 60          # seconds that the release build may take
STAGES = 15
PROGRAMS = ("portreeve", "portreeve-setup", "portreeve-audit",
            "portreeve-gateway", "portreeve-monitor", "portreeve-export")


def reachable(path):
    """Can another user walk there? The interpreter of a virtual environment
    may lie in its owner's home."""
    path = pathlib.Path(path).resolve()
    return all(p.stat().st_mode & 0o001 for p in (path, *path.parents))


def python_for_all():
    for exe in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        if os.path.exists(exe) and reachable(exe):
            return exe
    return None


def run(how, tmp, demo, binaries, exe=sys.executable, **who):
    """One run; prints its results under the name `how`."""
    env = {**os.environ, "PORTREEVE_BIN": str(binaries), "TMPDIR": str(tmp)}
    env.pop("PORTREEVE_CONFIG", None)
    try:
        p = subprocess.run([exe, str(demo), "--auto"], env=env,
                           text=True, errors="replace", timeout=300,
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, **who)
        out, code = p.stdout, p.returncode
    except subprocess.TimeoutExpired as e:
        out = (e.stdout or b"").decode(errors="replace")
        code = "none within 300 s"
    results = re.findall(r"^(PASS|FAIL) (.*)$", out, re.M)
    bad = [r for r in results if r[0] == "FAIL"]
    seconds = re.search(r"^(\d+) s$", out, re.M)
    if code != 0 or bad:
        print(re.sub(r"^(PASS|FAIL) ", r"(\1) ", out, flags=re.M))
    for verdict, name in results:
        print(f"{verdict} {how}: {name}")
    if not bad and (code != 0 or len(results) != STAGES):
        print(f"FAIL {how}: exit {code}, {len(results)} of {STAGES} stages")
    if os.environ.get("PORTREEVE_BUILD", "release") == "release" and seconds:
        late = int(seconds.group(1)) > LIMIT
        print(f"FAIL {how}: it took {seconds.group(1)} s" if late else
              f"PASS {how}: took less than {LIMIT} s")
    left = os.listdir(tmp)
    print(f"FAIL {how}: it left {left}" if left else
          f"PASS {how}: left no file")


def main():
    base = tempfile.gettempdir()
    with tempfile.TemporaryDirectory(
            prefix="pr-", dir=base if reachable(base) else "/tmp") as tmp:
        os.chmod(tmp, 0o755)
        mine = pathlib.Path(tmp) / "tmp"
        mine.mkdir(mode=0o755)
        run("as root" if os.geteuid() == 0 else "as an ordinary user", mine,
            ROOT / "console/demo/demo.py", BIN)
        if os.geteuid() != 0:
            return
        # An ordinary user's own copy: ours may lie where others cannot read.
        nobody = pwd.getpwnam("nobody")
        home = pathlib.Path(tmp) / "copy"
        for part in ("console/demo", "rules"):
            shutil.copytree(ROOT / part, home / part,
                            ignore=shutil.ignore_patterns("__pycache__"))
        (home / "bin").mkdir()
        for name in PROGRAMS:
            shutil.copy(BIN / name, home / "bin")
        for p in (home, *home.rglob("*")):
            p.chmod(0o755 if p.is_dir() or p.parent.name == "bin" else 0o644)
        theirs = pathlib.Path(tmp) / "theirs"
        theirs.mkdir()
        os.chown(theirs, nobody.pw_uid, nobody.pw_gid)
        exe = python_for_all()
        if exe is None:
            print("FAIL as an ordinary user: no python3 that others can run")
            return
        run("as an ordinary user", theirs, home / "console/demo/demo.py",
            home / "bin", exe, user=nobody.pw_uid, group=nobody.pw_gid,
            extra_groups=[], cwd=home)


main()
