"""How the demo talks: a line a stage, commands as they were typed, questions
with a default, and what came out of each stage.
"""
import os
import select
import shlex
import sys
import traceback

from world import Wrong

ANSWER_SECONDS = 10
LOG_LINES = 80


class Stop(Exception):
    """SIGTERM, or the terminal is gone."""


def check(ok, why):
    if not ok:
        raise Wrong(why)


class Teller:
    def __init__(self, world, auto):
        self.w, self.auto = world, auto
        self.results = []           # (stage, None or why it failed)
        self.finished = False
        self.colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ

    def say(self, title, *lines):
        bold, off = ("\033[1m", "\033[0m") if self.colour and title else \
            ("", "")
        for i, line in enumerate(lines):
            line = line.replace("\n", "\n" + " " * 10)
            print(f"{bold}{title if i == 0 else '':<9}{off} {line}")
        sys.stdout.flush()

    def show(self, text):
        """What a command printed, as it printed it."""
        for line in text.rstrip().splitlines():
            print(f"{'':<9} | {line}")
        sys.stdout.flush()

    def command(self, *args, ok=(0,)):
        print(f"{'':<9} $ portreeve {shlex.join(args)}")
        code, out, err = self.w.run(*args, ok=ok)
        self.show(out + err)
        return code, out

    def stage(self, name, fn):
        """True when it came out right; failures do not end the demo."""
        try:
            fn()
            self.results.append((name, None))
            return True
        except (KeyboardInterrupt, Stop):
            raise
        except Exception as e:      # whatever it was: the stage failed
            why = str(e) or type(e).__name__
            if not isinstance(e, Wrong):
                why = f"{type(e).__name__}: {why}"
                traceback.print_exc(file=sys.stdout)
            self.results.append((name, why))
            self.say("FAILED", f"{name}: {why}", "the daemons' log:")
            self.show("\n".join(self.w.log().splitlines()[-LOG_LINES:]))
            return False

    def ask(self, question, default):
        """What is typed; default after a while, or when nothing is."""
        print(f"{'':<9} {question} ({default} in {ANSWER_SECONDS} s) ",
              end="", flush=True)
        ready, _, _ = select.select([sys.stdin], [], [], ANSWER_SECONDS)
        if not ready:
            print()
        return (sys.stdin.readline().strip() if ready else "") or default

    def good(self):
        return self.finished and all(why is None for _, why in self.results)
