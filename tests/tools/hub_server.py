"""A stand-in for the Hugging Face hub that speaks its protocol and breaks it.

    python3 hub_server.py MODEL.gguf [CERTIFICATE.pem]

Two servers on 127.0.0.1, A the hub and B where it redirects to; with a
certificate (and key) a third one, C, which speaks TLS and is the hub too.
Prints their ports on one line and runs until its standard input ends.

The repository's name says how it behaves: hf:t/NAME, the NAME below, whose file
is NAME.gguf.  GET /stats/NAME of A tells what was asked of it: requests for the
list and the file, bytes of the body sent, the parts asked for, and the tokens
seen by A and B.  GET /open/NAME lets go what is held.
"""

import hashlib
import http.server
import json
import ssl
import sys
import threading
import time

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MODEL = open(sys.argv[1], "rb").read()
HALF = len(MODEL) // 2
states, lock = {}, threading.Lock()


class State:
    def __init__(self):
        self.lists = self.gets = self.bytes = 0
        self.parts, self.tokens, self.conditions = [], {"A": [], "B": []}, 0
        self.opened = threading.Event()


def state_of(name):
    with lock:
        return states.setdefault(name, State())


def content(name):
    if name == "wronghash":
        return MODEL[:-1] + bytes([MODEL[-1] ^ 1])
    if name == "text":
        return b"this is no model" * 1000
    return MODEL


def listing(name):
    body = content(name) if name != "wronghash" else MODEL
    sha256 = hashlib.sha256(body).hexdigest()
    model = {"rfilename": name + ".gguf", "size": len(body)}
    if name not in ("linked", "nohash", "unknown"):
        model["lfs"] = {"sha256": sha256, "size": len(body), "pointerSize": 130}
    if name == "unknown":
        del model["size"]
    if name == "sizeless":
        del model["size"], model["lfs"]["size"]
    if name == "space":
        model["lfs"]["size"] = 1 << 60
    answer = {
        "id": "t/" + name,
        "sha": COMMIT,
        "gated": False,
        "cardData": {"license": "mit"},
        "siblings": [{"rfilename": "README.md", "size": 10}, model],
    }
    if name == "gemma":
        answer["gguf"] = {"architecture": "gemma3"}
    if name == "nolicense":
        del answer["cardData"]
        answer["gguf"] = {"architecture": "gpt2"}
    if name == "evil":
        answer["siblings"] = [
            {"rfilename": path, "size": 1, "lfs": {"sha256": sha256, "size": 1}}
            for path in (
                "../../evil.gguf", "/etc/evil.gguf", "a/../../evil.gguf", "a\\evil.gguf",
                "a\n.gguf", "./evil.gguf", "", "a//evil.gguf", "x" * 600 + ".gguf", 7, None,
            )
        ] + [3, None, []]
    if name == "nofiles":
        del answer["siblings"]
    if name == "nocommit":
        answer["sha"] = "../../x"
    text = json.dumps(answer)
    if name == "badjson":
        text = "<html>please log in</html>"
    if name == "cutjson":
        text = text[: len(text) // 2]
    if name == "deepjson":
        text = "[" * 100000
    if name == "hugejson":
        text = '{"sha":"' + "0" * (17 << 20)
    return text.encode()


REFUSALS = {  # of the list: status, X-Error-Code
    "missing": (401, "RepoNotFound"),
    "norevision": (404, "RevisionNotFound"),
    "gated": (403, "GatedRepo"),
    "badtoken": (401, ""),
    "forbidden": (403, ""),
    "absent": (404, ""),
    "odd": (418, ""),
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    who = "A"

    def log_message(self, *arguments):
        pass

    def say(self, status, headers=(), body=b"", length=None):
        self.send_response_only(status)
        for key, value in headers:
            self.send_header(key, value)
        if length != -1:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        else:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        try:
            self.answer()
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            self.close_connection = True

    def answer(self):
        path = self.path.split("?")[0]
        if path.startswith("http://"):  # as a proxy is asked
            path = "/" + path.split("/", 3)[3]
        parts = path.strip("/").split("/")
        if parts[0] == "stats":
            return self.stats(state_of(parts[1]))
        if parts[0] == "open":
            state_of(parts[1]).opened.set()
            return self.say(200)
        if parts[0] == "sms":
            return self.sms(parts[1])
        name = parts[3] if parts[0] == "api" else parts[1]
        state = state_of(name)
        token = self.headers.get("Authorization")
        if token:
            state.tokens[self.who].append(token)
        if parts[0] == "api":
            state.lists += 1
            return self.list(name, state)
        state.gets += 1
        state.parts.append(self.headers.get("Range", ""))
        state.conditions += "If-Range" in self.headers
        return self.file(name, state)

    def stats(self, state):
        text = "lists %d gets %d bytes %d parts %s conditions %d A %s B %s" % (
            state.lists, state.gets, state.bytes, ",".join(state.parts), state.conditions,
            "|".join(sorted(set(state.tokens["A"]))), "|".join(sorted(set(state.tokens["B"]))))
        self.say(200, body=text.encode())

    def list(self, name, state):
        if name in REFUSALS:
            status, code = REFUSALS[name]
            return self.say(status, [("X-Error-Code", code)] if code else [], b"{}" * 100)
        if name == "longrefusal":
            self.say(404, length=-1)
            return self.endless()
        if name == "moved" and "/api/models/t/" in self.path and state.lists == 1:
            return self.say(307, [("Location", "/api/models/u/moved/revision/main?blobs=true")])
        if name == "listbusy" and state.lists < 3:
            return self.say(500 + state.lists)
        if name == "userinfo":
            return self.say(302, [("Location", "http://me:secret@127.0.0.1/x")])
        if name == "ftp":
            return self.say(302, [("Location", "ftp://127.0.0.1/x")])
        if name == "nowhere":
            return self.say(302)
        if name == "part":
            return self.say(206, [("Content-Range", "bytes 5-9/10")], b"12345")
        if name == "headers":
            self.send_response_only(200)
            for i in range(5000):
                self.send_header("X-%d" % i, "y" * 100)
            return self.end_headers()
        return self.say(200, [("Content-Type", "application/json")], listing(name))

    def endless(self):
        for _ in range(2000):
            self.wfile.write(b"x" * 65536)

    def cut(self, state, start, size, total=None):
        """The announced part, broken off."""
        body = MODEL[start : start + size]
        state.bytes += len(body)
        headers = [("ETag", '"tag"')]
        if start:
            headers.append(("Content-Range", "bytes %d-%d/%d" % (start, len(MODEL) - 1, len(MODEL))))
        self.say(206 if start else 200, headers, body, len(MODEL) - start)
        self.wfile.flush()
        self.close_connection = True

    def whole(self, name, state, ranged=True):
        body, status, headers = content(name), 200, [("ETag", '"tag"'), ("Accept-Ranges", "bytes")]
        asked = self.headers.get("Range", "")
        if ranged and asked:
            start = int(asked[len("bytes=") : -1])
            headers.append(("Content-Range", "bytes %d-%d/%d" % (start, len(body) - 1, len(body))))
            body, status = body[start:], 206
        state.bytes += len(body)
        self.say(status, headers, body)

    def file(self, name, state):
        start = int(self.headers.get("Range", "bytes=0-")[len("bytes=") : -1])
        first = state.gets == 1
        if name in ("redirect", "cdnerror") and self.who != "B":
            where = "http://localhost:%d/t/%s/x?Signature=hidden" % (servers["B"].server_port, name)
            return self.say(302, [("Location", where), ("X-Linked-Size", str(len(MODEL)))], b"moved")
        if name == "cdnerror":
            return self.say(403)
        if name == "circle":
            return self.say(302, [("Location", self.path)])
        if name == "linked":
            tag = hashlib.sha256(MODEL).hexdigest()
            if not self.path.endswith("?2"):
                return self.say(302, [("Location", self.path + "?2"), ("X-Linked-Etag", '"%s"' % tag)])
        if name == "unknown":
            tag = hashlib.sha256(MODEL).hexdigest()
            state.bytes += len(MODEL)
            return self.say(200, [("X-Linked-Etag", 'W/"%s"' % tag)], MODEL, -1)
        if name in ("cut", "killed", "ignored", "wrongpart", "unwanted", "damaged", "sizeless") and first:
            return self.cut(state, 0, HALF)
        if name == "crumbs":
            return self.cut(state, start, 1000)
        if name == "ignored":
            return self.whole(name, state, ranged=False)
        if name == "wrongpart" and state.gets == 2:
            return self.say(206, [("Content-Range", "bytes 1-9/10")], b"123456789")
        if name == "unwanted" and state.gets == 2:
            return self.say(416, [("Content-Range", "bytes */10")])
        if name == "short":
            return self.say(200, body=MODEL[:HALF])
        if name == "early":
            state.bytes += HALF
            return self.say(200, body=MODEL[:HALF], length=-1)
        if name == "endless":
            self.say(200, length=-1)
            return self.endless()
        if name in ("busy", "busydate", "busylong") and (first or name == "busylong"):
            after = {"busy": "1", "busydate": "Wed, 21 Oct 2015 07:28:00 GMT", "busylong": "3600"}
            return self.say(429, [("Retry-After", after[name])])
        if name == "broken" and state.gets < 3:
            return self.say(502)
        if name == "down":
            return self.say(503)
        if name == "slow":
            self.cut(state, start, 10)
            time.sleep(30)
            return None
        if name == "hang":  # no answer at all
            time.sleep(30)
            return None
        if name == "held" and first:
            state.bytes += HALF
            self.say(200, [("ETag", '"tag"')], MODEL[:HALF], len(MODEL))
            self.wfile.flush()
            state.opened.wait(60)
            self.wfile.write(MODEL[HALF:])
            return None
        if name == "gone":
            return self.say(404, [("X-Error-Code", "EntryNotFound")])
        return self.whole(name, state)

    def sms(self, name):
        body = open(sys.argv[1] + "." + name, "rb").read()
        asked = self.headers.get("Range", "")
        if not asked:
            return self.say(200, body=body)
        start = int(asked[len("bytes=") : -1])
        part = "bytes %d-%d/%d" % (start, len(body) - 1, len(body))
        return self.say(206, [("Content-Range", part)], body[start:])


class Other(Handler):
    who = "B"


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, address):
        pass


servers = {"A": Server(("127.0.0.1", 0), Handler), "B": Server(("127.0.0.1", 0), Other)}
if len(sys.argv) > 2:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2])
    servers["C"] = Server(("127.0.0.1", 0), Handler)
    servers["C"].socket = context.wrap_socket(servers["C"].socket, server_side=True)
for server in servers.values():
    threading.Thread(target=server.serve_forever, daemon=True).start()
print(*[server.server_port for server in servers.values()], flush=True)
sys.stdin.read()
