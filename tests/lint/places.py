#!/usr/bin/env python3
"""places - no tracked file names a place of the machine it was written on.

Neither folders of a build machine nor the host of a package registry or of a
mirror of one: what is fetched is fetched by the clients the user configured.
Lock files name packages and their digests, not where they came from.
"""
import pathlib
import re
import subprocess
import sys

# Written in pieces, so that this file names none itself.
PLACES = re.compile("|".join((
    r"(?<![\w.])/" + r"work/", r"/tmp/" + r"bash_jobs",
    r"registry\." + r"npmjs\.org", r"registry\." + r"yarnpkg\.com",
    r"files\." + r"pythonhosted\.org", r"\bpypi\." + r"org",
    r"proxy\." + r"golang\.org", r"deb\." + r"debian\.org",
    r"static\." + r"crates\.io", r"archive\." + r"ubuntu\.com")))


def breaches(name, data):
    text = data.decode("utf-8", errors="replace")
    for number, line in enumerate(text.splitlines(), 1):
        found = PLACES.search(line)
        if found:
            yield f"{name}:{number}: names {found.group()}"


def self_test():
    cases = [("see /" + "work/x\n", 1), ("/tmp/" + "bash_jobs.0\n", 1),
             ("https://registry." + "npmjs.org/a\n", 1),
             ("https://pypi." + "org/simple\n", 1),
             ("frame" + "work/x and ./" + "work/x and /" + "workers/\n", 0),
             ("/usr/lib and /tmp/x\n", 0)]
    return [t.strip() for t, n in cases
            if len(list(breaches("x", t.encode()))) != n]


def tracked(root):
    out = subprocess.run(["git", "ls-files", "-z"], cwd=root, check=True,
                         stdout=subprocess.PIPE).stdout
    return [n for n in out.decode().split("\0") if n]


def main():
    wrong = self_test()
    if wrong:
        print("not ok self-test:", "; ".join(wrong))
        return 1
    print("ok self-test: every place is found")
    root = pathlib.Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        print("ok places: no repository here, nothing is tracked")
        return 0
    names = tracked(root)
    bad = []
    for name in names:
        path = root / name
        if path.is_file() and not path.is_symlink():
            bad += breaches(name, path.read_bytes())
    for line in bad:
        print("not ok", line)
    if bad:
        print(f"{len(bad)} places of one machine are named")
        return 1
    print(f"ok places: {len(names)} files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
