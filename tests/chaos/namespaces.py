"""Network namespaces with a TUN device each, and file systems of their own.

Nothing here has a name: a namespace lives as long as a process in it or a file descriptor of
it, and mounts are made in a mount namespace of this process. So whatever way a run ends, by
SIGKILL too, the kernel removes all of it, and there is nothing to sweep up.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = [
    "Namespace",
    "keep_mounts_private",
    "missing_for_namespaces",
    "mount_disk",
    "open_namespace",
    "unmount_disk",
]

_CLONE_NEWNS: Final = 0x00020000
_CLONE_NEWNET: Final = 0x40000000
_TUNSETIFF: Final = 0x400454CA
_IFF_TUN: Final = 0x0001
_IFF_NO_PI: Final = 0x1000
_MTU: Final = 1400

_TUN: Final = Path("/dev/net/tun")
_TOOLS: Final = ("ip", "mount", "nsenter", "setpriv", "umount", "unshare")

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Namespace:
    """One namespace: its descriptor, the descriptor of its TUN device, and its IPv4 address."""

    fd: int
    tun_fd: int
    address: str

    @property
    def command(self) -> list[str]:
        """What to put before a command so that it runs in here, until this process ends."""
        own = f"/proc/{os.getpid()}/fd/{self.fd}"
        return ["setpriv", "--pdeathsig", "KILL", "nsenter", f"--net={own}", "--"]

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Sockets made inside the block are in this namespace for good. Nothing may be awaited."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _checked(_libc.setns(self.fd, _CLONE_NEWNET), "setns")
            try:
                yield
            finally:
                _checked(_libc.setns(home, _CLONE_NEWNET), "setns")
        finally:
            os.close(home)

    def make_socket(self) -> socket.socket:
        """Return a TCP socket that is in here, whoever uses it."""
        with self.entered():
            return socket.socket(socket.AF_INET, socket.SOCK_STREAM)

    def close(self) -> None:
        os.close(self.tun_fd)
        os.close(self.fd)


def open_namespace(address: str) -> Namespace:
    """Make a namespace with loopback and a TUN device of ``address`` in a /24."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _checked(_libc.unshare(_CLONE_NEWNET), "unshare")
        try:
            fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            tun_fd = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            fcntl.ioctl(tun_fd, _TUNSETIFF, struct.pack("16sH22x", b"chaos", _IFF_TUN | _IFF_NO_PI))
            for what in (
                "link set lo up",
                f"addr add {address}/24 dev chaos",
                f"link set chaos up mtu {_MTU}",
            ):
                # A child of this thread, so it is in the namespace as well.
                subprocess.run(["ip", *what.split()], check=True, capture_output=True)
        finally:
            _checked(_libc.setns(home, _CLONE_NEWNET), "setns")
    finally:
        os.close(home)
    return Namespace(fd, tun_fd, address)


def keep_mounts_private() -> None:
    """Give this process its own mounts from here on; before it starts any thread."""
    _checked(_libc.unshare(_CLONE_NEWNS), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


def mount_disk(folder: Path, mebibytes: int) -> None:
    """Mount an empty file system of so many MiB; needs :func:`keep_mounts_private`."""
    folder.mkdir(parents=True)
    options = f"size={mebibytes}m,mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "chaos", str(folder)], check=True)


def unmount_disk(folder: Path) -> None:
    """Take away what :func:`mount_disk` made, with all that is in it."""
    subprocess.run(["umount", str(folder)], check=True)


def missing_for_namespaces() -> str | None:
    """Say what this machine lacks for a run, if anything."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    absent = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    try:
        os.close(os.open(_TUN, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"no TUN devices: {error}"
    tried = subprocess.run(
        ["unshare", "--net", "--mount", "true"], check=False, capture_output=True
    )
    return None if tried.returncode == 0 else f"no namespaces: {tried.stderr.decode().strip()}"


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
