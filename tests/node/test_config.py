import json
import stat
from pathlib import Path

import pytest

from node.config import Folder, NodeConfig, ServiceJSON, load_config
from node.config.schema import COMPONENTS
from node.errors import ConfigError, ExitCode, FolderError

SERVICE = Path(__file__).parent.parent / "vectors/fixtures/ipfs-cluster/service"


def _folder(tmp_path: Path, text: str | None = None) -> Folder:
    tmp_path.joinpath("service.json").write_text(
        SERVICE.joinpath("service.json").read_text() if text is None else text
    )
    return Folder(tmp_path)


def _load_with(tmp_path: Path, path: str, value: object) -> NodeConfig:
    """Load the defaults with one value changed."""
    service = ServiceJSON.default(tmp_path / "service.json")
    *component, key = path.split(".")
    service.set(tuple(component), key, value)  # type: ignore[arg-type]
    service.write()
    return load_config(Folder(tmp_path), {})


def test_a_file_of_ipfs_cluster_is_read(tmp_path: Path) -> None:
    config = load_config(_folder(tmp_path), {})

    assert config.cluster.peername == "node1"
    assert config.cluster.secret_hex == "0" * 63 + "7"
    assert config.cluster.listen_multiaddrs == ("/ip4/10.77.0.1/tcp/9196",)
    assert config.api.listen_multiaddrs == ("/ip4/127.0.0.1/tcp/9194",)
    assert config.api.max_header_bytes == 4096
    assert config.leader_timeout_s == 15.0
    assert config.raft.snapshot_interval_s == 120.0
    assert config.raft.leader_lease_timeout_s == 0.5
    assert config.data_folder == tmp_path / "raft"


def test_commit_retries_of_the_file_counts_repetitions(tmp_path: Path) -> None:
    assert load_config(_folder(tmp_path), {}).commit_attempts == 2


def test_a_file_of_ipfs_cluster_is_written_back_with_nothing_lost(tmp_path: Path) -> None:
    original = json.loads(SERVICE.joinpath("service.json").read_text())
    service = ServiceJSON.read(_folder(tmp_path).service_json)

    service.write()

    assert original == json.loads((tmp_path / "service.json").read_text())


def test_the_default_file_has_every_key_that_ipfs_cluster_writes(tmp_path: Path) -> None:
    theirs = json.loads(SERVICE.joinpath("service.json").read_text())
    ours = ServiceJSON.default(tmp_path / "service.json").document

    for path in (("cluster",), ("consensus", "raft"), ("api", "restapi")):
        their_table, our_table = theirs, ours
        for name in path:
            their_table, our_table = their_table[name], our_table[name]  # type: ignore[index,assignment,call-overload]
        assert set(their_table) == set(our_table)


def test_the_default_file_says_what_the_defaults_are(tmp_path: Path) -> None:
    service = ServiceJSON.default(tmp_path / "service.json")
    service.write()
    full = load_config(Folder(tmp_path), {})
    (tmp_path / "service.json").write_text("{}")

    assert full == load_config(Folder(tmp_path), {})


def test_the_written_file_is_private(tmp_path: Path) -> None:
    ServiceJSON.default(tmp_path / "service.json").write()

    assert stat.S_IMODE((tmp_path / "service.json").stat().st_mode) == 0o600


def test_an_environment_variable_wins_over_the_file(tmp_path: Path) -> None:
    environ = {
        "CLUSTER_PEERNAME": "from-env",
        "CLUSTER_LISTENMULTIADDRESS": "/ip4/127.0.0.1/tcp/1,/ip4/127.0.0.1/tcp/2",
        "CLUSTER_RAFT_HEARTBEATTIMEOUT": "900ms",
        "CLUSTER_RAFT_MAXAPPENDENTRIES": "7",
        "CLUSTER_RAFTNODE_PREVOTEDISABLED": "true",
        "CLUSTER_RESTAPI_BASICAUTHCREDENTIALS": "ann:secret,bob:other:part",
    }

    config = load_config(_folder(tmp_path), environ)

    assert config.cluster.peername == "from-env"
    assert config.cluster.listen_multiaddrs == ("/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/2")
    assert config.raft.heartbeat_timeout_s == 0.9
    assert config.raft.max_append_entries == 7
    assert config.raft.pre_vote_disabled
    assert config.api.basic_auth == {"ann": "secret", "bob": "other:part"}


def test_a_flag_wins_over_the_environment(tmp_path: Path) -> None:
    environ = {"CLUSTER_RESTAPI_HTTPLISTENMULTIADDRESS": "/ip4/127.0.0.1/tcp/1"}

    config = load_config(
        _folder(tmp_path), environ, api_listen_multiaddrs=("/ip4/127.0.0.1/tcp/2",)
    )

    assert config.api.listen_multiaddrs == ("/ip4/127.0.0.1/tcp/2",)


def test_components_that_ipfs_cluster_keeps_are_kept_and_ignored(tmp_path: Path) -> None:
    document = {"monitor": {"something_new": {"a": [1]}}, "consensus": {"crdt": {}, "raft": {}}}
    folder = _folder(tmp_path, json.dumps(document))

    load_config(folder, {})
    ServiceJSON.read(folder.service_json).write()

    assert document == json.loads(folder.service_json.read_text())


@pytest.mark.parametrize(
    "key", [".".join((*c.path, s.key)) for c in COMPONENTS for s in c.settings]
)
def test_a_wrong_type_is_refused_naming_file_key_and_what_is_allowed(
    tmp_path: Path, key: str
) -> None:
    wrong = 7 if key.endswith(("_name", "credentials", "headers")) else [7]

    with pytest.raises(ConfigError, match="must be") as caught:
        _load_with(tmp_path, key, wrong)

    assert str(tmp_path / "service.json") in str(caught.value)
    assert f" {key}: " in str(caught.value)
    assert caught.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("consensus.raft.heartbeat_timeout", "1 second", "is not a duration"),
        ("consensus.raft.heartbeat_timeout", "1ms", "at least 0.005 s"),
        ("consensus.raft.max_append_entries", -1, "whole number from 1 up"),
        ("consensus.raft.max_append_entries", 5000, "max_append_entries must be from 1 to 1024"),
        ("consensus.raft.max_append_entries", True, "must be a whole number"),
        ("consensus.raft.max_append_entries", 1.5, "must be a whole number"),
        ("consensus.raft.leader_lease_timeout", "3s", "leader_lease_timeout must not be larger"),
        ("consensus.raft.init_peerset", ["nobody"], "'nobody' is not allowed; it must be a list"),
        ("consensus.raft.heartbeat_timout", "1s", "unknown key; did you mean heartbeat_timeout?"),
        ("consensus.raft_node.colour", "blue", "unknown key; known are raft_max_snapshots"),
        ("cluster.listen_multiaddress", "localhost:9096", "is not a multiaddr"),
        ("cluster.listen_multiaddress", [], "must name at least one address"),
        ("cluster.replication_factor_min", 3, "both are -1"),
        ("cluster.private_key", "CAES", "belongs in identity.json"),
        ("cluster.follower_mode", True, "CRDT"),
        ("api.restapi.max_header_bytes", 100, "from 4096 up"),
        ("api.restapi.basic_auth_credentials", {}, "at least one entry"),
        ("api.restapi.ssl_cert_file", "cert.pem", "HTTPS is not served"),
        ("api.restapi.libp2p_listen_multiaddress", "/ip4/127.0.0.1/tcp/1", "not served"),
    ],
)
def test_a_bad_value_is_refused_with_what_is_allowed(
    tmp_path: Path, key: str, value: object, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        _load_with(tmp_path, key, value)

    assert said in str(caught.value)


def test_a_bad_environment_variable_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="environment: CLUSTER_RAFT_TRAILINGLOGS: 'many'"):
        load_config(_folder(tmp_path), {"CLUSTER_RAFT_TRAILINGLOGS": "many"})


@pytest.mark.parametrize("secret", ["abc", "Z" * 64, ["0" * 64]])
def test_a_malformed_secret_is_refused_and_never_shown(tmp_path: Path, secret: object) -> None:
    with pytest.raises(ConfigError, match=r"64 hexadecimal digits") as caught:
        _load_with(tmp_path, "cluster.secret", secret)

    assert str(secret) not in str(caught.value)


def test_secrets_are_not_in_a_repr(tmp_path: Path) -> None:
    config = load_config(_folder(tmp_path), {"CLUSTER_RESTAPI_BASICAUTHCREDENTIALS": "ann:hunter2"})

    assert "0" * 63 + "7" not in repr(config)
    assert "hunter2" not in repr(config)
    assert "0" * 63 + "7" not in repr(ServiceJSON.read(tmp_path / "service.json"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not JSON"),
        ('{"cluster": {', "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "must hold one JSON object"),
        ('{"cluster": {}, "cluster": {}}', "'cluster' stands twice"),
        ('{"clutser": {}}', "clutser: unknown key; did you mean cluster?"),
        ('{"cluster": 3}', "cluster: 3 is not allowed"),
        ('{"api": {"restapi": 3}}', "api.restapi: 3 is not allowed"),
        ('{"source": "http://example.org"}', "source: a configuration at a URL"),
        ('{"consensus": {"crdt": {}}}', "consensus.crdt: this peer speaks Raft"),
        (" " * 1_048_577, "is larger than"),
    ],
)
def test_a_file_that_is_no_service_json_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(_folder(tmp_path, text), {})

    assert said in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_config(Folder(tmp_path), {})


def test_the_folder_comes_from_the_flag_then_the_environment_then_home() -> None:
    environ = {"RAFT_NODE_PATH": "/from/env"}

    assert Folder(Path("/from/flag")) == Folder.find("/from/flag", environ)
    assert Folder(Path("/from/env")) == Folder.find(None, environ)
    assert Folder(Path.home() / ".raft-node") == Folder.find(None, {})


def test_a_folder_that_was_not_initialised_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="raft-node init"):
        Folder(tmp_path).check_initialised()


def test_a_folder_of_a_go_peer_is_refused_naming_the_take_over(tmp_path: Path) -> None:
    (tmp_path / "raft").mkdir()
    (tmp_path / "raft/raft.db").write_bytes(b"")

    with pytest.raises(FolderError, match="migrate from-go"):
        Folder(tmp_path).check_not_go(tmp_path / "raft")
