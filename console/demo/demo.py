#!/usr/bin/env python3
"""make demo: the whole of Portreeve on one machine, in under a minute.

  demo.py [--auto] [--bin FOLDER]

Starts the daemons as an ordinary installation would (portreeve serve, SQLite,
loopback), two demo MCP servers, a syslog receiver and a demo agent in a
throw-away folder; shows a stage a paragraph; then waits for Ctrl-C, so that
the last lines can be tried from a second terminal. On a terminal it asks you
to decide held calls. With --auto, or without a terminal, it answers its own
questions, does not wait, and exits 0 exactly when every stage came out right.

Every stage looks at what really arrived: at the MCP server (its log), at the
agent, at the syslog receiver, in the ledger. Each ends in a line `PASS stage`
or `FAIL stage: why`.
"""
import argparse
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from agent import Agent, Stream                                 # noqa: E402
from mcp_server import FAKE_KEY, FAKE_MAIL                      # noqa: E402
from teller import LOG_LINES, Stop, Teller, check               # noqa: E402
from world import ROOT, World, Wrong, until                     # noqa: E402

EVENT_ID = re.compile(r"Event: ([0-9a-f-]{36})")


class Demo(Teller):
    def __init__(self, world, auto):
        super().__init__(world, auto)
        self.token = self.agent = None
        self.edited_call = self.denied_event = None

    def through_proxy(self, connector, token=None):
        return Agent(self.w.url(connector), token or self.token,
                     self.w.proxy(), str(self.w.ca))

    def row(self, event):
        """The row of a decision; a denial is answered while it is written."""
        return until(f"event {event} in the ledger", lambda: [
            e for e in self.w.search(type="call.decision")
            if e["id"] == event])[0]

    # --- stages -----------------------------------------------------------

    def start(self):
        w = self.w
        w.make()
        seconds = w.start()
        who = "user nobody" if os.geteuid() == 0 else "your own user"
        self.token = w.token(w.user, "coder")
        self.agent = self.through_proxy("helpdesk")
        server = self.agent.initialize()["serverInfo"]["name"]
        tools = {t["name"] for t in self.agent.tools()}
        check(server == "helpdesk" and "read_ticket" in tools,
              f"the agent sees server {server} with {tools}")
        until("the broker to know the tools", lambda:
              len(w.json("tool", "ls")["tools"]) == len(tools))
        unknown = w.json("tool", "ls", "--unclassified")["tools"]
        check(unknown == [], f"not classified: {unknown}")
        code, _, err = w.run("tool", "classify", "helpdesk/send_email",
                             "read-only", "--reason", "try", ok=None)
        check(code != 0 and "connectors.d" in err,
              f"a class that a file gives was changed: {code} {err}")
        self.say("started", f"{len(w.note_processes())} processes as {who} in "
                 f"{seconds:.1f} s, in {w.dir}",
                 f"{len(tools)} tools of an MCP server, all with a class in "
                 "connectors.d", *(f"note: {n}" for n in w.notes))

    def allowed(self):
        text, bad = self.agent.call("read_ticket", {"id": "T-1"})
        check(not bad and "printer" in text, f"the agent got: {text}")
        check(self.w.received("helpdesk")[-1:] ==
              [("read_ticket", {"id": "T-1"})], "the server got: "
              f"{self.w.received('helpdesk')[-1:]}")
        row = self.w.search(type="call.decision", tool="read_ticket")[-1]
        check(row["verdict"] == "allow" and row["user"] == self.w.user,
              f"the ledger says {row}")
        self.say("allowed", f"read_ticket (read-only) of {self.w.user}'s agent"
                 f" coder: \"{text}\"", f"decision {row['id']}, by "
                 f"{row.get('policy')}, recorded before it was sent")

    def redacted(self):
        asked = f"Who is {FAKE_MAIL}?"
        self.agent.call("read_ticket", {"id": "T-1", "comment": asked})
        sent = self.w.received("helpdesk")[-1][1].get("comment", "")
        check(FAKE_MAIL not in sent and sent.startswith("Who is [") and
              sent.endswith("]?"), f"the server got: {sent}")
        text, bad = self.agent.call("read_page", {"page": "deploying"})
        check(not bad and FAKE_MAIL not in text and FAKE_KEY not in text and
              text.count("[redacted:") == 2 and text.endswith("run make."),
              f"the agent got: {text}")
        raw = self.w.archive.read_text() + "\n".join(self.w.syslog())
        check(FAKE_KEY not in raw and FAKE_MAIL not in raw,
              "the events themselves hold what was redacted")
        self.say("redacted", f"argument  the agent sent  {asked}",
                 f"          the server got  {sent}",
                 f"result    the server sent ... ask {FAKE_MAIL} ... = "
                 f"{FAKE_KEY} ...", f"          the model got   {text}")

    # --- held -------------------------------------------------------------

    def choose(self, default):
        """approve, edit or deny."""
        while not self.auto:
            word = self.ask("[a]pprove, [e]dit, [d]eny?", default).lower()
            for choice in ("approve", "edit", "deny"):
                if choice.startswith(word):
                    return choice
        return default

    def decide(self, choice, item, edited):
        """Through the operator's command; the arguments as edited."""
        if choice == "deny":
            self.command("approval", "deny", item["id"], "--reason",
                         "not to everybody")
        elif choice == "approve":
            self.command("approval", "approve", item["id"], "--digest",
                         item["digest"][:16], "--reason", "fine")
        while choice == "edit":
            text = json.dumps(edited)
            if not self.auto:
                text = self.ask("new arguments?", text)
            code, _ = self.command("approval", "edit", item["id"],
                                   "--arguments", text, "--reason",
                                   "not to everybody", ok=None)
            check(code == 0 or not self.auto, "the edit was refused")
            if code == 0:
                return json.loads(text)
        return edited

    def held(self, default, subject):
        w, answer = self.w, {}
        asked = {"to": "everybody", "subject": subject}
        edited = {"to": "the printer team", "subject": subject}
        before = len(w.received("helpdesk"))
        # A name of its own, for the answer comes minutes later in real life.
        agent = self.through_proxy("helpdesk")
        agent.initialize()

        def call():
            try:
                answer["text"], answer["bad"] = agent.call("send_email", asked)
            except Exception as e:
                answer["failed"] = e
        t = threading.Thread(target=call, daemon=True)
        t.start()

        def pending():
            check("failed" not in answer, f"{answer.get('failed')}")
            check(t.is_alive(), f"it was not held: {answer}")
            return [a for a in w.json("approval", "ls")["approvals"]
                    if a["state"] == "pending"]
        item = until("the call to be held", pending)[0]
        check(len(w.received("helpdesk")) == before,
              "the server got a held call")
        self.say("held", f"send_email (moderate) {json.dumps(asked)} waits "
                 f"for a person: {item['id']}")
        if not self.auto:
            self.command("approval", "show", item["id"])
        choice = self.choose(default)
        edited = self.decide(choice, item, edited)
        t.join(30)
        check(not t.is_alive(), "the agent got no answer")
        check("failed" not in answer, f"{answer.get('failed')}")
        sent = w.received("helpdesk")[before:]
        text, bad = answer["text"], answer["bad"]
        self.outcome(choice, sent, text, bad, asked, edited)
        self.say("", f"{choice}: the agent got \"{text}\"",
                 f"{choice}: the server got "
                 f"{json.dumps(sent[0][1]) if sent else 'nothing'}")

    def outcome(self, choice, sent, text, bad, asked, edited):
        if choice == "deny":
            check(bad and sent == [] and "not to everybody" in text,
                  f"after deny the server got {sent}, the agent: {text}")
            return
        want = edited if choice == "edit" else asked
        check(sent == [("send_email", want)], f"the server got {sent}")
        check(not bad and "Sent" in text, f"the agent got: {text}")
        rows = self.w.search(type="call.decision", tool="send_email")
        approval = rows[-1].get("approval", {})
        check(rows[-1]["verdict"] == "allow" and approval.get("by"),
              f"the decision names nobody: {rows[-1]}")
        check(bool(approval.get("edited")) == (choice == "edit"),
              f"the decision says {approval}")
        self.edited_call = rows[-1]["call"]
        if choice == "edit":
            check("changed the arguments" in text,
                  f"the agent is not told of the edit: {text}")

    # --- denied, findings -------------------------------------------------

    def denied(self):
        before = self.w.received("helpdesk")
        text, bad = self.agent.call("delete_repo", {"repo": "payroll"})
        event = EVENT_ID.search(text)
        check(bad and event, f"the agent got: {text}")
        check(self.w.received("helpdesk") == before,
              "the server got a denied call")
        row = self.row(event.group(1))
        check(row["verdict"] == "deny" and row["reason"] == "policy" and
              row["tool"] == "delete_repo", f"the ledger says {row}")
        self.denied_event = row
        self.say("denied", f"delete_repo (dangerous): \"{text}\"")

    def finding(self, name, agent, events):
        """The finding of a rule about an agent, as the receiver got it."""
        rule = rule_id(name)

        def arrived():
            for line in self.w.syslog():
                if f'rule="{rule}"' in line and f'agent="{agent}"' in line \
                        and " finding [" in line:
                    return line
        line = until(f"the finding {name} at the syslog receiver", arrived)
        head, _, body = line.partition("] {")
        f = json.loads("{" + body)
        check(f["user"] == self.w.user and f["agent"] == agent and
              f["finding"]["rule"] == rule and f'id="{f["id"]}"' in head,
              f"the finding is {line}")
        check(set(f["finding"]["events"]) <= set(events) and
              f["finding"]["events"], f"it names {f['finding']['events']}, "
              f"not {events}")
        self.say("finding", f"{f['finding']['title']} [{f['severity']}]: "
                 f"rule {name}, user {f['user']}, agent {agent}, "
                 f"{f['finding']['count']} call(s)", head + "]")
        return f

    def repeated_denials(self):
        agent = self.through_proxy("helpdesk", self.w.token(self.w.user,
                                                            "wanderer"))
        before, events = self.w.received("helpdesk"), []
        for _ in range(5):
            text, bad = agent.call("read_ticket", {"id": "T-1"})
            event = EVENT_ID.search(text)
            check(bad and event, f"the agent wanderer got: {text}")
            events.append(event.group(1))
        check(self.w.received("helpdesk") == before,
              "the server got a denied call")
        self.say("denied", f"5 times: \"{text.partition(' Decided')[0]}\"")
        f = self.finding("repeated_denials", "wanderer", events)
        check(set(f["finding"]["events"]) == set(events),
              "it does not name every denial")

    def off_hours(self):
        agent = self.through_proxy("intranet", self.w.token(self.w.user,
                                                            "nightly"))
        agent.initialize()
        text, bad = agent.call("delete_repo", {"repo": "payroll"})
        event = EVENT_ID.search(text)
        check(bad and event, f"the agent nightly got: {text}")
        self.finding("off_hours_high_risk", "nightly", [event.group(1)])

    # --- killed -----------------------------------------------------------

    def killed(self):
        cut = Stream(self.through_proxy("helpdesk"))
        stays = Stream(self.through_proxy("intranet"))
        until("both streams to flow", lambda: (len(cut.times) > 5 and
              len(stays.times) > 5) or cut.ended or stays.ended)
        check(not cut.ended and not stays.ended,
              f"the streams: {cut.ended}, {stays.ended}")
        self.say("killed", "two connectors, each with an open stream, an event"
                 " every 50 ms")
        _, out = self.command("kill", "connector/helpdesk", "--reason",
                              "demo incident")
        done = time.monotonic()
        m = re.search(r"took effect +([\d.]+) ms", out)
        check(m and "1 of 1 proxies acknowledged, 1 streams cut" in out and
              "undo: portreeve revive connector/helpdesk" in out,
              "the command did not say so")
        until("the stream to end", lambda: cut.ended, 5)
        check(cut.ended.startswith("cut"), f"the stream: {cut.ended}")
        check(cut.times[-1] < done and cut.ended_at < done + 1,
              "the stream went on after the command had returned")
        until("the server to see the cut", lambda: any(
            str(e.get("ended", "")).startswith("cut")
            for e in self.w.server_log("helpdesk")), 5)
        had = len(stays.times)
        until("the neighbour's stream to go on",
              lambda: len(stays.times) >= had + 10 or stays.ended, 10)
        check(not stays.ended, f"the neighbour's stream: {stays.ended}")
        gap = max(b - a for a, b in zip(stays.times, stays.times[1:]))
        self.refused_as_killed()
        self.say("", f"cut in {m.group(1)} ms; the neighbour's stream goes on:"
                 f" {len(stays.times)} events, longest pause "
                 f"{gap * 1000:.0f} ms")

    def refused_as_killed(self):
        agent = self.through_proxy("helpdesk")
        before = len(self.w.server_log("helpdesk"))
        try:
            agent.initialize()
        except Exception as e:
            text = str(e)
        else:
            raise Wrong("a killed connector answered")
        check("kill switch" in text and "demo incident" in text,
              f"the refusal says: {text}")
        arrived = [e for e in self.w.server_log("helpdesk")[before:]
                   if "message" in e]
        check(arrived == [], f"the killed server got {arrived}")
        return text

    def survives(self):
        w = self.w
        n = w.kill_all()
        seconds = w.start()
        self.say("", f"kill -9 of all {n} processes; up again in "
                 f"{seconds:.1f} s; still disabled:")
        _, out = self.command("kills")
        check("connector/helpdesk" in out and "demo incident" in out,
              "it is not among the kills")
        self.say("", f"a new call: \"{self.refused_as_killed()}\"")
        self.say("", "undo: portreeve revive connector/helpdesk --reason ...")
        agent = self.through_proxy("intranet")      # the token survived too
        agent.initialize()
        text, bad = agent.call("read_ticket", {"id": "T-1"})
        check(not bad, f"the neighbour says: {text}")
        self.command("revive", "connector/helpdesk", "--reason", "demo over")
        agent = self.through_proxy("helpdesk")
        agent.initialize()
        check(not agent.call("read_ticket", {"id": "T-1"})[1],
              "revived, but it does not answer")

    # --- ledger -----------------------------------------------------------

    def verify(self, *args, ok):
        return self.command("audit", "verify", "--against",
                            str(self.w.archive), *args, ok=ok)[1]

    def ledger(self):
        w = self.w
        check(self.denied_event, "no call was denied before")
        rows = w.json("audit", "show", self.denied_event["call"])["rows"]
        seq = next(r["seq"] for r in rows
                   if r["event"]["id"] == self.denied_event["id"])
        until("a checkpoint in the exported file", lambda: any(
            int(n) >= seq for n in re.findall(
                r'"type":"ledger.checkpoint".*?"size":(\d+)',
                w.archive.read_text())))
        out = self.verify(ok=(0,))
        check("chain intact" in out and "anchored  up to row" in out,
              "it does not say so")
        self.say("ledger", "sound, by the checkpoints the exporter carried "
                 "out; now one bit of a copy is flipped:")
        where, found = self.copy_ledger(self.denied_event["id"])
        check(found == seq, f"row {found} in the copy is row {seq} here")
        sound = w.run("audit", "verify", "--state", str(w.dir / "copy"),
                      "--against", str(w.archive), ok=None)
        check(sound[0] == 0, f"the copy is not sound before: {sound}")
        what = self.flip(where, self.denied_event["id"])
        out = self.verify("--state", str(w.dir / "copy"), ok=(1,))
        check(re.search(rf"BAD: row {seq}\b", out),
              f"it does not name row {seq}")
        self.say("", f"found and named: it was row {seq}, {what}")

    def copy_ledger(self, event):
        """A copy of the ledger and its verifier key: its file, and the
        number of the row of an event in it."""
        w, copy = self.w, self.w.dir / "copy"
        (copy / "ledger").mkdir(parents=True)
        live = w.state / "ledger" / "ledger.db"
        src = sqlite3.connect(f"file:{live}?mode=ro", uri=True)
        dst = sqlite3.connect(str(copy / "ledger" / "ledger.db"))
        src.backup(dst)
        src.close()
        dst.execute("PRAGMA journal_mode=DELETE")
        found = dst.execute("SELECT seq FROM rows WHERE body LIKE ?",
                            (f'{{"id":"{event}"%',)).fetchone()
        dst.close()
        shutil.copy(w.state / "keeper" / "ledger.pub", copy)
        return copy / "ledger" / "ledger.db", found[0]

    def flip(self, db, event):
        """Turns one bit of an event's row, in the file, behind the database's
        back; what that did."""
        data = bytearray(db.read_bytes())
        start = data.find(f'{{"id":"{event}"'.encode())
        word = b'"verdict":"deny"'
        at = data.find(word, start) + len(word) - 2
        check(start >= 0 and 0 < at - start < 2000 and data[at] == ord("y"),
              "the row was not found in the file")
        data[at] ^= 1
        db.write_bytes(data)
        return f"where \"deny\" had become \"den{chr(data[at])}\""

    def show_call(self):
        check(self.edited_call or not self.auto, "no call was approved")
        if self.edited_call is None:
            self.edited_call = self.w.search(type="call.decision",
                                             tool="send_email")[-1]["call"]
        _, out = self.command("audit", "show", self.edited_call)
        for want in (f"Asked by      {self.w.user}, agent coder, session ",
                     "helpdesk.send_email", "Approver", "Parameters", "Result",
                     "approval.decided", "call.outcome"):
            check(want in out, f"it does not say \"{want.strip()}\"")
        if self.auto:
            check("printer team" in out and "edited" in out,
                  "it does not tell of the edit")

    # --- a second terminal ------------------------------------------------

    def lines(self):
        w = self.w
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
                           "params": {"name": "read_page",
                                      "arguments": {"page": "deploying"}}})
        curl = ["curl", "-sS", "-x",
                f"http://agent:{self.token}@{w.proxy()}", "--cacert",
                str(w.ca), "-H", "content-type: application/json", "-d", body,
                w.url("helpdesk")]
        if os.environ.get("no_proxy") or os.environ.get("NO_PROXY"):
            curl[1:1] = ["--noproxy", ""]
        client = {"mcpServers": {"helpdesk": {
            "type": "http", "url": w.mount("helpdesk"),
            "headers": {"Authorization": f"Bearer {self.token}"}}}}
        return shlex.join(curl), json.dumps(client)

    def second_terminal(self):
        curl, client = self.lines()
        p = subprocess.run(["sh", "-c", curl], capture_output=True, text=True,
                           stdin=subprocess.DEVNULL, timeout=30)
        check(p.returncode == 0 and "[redacted:" in p.stdout,
              f"curl ended with {p.returncode}: {p.stderr}{p.stdout}")
        entry = json.loads(client)["mcpServers"]["helpdesk"]
        agent = Agent(entry["url"],
                      entry["headers"]["Authorization"].split()[1])
        agent.initialize()
        text, bad = agent.call("read_page", {"page": "deploying"})
        check(not bad and "[redacted:" in text, f"the mount says: {text}")
        row = self.w.search(type="call.decision", tool="read_page")[-1]
        check(row["transport"] == "mount", f"the ledger says {row}")
        tried = self.commands()
        for line, want in tried:
            self.try_line(line, want)
        self.say("try it", "from a second terminal (all of it was just "
                 "tried):", "")
        print(curl + "\n\n" + client + "\n")
        for line, _ in tried:
            print(line)
        print("portreeve status | approval ls | audit tail -f\n")

    def commands(self):
        """Lines of one shell, and what each must print."""
        trust, ours = "https://trust.portreeve.internal/", \
            "uses the Portreeve proxy and trusts its CA"
        words = shlex.quote
        return [
            (f"export PORTREEVE_CONFIG={words(str(self.w.conf))} "
             f"PATH={words(str(self.w.bin.resolve()))}:$PATH", ""),
            ("portreeve client config helpdesk --client claude-code",
             self.w.mount("helpdesk")),
            (f"portreeve run --agent coder -- curl -sS {trust}", ours),
            (f"PORTREEVE_TOKEN={self.token}; "
             f"eval \"$(portreeve proxy env --for curl --dir "
             f"{words(str(self.w.dir / 'env'))})\"; curl -sS {trust}", ours),
            ("portreeve client trust", "trusts"),
            ("portreeve doctor --no-calls", "0 failed"),
        ]

    def try_line(self, line, want):
        """After the first one, in a shell of its own."""
        first = self.commands()[0][0]
        env = {k: v for k, v in os.environ.items()
               if "proxy" not in k.lower()}
        p = subprocess.run(["sh", "-c", f"{first}\n{line}"], env=env,
                           text=True, capture_output=True,
                           stdin=subprocess.DEVNULL, timeout=30)
        check(p.returncode == 0 and want in p.stdout,
              f"{line}: ended with {p.returncode}: {p.stdout}{p.stderr}")

    # --- all of it --------------------------------------------------------

    def run(self):
        began = time.monotonic()
        if self.stage("started", self.start):
            self.stage("allowed", self.allowed)
            self.stage("redacted", self.redacted)
            for choice, subject in (("approve", "Printer on fire"),
                                    ("edit", "Printer still on fire"),
                                    ("deny", "Free printers")):
                self.stage(f"held, {choice}",
                           lambda: self.held(choice, subject))
            self.stage("denied", self.denied)
            self.stage("finding: repeated denials", self.repeated_denials)
            self.stage("finding: off-hours call", self.off_hours)
            self.stage("killed", self.killed)
            self.stage("killed, after kill -9", self.survives)
            self.stage("ledger", self.ledger)
            self.stage("audit show", self.show_call)
            self.stage("second terminal", self.second_terminal)
        self.finished = True
        print(f"{time.monotonic() - began:.0f} s")
        sys.stdout.flush()


def rule_id(name):
    """The id of a detection rule, from its file."""
    for path in sorted((ROOT / "rules" / "detection").glob("*.yml")):
        for doc in path.read_text().split("\n---"):
            if re.search(rf"^name: {name}$", doc, re.M):
                return re.search(r"^id: (\S+)$", doc, re.M).group(1)
    raise Wrong(f"there is no detection rule {name}")


def wait_for_ctrl_c(demo):
    print("It runs until Ctrl-C.", flush=True)
    while demo.w.serve is not None and demo.w.serve.poll() is None:
        time.sleep(0.5)
    demo.results.append(("running", "portreeve serve ended by itself"))
    demo.show("\n".join(demo.w.log().splitlines()[-LOG_LINES:]))


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--auto", action="store_true",
                    help="answer all questions, do not wait at the end")
    ap.add_argument("--bin", default=os.environ.get(
        "PORTREEVE_BIN", str(ROOT / "build" / "release")))
    a = ap.parse_args()
    auto = a.auto or not (sys.stdin.isatty() and sys.stdout.isatty())

    def on_term(signum, frame):
        raise Stop
    signal.signal(signal.SIGTERM, on_term)
    signal.signal(signal.SIGHUP, on_term)
    world = World(a.bin)
    demo = Demo(world, auto)
    try:
        demo.run()
        if not auto and demo.good():
            wait_for_ctrl_c(demo)
    except (KeyboardInterrupt, Stop):
        print("\nstopping", flush=True)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        log = world.log()
        left = world.stop()
        demo.results.append(("stopped", "; ".join(left) or None))
    if left:
        demo.show("\n".join(log.splitlines()[-LOG_LINES:]))
    demo.say("stopped", "no process and no file is left" if not left else
             "; ".join(left))
    for name, why in demo.results:
        print(f"FAIL {name}: {why}" if why else f"PASS {name}")
    return 0 if demo.good() else 1


if __name__ == "__main__":
    sys.exit(main())
