"""Private servers for tests and the demo: started in a directory of their own, gone with whoever started them.

`pgtemp` and `redistemp` are the two front ends. A server is held by its keeper, a process that ends it and removes its
directory when it is told to, when the command that it serves ends, or when the process that it watches ends, however
that happens. The server itself dies with its keeper (PR_SET_PDEATHSIG).
"""
import argparse
import ctypes
import os
import pwd
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time

PR_SET_PDEATHSIG = 1
START_SECONDS = 30
libc = ctypes.CDLL(None, use_errno=True)


class Failure(Exception):
    pass


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def die_with_parent(parent, sig):
    """To be called in a child before exec, after any change of user (which would clear it)."""
    libc.prctl(PR_SET_PDEATHSIG, sig, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(125)


def reachable(path, user):
    """Whether user may enter path and each folder above it, by the bits for others, and write in it."""
    if user is None:
        return os.access(path, os.W_OK | os.X_OK)
    at = os.path.realpath(path)
    if not os.stat(at).st_mode & stat.S_IWOTH:
        return False
    while True:
        if not os.stat(at).st_mode & stat.S_IXOTH:
            return False
        if at == "/":
            return True
        at = os.path.dirname(at)


class Server:
    """One private server. Subclasses say how it is prepared, started, asked whether it is up, and described."""
    kind = ""
    account = "nobody"
    stop_signal = signal.SIGTERM
    dead_parent_signal = signal.SIGKILL

    def __init__(self, options):
        self.options = options
        self.process = None
        self.port = 0
        self.user = None  # the account that it runs as, when we are root
        if os.geteuid() == 0:
            for name in (self.account, "nobody"):
                try:
                    self.user = pwd.getpwnam(name)
                    break
                except KeyError:
                    continue
        for place in (os.environ.get("TMPDIR"), "/tmp", "/var/tmp", "/dev/shm"):
            # A socket's path has at most 107 bytes.
            if place and len(place) <= 60 and os.path.isdir(place) and reachable(place, self.user):
                break
        else:
            raise Failure("no temporary directory that the server's user can reach: set TMPDIR to one")
        self.dir = tempfile.mkdtemp(prefix=f"rb-{self.kind}-", dir=place)
        self.log = os.path.join(self.dir, "log")
        os.close(os.open(self.log, os.O_CREAT | os.O_WRONLY, 0o600))
        self.own(self.dir, self.log)

    def own(self, *paths):
        if self.user:
            for path in paths:
                os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def spawn(self, argv, **more):
        parent = os.getpid()

        def prepare():
            os.setsid()  # Ctrl-C is the keeper's to handle
            if self.user:
                os.setgroups([])
                os.setgid(self.user.pw_gid)
                os.setuid(self.user.pw_uid)
            die_with_parent(parent, self.dead_parent_signal)

        env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", "HOME": self.dir}
        with open(self.log, "ab") as log:
            return subprocess.Popen(argv, cwd=self.dir, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                    preexec_fn=prepare, **more)

    def write(self, name, text, mode=0o600):
        path = os.path.join(self.dir, name)
        with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode), "w", encoding="utf-8") as f:
            f.write(text)
        self.own(path)
        return path

    def make_certificates(self):
        """A CA and a server certificate for localhost and 127.0.0.1, good for a day."""
        def run(*argv):
            made = subprocess.run(["openssl", *argv], cwd=self.dir, capture_output=True, text=True)
            if made.returncode != 0:
                raise Failure(f"openssl {argv[0]}: {made.stderr.strip()}")
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
        run("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=runbookd test CA")
        self.write("san", "subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        run("req", "-new", *key[:4], "-nodes", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
        run("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1",
            "-extfile", "san", "-out", "server.crt")
        for name in ("ca.crt", "server.crt", "server.key"):
            path = os.path.join(self.dir, name)
            os.chmod(path, 0o600 if name.endswith("key") else 0o644)
            self.own(path)
        os.unlink(os.path.join(self.dir, "ca.key"))

    def tail(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return "".join(f.readlines()[-20:])

    def start(self):
        self.prepare()
        # Another process may take the port between our look and the server's bind: then the next one is tried.
        for attempt in range(5):
            self.port = free_port()
            self.process = self.spawn(self.argv())
            deadline = time.monotonic() + START_SECONDS
            while self.process.poll() is None:
                if self.is_up():
                    return
                if time.monotonic() > deadline:
                    raise Failure(f"{self.kind} did not answer within {START_SECONDS} s:\n{self.tail()}")
                time.sleep(0.02)
            if "in use" not in self.tail():
                break
        raise Failure(f"{self.kind} did not start (status {self.process.returncode}):\n{self.tail()}")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        # A server's last workers may still write as they end.
        for _ in range(100):
            shutil.rmtree(self.dir, ignore_errors=True)
            if not os.path.exists(self.dir):
                return
            time.sleep(0.05)


def watch(server, parent_fd, child):
    """Waits until the watched process, the command or the server ends, or a signal says to stop. Returns a status."""
    told = []
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end)
    for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(sig, lambda number, frame: told.append(number))
    fds = [read_end, parent_fd, os.pidfd_open(server.process.pid)]
    if child:
        fds.append(os.pidfd_open(child.pid))
    while not told:
        ready = select.select(fds, [], [])[0]
        if child and child.poll() is not None:
            return child.returncode if child.returncode >= 0 else 128 - child.returncode
        if parent_fd in ready:
            told.append(signal.SIGTERM)
        elif server.process.poll() is not None:
            print(f"{server.kind} ended by itself:\n{server.tail()}", file=sys.stderr)
            return 125
    if child and child.poll() is None:
        child.send_signal(told[0])
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    return 128 + told[0]


def signals_to_exit(*_):
    """Until watch() takes over, a signal unwinds, so that a half-started server is ended too."""
    raise SystemExit(143)


def guarded(server, work):
    try:
        server.start()
        return work()
    finally:
        for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(sig, signal.SIG_IGN)
        server.stop()


def run_command(server, command):
    parent, me = os.getppid(), os.getpid()
    parent_fd = os.pidfd_open(parent)
    if os.getppid() != parent:
        return 125

    def work():
        env = dict(os.environ, **server.env())

        def prepare():
            die_with_parent(me, signal.SIGTERM)
        try:
            child = subprocess.Popen(command, env=env, preexec_fn=prepare)
        except OSError as e:
            raise Failure(f"{command[0]}: {e.strerror}") from e
        return watch(server, parent_fd, child)
    return guarded(server, work)


def run_keeper(server, watched_fd, ready):
    """The background process of `start`: says where the server is through ready, then keeps it."""
    def work():
        text = "".join(f"{k}={v}\n" for k, v in server.env().items()) + f"RB_TEMP_DIR={server.dir}\n"
        server.write("env", text, 0o644)
        server.write("keeper", f"{os.getpid()}\n", 0o644)
        os.write(ready, text.encode())
        os.close(ready)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        return watch(server, watched_fd, None)
    return guarded(server, work)


def start_in_background(make_server, watched):
    try:
        watched_fd = os.pidfd_open(watched)
    except OSError as e:
        raise Failure(f"cannot watch process {watched}: {e.strerror}") from e
    read_end, write_end = os.pipe()
    keeper = os.fork()
    if keeper == 0:
        status = 1
        try:
            os.close(read_end)
            os.setsid()
            signal.signal(signal.SIGTERM, signals_to_exit)
            status = run_keeper(make_server(), watched_fd, write_end)
        except Failure as e:
            print(e, file=sys.stderr)
        finally:
            sys.stderr.flush()
            os._exit(status)
    os.close(write_end)
    text = b""
    while True:
        chunk = os.read(read_end, 4096)
        if not chunk:
            break
        text += chunk
    if not text:
        return 1  # the keeper has said why
    sys.stdout.write(text.decode())
    return 0


def stop_in_background(directory):
    try:
        with open(os.path.join(directory, "keeper"), encoding="ascii") as f:
            keeper = int(f.read())
        fd = os.pidfd_open(keeper)
    except (OSError, ValueError):
        if os.path.exists(directory):
            raise Failure(f"{directory} is not the directory of a running server") from None
        return 0
    signal.pidfd_send_signal(fd, signal.SIGTERM)
    if not select.select([fd], [], [], 20)[0] or os.path.exists(directory):
        raise Failure(f"the server in {directory} did not end within 20 s")
    return 0


def main(server_class, summary, add_options):
    parser = argparse.ArgumentParser(
        description=summary, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="three ways:\n"
               "  ... [options] -- COMMAND ...   run COMMAND with the server's address in its environment; exit as it does\n"
               "  ... [options] --watch PID start   start in the background, print the environment as NAME=value lines\n"
               "  ... stop DIR                   end that one (DIR is its RB_TEMP_DIR)\n")
    parser.add_argument("--watch", type=int, metavar="PID", help="start: end when this process ends, e.g. $$")
    parser.add_argument("--tls", action="store_true", help="serve TLS too, with a CA of its own")
    parser.add_argument("--password", default="", help="ask for this password over TCP")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the server")
    add_options(parser)
    argv, command = sys.argv[1:], []
    if "--" in argv:
        at = argv.index("--")
        argv, command = argv[:at], argv[at + 1:]
    else:
        parser.add_argument("what", nargs="+", help="start, or stop DIR")
    options = parser.parse_args(argv)
    for setting in options.set:
        if "=" not in setting:
            parser.error(f"--set {setting}: write NAME=VALUE")
    what = [] if command else options.what
    signal.signal(signal.SIGTERM, signals_to_exit)
    signal.signal(signal.SIGHUP, signals_to_exit)
    try:
        if command:
            sys.exit(run_command(server_class(options), command))
        if what == ["start"]:
            if not options.watch:
                parser.error("start: --watch PID is missing: the process whose end is to end the server, e.g. $$")
            sys.exit(start_in_background(lambda: server_class(options), options.watch))
        if len(what) == 2 and what[0] == "stop":
            sys.exit(stop_in_background(what[1]))
        parser.error("write: start, stop DIR, or -- COMMAND")
    except Failure as e:
        sys.exit(f"{os.path.basename(sys.argv[0])}: {e}")
    except KeyboardInterrupt:
        sys.exit(130)
