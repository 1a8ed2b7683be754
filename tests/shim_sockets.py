# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tests/shim_sockets.py CASE PORT - a program of plain sockets that knows nothing of RDMA, for tests/shim_sockets.sh: it talks to
# itself, or, in the cases of a client, to a server of the script. Exit status 0: what came is what was sent.
import asyncio
import ctypes
import errno
import fcntl
import os
import select
import socket
import struct
import subprocess
import sys
import termios
import threading

HOST = '127.0.0.1'
DATA = bytes(range(251)) * 4000  # a million bytes; 251 is prime, so that a lost piece shows


def refuses(error, call, *words):
    try:
        call(*words)
    except OSError as e:
        assert e.errno == error, e
        return
    raise AssertionError('it was allowed')


def no_tcp(port):
    for name in '/proc/net/tcp', '/proc/net/tcp6', '/proc/net/udp':
        with open(name, encoding='ascii') as f:
            assert f':{port:04X} ' not in f.read(), 'the system has the port'


def read_all(s):
    got = bytearray()
    while part := s.recv(65536):
        got += part
    return bytes(got)


def pair(port, family=socket.AF_INET):
    """A connection; accepting is another thread's, as both sides wait for each other."""
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(('::1' if family == socket.AF_INET6 else HOST, port))
    listener.listen()
    accepted = []
    t = threading.Thread(target=lambda: accepted.append(listener.accept()[0]))
    t.start()
    client = socket.socket(family)
    client.connect(listener.getsockname()[:2])
    t.join()
    no_tcp(port)
    listener.close()
    return client, accepted[0]


def stream(port):
    for family in socket.AF_INET, socket.AF_INET6:
        a, b = pair(port, family)
        assert a.getpeername() == b.getsockname() and a.getsockname() == b.getpeername()
        t = threading.Thread(target=lambda: (a.sendall(DATA), a.shutdown(socket.SHUT_WR)))
        t.start()
        assert read_all(b) == DATA
        t.join()
        b.sendmsg([b'one', b'two'])
        assert a.recv(6, socket.MSG_WAITALL | socket.MSG_PEEK) == b'onetwo'
        assert a.recvmsg(100)[0] == b'onetwo'
        b.close()
        assert a.recv(1) == b''
        a.close()
        port += 1


def waiting(port):
    a, b = pair(port)
    pipe = os.pipe()
    p = select.poll()
    for fd in a.fileno(), pipe[0]:
        p.register(fd, select.POLLIN)
    assert p.poll(0) == [] and select.select([a, pipe[0]], [], [], 0)[0] == []
    b.send(b'x')
    assert p.poll() == [(a.fileno(), select.POLLIN)]
    assert select.select([a, pipe[0]], [b], []) == ([a], [b], [])
    os.write(pipe[1], b'y')
    assert len(p.poll()) == 2
    assert a.recv(1) == b'x' and p.poll() == [(pipe[0], select.POLLIN)]
    a.setblocking(False)
    refuses(errno.EAGAIN, a.recv, 1)
    os.set_blocking(a.fileno(), True)
    a.settimeout(0.01)
    refuses(None, a.recv, 1)  # Python's own: poll() says that the time is over


def epoll(port):
    a, b = pair(port)
    pipe = os.pipe()
    e = select.epoll()
    e.register(pipe[0], select.EPOLLIN)
    e.register(a.fileno(), select.EPOLLIN)
    refuses(errno.EEXIST, e.register, a.fileno())
    refuses(errno.ENOENT, e.modify, b.fileno(), 0)
    assert e.poll(0) == [] and e.poll(0.01) == []
    b.send(b'x')
    assert e.poll() == [(a.fileno(), select.EPOLLIN)]
    os.write(pipe[1], b'y')
    assert sorted(e.poll()) == sorted([(a.fileno(), select.EPOLLIN), (pipe[0], select.EPOLLIN)])
    assert len(e.poll(maxevents=1)) == 1
    os.read(pipe[0], 1)
    e.modify(a.fileno(), select.EPOLLIN | select.EPOLLONESHOT)
    assert len(e.poll()) == 1 and e.poll(0) == []
    # Edges: once, until it is read or has no more room
    e.modify(a.fileno(), select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET)
    assert e.poll() == [(a.fileno(), select.EPOLLIN | select.EPOLLOUT)]
    assert e.poll(0) == []
    assert a.recv(10) == b'x' and e.poll(0) == []
    b.send(b'z')
    assert e.poll()[0][1] & select.EPOLLIN
    a.setblocking(False)
    try:
        while True:
            a.send(DATA)
    except BlockingIOError:
        assert a.recv(1) == b'z' and e.poll(0) == []
    b.settimeout(30)
    while not [x for x in e.poll(0) if x[1] & select.EPOLLOUT]:
        b.recv(100000)
    # A thread that waits learns of sockets that come and go.
    for change in lambda: e.register(b.fileno(), select.EPOLLOUT), b.close:
        got = []
        t = threading.Thread(target=lambda: got.extend(e.poll()))
        t.start()
        change()
        t.join()
        assert got, change
        if change != b.close:
            e.unregister(b.fileno())
    assert got[0][0] == a.fileno() and got[0][1] & select.EPOLLRDHUP
    a.close()
    assert e.poll(0) == []
    # The first one, while a thread waits for others.
    a, b = pair(port + 1)
    e = select.epoll()
    e.register(pipe[0], select.EPOLLIN)
    got = []
    t = threading.Thread(target=lambda: got.extend(e.poll()))
    t.start()
    e.register(a.fileno(), select.EPOLLOUT)
    t.join()
    assert got == [(a.fileno(), select.EPOLLOUT)]
    e.close()
    asyncio.run(many(port + 2))


async def many(port):
    """Python's own loop waits by epoll."""
    async def answer(reader, writer):
        while part := await reader.read(65536):
            writer.write(part)
            await writer.drain()
        writer.close()

    async def ask(i):
        reader, writer = await asyncio.open_connection(HOST, port)
        words = DATA[i:i + 300000]
        writer.write(words)
        assert await reader.readexactly(len(words)) == words
        writer.write_eof()
        assert await reader.read() == b''
        writer.close()

    server = await asyncio.start_server(answer, HOST, port)
    no_tcp(port)
    await asyncio.gather(*(ask(i) for i in range(20)))
    server.close()


def options(port):
    a, b = pair(port)
    a.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    assert a.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    a.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, 3)
    assert a.getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY) == 3
    assert a.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM
    a.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack('@ll', 0, 20000))
    refuses(errno.EAGAIN, a.recv, 1)
    a.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, bytes(16))
    b.send(b'12345')
    select.select([a], [], [])
    assert fcntl.ioctl(a.fileno(), termios.FIONREAD, bytes(4)) == struct.pack('@i', 5)
    assert a.recv(10) == b'12345'
    assert fcntl.ioctl(a.fileno(), termios.FIONREAD, bytes(4)) == bytes(4)


def one_thread(port):
    """Both ends, as a connection is there before it is accepted."""
    listener = socket.create_server((HOST, port))
    a = socket.create_connection((HOST, port), timeout=30)
    a.send(b'early')
    no_tcp(port)
    b, where = listener.accept()
    assert where == a.getsockname() and b.recv(10) == b'early'
    u, v = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in '12')
    u.bind((HOST, port))
    v.sendto(b'word', (HOST, port))
    assert u.recvfrom(10) == (b'word', (HOST, v.getsockname()[1]))
    left = ctypes.create_string_buffer(struct.pack('@ll', 1000, 0))
    ready = ctypes.create_string_buffer(128)
    ready[b.fileno() // 8] = 1 << b.fileno() % 8
    a.send(b'x')
    assert ctypes.CDLL(None).select(b.fileno() + 1, ready, None, None, left) == 1
    assert struct.unpack('@ll', left[:16])[0] in range(900, 1000)


def numbers(port):
    a, b = pair(port)
    c = a.dup()
    a.close()
    c.send(b'by another number')
    assert b.recv(100) == b'by another number'
    spare = os.open('/dev/null', os.O_RDWR)
    os.dup2(c.fileno(), spare)
    c.close()
    os.write(spare, b'and another')
    assert os.read(b.fileno(), 100) == b'and another'
    null = os.open('/dev/null', os.O_RDWR)
    os.dup2(null, spare)  # the last one
    assert b.recv(1) == b''
    assert os.write(spare, b'to the file') == 11


def files(port):
    a, b = pair(port)
    with open('sent.bin', 'w+b') as f:
        f.write(DATA)
        f.seek(1000)
        sent = 0
        got = bytearray()
        t = threading.Thread(target=lambda: got.extend(read_all(b)))
        t.start()
        while n := os.sendfile(a.fileno(), f.fileno(), sent, 300000):
            sent += n
        assert sent == len(DATA) and f.tell() == 1000
        os.sendfile(a.fileno(), f.fileno(), None, 500)
        assert os.lseek(f.fileno(), 0, os.SEEK_CUR) == 1500
        a.close()
        t.join()
    assert got == DATA + DATA[1000:1500]


def datagrams(port):
    a, b = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in '12')
    b.bind((HOST, port))
    no_tcp(port)
    got = []
    t = threading.Thread(target=lambda: got.append(b.recvfrom(5000)))
    t.start()
    a.sendto(DATA[:4000], (HOST, port))
    t.join()
    data, where = got[0]
    assert data == DATA[:4000] and where[1] == a.getsockname()[1]


def several_messages(port):
    """sendmmsg() and recvmmsg(), which Python has no words for"""
    class Iovec(ctypes.Structure):
        _fields_ = [('base', ctypes.c_char_p), ('len', ctypes.c_size_t)]

    class Message(ctypes.Structure):
        _fields_ = [('name', ctypes.c_void_p), ('name_len', ctypes.c_uint), ('iov', ctypes.POINTER(Iovec)),
                    ('n', ctypes.c_size_t), ('control', ctypes.c_void_p), ('control_len', ctypes.c_size_t),
                    ('flags', ctypes.c_size_t), ('len', ctypes.c_uint)]

    def messages(*words):
        made = (Message * len(words))()
        for m, w in zip(made, words):
            m.iov, m.n = ctypes.pointer(Iovec(w, len(w))), 1
        return made

    a, b = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in '12')
    b.bind((HOST, port))
    a.connect((HOST, port))
    libc = ctypes.CDLL(None)
    out = messages(b'one', b'three')
    assert libc.sendmmsg(a.fileno(), out, 2, 0) == 2 and [m.len for m in out] == [3, 5]
    into = messages(*(b'.' * 8 for _ in '123'))
    got = 0
    while got < 2:
        part = libc.recvmmsg(b.fileno(), ctypes.byref(into, got * ctypes.sizeof(Message)), 3 - got, 0x10000, None)
        assert part > 0
        got += part
    assert [m.len for m in into] == [3, 5, 0]
    # No more in one call than there are
    assert libc.recvmmsg(b.fileno(), into, 3, socket.MSG_DONTWAIT, None) == -1


def children(port):
    a, b = pair(port)
    child = os.fork()
    if not child:
        try:
            refuses(errno.EBADF, b.send, b'x')
            b.close()
            a.close()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    # By vfork(), where the interpreter may: the child closes all numbers and copies some.
    assert subprocess.run(['cat'], input=b'words', stdout=subprocess.PIPE, check=True).stdout == b'words'
    a.send(b'still there')
    assert b.recv(100) == b'still there'


def forks(port):
    """With RDMAV_FORK_SAFE: a child for each connection."""
    listener = socket.create_server((HOST, port))
    for _ in range(3):
        a = socket.create_connection(listener.getsockname())
        b = listener.accept()[0]
        child = os.fork()
        if not child:
            try:
                b.sendall(b.recv(5).upper())
            finally:
                os._exit(0)
        b.close()
        a.send(b'words')
        assert read_all(a) == b'WORDS'
        os.waitpid(child, 0)


def falls_back(port):
    """The server is the script's, with sockets of the system."""
    s = socket.socket()
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 7)
    s.bind((HOST, 0))
    name = s.getsockname()
    s.connect((HOST, port))
    assert s.getsockname() == name and s.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 7
    # So too if the call doesn't wait: that nobody listens over RDMA is known at once.
    t = socket.socket()
    t.setblocking(False)
    assert t.connect_ex((HOST, port)) in (0, errno.EINPROGRESS)
    assert select.select([], [t], [])[1] == [t] and t.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    t.close()
    s.sendall(b'by TCP')
    s.shutdown(socket.SHUT_WR)
    assert read_all(s) == b'by TCP'
    e = select.epoll()
    e.register(s.fileno(), select.EPOLLIN)
    s.close()
    refuses(errno.ECONNREFUSED, socket.socket().connect, (HOST, 9))


def receiver(port):
    """Of a peer that exits without closing."""
    s = socket.socket()
    s.bind((HOST, port))
    s.listen()
    print('listening', flush=True)
    assert read_all(s.accept()[0]) == DATA[:100000]


def exits(port):
    # A reference that is never let go: only the process's end closes it.
    s = socket.socket()
    s.connect((HOST, port))
    s.sendall(DATA[:100000])
    sys.stdout.flush()
    ctypes.CDLL(None).exit(0)


globals()[sys.argv[1]](int(sys.argv[2]))
