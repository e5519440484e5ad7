"""Pin a file's content through a running daemon's HTTP API, and read the pinset back.

Start a daemon first (`raft-node init`, `raft-node daemon`), then run:
    python examples/pin_over_http.py FILE [http://127.0.0.1:9094]

The paths and the JSON are IPFS Cluster's, so this works with a Go peer too.
"""

import json
import sys
from pathlib import Path

import httpx

from pinstate.cid import cid_text, raw_sha256_cid

DEFAULT_URL = "http://127.0.0.1:9094"


def main(file: Path, url: str) -> int:
    """Pin ``file`` and list what is pinned; returns an exit code."""
    cid = cid_text(raw_sha256_cid(file.read_bytes()))
    with httpx.Client(base_url=url, timeout=30) as http:
        answer = http.post(f"/pins/{cid}", params={"name": file.name})
        if answer.is_error:
            body = answer.json()
            print(f"{body['message']} (outcome: {body.get('outcome', 'not told')})")
            return 1
        for line in http.get("/allocations").text.splitlines():
            pin = json.loads(line)
            print(pin["cid"], pin["name"])
    return 0


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:  # noqa: PLR2004 - a file, and perhaps a URL
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else DEFAULT_URL))  # noqa: PLR2004
