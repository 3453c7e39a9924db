"""Runs a program at a terminal of its own. What it shows there goes to stdout, what comes on stdin are the keys that are pressed.

The first argument is the file that takes the program's own stdout. On SIGUSR1 the program gets a SIGHUP, and it is shown in the end whether it
left the terminal as it was. On SIGUSR2 the terminal is closed.
"""

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios

ROWS, COLUMNS = 60, 160


class Closed(Exception):
    pass


def begin(file, program):
    size = struct.pack("HHHH", ROWS, COLUMNS, 0, 0)
    fcntl.ioctl(0, termios.TIOCSWINSZ, size)
    os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
    os.execvp(program[0], program)


def relay(screen):
    sources = [screen, 0]
    while True:
        ready, _, _ = select.select(sources, [], [])
        if 0 in ready:
            keys = os.read(0, 4096)
            if keys:
                os.write(screen, keys)
            else:
                sources.remove(0)
        if screen in ready:
            try:
                shown = os.read(screen, 65536)
            except OSError:  # Linux says so that nobody has the terminal open any more.
                return
            if not shown:
                return
            os.write(1, shown)


def main():
    hung_up = []

    def hang_up(*_):
        hung_up.append(True)
        os.kill(process, signal.SIGHUP)

    def close(*_):
        raise Closed

    signal.signal(signal.SIGUSR1, hang_up)
    signal.signal(signal.SIGUSR2, close)
    process, screen = pty.fork()
    if process == 0:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        signal.signal(signal.SIGUSR2, signal.SIG_DFL)
        begin(sys.argv[1], sys.argv[2:])
    before = termios.tcgetattr(screen)
    try:
        relay(screen)
    except Closed:
        os.close(screen)
    ended = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if hung_up and termios.tcgetattr(screen) == before:
        os.write(1, b"the terminal is as it was")
    sys.exit(ended if ended >= 0 else 128 - ended)


main()
