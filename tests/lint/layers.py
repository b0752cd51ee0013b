#!/usr/bin/env python3
"""layers - a file may include its own folder and strictly lower ranks only.

The ranks are the DIRS0..DIRS7 of the Makefile; the roles and mains directly in
gateway/, monitor/, export/ and console/ are rank 8, a program of its own in a
folder below (console/setup, console/audit) rank 9. Whatever their ranks,
gateway/, monitor/ and export/ never include one another: they share messages
(lib/wire), so that each of them can be another process on another machine.
"""
import pathlib
import re
import sys
import tempfile

TOPS = ("lib", "gateway", "monitor", "export", "console")
DAEMONS = ("gateway", "monitor", "export")
TOP_RANK = 8
PROGRAMS = ("console/setup", "console/audit")
INCLUDE = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]')


def rank_table(root):
    """{folder: rank} from the Makefile and the folders of rank 8."""
    text = (root / "Makefile").read_text().replace("\\\n", " ")
    table = {}
    for rank, dirs in re.findall(r"^DIRS(\d)\s*:?=(.*)$", text, re.M):
        for folder in dirs.split():
            if folder in table:
                raise SystemExit(f"Makefile: {folder} has two ranks")
            table[folder] = int(rank)
    if not table:
        raise SystemExit("Makefile: no DIRS0..DIRS7 found")
    for folder in TOPS[1:]:
        table[folder] = TOP_RANK
    for folder in PROGRAMS:
        table[folder] = TOP_RANK + 1
    return table


def sources(root):
    for top in TOPS:
        for path in sorted((root / top).rglob("*")):
            if path.suffix in (".c", ".h", ".def"):
                yield path


def resolve(root, table, including, name):
    """The included file as the compiler finds it; None: the system's."""
    ordered = sorted(table, key=lambda d: table[d])
    places = [including.parent] + [root / d for d in ordered
                                   if table[d] < TOP_RANK] + [root]
    for place in places:
        path = place / name
        if path.is_file():
            return path.resolve()
    return None


def includes(path):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        found = INCLUDE.match(line)
        if found:
            yield number, found.group(1)


def why_not(table, src, dst):
    """None, or why a file of folder src may not include one of dst."""
    if src == dst:
        return None
    tops = src.split("/")[0], dst.split("/")[0]
    if tops[0] != tops[1] and all(t in DAEMONS for t in tops):
        return f"{tops[0]}/ and {tops[1]}/ share messages (lib/wire) only"
    if dst not in table:
        return f"{dst} has no rank in the Makefile"
    if table[dst] < table[src]:
        return None
    word = "the same" if table[dst] == table[src] else "a higher"
    return (f"{dst} has {word} rank ({src} is {table[src]}, {dst} is "
            f"{table[dst]}); only lower ranks may be included")


def check(root):
    table = rank_table(root)
    bad, files, seen = [], 0, 0
    root = root.resolve()
    for path in sources(root):
        src = path.parent.relative_to(root).as_posix()
        files += 1
        if src not in table:
            bad.append(f"{path.relative_to(root)}: folder {src} has no rank; "
                       "add it to a DIRS line of the Makefile")
            continue
        for number, name in includes(path):
            target = resolve(root, table, path, name)
            if target is None:
                continue
            seen += 1
            dst = target.parent.relative_to(root).as_posix()
            reason = why_not(table, src, dst)
            if reason:
                bad.append(f"{path.relative_to(root)}:{number}: includes "
                           f"{name}: {reason}")
    return bad, files, seen


def self_test():
    """A made tree with one breach of each kind; all must be found."""
    tree = {
        "Makefile": "DIRS0 := lib/base\nDIRS1 := lib/text \\\n\tlib/two\n"
                    "DIRS4 := gateway/a monitor/b\nDIRS5 := gateway/c\n",
        "lib/base/up.c": '#include "text.h"\n',
        "lib/text/text.h": '#include "own.h"\n#include <stdio.h>\n',
        "lib/text/own.h": '#include "base.h"\n',
        "lib/base/base.h": "",
        "lib/two/same.c": '#include "text.h"\n',
        "gateway/c/across.c": '#include "b.h"\n#include "a.h"\n',
        "gateway/a/a.h": "", "monitor/b/b.h": "",
        "console/x.c": '#include "gateway/role.h"\n#include "b.h"\n',
        "gateway/role.h": "",
        "export/lost/x.c": "",
    }
    want = ["export/lost/x.c: ", "gateway/c/across.c:1: ", "lib/base/up.c:1: ",
            "lib/two/same.c:1: ", "console/x.c:1: "]
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, text in tree.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        bad, _, _ = check(root)
    missed = [w for w in want if not any(b.startswith(w) for b in bad)]
    return missed or (["too many: " + "; ".join(bad)]
                      if len(bad) != len(want) else [])


def main():
    wrong = self_test()
    if wrong:
        print("not ok self-test:", wrong)
        return 1
    print("ok self-test: breaches of every kind are found")
    root = pathlib.Path(__file__).resolve().parents[2]
    bad, files, seen = check(root)
    for line in bad:
        print("not ok", line)
    if bad:
        print(f"{len(bad)} breaches of the layers (docs/ARCHITECTURE.md)")
        return 1
    print(f"ok layers: {files} files, {seen} includes of our own")
    return 0


if __name__ == "__main__":
    sys.exit(main())
