"""A Kubernetes of one machine: etcd, API server, controllers, scheduler, kubelet, containerd, runc.

All are the real programs. `Cluster.start(folder)` brings one up in seconds with all of its state in
that folder, on ports and networks of its own, so that several run side by side:

    from tests.rigs.kubernetes.cluster import Cluster

    with Cluster.start(folder, upto="controllers") as cluster:
        cluster.ctl("get", "namespaces")

What is not there: Services don't route (no kube-proxy, no DNS), nothing pulls images (`load` brings
them), no GPU, no load balancer. Knows nothing of EMS.
"""
