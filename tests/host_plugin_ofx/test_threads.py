"""Hosts render from many threads at once."""

import threading

import numpy as np

from facegraft_cli.ofx_host import GENERAL, OK, OfxHost, Picture
from tests.host_plugin_ofx.scene import FRAMES, Scene, codes, unit

THREADS, INSTANCES, ROUNDS = 8, 3, 3


def render_all(host: OfxHost, scene: Scene, expected: list[np.ndarray]) -> list[str]:
    """Frames of all threads; what went wrong. Each instance is one for several threads, with the
    clips of each frame handed over under a lock, as hosts keep them apart."""
    failures: list[str] = []
    instances = [host.create(GENERAL, scene.values(erode=10.0)) for _ in range(INSTANCES)]
    locks = [threading.Lock() for _ in instances]

    def work(number: int) -> None:
        instance, lock = instances[number % INSTANCES], locks[number % INSTANCES]
        for i in range(ROUNDS):
            frame = (number + i) % FRAMES
            source = Picture.of(codes("u2", frame=frame))
            output = Picture.of(np.zeros_like(source.pixels))
            with lock:
                status = instance.render(float(frame), source, output)
            error = np.abs(unit(output.pixels)[..., :3] - expected[frame]).max()
            if status != OK or error > 2e-5:
                failures.append(f"thread {number}, frame {frame}: status {status}, off by {error}")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    failures += ["a thread hangs" for thread in threads if thread.is_alive()]
    for instance in instances:
        failures += instance.effect.messages
        instance.close()
    return failures


def test_eight_threads_on_three_instances_each_get_their_own_frames(fresh_library, scene: Scene):
    host = OfxHost(fresh_library)
    expected = [
        scene.merged(unit(codes("u2", frame=f))[..., :3], f, erode=10.0)[0] for f in range(FRAMES)
    ]
    assert render_all(host, scene, expected) == []
    assert host.images_out == 0
