"""The cache of what the external proofs need and the product does not hold: Apache ZooKeeper's jars
(taken out of pyspark's source distribution on PyPI), a virtual environment with kazoo and pytest, and kazoo's
own sources for its tests.

Idempotent, guarded by a lock file, and needs no network once filled. `ensure()` returns the paths or raises
`Unavailable` with the reason, which callers show as the reason of a skip.

    python3 tests/support/cache.py            # fill the cache, print where things are
    python3 tests/support/cache.py zookeeper  # the jars alone

Environment:
    RINGKEEPER_TEST_CACHE      the cache directory (default: .cache at the root of the repository)
    RINGKEEPER_TEST_DOWNLOADS  a directory looked into for the two source distributions before the network is
    JAVA_HOME                  whose bin/java is preferred to the one on PATH
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

ZOOKEEPER_VERSION = "3.9.5"
# The first pyspark whose source distribution holds ZooKeeper 3.9.5 (4.1.x: 3.9.4).
PYSPARK_VERSION = "4.2.0"
PYSPARK_SHA256 = "5ad689d53570ee1674193fd4f9bda065f0db3be9363a27d2a3406cc457b70b61"
KAZOO_VERSION = "2.11.0"
KAZOO_SHA256 = "57e7e6f69295c8f922511488eeb79680729e14bb8eb382d5cad83aa11345c36c"
# What kazoo's tests import, pinned so that a new release cannot change a verdict.
VENV_PACKAGES = (
    f"kazoo=={KAZOO_VERSION}",
    "pytest==8.3.4",
    "pytest-timeout==2.3.1",
    "gevent==26.9.0",
    "eventlet==0.41.3",
    "objgraph==3.7.0",
)

# Name beginnings of the jars a standalone server or an ensemble needs to run. The netty ones are loaded even
# when the NIO connection factory is used; log4j gives a log when one is asked for.
JAR_PREFIXES = (
    "zookeeper-3",
    "zookeeper-jute-3",
    "audience-annotations-",
    "slf4j-api-",
    "log4j-api-",
    "log4j-core-",
    "log4j-slf4j2-impl-",
    "commons-cli-",
    "commons-io-",
    "metrics-core-",
    "snappy-java-",
    "jline-2",
    "netty-buffer-",
    "netty-codec-4",
    "netty-codec-base-",
    "netty-common-",
    "netty-handler-4",
    "netty-resolver-4",
    "netty-transport-4",
    "netty-transport-classes-epoll-",
    "netty-transport-native-unix-common-",
)


class Unavailable(Exception):
    """Why the external proofs cannot run here (no java, no network and nothing cached, a damaged download)."""


def cache_directory():
    """Where the cache is; it need not exist yet."""
    chosen = os.environ.get("RINGKEEPER_TEST_CACHE")
    return Path(chosen).resolve() if chosen else REPOSITORY / ".cache"


def java():
    """The java launcher, or `Unavailable`."""
    home = os.environ.get("JAVA_HOME")
    if home and (Path(home) / "bin" / "java").exists():
        return str(Path(home) / "bin" / "java")
    found = shutil.which("java")
    if not found:
        raise Unavailable("no java on PATH (JAVA_HOME is not set either): install a JDK or JRE 11 or newer")
    return found


def zookeeper_classpath():
    """The class path of Apache ZooKeeper, fetching the jars if they are not cached."""
    directory = cache_directory() / f"zookeeper-{ZOOKEEPER_VERSION}"
    _once(directory, _fetch_zookeeper)
    return ":".join(str(jar) for jar in sorted(directory.glob("*.jar")))


def venv_python():
    """The interpreter of the virtual environment that holds kazoo and pytest."""
    mark = hashlib.sha256(" ".join(VENV_PACKAGES).encode()).hexdigest()[:8]
    directory = cache_directory() / f"venv-kazoo-{KAZOO_VERSION}-{mark}"
    _once(directory, _make_venv)
    return str(directory / "bin" / "python")


def kazoo_sources():
    """The unpacked source distribution of kazoo; its tests are under kazoo/tests."""
    directory = cache_directory() / f"kazoo-{KAZOO_VERSION}"
    _once(directory, _fetch_kazoo)
    return directory


def _once(directory, make):
    """Has `make(scratch)` fill a scratch directory that then becomes `directory`, unless that is there already.

    One process does it, the others wait at the lock file; a half-made directory never gets the final name.
    """
    if directory.is_dir():
        return
    directory.parent.mkdir(parents=True, exist_ok=True)
    with _locked(directory.parent / "lock"):
        if directory.is_dir():
            return
        if make is _make_venv:  # a virtual environment holds its own path and cannot be renamed
            try:
                make(directory)
            except BaseException:
                shutil.rmtree(directory, ignore_errors=True)
                raise
            return
        scratch = Path(tempfile.mkdtemp(prefix="making-", dir=directory.parent))
        try:
            make(scratch)
            scratch.rename(directory)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def _locked(path):
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch_zookeeper(scratch):
    tarball = _source_distribution("pyspark", PYSPARK_VERSION, PYSPARK_SHA256, scratch)
    with tarfile.open(tarball) as archive:
        for member in archive:
            name = os.path.basename(member.name)
            if member.isfile() and name.endswith(".jar") and name.startswith(JAR_PREFIXES):
                with archive.extractfile(member) as source, open(scratch / name, "wb") as sink:
                    shutil.copyfileobj(source, sink)
    if tarball.parent == scratch:
        tarball.unlink()
    if not (scratch / f"zookeeper-{ZOOKEEPER_VERSION}.jar").exists():
        raise Unavailable(f"pyspark {PYSPARK_VERSION} does not hold zookeeper-{ZOOKEEPER_VERSION}.jar")


def _fetch_kazoo(scratch):
    tarball = _source_distribution("kazoo", KAZOO_VERSION, KAZOO_SHA256, scratch)
    with tarfile.open(tarball) as archive:
        archive.extractall(scratch / "unpacked", filter="data")
    (inner,) = (scratch / "unpacked").iterdir()
    for entry in inner.iterdir():
        entry.rename(scratch / entry.name)
    shutil.rmtree(scratch / "unpacked")
    if tarball.parent == scratch:
        tarball.unlink()


def _make_venv(directory):
    _run([sys.executable, "-m", "venv", str(directory)], "python3 -m venv")
    _run([str(directory / "bin" / "python"), "-m", "pip", "install", "--quiet", *VENV_PACKAGES], "pip install")


def _source_distribution(package, version, sha256, scratch):
    """The package's source distribution: from RINGKEEPER_TEST_DOWNLOADS, or downloaded into `scratch`."""
    name = f"{package}-{version}.tar.gz"
    tarball = Path(os.environ.get("RINGKEEPER_TEST_DOWNLOADS", "/nonexistent")) / name
    if not tarball.exists():
        _run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
            + ["--dest", str(scratch), f"{package}=={version}"],
            f"pip download {package}=={version}",
        )
        tarball = scratch / name
    with open(tarball, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise Unavailable(f"{tarball}: SHA-256 is {found}, expected {sha256}")
    return tarball


def _run(command, what):
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{what} failed: {error}") from error
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise Unavailable(f"{what} failed (no network?): {lines[-1] if lines else 'no message'}")


def main(arguments):
    wanted = arguments or ["zookeeper", "kazoo"]
    try:
        print("java      ", java())
        if "zookeeper" in wanted:
            print("zookeeper ", zookeeper_classpath().split(":")[-2])
        if "kazoo" in wanted:
            print("venv      ", venv_python())
            print("kazoo     ", kazoo_sources())
    except Unavailable as reason:
        print(f"SKIPPED: {reason}", file=sys.stderr)
        return 77
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
