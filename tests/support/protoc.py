"""Compile the protocol of gRPC into the descriptors that the server reads: `python -m tests.support.protoc`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from grpc_tools import protoc

import serin_serving

PROTO = Path(serin_serving.__file__).parent / "oip.proto"
DESCRIPTORS = PROTO.with_suffix(".binpb")


def compiled() -> bytes:
    """The descriptors of the proto file as it stands."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        status = protoc.main(["protoc", f"-I{PROTO.parent}", f"--descriptor_set_out={out}", PROTO.name])
        assert status == 0, "protoc refused the file; it says why above"
        return out.read_bytes()


if __name__ == "__main__":
    DESCRIPTORS.write_bytes(compiled())
