"""The screen in a browser: textual-serve on the loopback address, with a secret in the address.

For each page that is opened textual-serve starts a `procession top` of its own and carries its screen through a
WebSocket. What it lacks is here: everything lies below a folder whose name is the secret (also the WebSocket, so no
other site's page can open it), and every other address answers 403; the page loads nothing from elsewhere (that of
textual-serve wants a font from a public server) and says so to the browser in a Content-Security-Policy.

The secret is made anew for each run, and is on no command line, where others could see it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import secrets
import shlex
import signal
import socket
import sys
from collections.abc import Awaitable, Callable

from aiohttp import web
from textual_serve.server import Server

__all__ = ["serve"]

HOST = "127.0.0.1"
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}
PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>procession top</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="static/css/xterm.css">
<style>
@font-face {{ font-family: "Roboto Mono"; src: url("static/fonts/RobotoMono-VariableFont_wght.ttf"); }}
html, body {{ height: 100%; margin: 0; background: #0e1419; color: #d6deeb; font: 16px "Roboto Mono", monospace; }}
.textual-terminal {{ height: 100vh; }}
#ended {{ display: none; position: fixed; inset: 0; background: #0e1419; text-align: center; padding-top: 30vh; }}
body.-closed #ended {{ display: block; }}
#ended a {{ color: #5fafd7; }}
</style>
<script src="static/js/textual.js"></script>
<script src="focus.js"></script>
</head>
<body>
<div id="ended"><p>This view was left.</p><p><a href=".">Open it again</a></p></div>
<div id="terminal" class="textual-terminal" data-session-websocket-url="{socket}" data-font-size="16"></div>
</body>
</html>
"""

# Keys go to the terminal from the start, not only when it was clicked.
FOCUS = """\
const waiting = setInterval(() => {
    const keys = document.querySelector(".xterm-helper-textarea");
    if (keys) { keys.focus(); clearInterval(waiting); }
}, 50);
"""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site(Server):
    """textual-serve's server with its page and addresses below a secret folder."""

    def __init__(self, command: str, port: int) -> None:
        super().__init__(command, HOST, port, "procession top")
        self.secret: str = secrets.token_urlsafe(16)
        self.address: str = f"http://{HOST}:{port}/{self.secret}/"

    async def application(self) -> web.Application:
        """Our own around theirs."""
        inner = await self._make_app()
        inner.on_startup.clear()  # prints a banner
        inner.router.add_get("/focus.js", self.handle_focus)
        outer = web.Application(middlewares=[self._guard])
        outer.add_subapp(f"/{self.secret}", inner)
        return outer

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Whoever does not know the secret learns nothing, not even what there is."""
        folder = request.path.split("/")[1]
        if not hmac.compare_digest(folder.encode(), self.secret.encode()):
            return web.Response(status=403, text="403: this address lacks the secret that `procession top` printed.\n")
        if request.path == f"/{self.secret}":
            raise web.HTTPFound(self.address)
        response = await handler(request)
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    async def handle_focus(self, request: web.Request) -> web.Response:
        """The page's script."""
        return web.Response(text=FOCUS, content_type="text/javascript")

    async def handle_index(self, request: web.Request) -> web.Response:
        """The page."""
        socket_address = self.address.replace("http:", "ws:", 1) + "ws"
        return web.Response(text=PAGE.format(socket=socket_address), content_type="text/html")


def serve(pid: int | None, interval_s: float, port: int) -> int:
    """Serve until interrupted; prints the address. Gives the exit code.

    Raises: OSError when the port is taken.
    """
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except OSError as error:
        listening.close()
        raise OSError(error.errno, f"port {port} of {HOST} cannot be had: {error.strerror}") from error
    command = [sys.executable, "-m", "procession", "top", "--interval", str(interval_s)]
    site = Site(shlex.join(command + ([str(pid)] if pid is not None else [])), listening.getsockname()[1])
    logging.getLogger("textual-serve").setLevel(logging.WARNING)
    asyncio.run(_run(site, listening))
    return 0


async def _run(site: Site, listening: socket.socket) -> None:
    runner = web.AppRunner(await site.application(), access_log=None)
    await runner.setup()
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    try:
        await web.SockSite(runner, listening, shutdown_timeout=1.0).start()
        print(f"Open this address in a browser on this machine:\n\n    {site.address}\n", flush=True)
        print("It has a secret in it: who has it can watch and end these processes. Ctrl-C stops serving.", flush=True)
        await stopped.wait()
    finally:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(runner.cleanup(), 5)
