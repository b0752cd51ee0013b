"""The official Python SDK's client, driven by JSON lines: a request {n, do,
...} on standard input, {n, event} and at last {n, ok} or {n, error} on
standard output."""
import contextlib
import json
import sys

import anyio
import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

scopes = {}


def say(**o):
    sys.stdout.write(json.dumps(o) + "\n")
    sys.stdout.flush()


class Actions:
    def __init__(self):
        self.stack = contextlib.AsyncExitStack()
        self.client = None

    async def transport(self, url, headers, stdio):
        if stdio:
            return stdio_client(StdioServerParameters(**stdio))
        http = await self.stack.enter_async_context(httpx2.AsyncClient(
            headers=headers, timeout=httpx2.Timeout(30, read=300)))
        return streamable_http_client(url, http_client=http)

    async def connect(self, n, url=None, headers=None, stdio=None):

        async def log(m):
            say(n=0, event="log", text=str(m.data))

        async def other(m):
            if type(m).__name__ == "ToolListChangedNotification" or \
                    type(getattr(m, "root", None)).__name__ == \
                    "ToolListChangedNotification":
                say(n=0, event="changed")
        self.client = await self.stack.enter_async_context(Client(
            await self.transport(url, headers, stdio), cache=None,
            logging_callback=log, message_handler=other))
        return {"server": self.client.server_info.name,
                "version": self.client.protocol_version}

    async def list(self, n):
        return [t.name for t in (await self.client.list_tools()).tools]

    async def call(self, n, name, args, progress=False, timeout=60000):
        async def on_progress(done, total, message):
            say(n=n, event="progress", progress=done, total=total,
                message=message)
        with anyio.CancelScope() as scope:
            scopes[n] = scope
            r = await self.client.call_tool(
                name, args, read_timeout_seconds=timeout / 1000,
                progress_callback=on_progress if progress else None)
            return r.model_dump(mode="json", by_alias=True,
                                exclude_none=True)
        raise RuntimeError("cancelled")

    async def cancel(self, n, of):
        scopes[of].cancel()
        return {}


async def run(actions, r):
    n, what = r.pop("n"), r.pop("do")
    try:
        say(n=n, ok=await getattr(actions, what)(n, **r))
    except Exception as e:
        while isinstance(e, BaseExceptionGroup):
            e = e.exceptions[0]
        err = getattr(e, "error", None)
        data = getattr(err, "data", None)
        say(n=n, error={"code": getattr(err, "code", None), "message": repr(e),
                        "data": data, "cause": repr(e.__cause__)})


async def main():
    actions = Actions()
    lines = anyio.wrap_file(sys.stdin)
    async with anyio.create_task_group() as tg:
        async for line in lines:
            r = json.loads(line)
            if r["do"] == "close":
                break
            if r["do"] == "connect":    # its scope must end where it began
                await run(actions, r)
            else:
                tg.start_soon(run, actions, r)
        # Ends the session.
        await actions.stack.aclose()
        if "n" in r and r["do"] == "close":
            say(n=r["n"], ok={})
        tg.cancel_scope.cancel()

anyio.run(main)
