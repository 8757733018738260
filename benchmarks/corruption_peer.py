"""What `corruptions.py` runs in a peer's own environment: reads requests from standard input, answers seconds.

    PEER_PYTHON corruption_peer.py PACKAGE PROCESSES

PACKAGE: imagecorruptions or corrupt_tta. A request is a line of JSON: {"file": a .npy of images, "name": a corruption,
"level": 1 to 5}; the answer, a line too, is what all images took by the clock, in one process or shared out to a pool,
and of processors in this process alone.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import sys
import time

import numpy as np


def corrupt(package: str, images: np.ndarray, name: str, level: int) -> int:
    function = importlib.import_module(package).corrupt
    for image in images:
        function(image, severity=level, corruption_name=name)
    return len(images)


def main() -> None:
    package, processes = sys.argv[1], int(sys.argv[2])
    pool = multiprocessing.get_context("fork").Pool(processes) if processes > 1 else None
    for line in sys.stdin:
        request = json.loads(line)
        images = np.load(request["file"])
        work = [(package, part, request["name"], request["level"]) for part in np.array_split(images, processes)]
        start, before = time.perf_counter(), time.process_time()
        if pool is None:
            corrupt(*work[0])
        else:
            pool.starmap(corrupt, work, chunksize=1)
        print(json.dumps([time.perf_counter() - start, time.process_time() - before]), flush=True)


if __name__ == "__main__":
    main()
