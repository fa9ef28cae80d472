"""A pytest plugin that gives kazoo's own tests a server of ours.

kazoo's harness starts clusters by its module kazoo.testing.common, which wants an installed ZooKeeper and builds TLS
keys first. This plugin puts a module of its own in that place: "clusters" of one server, started by
tests/support/servers.py, Apache ZooKeeper or ringkeeper as KAZOO_SERVER says (a word of servers.py).

It also writes every test's outcome to the file KAZOO_OUTCOMES, a JSON line each.
"""

import json
import os
import sys
import types
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))

import cache  # noqa: E402
import servers  # noqa: E402

# What the tests are told that the server is; several skip themselves on older ones.
os.environ["ZOOKEEPER_VERSION"] = cache.ZOOKEEPER_VERSION
os.environ["ZOOKEEPER_CLUSTER_SIZE"] = "1"
os.environ.setdefault("KAZOO_SERVER", "apache")


class ManagedServer:
    """The server of a cluster, with the operations that kazoo's tests ask for."""

    def __init__(self, config):
        self._config = config
        self._server = None

    def _made(self):
        if self._server is None:
            self._server = servers.make(os.environ["KAZOO_SERVER"], self._config)
        return self._server

    @property
    def address(self):
        return self._made().address

    @property
    def client_port(self):
        return self._made().port

    @property
    def running(self):
        return self._server is not None and self._server.running()

    def run(self):
        """Starts it on the data and port it has."""
        if not self.running:
            self._made().start()

    def stop(self):
        """Ends it; data and port stay."""
        if self._server is not None:
            self._server.stop()

    def reset(self):
        """Starts it anew without data."""
        self.destroy()
        self.run()

    def destroy(self):
        """Ends it and forgets its data."""
        if self._server is not None:
            self._server.destroy()
            self._server = None

    def get_logs(self, num_lines=100):
        return self._server.log_tail(num_lines).splitlines() if self._server is not None else []


class Cluster:
    """Takes the arguments of kazoo's ZookeeperCluster; what a server of ours has no use for is left aside."""

    def __init__(self, configuration_entries=(), size=1, jaas_config=None, **_):
        if size != 1 or jaas_config is not None:
            raise NotImplementedError("clusters of several servers and SASL are not run here: see tests/kazoo/README.md")
        # kazoo's tests use short sessions; ZooKeeper grants no less than two ticks.
        config = {"tickTime": "500", "minSessionTimeout": "500", "maxSessionTimeout": "60000", "extendedTypesEnabled": "true"}
        config.update(entry.split("=", 1) for entry in configuration_entries)
        self._servers = [ManagedServer(config)]

    def __getitem__(self, index):
        return self._servers[index]

    def __iter__(self):
        return iter(self._servers)

    def start(self):
        for server in self:
            server.run()

    def stop(self):
        for server in self:
            server.stop()

    def terminate(self):
        for server in self:
            server.destroy()

    def reset(self):
        for server in self:
            server.reset()

    def get_logs(self):
        return [line for server in self for line in server.get_logs()]

    def get_ssl_client_configuration(self):
        raise NotImplementedError("TLS is not run here: see tests/kazoo/README.md")


common = types.ModuleType("kazoo.testing.common")
common.ZookeeperCluster = Cluster
sys.modules["kazoo.testing.common"] = common


def pytest_runtest_logreport(report):
    """Notes the outcome: of the call, or of a set-up that failed or skipped."""
    path = os.environ.get("KAZOO_OUTCOMES")
    if path and (report.when == "call" or report.outcome != "passed"):
        line = {
            "test": report.nodeid.split("kazoo/tests/")[-1],
            "outcome": report.outcome,
            "when": report.when,
            "seconds": round(report.duration, 2),
        }
        if report.skipped and isinstance(report.longrepr, tuple):
            line["reason"] = report.longrepr[2].removeprefix("Skipped: ")
        elif report.failed:
            line["reason"] = str(report.longrepr).strip().splitlines()[-1][:300]
        with open(path, "a") as file:
            file.write(json.dumps(line) + "\n")
