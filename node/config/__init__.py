"""What a peer is told: its folder, service.json, the environment."""

from node.config.folder import Folder
from node.config.service_json import ServiceJSON
from node.config.settings import NodeConfig, load_config

__all__ = ["Folder", "NodeConfig", "ServiceJSON", "load_config"]
