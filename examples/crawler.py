"""A crawler that loses no page, though one of its workers is killed.

    python examples/crawler.py --workers 4

It shows: work that makes more work, in a JoinableQueue, whose `join` returns when nothing is left and nobody is at
anything; addresses that all share and ask under a lock; a semaphore that keeps the number of requests at a time polite.

An address is put into the queue first and noted after: killed in between, it is fetched once too often, and not never.
It is done with (`task_done`) when all found there is in the queue. If its worker dies before, it comes again, to one of
the others or to the one that begins the dead one's task anew (`retries=`).
"""

import argparse
import contextlib
import os
import re
import signal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urljoin
from urllib.request import urlopen

import procession
from procession.errors import ShutDown

PAGES, POLITE, DEADLY = 60, 2, "/17"  # of our own site; requests at a time; who reads this page first is killed


class Site(BaseHTTPRequestHandler):
    """Page n links to the first, to 2n and to 2n + 1."""

    def do_GET(self):
        n = int(self.path.strip("/"))
        self.send_response(200 if n <= PAGES else 404)
        self.end_headers()
        self.wfile.write(f'<title>Page {n}</title><a href="/1"><a href="/{2 * n}"><a href="/{2 * n + 1}">'.encode())


def serve(address):
    Site.log_message = lambda *args: None  # type: ignore[method-assign]
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        address.put(f"http://127.0.0.1:{server.server_port}/1")
        server.serve_forever()


def crawl(found, pages, lock, polite):
    with contextlib.suppress(ShutDown):
        while url := found.get():
            try:
                with polite, urlopen(url, timeout=10) as answer:
                    text = answer.read().decode(errors="replace")
                title = "".join(re.findall("<title>(.*?)</title>", text))
            except Exception as error:
                text, title = "", f"failed: {error}"
            if url.endswith(DEADLY) and procession.parent_process() and found.delivery_count == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            with lock:
                for link in {urljoin(url, href) for href in re.findall('href="(.*?)"', text)}.difference(pages.keys()):
                    found.put(link)
                    pages.setdefault(link, "")  # unless somebody has read it by now
            pages[url] = title
            found.task_done()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--engine", help="fork, spawn, forkserver, thread (where nobody can be killed)")
    args = parser.parse_args()
    context = procession.get_context(args.engine)
    found, address = context.JoinableQueue(), context.Queue()
    context.Process(target=serve, args=(address,), daemon=True).start()
    found.put(start := address.get())
    with context.Manager() as manager, context.Pool(args.workers, retries=1) as pool:
        pages = manager.dict({start: ""})
        crawls = pool.starmap_async(crawl, [(found, pages, context.Lock(), context.Semaphore(POLITE))] * args.workers)
        found.join()
        found.shutdown()
        crawls.get()
        print(sum(title.startswith("Page") for title in pages.values()), "pages of", len(pages), "addresses")
