import subprocess
import sys

import pytest

from maxentrl.core.machine import return_freed_memory

LEAVES_PIECES = """
from maxentrl.core.machine import return_freed_memory

def resident():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

pieces = [bytearray(5000) for _ in range(20_000)]  # 100 MB, each too small for pages of its own
last = bytearray(5000)  # keeps the end of the heap where it is
del pieces
before = resident()
return_freed_memory()
print(before - resident())
"""


def test_returning_memory_is_harmless_anywhere(monkeypatch):
    return_freed_memory()
    monkeypatch.setattr(sys, "platform", "somewhere")
    return_freed_memory()


@pytest.mark.skipif(sys.platform != "linux", reason="only the C library of Linux is asked")
def test_freed_pieces_go_back_to_the_system():
    found = subprocess.run([sys.executable, "-c", LEAVES_PIECES], capture_output=True, text=True, check=True)
    assert int(found.stdout) > 50_000  # kB; half of what was freed
