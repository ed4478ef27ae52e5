"""Read one WARC file and extract its pages by datatrove; prints its figures as JSON.

Run by benchmarks/corpus.py with the peer's own Python: one task, one process beside datatrove's
own sandbox, timed from the first record to the last page, imports left out.
"""

import json
import sys
import time
from pathlib import Path

from datatrove.pipeline.extractors import Trafilatura
from datatrove.pipeline.readers import WarcReader


def main() -> None:
    """Run the reader and the extractor over the file named on the command line."""
    path = Path(sys.argv[1])
    reader = WarcReader(str(path.parent), glob_pattern=path.name)
    n_read = 0

    def counted():
        nonlocal n_read
        for document in reader.run(rank=0, world_size=1):
            n_read += 1
            yield document

    started = time.perf_counter()
    n_extracted = sum(1 for _ in Trafilatura().run(counted(), rank=0, world_size=1))
    seconds = time.perf_counter() - started
    figures = {"pages": n_read, "extracted": n_extracted, "seconds": seconds}
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
