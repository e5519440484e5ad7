import stat
from pathlib import Path

import pytest

from node.address_book import AddressBook
from node.config.peer_multiaddr import split_peer_address
from node.errors import ConfigError

SERVICE = Path(__file__).parent.parent / "vectors/fixtures/ipfs-cluster/service"
A = "12D3KooWMouSYH5NswSHYzd2CaDBS7XPvHCyHswANCS2W24r74E6"
B = "12D3KooWGeL3oCZrZwtpBA4VfA4hNCY1rj9wE92uMtbG5hF2fNdN"


def test_the_peerstore_of_ipfs_cluster_is_read_and_written_back(tmp_path: Path) -> None:
    book = AddressBook.read(SERVICE / "peerstore")
    book.write(tmp_path / "peerstore")

    assert book.addresses == {A: ("/ip4/10.77.0.1/tcp/9196",), B: ("/ip4/10.77.0.1/tcp/9096",)}
    assert (SERVICE / "peerstore").read_text() == (tmp_path / "peerstore").read_text()
    assert stat.S_IMODE((tmp_path / "peerstore").stat().st_mode) == 0o600


def test_lines_that_do_not_start_with_a_slash_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "peerstore").write_text(f"# mine\n\n/ip4/1.2.3.4/tcp/1/p2p/{A}\n")

    assert AddressBook.read(tmp_path / "peerstore").addresses == {A: ("/ip4/1.2.3.4/tcp/1",)}


def test_a_missing_peerstore_is_an_empty_book(tmp_path: Path) -> None:
    assert AddressBook.read(tmp_path / "peerstore").addresses == {}


@pytest.mark.parametrize(
    "text",
    ["/ip4/1.2.3.4/tcp/1", f"/p2p/{A}", "/ip4/1.2.3.4/tcp/1/p2p/zzz", "/ip4/1.2.3/tcp/1", "here:1"],
)
def test_a_malformed_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--peers: address 1: .*expected a multiaddr such as"):
        AddressBook.of([text], source="--peers")


def test_two_books_merge_with_the_first_ones_addresses_first() -> None:
    one = AddressBook.of([f"/ip4/1.2.3.4/tcp/1/p2p/{A}"], source="")
    two = AddressBook.of(
        [
            f"/ip4/5.6.7.8/tcp/1/p2p/{A}",
            f"/ip4/1.2.3.4/tcp/1/p2p/{A}",
            f"/ip4/1.1.1.1/tcp/1/p2p/{B}",
        ],
        source="",
    )

    assert one.merged(two).addresses == {
        A: ("/ip4/1.2.3.4/tcp/1", "/ip4/5.6.7.8/tcp/1"),
        B: ("/ip4/1.1.1.1/tcp/1",),
    }
    assert one.merged(two).without(A).addresses == {B: ("/ip4/1.1.1.1/tcp/1",)}


def test_names_of_hosts_are_addresses_too() -> None:
    assert split_peer_address(f"/dns4/localhost/tcp/9096/p2p/{A}") == (
        A,
        "/dns4/localhost/tcp/9096",
    )
