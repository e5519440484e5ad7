"""A peer's private key, and the file IPFS Cluster keeps it in (``identity.json``).

The key stands there as Go's libp2p writes it: a protobuf ``PrivateKey`` whose data are the
32 bytes of the seed and the 32 bytes of the public key. py-libp2p alone writes the seed only,
which Go refuses, and cannot read Go's form.

No frame that holds key material is on the stack when an error is raised here, so that a
traceback with local variables shows none.
"""

from __future__ import annotations

import base64
import errno
import hmac
import json
import os
import secrets
import stat
from pathlib import Path
from typing import Final, NoReturn

from keys.errors import InvalidIdentity
from keys.peer_id import PeerID

__all__ = ["Identity"]

MAX_IDENTITY_FILE_BYTES: Final = 64 * 1024
"""An identity takes 200 bytes; the largest RSA key, which is refused by name, under 16 KiB."""

_SEED_BYTES: Final = 32
_PUBLIC_KEY_BYTES: Final = 32
_DATA_BYTES: Final = _SEED_BYTES + _PUBLIC_KEY_BYTES
_OLD_DATA_BYTES: Final = _DATA_BYTES + _PUBLIC_KEY_BYTES
"""Go wrote the public key twice until 2019, and still reads that."""
_KEY_TYPES: Final = {0: "RSA", 1: "Ed25519", 2: "Secp256k1", 3: "ECDSA"}
_ED25519: Final = 1
_TYPE_TAG: Final = 0x08
_DATA_TAG: Final = 0x12
_OTHERS: Final = 0o077
_ONE_BYTE_VARINT: Final = 0x80


class Identity:
    """An Ed25519 private key and the peer ID that follows from it.

    The key leaves this object by :meth:`reveal_seed`, :meth:`private_key_protobuf`,
    :meth:`to_json` and :meth:`save` only; no repr, pickle or traceback shows it.
    """

    __slots__ = ("_public_key", "_seed", "peer_id")
    _seed: bytes
    _public_key: bytes
    peer_id: PeerID
    """Who this peer is."""

    def __init__(self, seed: bytes) -> None:
        length = len(seed)
        if length == _SEED_BYTES:
            self._seed = bytes(seed)
            self._public_key = _public_key_of(self._seed)
            self.peer_id = PeerID.of_ed25519_public_key(self._public_key)
        del seed
        if length != _SEED_BYTES:
            raise InvalidIdentity(f"an Ed25519 seed has {_SEED_BYTES} bytes, not {length}")

    @staticmethod
    def generate() -> Identity:
        """Return a new identity from the system's random source."""
        return Identity(secrets.token_bytes(_SEED_BYTES))

    @staticmethod
    def from_seed(seed: bytes) -> Identity:
        """Return the identity of a 32-byte Ed25519 seed; raises :class:`InvalidIdentity`."""
        try:
            return Identity(seed)
        finally:
            del seed

    @staticmethod
    def from_json(text: str) -> Identity:
        """Return the identity that ``identity.json`` text holds.

        Raises:
            InvalidIdentity: malformed, another key type, or an id that is not the key's.

        """
        found = _identity_of_json(text)
        del text
        if isinstance(found, str):
            raise InvalidIdentity(found)
        return found

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Identity:
        """Read an ``identity.json``.

        Raises:
            InvalidIdentity: the file can be read or written by others, is no regular file, or
                does not hold an Ed25519 identity. The message holds the path.
            OSError: the file cannot be opened.

        """
        found = _identity_of_file(Path(path))
        if isinstance(found, str):
            raise InvalidIdentity(f"{os.fspath(path)}: {found}")
        return found

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write ``identity.json`` (mode 0600); durable when this returns.

        Raises:
            FileExistsError: there is a file already; it is never overwritten.
            OSError: the file cannot be written; nothing of it is left behind.

        """
        target = Path(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(target, flags, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(self.to_json().encode("ascii"))
                file.flush()
                os.fsync(descriptor)
            _sync_folder(target.parent)
        except BaseException:
            target.unlink(missing_ok=True)
            raise

    def to_json(self) -> str:
        """Return the text of ``identity.json``, byte for byte as ipfs-cluster-service writes it."""
        fields = {
            "id": str(self.peer_id),
            "private_key": base64.b64encode(self.private_key_protobuf()).decode("ascii"),
        }
        return json.dumps(fields, indent=4)

    def private_key_protobuf(self) -> bytes:
        """Return Go's ``PrivateKey`` message: ``08 01 12 40``, seed, public key (68 bytes)."""
        header = bytes([_TYPE_TAG, _ED25519, _DATA_TAG, _DATA_BYTES])
        return header + self._seed + self._public_key

    def reveal_seed(self) -> bytes:
        """Return the 32 bytes of the private key."""
        return self._seed

    @property
    def public_key(self) -> bytes:
        """The 32 raw bytes of the Ed25519 public key."""
        return self._public_key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and hmac.compare_digest(self._seed, other._seed)

    def __hash__(self) -> int:
        return hash(self.peer_id)

    def __repr__(self) -> str:
        # A traceback may show one whose seed was refused, and which so has no peer ID.
        return f"Identity({getattr(self, 'peer_id', 'refused')})"

    def __getstate__(self) -> NoReturn:
        raise TypeError("an Identity is not pickled or copied")

    def __reduce__(self) -> NoReturn:
        raise TypeError("an Identity is not pickled or copied")


def _public_key_of(seed: bytes) -> bytes:
    # cryptography takes 25 ms to import, which commands that need no key do not pay.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def _identity_of_file(path: Path) -> Identity | str:
    """Return the identity in the file, or what is wrong with it."""
    # Not blocking, because a named pipe in its place would hold us up for ever.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "is a symbolic link; the identity must be a file of its own"
        raise
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return "is not a regular file"
        mode = stat.S_IMODE(status.st_mode)
        if mode & _OTHERS:
            return f"others may use this private key (mode {mode:04o}); run: chmod 600 {path}"
        if status.st_size > MAX_IDENTITY_FILE_BYTES:
            return f"has {status.st_size} bytes; an identity has about 200"
        content = file.read(MAX_IDENTITY_FILE_BYTES + 1)
    try:
        return _identity_of_json(content.decode("utf-8"))
    except UnicodeDecodeError:
        return "is not JSON text"


def _identity_of_json(text: str) -> Identity | str:
    """Return the identity in the text, or what is wrong with it, in words without key material."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return "is not well-formed JSON"
    if not isinstance(fields, dict):
        return "is not a JSON object with id and private_key"
    peer_id, private_key = fields.get("id"), fields.get("private_key")
    if not isinstance(peer_id, str) or not isinstance(private_key, str):
        return "lacks an id or a private_key (both are text)"
    try:
        message = base64.b64decode(private_key, validate=True)
    except ValueError:
        return "private_key is not base64"
    found = _identity_of_protobuf(message)
    if isinstance(found, Identity) and peer_id != str(found.peer_id):
        return f"id is {peer_id[:64]}, but private_key belongs to {found.peer_id}"
    return found


def _identity_of_protobuf(message: bytes) -> Identity | str:
    """Return the identity in a libp2p ``PrivateKey`` message, or what is wrong with it."""
    header, data = message[:4], message[4:]
    if len(header) < 4 or header[0] != _TYPE_TAG:  # noqa: PLR2004 - tag, type, tag, length
        return "private_key is not a libp2p private key"
    if header[1] != _ED25519:
        name = _KEY_TYPES.get(header[1], f"unknown ({header[1]})")
        return f"private_key is of type {name}; only Ed25519 keys are supported"
    if header[2] != _DATA_TAG or header[3] >= _ONE_BYTE_VARINT or header[3] != len(data):
        return "private_key is not a whole libp2p private key"
    if len(data) not in {_DATA_BYTES, _OLD_DATA_BYTES}:
        return f"private_key has {len(data)} bytes of key; Go's Ed25519 form has {_DATA_BYTES}"
    identity = Identity(data[:_SEED_BYTES])
    copies = (len(data) - _SEED_BYTES) // _PUBLIC_KEY_BYTES
    if data[_SEED_BYTES:] != identity.public_key * copies:
        return "private_key holds a public key that is not its own"
    return identity


def _sync_folder(folder: Path) -> None:
    """Make the folder's entries durable: a new file is lost in a crash without this."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
