"""The command lines and configuration files of a cluster's programs.

Pure: knows flags and why they are needed here, starts nothing. What reads odd was found needed by
leaving it out, on machines with cgroup v1 and without CAP_SYS_RESOURCE.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.rigs.kubernetes.build import KUBE

NODE = "node1"
PAUSE = "localhost/pause:1"
NOWHERE = "192.0.2.1"
"""The address that an API server without a node says it has; it refuses to name a loopback one."""


@dataclass(frozen=True)
class Ports:
    """The ports of one cluster, all on 127.0.0.1 but the kubelet's."""

    etcd: int
    etcd_peers: int
    api: int
    kubelet: int


@dataclass(frozen=True)
class Net:
    """The network of a node and its pods: 10.99.<number>.0/24 on a bridge of its own."""

    number: int

    @property
    def name(self) -> str:
        """Return the name of the bridge, and of the cgroup that holds all pods."""
        return f"emsk{self.number}"

    @property
    def node(self) -> str:
        """Return the node's address, the bridge's own: a kubelet refuses a loopback one."""
        return f"10.99.{self.number}.1"

    @property
    def cidr(self) -> str:
        """Return the network."""
        return f"10.99.{self.number}.0/24"


def etcd(folder: Path, ports: Ports) -> list[str | Path]:
    """Return etcd's command; it does not sync to disk, since its data ends with the folder."""
    clients = f"http://127.0.0.1:{ports.etcd}"
    peers = f"http://127.0.0.1:{ports.etcd_peers}"
    return [
        KUBE,
        "etcd",
        f"--data-dir={folder}/etcd",
        f"--listen-client-urls={clients}",
        f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def apiserver(folder: Path, ports: Ports, net: Net | None) -> list[str | Path]:
    """Return the API server's command."""
    pki = folder / "pki"
    return [
        KUBE,
        "apiserver",
        f"--etcd-servers=http://127.0.0.1:{ports.etcd}",
        "--bind-address=127.0.0.1",
        f"--advertise-address={net.node if net else NOWHERE}",
        f"--secure-port={ports.api}",
        "--endpoint-reconciler-type=none",
        f"--cert-dir={pki}",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--client-ca-file={pki}/ca.crt",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki}/sa.key",
        f"--service-account-signing-key-file={pki}/sa.key",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--allow-privileged",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        f"--kubelet-client-certificate={pki}/apiserver-kubelet.crt",
        f"--kubelet-client-key={pki}/apiserver-kubelet.key",
        # the node's name resolves nowhere
        "--kubelet-preferred-address-types=InternalIP",
    ]


def controllers(folder: Path) -> list[str | Path]:
    """Return the controllers' command: namespaces, garbage, jobs, quotas, volumes, tokens."""
    return [
        KUBE,
        "controllers",
        f"--kubeconfig={folder}/kubeconfig",
        f"--service-account-private-key-file={folder}/pki/sa.key",
        f"--root-ca-file={folder}/pki/ca.crt",
        f"--flex-volume-plugin-dir={folder}/plugins",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        # by default a deleted namespace may wait for this long
        "--namespace-sync-period=5s",
    ]


def scheduler(folder: Path) -> list[str | Path]:
    """Return the scheduler's command."""
    return [
        KUBE,
        "scheduler",
        f"--kubeconfig={folder}/kubeconfig",
        "--leader-elect=false",
        "--secure-port=0",
    ]


def kubelet(folder: Path, net: Net) -> list[str | Path]:
    """Return the kubelet's command."""
    return [
        KUBE,
        "kubelet",
        f"--config={folder}/kubelet.json",
        f"--kubeconfig={folder}/kubelet.kubeconfig",
        f"--root-dir={folder}/kubelet",
        f"--cert-dir={folder}/pki",
        f"--hostname-override={NODE}",
        f"--node-ip={net.node}",
    ]


def kubelet_config(folder: Path, ports: Ports, net: Net) -> str:
    """Return the kubelet's configuration."""
    return json.dumps(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": net.node,
            "port": ports.kubelet,
            "readOnlyPort": 0,
            "healthzPort": 0,
            "containerRuntimeEndpoint": f"unix://{folder}/ctd/c.sock",
            "podLogsDir": f"{folder}/podlogs",
            "resolvConf": "/etc/resolv.conf",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": f"{folder}/pki/ca.crt"},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": f"{folder}/pki/kubelet-server.crt",
            "tlsPrivateKeyFile": f"{folder}/pki/kubelet-server.key",
            "volumePluginDir": f"{folder}/plugins",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{net.name}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "oomScoreAdj": 0,
            "maxOpenFiles": 20000,
            "makeIPTablesUtilChains": False,
            "enforceNodeAllocatable": ["none"],
            # a full disk or memory of this machine is not the cluster's affair
            "evictionHard": {"memory.available": "0%"},
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "serializeImagePulls": False,
            "registryPullQPS": 0,
            "eventRecordQPS": 0,
            "kubeAPIQPS": 200,
            "kubeAPIBurst": 400,
        },
        indent=1,
    )


def containerd_config(folder: Path) -> str:
    """Return containerd's configuration."""
    plugin = "io.containerd.grpc.v1.cri"
    unused = [
        f"io.containerd.snapshotter.v1.{one}" for one in ("btrfs", "zfs", "devmapper", "aufs")
    ]
    return f"""\
version = 2
root = "{folder}/ctd/root"
state = "{folder}/ctd/run"
disabled_plugins = {json.dumps(unused)}
[grpc]
  address = "{folder}/ctd/c.sock"
[ttrpc]
  address = "{folder}/ctd/c.sock.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/ctd/opt"
[plugins."{plugin}"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  disable_tcp_service = true
  stream_server_address = "127.0.0.1"
  [plugins."{plugin}".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{folder}/cni"
  [plugins."{plugin}".containerd]
    snapshotter = "overlayfs"
    [plugins."{plugin}".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."{plugin}".containerd.runtimes.runc.options]
        SystemdCgroup = false
        Root = "{folder}/ctd/runc"
"""


def pod_network(folder: Path, net: Net) -> str:
    """Return the network of pods, for CNI: the bridge, without a way out of this machine."""
    first = net.cidr.rpartition(".")[0] + ".10"
    addresses = {
        "type": "host-local",
        "dataDir": f"{folder}/addresses",
        "ranges": [[{"subnet": net.cidr, "rangeStart": first, "gateway": net.node}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {
        "type": "bridge",
        "bridge": net.name,
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": addresses,
    }
    return json.dumps({"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]}, indent=1)
