"""The service `risk` on the platform's own port, for `port_requests.py`.

python port_checks.py FOLDER PORT        serve until killed, with the identity in FOLDER
"""

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from risk_station import pin, serve

if __name__ == "__main__":
    pin(0)
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
