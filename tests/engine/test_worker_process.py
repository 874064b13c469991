"""The real worker process: who it talks to, what it survives, and when it ends."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from facegraft import __version__
from facegraft.controls import describe_table, table_digest
from facegraft.errors import (
    FacegraftError,
    NotAModel,
    ParameterError,
    ProtocolError,
    WorkerDied,
    WorkerError,
    WorkerTimeout,
)
from facegraft.merge.params import MergeParams
from facegraft.worker import launch, protocol
from facegraft.worker.client import WorkerClient
from facegraft.worker.launch import WorkerProcess, clean_environment, find_engine

COMMAND = [sys.executable, "-P", "-m", "facegraft.worker"]
FRAME = np.full((16, 24, 4), 0.5, np.float32)
TRANSPORTS = ["unix", "tcp"]
PATIENCE_S = 120  # a loaded machine may take its time; nothing here measures any


@pytest.fixture(scope="module", params=TRANSPORTS)
def shared_client(request):
    with WorkerClient.start(COMMAND, transport=request.param) as client:
        yield client


@pytest.fixture
def own_client():
    with WorkerClient.start(COMMAND) as client:
        yield client


def raw_connection(client: WorkerClient) -> socket.socket:
    """A connection that this test writes bytes into."""
    return launch.connect(client._process.ready, PATIENCE_S)


def greeted(client: WorkerClient) -> socket.socket:
    connection = raw_connection(client)
    exchange(connection, protocol.hello(client._process.ready["token"], "test"))
    return connection


def exchange(connection: socket.socket, message: dict | bytes) -> dict:
    data = message if isinstance(message, bytes) else protocol.encode(message)
    connection.sendall(data)
    body = protocol.receive(connection, PATIENCE_S)
    assert body is not None
    return protocol.decode(body)


def body_of(text: bytes) -> bytes:
    return struct.pack("<I", len(text)) + text


def state_of(pid: int) -> str:
    """Linux' letter for a process: T stopped, Z ended but not collected, "" gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return ""


def becomes(pid: int, states: str) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while state_of(pid) not in states:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def freeze(pid: int) -> None:
    """Stop a process and wait until it stands."""
    os.kill(pid, signal.SIGSTOP)
    assert becomes(pid, "T")
    time.sleep(0.05)  # its other threads follow the first


def test_the_greeting_is_this_version_and_this_table(shared_client):
    """A host reads the whole option table from it."""
    greeting = shared_client.greeting
    assert greeting.protocol == protocol.PROTOCOL and greeting.version == __version__
    assert greeting.table_digest == table_digest(MergeParams)
    assert greeting.table == json.loads(json.dumps(describe_table(MergeParams)))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"table_digest": "0" * 16, "version": "0.0.1"}, "update the plug-in"),
        ({"protocol": 99}, "update the engine"),
        ({"token": "wrong"}, "token"),
        ({"type": "merge"}, "hello"),
    ],
)
def test_a_bad_hello_is_refused_and_the_worker_lives(shared_client, change, sentence):
    """Another table, protocol or token: an error with the reason, then the end of the line."""
    hello = protocol.hello(shared_client._process.ready["token"], "test")
    with raw_connection(shared_client) as connection:
        reply = exchange(connection, {**hello, **change})
        assert reply["type"] == "error" and reply["error"] == "ProtocolError"
        assert sentence in reply["text"]
        assert connection.recv(1) == b""
    shared_client.ping()


def test_a_client_of_another_table_gets_the_sentence_as_an_exception(monkeypatch):
    """What a host shows when plug-in and engine were installed from two releases."""
    real = protocol.hello
    monkeypatch.setattr(
        protocol, "hello", lambda *a: {**real(*a), "table_digest": "x", "version": "0.0.1"}
    )
    with pytest.raises(ProtocolError, match="update the plug-in"):
        WorkerClient.start(COMMAND)


@pytest.mark.parametrize(
    "text",
    [b"\xff\xfe\x00", b"not json", b"[]", b"{}", b'{"type": "explode"}', b'{"type": "map"}',
     b'{"type": "load_model", "model": 7}', b'{"type": "merge"}', b'{"type": "merge", "width": 0}',
     b'{"type": "map", "path": "/etc/passwd", "size": 10}', b""],
)  # fmt: skip
def test_a_malformed_message_is_answered_and_the_connection_lives(shared_client, text):
    """The next message on the same connection is served."""
    with greeted(shared_client) as connection:
        reply = exchange(connection, body_of(text))
        assert reply["type"] == "error" and reply["error"] in ("ProtocolError", "ParameterError")
        assert exchange(connection, {"type": "ping", "id": 5}) == {"type": "pong", "id": 5}


def test_an_oversize_message_ends_its_connection_only(shared_client):
    """Where the next message begins is unknown then; other connections go on."""
    with greeted(shared_client) as connection:
        reply = exchange(connection, struct.pack("<I", 1 << 31))
        assert reply["error"] == "ProtocolError" and "2147483648 bytes" in reply["text"]
        assert connection.recv(1) == b""
    shared_client.ping()


def test_a_bad_model_is_a_message(shared_client, tmp_path):
    """None set, none there, a folder, or a file of something else."""
    junk = tmp_path / "junk.dfm"
    junk.write_bytes(b"this is not a model" * 100)
    for path, word in (("", "no model"), (str(tmp_path / "no.dfm"), "no.dfm"), (str(junk), "junk")):
        with pytest.raises(NotAModel, match=word):
            shared_client.load_model(path)
        with pytest.raises(NotAModel, match=word):
            shared_client.merge(FRAME, model=path, params={}, color="display")
    with pytest.raises(NotAModel):
        shared_client.load_model(str(tmp_path))
    with greeted(shared_client) as connection:
        reply = exchange(connection, {"type": "load_model", "model": "relative.dfm"})
    assert reply["error"] == "NotAModel" and "relative" in reply["text"]


def test_bad_values_are_named(shared_client):
    """A parameter outside its range, an unknown one, a wrong colour, a wrong list of points."""
    for arguments, word in (
        ({"params": {"mix": 2.0}}, "mix is 2"),
        ({"params": {"mox": 1.0}}, "unknown option mox"),
        ({"color": "cmyk"}, "unknown working space 'cmyk'"),
    ):
        values = {"params": {}, "color": "display", **arguments}
        with pytest.raises(ParameterError, match=word):
            shared_client.merge(FRAME, model="/m.dfm", **values)
    with pytest.raises(ProtocolError, match="landmarks have shape"):
        shared_client.merge(
            FRAME, model="/m.dfm", params={}, color="display", faces=[{"landmarks": [[1, 2]]}]
        )
    with pytest.raises(ProtocolError, match="NaN|JSON"):
        shared_client.merge(FRAME, model="/m", params={"mix": float("nan")}, color="display")
    with pytest.raises(ParameterError, match="frame_key"):
        shared_client.merge(FRAME, model="/m", params={}, color="display", faceset="/f")
    shared_client.ping()


@pytest.mark.parametrize(
    "frame",
    [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 4)), np.zeros((0, 4, 4), np.float32),
     np.zeros((1, 20000, 4), np.float32)],
)  # fmt: skip
def test_a_wrong_frame_never_leaves_the_client(shared_client, frame):
    """Wrong channels, depth, or size."""
    with pytest.raises(ParameterError):
        shared_client.merge(frame, model="/m.dfm", params={}, color="display")


def test_merge_messages_with_wrong_places_are_refused(shared_client, tmp_path):
    """Before a mapping, outside it, overlapping, or claiming a frame that was never sent."""
    merge = {
        "type": "merge", "width": 4, "height": 4, "input": 0, "output": 256, "color": "display",
        "model": "/m.dfm", "params": {},
    }  # fmt: skip
    file = tmp_path / "frames"
    file.write_bytes(bytes(512))
    file.chmod(0o600)
    with greeted(shared_client) as connection:
        assert "merge before map" in exchange(connection, merge)["text"]
        exchange(connection, {"type": "map", "path": str(file), "size": 512})
        for change, word in (
            ({"output": 512}, "does not fit"),
            ({"input": 448}, "does not fit"),
            ({"output": 64}, "overlap"),
            ({"input": 1}, "multiple"),
            ({"input": -64}, "whole number"),
            ({"width": 4.5}, "whole number"),
            ({"input_unchanged": True}, "no such pixels"),
        ):
            reply = exchange(connection, {**merge, **change})
            assert reply["error"] == "ProtocolError" and word in reply["text"], change


def test_several_connections_are_served_at_once(own_client):
    """A host's render threads each have one; closing them leaves the worker running."""
    clients = [own_client.share() for _ in range(4)]
    failures: list[BaseException] = []

    def use(client: WorkerClient) -> None:
        try:
            for _ in range(20):
                client.ping()
                with pytest.raises(NotAModel):
                    client.load_model("/none.dfm")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=use, args=(c,)) for c in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    for client in clients:
        client.close()
    assert not failures
    own_client.ping()


def test_nobody_else_can_reach_it(shared_client):
    """A socket in a folder of mode 0700, or one that listens on 127.0.0.1 alone."""
    ready = shared_client._process.ready
    if ready["transport"] == "unix":
        assert Path(ready["path"]).parent.stat().st_mode & 0o777 == 0o700
    sockets = set()
    for entry in Path(f"/proc/{shared_client.pid}/fd").iterdir():
        try:
            target = os.readlink(entry)
        except FileNotFoundError:
            continue  # a connection of the test before, closed meanwhile
        if target.startswith("socket:["):
            sockets.add(target[8:-1])
    assert sockets
    listening = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            columns = line.split()
            if columns[9] in sockets:
                listening.append((table, columns[1].split(":")[0]))
    loopback = ("tcp", "0100007F")
    assert set(listening) == ({loopback} if ready["transport"] == "tcp" else set())


def test_close_leaves_no_process_and_no_file(own_client, monkeypatch):
    """Neither the worker, nor its folder, nor a shared frame; and close may be repeated."""
    monkeypatch.setattr(launch, "_LEAVE_S", PATIENCE_S)  # it leaves by itself, however slowly
    folder = Path(own_client._process.ready["path"]).parent
    assert folder.is_dir() and own_client.alive
    own_client.close()
    assert own_client._process._process.returncode == 0
    assert not folder.exists() and not own_client.alive
    with pytest.raises(ProcessLookupError):
        os.kill(own_client.pid, 0)  # not even a zombie
    own_client.close()
    with pytest.raises(WorkerDied, match="closed"):
        own_client.ping()


def test_a_worker_killed_in_mid_call_is_worker_died(own_client):
    """The host gets an exception at once, not a hang, and no second worker is needed to see it."""
    freeze(own_client.pid)  # so that the call is under way when it dies
    threading.Timer(0.3, os.kill, (own_client.pid, signal.SIGKILL)).start()
    with pytest.raises(WorkerDied, match="exit status -9"):
        own_client.ping()
    assert not own_client.alive
    with pytest.raises(WorkerDied):
        own_client.merge(FRAME, model="/m.dfm", params={}, color="display")


def test_a_hung_worker_is_a_timeout_and_is_ended(own_client, monkeypatch):
    """Its late answer would write into the next frame, so it does not get to give one."""
    monkeypatch.setattr(launch, "_LEAVE_S", 0.3)  # it will not leave by itself
    freeze(own_client.pid)
    with pytest.raises(WorkerTimeout, match="no answer within 0.2 s"):
        own_client.ping(timeout_s=0.2)
    assert not own_client.alive
    with pytest.raises(ProcessLookupError):
        os.kill(own_client.pid, 0)


# a background shell hands Ctrl-C down as ignored; the handler is what a terminal gives
CLIENT = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from facegraft.worker.client import WorkerClient
client = WorkerClient.start([sys.executable, "-P", "-m", "facegraft.worker"])
print(client.pid, client._process.ready["path"], flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_the_worker_ends_with_its_client(number):
    """Killed without warning or stopped by Ctrl-C: no orphan, no stale folder."""
    host = subprocess.Popen(
        [sys.executable, "-c", CLIENT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with host:
        assert host.stdout is not None
        pid, path = host.stdout.readline().decode().split()
        host.send_signal(number)
    assert becomes(int(pid), "Z")  # or gone; its new parent collects it
    assert not Path(path).parent.exists()


def test_the_worker_ends_after_its_last_connection(monkeypatch):
    """Even where the host keeps the pipe open for ever."""
    code = "from facegraft.worker import server; server.GRACE_S = 0.3; server.main()"
    process = WorkerProcess([sys.executable, "-c", code], "unix", PATIENCE_S)
    first = WorkerClient(process, False, PATIENCE_S)
    second = first.share()
    first.close()
    time.sleep(1)
    second.ping()
    second.close()
    deadline = time.monotonic() + PATIENCE_S
    while process.alive and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not process.alive
    process.close()


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("raise SystemExit('no such module here')", "ended while starting.*no such module here"),
        ("import time; time.sleep(600)", "said nothing for 0.5 s"),
        ("print('hello')", "ended while starting"),
    ],
)
def test_a_worker_that_cannot_start_is_explained_by_its_log(code, text, monkeypatch):
    """And leaves no process."""
    monkeypatch.setattr(launch, "_LEAVE_S", 0.3)  # one of them sleeps on
    with pytest.raises(WorkerDied, match=f"(?s){text}"):
        WorkerClient.start([sys.executable, "-c", code], timeout_s=0.5 if "sleep" in code else 120)


def test_a_command_that_does_not_exist_is_worker_died():
    with pytest.raises(WorkerDied, match="cannot run /no/python"):
        WorkerClient.start(["/no/python"])


def test_the_host_s_python_does_not_leak_into_the_child():
    """What a host sets for its own interpreter and libraries would break the engine's."""
    environment = {
        "PYTHONPATH": "/host", "PYTHONHOME": "/host", "LD_LIBRARY_PATH": "/host",
        "DYLD_INSERT_LIBRARIES": "x", "OFX_PLUGIN_PATH": "x", "FACEGRAFT_DATA": "/d", "HOME": "/h",
    }  # fmt: skip
    assert clean_environment(environment) == {"FACEGRAFT_DATA": "/d", "HOME": "/h"}


def test_the_engine_is_found_by_variable_then_by_the_installer_s_note(tmp_path, monkeypatch):
    """The variable wins; without either the error says what to run."""
    monkeypatch.setattr(launch, "user_data_folder", lambda: tmp_path)
    monkeypatch.delenv("FACEGRAFT_PYTHON", raising=False)
    with pytest.raises(WorkerDied, match="install.py env"):
        find_engine()
    note = tmp_path / "engine.json"
    note.write_text("{broken")
    with pytest.raises(WorkerDied, match="damaged"):
        find_engine()
    note.write_text(json.dumps({"python": sys.executable}))
    assert find_engine() == COMMAND
    note.write_text(json.dumps({"python": "/gone/python"}))
    with pytest.raises(WorkerDied, match="'/gone/python', which is no file"):
        find_engine()
    monkeypatch.setenv("FACEGRAFT_PYTHON", sys.executable)
    assert find_engine() == COMMAND


def test_the_client_needs_numpy_alone():
    """It runs in Blender's Python, which has neither OpenCV nor onnxruntime."""
    code = (
        "import sys, facegraft.worker.client\n"
        "top = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(top - set(sys.stdlib_module_names) - {'facegraft', '__main__'}))"
    )
    text = subprocess.check_output([sys.executable, "-I", "-c", code], text=True)
    foreign = [name for name in json.loads(text.replace("'", '"')) if not name.startswith("_")]
    assert foreign == ["numpy"]


def test_an_error_of_the_engine_s_own_is_answered_and_logged(tmp_path):
    """A bug in a merge must not take the worker, and with it every other node, down."""
    code = (
        "from facegraft.worker import server\n"
        "class Broken:\n"
        "    def load_model(self, path): raise KeyError('a bug')\n"
        "server.Server.service = lambda self: Broken()\n"
        "server.main()\n"
    )
    with WorkerClient.start([sys.executable, "-c", code]) as client:
        with pytest.raises(WorkerError, match="KeyError: 'a bug'") as caught:
            client.load_model("/m.dfm")
        assert isinstance(caught.value, FacegraftError)
        client.ping()
        assert "Traceback" in client._process.describe("log")


def test_closing_wakes_a_call_that_waits_in_another_thread(own_client):
    """A host that quits while a frame renders does not wait for the time limit."""
    other = own_client.share()
    freeze(own_client.pid)
    caught: list[BaseException] = []

    def wait() -> None:
        try:
            other.ping(timeout_s=PATIENCE_S)
        except WorkerDied as error:
            caught.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.2)
    other.close()
    thread.join(PATIENCE_S)
    os.kill(own_client.pid, signal.SIGCONT)
    assert not thread.is_alive() and len(caught) == 1
    own_client.ping()  # the worker itself is not touched
