# mypy: disable-error-code="type-arg"
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Pin(_message.Message):
    __slots__ = ("cid", "type", "allocations", "max_depth", "reference", "options", "timestamp")
    class PinType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        BAD: _ClassVar[Pin.PinType]
        DATA: _ClassVar[Pin.PinType]
        META: _ClassVar[Pin.PinType]
        CLUSTER_DAG: _ClassVar[Pin.PinType]
        SHARD: _ClassVar[Pin.PinType]
    BAD: Pin.PinType
    DATA: Pin.PinType
    META: Pin.PinType
    CLUSTER_DAG: Pin.PinType
    SHARD: Pin.PinType
    CID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ALLOCATIONS_FIELD_NUMBER: _ClassVar[int]
    MAX_DEPTH_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    cid: bytes
    type: Pin.PinType
    allocations: _containers.RepeatedScalarFieldContainer[bytes]
    max_depth: int
    reference: bytes
    options: PinOptions
    timestamp: int
    def __init__(self, cid: _Optional[bytes] = ..., type: _Optional[_Union[Pin.PinType, str]] = ..., allocations: _Optional[_Iterable[bytes]] = ..., max_depth: _Optional[int] = ..., reference: _Optional[bytes] = ..., options: _Optional[_Union[PinOptions, _Mapping]] = ..., timestamp: _Optional[int] = ...) -> None: ...

class PinOptions(_message.Message):
    __slots__ = ("replication_factor_min", "replication_factor_max", "name", "shard_size", "metadata", "pin_update", "expire_at", "origins", "sorted_metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REPLICATION_FACTOR_MIN_FIELD_NUMBER: _ClassVar[int]
    REPLICATION_FACTOR_MAX_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SHARD_SIZE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    PIN_UPDATE_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_AT_FIELD_NUMBER: _ClassVar[int]
    ORIGINS_FIELD_NUMBER: _ClassVar[int]
    SORTED_METADATA_FIELD_NUMBER: _ClassVar[int]
    replication_factor_min: int
    replication_factor_max: int
    name: str
    shard_size: int
    metadata: _containers.ScalarMap[str, str]
    pin_update: bytes
    expire_at: int
    origins: _containers.RepeatedScalarFieldContainer[bytes]
    sorted_metadata: _containers.RepeatedCompositeFieldContainer[Metadata]
    def __init__(self, replication_factor_min: _Optional[int] = ..., replication_factor_max: _Optional[int] = ..., name: _Optional[str] = ..., shard_size: _Optional[int] = ..., metadata: _Optional[_Mapping[str, str]] = ..., pin_update: _Optional[bytes] = ..., expire_at: _Optional[int] = ..., origins: _Optional[_Iterable[bytes]] = ..., sorted_metadata: _Optional[_Iterable[_Union[Metadata, _Mapping]]] = ...) -> None: ...

class Metadata(_message.Message):
    __slots__ = ("key", "value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: str
    def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
