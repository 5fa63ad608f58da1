"""What only a terminal or a signal shows: the progress bar, colour, Ctrl-C.

    python3 tests/cli/terminal.py build/taxon

Prints "ok NAME", "FAIL NAME: why" or "skipped NAME: why" for each test.
Needs the tiny model of tests/golden for most of them.
"""
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unicodedata

TAXON = os.path.abspath(sys.argv[1])
REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODEL = os.path.join(REPO, "tests", "golden", "tiny_llama.gguf")
LIMIT = 60  # seconds for one run

# Started in the background of a script, this program has inherited "ignore", and so would taxon.
signal.signal(signal.SIGINT, signal.default_int_handler)


def environment(**more):
    kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TERM")}
    return {**kept, "TERM": "xterm", "TAXON_HOME": os.path.join(os.getcwd(), "home"), **more}


def on_terminal(arguments, keys=(), columns=100, **more):
    """Runs taxon with all three descriptors on a terminal.  keys: (text to wait
    for, bytes to type) pairs.  The output and the exit status."""
    process, terminal = pty.fork()
    if process == 0:
        os.execve(TAXON, ["taxon", *arguments], environment(**more))
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    output, keys, end = b"", list(keys), time.time() + LIMIT
    while time.time() < end:
        if keys and keys[0][0] in output:
            os.write(terminal, keys.pop(0)[1])
        if not select.select([terminal], [], [], 0.05)[0]:
            continue
        try:
            data = os.read(terminal, 65536)
        except OSError:  # the other end is closed
            break
        if not data:
            break
        output += data
    else:
        os.kill(process, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    os.close(terminal)
    return output.decode("utf-8", "replace"), status


def train(*more):
    return ["train", "--no-cache", "--model", MODEL, "--data", "train.csv", "--out", "t.taxon", *more]


def want(true, what):
    if not true:
        raise AssertionError(what)


def test_bar_on_a_terminal():
    output, status = on_terminal(train())
    want(status == 0, f"status {status}: {output[-300:]!r}")
    want("\r\x1b[K" in output, "no bar was drawn")
    last_draw, rest = output.rsplit("\r\x1b[K", 1)
    want("this classifier" in rest and "%  [" not in rest, "the bar was not wiped")


def test_no_bar_when_quiet():
    output, status = on_terminal(train("--quiet"))
    want(status == 0, f"status {status}")
    want("\x1b[K" not in output, "a bar was drawn")


def test_no_bar_on_a_dumb_terminal():
    output, _ = on_terminal(train(), TERM="dumb")
    want("\x1b" not in output, "escape codes were sent")


def test_bar_fits_a_narrow_terminal():
    output, _ = on_terminal(train(), columns=40)
    draws = [draw.split("\r")[0].split("\n")[0] for draw in output.split("\r\x1b[K")[1:-1]]
    plain = [re.sub(r"\x1b\[[0-9;]*[a-zA-Z]", "", draw) for draw in draws]
    want(all(len(draw) < 40 or not draw for draw in plain if "..." in draw), f"too wide: {plain}")


def width(line):
    plain = re.sub(r"\x1b\[[0-9;]*[a-zA-Z]", "", line)
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in plain)


def test_long_labels_fit_the_terminal():
    with open("train.csv", encoding="utf-8") as table, \
            open("long.csv", "w", encoding="utf-8") as long:
        long.write(table.read().replace(",yes", "," + "아주 긴 이름 " * 9).replace(
            ",no", ",another label with a long name that goes on and on"))
    made = subprocess.run([TAXON, "train", "--model", MODEL, "--data", "long.csv", "--out",
                           "long.taxon", "--quiet"], env=environment(), capture_output=True,
                          timeout=LIMIT)
    want(made.returncode == 0, made.stderr.decode())
    for arguments in (["eval", "long.taxon", "--data", "long.csv", "--quiet"],
                      ["predict", "long.taxon", "good nice"]):
        output, status = on_terminal(arguments, columns=60)
        want(status == 0, f"status {status}: {output}")
        lines = [line for line in output.splitlines() if "아주" in line or "another" in line]
        want(any("..." in line for line in lines), f"not cut: {output}")
        want(all(width(line) <= 60 for line in lines), f"too wide: {lines}")
    piped = subprocess.run([TAXON, *arguments], env=environment(), capture_output=True)
    want(b"..." not in piped.stdout, "cut where there is no terminal")


def test_colour_and_its_absence():
    output, _ = on_terminal(["show", MODEL])
    want("\x1b[" not in output, "show has nothing to colour")
    output, _ = on_terminal(["predict", "my.taxon", "good nice"])
    want("\x1b[1m" in output, "no bold label")
    output, _ = on_terminal(["predict", "my.taxon", "good nice"], NO_COLOR="1")
    want("\x1b[" not in output, "colour in spite of NO_COLOR")
    output, _ = on_terminal(["predict", "my.taxon", "good nice"], NO_COLOR="")
    want("\x1b[1m" in output, "an empty NO_COLOR means colour")


def test_answers_at_once():
    output, status = on_terminal(
        ["predict", "my.taxon", "-"],
        keys=[(b"", b"good nice\n"), (b" %", b"poor bad\n"), (b" %\r\n" , b"\x04")],
    )
    want(status == 0, f"status {status}")
    want(output.count(" %") == 2, f"not an answer for each line: {output!r}")


def test_a_slow_pipe_is_answered_at_once():
    process = subprocess.Popen([TAXON, "predict", "my.taxon", "-"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, env=environment())
    for _ in range(3):
        process.stdin.write(b"good nice\n")
        process.stdin.flush()
        want(select.select([process.stdout], [], [], LIMIT)[0], "no answer")
        want(process.stdout.readline().count(b"\t") == 1, "not an answer")
    process.stdin.close()
    want(process.wait(LIMIT) == 0, "it did not end well")


def interrupted(arguments, number, stdin=None):
    process = subprocess.Popen([TAXON, *arguments], stdin=stdin or subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    time.sleep(0.5)
    process.send_signal(number)
    output, errors = process.communicate(timeout=LIMIT) if stdin is None else (
        None, process.stderr.read())
    return process.wait(LIMIT), errors.decode()


def test_interrupted_while_it_waits():
    for number in (signal.SIGINT, signal.SIGTERM):
        status, errors = interrupted(["predict", "my.taxon", "-"], number, subprocess.PIPE)
        want(status == 130, f"status {status}")
        want(errors == "taxon predict: interrupted; texts answered: 0; run it again on the others\n",
             repr(errors))


def test_a_second_signal_ends_at_once():
    # The table is read by the library, which need not notice the first.
    process = subprocess.Popen([TAXON, "predict", "my.taxon", "--data", "-", "--format", "csv"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=environment())
    time.sleep(0.5)
    for _ in range(2):
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            time.sleep(0.2)
    want(process.wait(5) == 130, f"status {process.returncode}: {process.stderr.read()}")


def test_interrupted_training_leaves_nothing():
    before = set(os.listdir("."))
    status, errors = interrupted(
        train("--out", "never.taxon", "--method", "last-block", "--epochs", "100000",
              "--patience", "100000", "--quiet"),
        signal.SIGINT)
    want(status == 130, f"status {status}: {errors}")
    want("interrupted; no classifier was written" in errors, repr(errors))
    want(set(os.listdir(".")) <= before | {"home"}, "a file was left")


def test_interrupted_run_says_how_to_go_on():
    for option, advice in (("--run", "with --resume in place of --run"),
                           ("--resume", "run the same command again to go on")):
        status, errors = interrupted(
            train("--out", "never.taxon", "--method", "last-block", "--epochs", "100000",
                  "--patience", "100000", "--quiet", option, "run"),
            signal.SIGINT)
        want(status == 130, f"status {status}: {errors}")
        want(advice in errors, repr(errors))
    shutil.rmtree("run")


def prepare():
    with open("train.csv", "w", encoding="utf-8") as table:
        table.write("text,label\n")
        for i in range(60):
            table.write(f"good fine nice {i},yes\nbad awful poor {i},no\n")
    made = subprocess.run([TAXON, *train("--out", "my.taxon", "--quiet")], env=environment(),
                          capture_output=True, timeout=LIMIT)
    if made.returncode != 0:
        raise AssertionError(made.stderr.decode())


def main():
    tests = [(name[5:], run) for name, run in globals().items() if name.startswith("test_")]
    if not os.path.exists(MODEL):
        for name, _ in tests:
            print(f"skipped {name}: needs tests/golden/tiny_llama.gguf")
        return
    try:
        for end in pty.openpty():
            os.close(end)
    except OSError as failure:
        for name, _ in tests:
            print(f"skipped {name}: no terminal can be made here: {failure}")
        return
    directory = tempfile.mkdtemp()
    os.chdir(directory)
    try:
        prepare()
        for name, run in tests:
            try:
                run()
                print(f"ok {name}")
            except (AssertionError, OSError, subprocess.TimeoutExpired) as failure:
                print(f"FAIL {name}: {failure}")
    except AssertionError as failure:
        print(f"FAIL preparing a classifier for the terminal: {failure}")
    finally:
        os.chdir("/")
        shutil.rmtree(directory)


main()
