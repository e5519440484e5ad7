"""identity.json: Go's bytes, safe files, and a key that never shows."""

from __future__ import annotations

import base64
import copy
import json
import os
import pickle
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys import Identity, InvalidIdentity

VECTORS = Path(__file__).parents[1] / "vectors"
CLUSTER = json.loads((VECTORS / "ipfs-cluster.json").read_bytes())
PEERS = CLUSTER["peers"]
GO_FILE = VECTORS / "fixtures" / "ipfs-cluster" / "service" / "identity.json"
SEED = bytes(range(100, 132))


@pytest.fixture
def go_file(tmp_path: Path) -> Path:
    path = tmp_path / "identity.json"
    path.write_bytes(GO_FILE.read_bytes())
    path.chmod(0o600)
    return path


def json_with(data: bytes, peer_id: str | None = None) -> str:
    return json.dumps(
        {"id": peer_id or PEERS["a"]["id"], "private_key": base64.b64encode(data).decode()}
    )


@pytest.mark.parametrize("name", PEERS)
def test_a_seed_gives_the_peer_id_go_derives(name: str) -> None:
    identity = Identity.from_seed(bytes.fromhex(PEERS[name]["ed25519_seed_hex"]))
    assert PEERS[name]["id"] == str(identity.peer_id)


def test_the_private_key_is_written_in_gos_64_byte_form() -> None:
    identity = Identity.from_seed(bytes.fromhex(PEERS["a"]["ed25519_seed_hex"]))
    expected = base64.b64decode(CLUSTER["identity"]["private_key"])
    assert expected == identity.private_key_protobuf()


def test_gos_file_is_read_and_written_byte_for_byte(go_file: Path, tmp_path: Path) -> None:
    Identity.load(go_file).save(tmp_path / "copy.json")
    assert GO_FILE.read_bytes() == (tmp_path / "copy.json").read_bytes()


def test_a_public_key_written_twice_is_read_as_go_reads_it() -> None:
    identity = Identity.from_seed(SEED)
    data = b"\x08\x01\x12\x60" + SEED + identity.public_key * 2
    assert identity == Identity.from_json(json_with(data, str(identity.peer_id)))


def test_a_saved_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    old_umask = os.umask(0)
    try:
        Identity.generate().save(tmp_path / "identity.json")
    finally:
        os.umask(old_umask)
    assert (tmp_path / "identity.json").stat().st_mode & 0o777 == 0o600


def test_a_saved_file_loads_as_the_same_identity(tmp_path: Path) -> None:
    identity = Identity.generate()
    identity.save(tmp_path / "identity.json")
    assert identity == Identity.load(tmp_path / "identity.json")


def test_an_existing_file_is_never_overwritten(go_file: Path) -> None:
    with pytest.raises(FileExistsError, match=str(go_file)):
        Identity.generate().save(go_file)
    assert GO_FILE.read_bytes() == go_file.read_bytes()


def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "identity.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        Identity.generate().save(tmp_path / "identity.json")
    assert not (tmp_path / "elsewhere").exists()


def test_a_failed_save_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        Identity.generate().save(tmp_path / "identity.json")
    assert [] == list(tmp_path.iterdir())


def test_file_and_folder_are_synced_before_save_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def note(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    Identity.generate().save(tmp_path / "identity.json")
    assert [str(tmp_path / "identity.json"), str(tmp_path)] == synced


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o610, 0o601, 0o644])
def test_a_file_others_may_use_is_refused_with_the_chmod_to_run(go_file: Path, mode: int) -> None:
    go_file.chmod(mode)
    with pytest.raises(InvalidIdentity, match=f"{mode:04o}.*chmod 600 {go_file}"):
        Identity.load(go_file)


def test_a_read_only_file_of_the_owner_is_taken(go_file: Path) -> None:
    go_file.chmod(0o400)
    assert Identity.from_json(GO_FILE.read_text()) == Identity.load(go_file)


def test_a_symbolic_link_is_refused_by_name(go_file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(go_file)
    with pytest.raises(InvalidIdentity, match=f"{link}: is a symbolic link"):
        Identity.load(link)


def test_a_named_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "identity.json", 0o600)
    with pytest.raises(InvalidIdentity, match="not a regular file"):
        Identity.load(tmp_path / "identity.json")


def test_a_huge_file_is_not_read(go_file: Path) -> None:
    go_file.write_bytes(b" " * (64 * 1024 + 1))
    with pytest.raises(InvalidIdentity, match="65537 bytes"):
        Identity.load(go_file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=str(tmp_path / "no.json")):
        Identity.load(tmp_path / "no.json")


def test_a_file_that_is_not_text_is_refused_by_name(go_file: Path) -> None:
    go_file.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidIdentity, match=f"{go_file}: is not JSON"):
        Identity.load(go_file)


PUBLIC = Identity.from_seed(SEED).public_key


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not well-formed JSON"),
        ("[" * 100_000, "not well-formed JSON"),
        ("[]", "not a JSON object"),
        ("{}", "lacks an id"),
        ('{"id": 1, "private_key": ""}', "lacks an id"),
        ('{"id": "x", "private_key": "%%"}', "not base64"),
        (json_with(b""), "not a libp2p private key"),
        (json_with(b"\x12\x40\x08\x01"), "not a libp2p private key"),
        (json_with(b"\x08\x00\x12\x03abc"), "type RSA; only Ed25519"),
        (json_with(b"\x08\x02\x12\x20" + SEED), "type Secp256k1; only Ed25519"),
        (json_with(b"\x08\x03\x12\x20" + SEED), "type ECDSA; only Ed25519"),
        (json_with(b"\x08\x09\x12\x20" + SEED), r"type unknown \(9\)"),
        (json_with(b"\x08\x01\x12\x20" + SEED), "32 bytes of key"),
        (json_with(b"\x08\x01\x12\x40" + SEED), "not a whole"),
        (json_with(b"\x08\x01\x12\x40" + SEED + PUBLIC + b"x"), "not a whole"),
        (json_with(b"\x08\x01\x12\x40" + SEED + bytes(32)), "public key that is not its own"),
        (json_with(b"\x08\x01\x12\x60" + SEED + PUBLIC + bytes(32)), "not its own"),
        (json_with(b"\x08\x01\x12\x40" + SEED + PUBLIC), "but private_key belongs to 12D3Koo"),
    ],
)
def test_a_bad_identity_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidIdentity, match=reason):
        Identity.from_json(text)


def test_a_bad_file_is_named_with_the_reason(go_file: Path) -> None:
    go_file.write_text(json_with(b"\x08\x00\x12\x03abc"))
    with pytest.raises(InvalidIdentity, match=f"{go_file}: .*type RSA"):
        Identity.load(go_file)


@given(st.binary(min_size=32, max_size=32))
def test_json_gives_back_every_identity(seed: bytes) -> None:
    identity = Identity.from_seed(seed)
    assert seed == Identity.from_json(identity.to_json()).reveal_seed()


@given(st.integers(0, 182))
def test_a_truncated_file_raises_nothing_but_invalid_identity(end: int) -> None:
    with pytest.raises(InvalidIdentity):
        Identity.from_json(GO_FILE.read_text()[:end])


def shown_forms(secret: bytes) -> list[str]:
    return [
        secret.hex(),
        secret.hex().upper(),
        repr(secret),
        base64.b64encode(secret).decode()[:40],
    ]


def assert_hidden(secret: bytes, text: str) -> None:
    assert [] == [form for form in shown_forms(secret) if form in text]


def test_the_search_for_secrets_finds_one() -> None:
    with pytest.raises(AssertionError):
        assert_hidden(SEED, f"seed={SEED!r}")


def test_repr_str_and_format_hide_the_key() -> None:
    identity = Identity.from_seed(SEED)
    assert_hidden(SEED, f"{identity!r} {identity} {identity.peer_id!r} {[identity]}")


def test_an_identity_has_no_vars_to_show() -> None:
    with pytest.raises(TypeError):
        vars(Identity.from_seed(SEED))


@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps])
def test_an_identity_is_not_pickled_copied_or_dumped(way: object) -> None:
    identity = Identity.from_seed(SEED)
    with pytest.raises(TypeError) as caught:
        way(identity)  # type: ignore[operator]
    lines = traceback.TracebackException.from_exception(caught.value, capture_locals=True).format()
    assert_hidden(SEED, "".join(lines))


def locals_of_keys(error: BaseException) -> str:
    """Return what a traceback with local variables shows of the frames of this package."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    ours = [frame.f_locals for frame in frames if "keys/identity" in frame.f_code.co_filename]
    assert ours
    return repr(ours)


BAD_KEY = b"\x08\x01\x12\x40" + SEED + bytes(32)


def test_the_state_of_an_identity_is_not_handed_out() -> None:
    with pytest.raises(TypeError):
        Identity.from_seed(SEED).__getstate__()


def test_equal_identities_are_one_in_a_set() -> None:
    assert len({Identity.from_seed(SEED), Identity.from_seed(SEED)}) == 1


def test_a_refused_file_shows_no_key_in_the_frames_of_this_package(go_file: Path) -> None:
    go_file.write_text(json_with(BAD_KEY))
    with pytest.raises(InvalidIdentity) as caught:
        Identity.load(go_file)
    shown = locals_of_keys(caught.value)
    assert_hidden(SEED, shown)
    assert base64.b64encode(BAD_KEY).decode()[:40] not in shown


def test_refused_json_is_not_in_the_frames_of_this_package() -> None:
    with pytest.raises(InvalidIdentity) as caught:
        Identity.from_json(json_with(BAD_KEY))
    shown = locals_of_keys(caught.value)
    assert_hidden(SEED, shown)
    assert base64.b64encode(BAD_KEY).decode()[:40] not in shown


def test_a_refused_seed_is_not_in_the_frames_of_this_package() -> None:
    with pytest.raises(InvalidIdentity) as caught:
        Identity.from_seed(SEED + b"!")
    assert_hidden(SEED, locals_of_keys(caught.value))


def test_a_refused_key_has_no_chained_error_that_shows_it() -> None:
    with pytest.raises(InvalidIdentity) as caught:
        Identity.from_json('{"id": "x", "private_key": "' + SEED.hex() + '%"}')
    assert caught.value.__context__ is None
