#!/usr/bin/env python3
"""style - what docs/STYLE.md asks of every file and a machine can see.

Banned calls (with what to use instead), size of files, prefix of functions,
white space. Comments and literals are no code and are not looked at for calls.
"""
import pathlib
import re
import sys

TOPS = ("lib", "gateway", "monitor", "export", "console")
LINES_MAX = 1000
COLUMNS_MAX = 100

CLOCK = ("lib/base/clock.c",)
RNG = ("lib/base/rng.c",)
# call: (what instead, files that may)
BANNED = {
    "strcpy": ("memcpy with a checked length, or buf", ()),
    "strcat": ("buf", ()),
    "stpcpy": ("buf", ()),
    "sprintf": ("snprintf or buf_addf", ()),
    "vsprintf": ("vsnprintf", ()),
    "gets": ("file_read or a bounded read", ()),
    "strtok": ("slice_cut", ()),
    "atoi": ("slice_to_u64, which tells overflow", ()),
    "atol": ("slice_to_u64", ()),
    "atoll": ("slice_to_u64", ()),
    "system": ("no shell: posix_spawn", ()),
    "popen": ("no shell: posix_spawn", ()),
    "rand": ("rng_u64", ()),
    "srand": ("rng_u64", ()),
    "random": ("rng_u64", ()),
    "getrandom": ("rng_bytes", RNG),
    "time": ("clock_wall_ms", CLOCK),
    "gettimeofday": ("clock_wall_ms", CLOCK),
    "clock_gettime": ("clock_mono_ns or clock_wall_ms", CLOCK),
    "assert": ("ASSERT, which stays in production", ()),
    "alloca": ("arena_alloc", ()),
    "pthread_create": ("no threads: a role, or the loop", ()),
}
CALL = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")

# Families of functions whose names are no header's or struct's, by file or
# folder: the broker's files share the verbs of operators (opverbs.def).
FAMILIES = {"lib/base/codec.c": ("hex", "b64", "b64url"),
            "gateway": ("op", "held"), "console": ("cmd",)}
# A row of a table of macros stays one line, however long its text.
TABLE_ROW = re.compile(r"\t[A-Z_]+\(.*\\$")

DEFINITION = re.compile(r"^([a-z_][a-zA-Z0-9_]*)\(")
STRUCT = re.compile(r"^struct ([a-z0-9_]+)(?: \{|;)", re.M)


def blank(text):
    """Comments and literals as spaces; lines stay where they are."""
    pattern = re.compile(
        r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|' r"'(?:\\.|[^'\\\n])*'",
        re.S)
    return pattern.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def check_calls(name, code):
    for number, line in enumerate(code.splitlines(), 1):
        for found in CALL.finditer(line):
            instead, allowed = BANNED[found.group(1)]
            if name not in allowed:
                yield (f"{name}:{number}: {found.group(1)}() is banned; use "
                       f"{instead}")


def check_size(name, text):
    lines = text.count("\n")
    if lines > LINES_MAX:
        yield (f"{name}: {lines} lines; a file of more than {LINES_MAX} is "
               "two modules")


def check_space(name, text):
    if text and not text.endswith("\n"):
        yield f"{name}: no newline at the end"
    for number, line in enumerate(text.split("\n"), 1):
        indent = line[:len(line) - len(line.lstrip(" \t"))]
        if line != line.rstrip():
            yield f"{name}:{number}: white space at the end of the line"
        elif " \t" in indent or " " * 8 in indent:
            yield f"{name}:{number}: indent with tabs of 8, then spaces"
        elif len(line.expandtabs(8)) > COLUMNS_MAX and \
                not TABLE_ROW.match(line):
            yield f"{name}:{number}: longer than {COLUMNS_MAX} columns"


def prefixes(path, headers):
    """Names a function of this file may begin with: the file's, whole, its
    first words or its last; a header's of the folder, or a struct's in it."""
    found = set(FAMILIES.get(path.as_posix(), ()))
    found.update(FAMILIES.get(path.parent.as_posix(), ()))
    for stem in [path.stem] + list(headers):
        words = stem.split("_")
        for n in range(1, len(words) + 1):
            found.update(("_".join(words[:n]), "_".join(words[-n:])))
    for text in headers.values():
        found.update(STRUCT.findall(text))
    return found


def check_prefix(name, code, headers):
    allowed = prefixes(pathlib.PurePosixPath(name), headers)
    lines = code.splitlines()
    for number, line in enumerate(lines[1:], 2):
        found = DEFINITION.match(line)
        before = lines[number - 2]
        if not found or not re.match(r"[a-z]", before) or \
                before.startswith("static") or before.rstrip()[-1:] in ";,":
            continue
        function = found.group(1)
        # A name that begins with "__" is a hook a run time looks for.
        if function == "main" or function.startswith("__") or any(
                function == p or function.startswith(p + "_")
                for p in allowed):
            continue
        yield (f"{name}:{number}: {function}() does not begin with its "
               f"module's name ({pathlib.PurePosixPath(name).stem}_)")


def headers_of(folder):
    return {h.stem: blank(h.read_text()) for h in sorted(folder.glob("*.h"))}


def check_file(name, text, headers):
    code = blank(text)
    bad = list(check_calls(name, code)) + list(check_size(name, text)) + \
        list(check_space(name, text))
    if name.endswith(".c"):
        bad += check_prefix(name, code, headers)
    return bad


def self_test():
    """Each rule must find its breach and leave its look-alikes alone."""
    head = {"foo": "struct bar {\n};\n"}
    cases = [
        ("\tstrcpy(a, b);\n", 1), ("\t/* strcpy(a) */\n", 0),
        ('\tx("strcpy(a)");\n', 0), ("\tmy_strcpy(a);\n", 0),
        ("\tx = time(NULL);\n", 1), ("\tx->time(NULL);\n", 0),
        ("\tASSERT(x); _Static_assert(1, 1);\n", 0), ("\tassert(x);\n", 1),
        ("x\n" * 1001, 1), ("\tx; \n", 1), ("        x;\n", 1),
        (" \tx;\n", 1), ("\t    x;\n", 0), ("x;", 1), ("x" * 101 + "\n", 1),
        ("\tE(" + "x" * 101 + ")\\\n", 0),
        ("int\nother_do(void)\n{\n}\n", 1), ("int\nfoo_do(void)\n{\n}\n", 0),
        ("int\nbar_do(void)\n{\n}\n", 0),
        ("static int\nother_do(void)\n{\n}\n", 0),
    ]
    wrong = [repr(text[:40]) for text, want in cases
             if len(check_file("lib/x/foo.c", text, head)) != want]
    return wrong


def main():
    wrong = self_test()
    if wrong:
        print("not ok self-test:", "; ".join(wrong))
        return 1
    print("ok self-test: every rule finds its breach")
    root = pathlib.Path(__file__).resolve().parents[2]
    bad, files = [], 0
    for top in TOPS:
        for path in sorted((root / top).rglob("*.[ch]")):
            name = path.relative_to(root).as_posix()
            files += 1
            bad += check_file(name, path.read_text(),
                              headers_of(path.parent))
    for line in bad:
        print("not ok", line)
    if bad:
        print(f"{len(bad)} breaches of docs/STYLE.md")
        return 1
    print(f"ok style: {files} files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
